//! [`Delivery`]: puts a packet into the buffers of who receives it (section 5.1.6.3 and 5.1.6.4).
//!
//! Without VIRTIO_NET_F_MRG_RXBUF a packet takes one buffer, with it as many as it needs. Nothing is visible to the driver
//! until the buffers are used, so a packet that turns out to be too long for what is there can be dropped half-way.

use super::header::NUM_BUFFERS;
use super::{Accepted, HEAD, HEADER, Header};
use crate::rings::offset;
use crate::{Broken, Chain, Data, GuestMemory, Outside};
use addr::Ipa;

/// A packet on its way into one guest.
#[derive(Clone, Debug)]
#[must_use = "a packet in no buffer is lost"]
pub struct Delivery {
    /// Header and the first bytes of the frame, which nobody else can change.
    front: [u8; HEADER + HEAD],
    front_len: u32,
    /// Bytes of header and frame.
    len: u32,
    /// How many of them are in buffers.
    done: u32,
    /// How many buffers have some.
    buffers: u16,
    /// Where the two bytes of `num_buffers` are.
    num_buffers: [Ipa; 2],
    merges: bool,
}

/// What became of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filled {
    /// It holds the last of the packet, in so many bytes. All buffers can be used now.
    Last(u32),
    /// It is full, with so many bytes, and the packet needs another one.
    Full(u32),
    /// It is too small, and the driver takes packets in one buffer only. Nothing was written.
    TooSmall,
}

impl Delivery {
    /// Of a frame of `frame_len` bytes, to a driver that accepted so much, and whom `header` must suit. The first bytes,
    /// up to [`HEAD`], come from `head`.
    pub fn new(header: Header, head: &[u8], frame_len: u32, receiver: Accepted) -> Self {
        let mut front = [0; HEADER + HEAD];
        let (place, behind) = front.split_at_mut(HEADER);
        place.copy_from_slice(&header.to_bytes());
        let count = head.len().min(HEAD).min(frame_len as usize);
        if let (Some(place), Some(head)) = (behind.get_mut(..count), head.get(..count)) {
            place.copy_from_slice(head);
        }
        Self {
            front,
            front_len: (HEADER + count) as u32,
            len: frame_len.saturating_add(HEADER as u32),
            done: 0,
            buffers: 0,
            num_buffers: [Ipa::new(0); 2],
            merges: receiver.merges,
        }
    }

    /// Bytes of header and frame.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Puts as much as fits into the buffer `chain`. `copy` is given what does not come from the head: a byte of the frame,
    /// where it and those behind it go to, and how many; the bytes come in order.
    ///
    /// A buffer without room for a byte, or a first one without room for the header, is broken. Bytes that the device may
    /// read are ignored.
    pub fn fill(
        &mut self,
        memory: &impl GuestMemory,
        chain: &Chain,
        mut copy: impl FnMut(u32, Ipa, u32) -> Result<(), Outside>,
    ) -> Result<Filled, Broken> {
        let room = chain.writable_bytes();
        if room == 0 || (self.buffers == 0 && room < HEADER as u32) {
            return Err(Broken::NoRoom);
        }
        let bytes = room.min(self.len.saturating_sub(self.done));
        if !self.merges && bytes < self.len {
            return Ok(Filled::TooSmall);
        }
        for piece in Data::new(chain.writable(), 0, bytes).pieces() {
            let front = self.put_front(memory, piece.at, piece.bytes)?;
            let rest = piece.bytes - front;
            if rest > 0 {
                let from = self.done.saturating_sub(HEADER as u32);
                copy(from, offset(piece.at, front.into()), rest)?;
                self.done += rest;
            }
        }
        self.buffers = self.buffers.saturating_add(1);
        if self.done < self.len {
            return Ok(Filled::Full(bytes));
        }
        if self.buffers > 1 {
            for (at, byte) in self.num_buffers.into_iter().zip(self.buffers.to_le_bytes()) {
                memory.write(at, &[byte])?;
            }
        }
        Ok(Filled::Last(bytes))
    }

    /// Writes what there is of the front, up to `room` bytes; how many.
    fn put_front(&mut self, memory: &impl GuestMemory, at: Ipa, room: u32) -> Result<u32, Outside> {
        let from = self.done as usize;
        let count = self.front_len.saturating_sub(self.done).min(room);
        let Some(part) = self.front.get(from..from + count as usize).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        memory.write(at, part)?;
        for (place, byte) in self.num_buffers.iter_mut().zip(NUM_BUFFERS..) {
            if let Some(behind) = byte.checked_sub(from).filter(|behind| *behind < part.len()) {
                *place = offset(at, behind as u64);
            }
        }
        self.done += count;
        Ok(count)
    }
}
