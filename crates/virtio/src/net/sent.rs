//! [`Sent`]: a packet that a guest wants to send (section 5.1.6.2).
//!
//! A chain is one run of bytes to read: a header of 12 bytes, then the frame, wherever its descriptors cut them (section
//! 2.7.4.1). That a chain to send has bytes to write is nowhere forbidden, and they are of no use: they are ignored, and
//! the chain is given back with 0 bytes written, in time or never.

use super::{Accepted, ETHERNET, HEAD, HEADER, Header, MAX_FRAME};
use crate::{Broken, Chain, Data, GuestMemory, Outside, Segment};
use core::fmt;

/// Why a packet is dropped. The ring is sound, the driver goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// No whole header, or no whole Ethernet header behind it.
    TooShort,
    /// Longer than a frame can be, or than the MTU if it is not to be cut.
    TooLong,
    /// The header says what no header may: an unknown kind of packet, a checksum outside the frame.
    BadHeader,
    /// It leaves to the device what was not agreed on, or what cannot be done with such a frame.
    BadOffload,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "too short",
            Self::TooLong => "too long",
            Self::BadHeader => "bad header",
            Self::BadOffload => "bad offload",
        })
    }
}

/// A packet that was checked as far as the device is concerned. Whether the guest may send it is for others to say.
#[derive(Clone, Debug)]
pub struct Sent<'c> {
    header: Header,
    /// The packet's header and the frame's first bytes, copied once; zeroes behind a shorter frame.
    front: [u8; HEADER + HEAD],
    frame_len: u32,
    segments: &'c [Segment],
}

impl<'c> Sent<'c> {
    /// Reads and checks the packet in `chain`.
    pub fn read(
        memory: &impl GuestMemory,
        chain: &'c Chain,
        sender: Accepted,
        mtu: u16,
    ) -> Result<Result<Self, Refused>, Broken> {
        let Some(frame_len) = chain.readable_bytes().checked_sub(HEADER as u32) else {
            return Ok(Err(Refused::TooShort));
        };
        if (frame_len as usize) < ETHERNET {
            return Ok(Err(Refused::TooShort));
        }
        if frame_len as usize > MAX_FRAME {
            return Ok(Err(Refused::TooLong));
        }
        let segments = chain.readable();
        let mut front = [0; HEADER + HEAD];
        Data::new(segments, 0, (HEADER + HEAD) as u32).read(memory, &mut front)?;
        let mut sent = Self { header: Header::Plain, front, frame_len, segments };
        let Some(bytes) = sent.front.first_chunk::<HEADER>() else { return Ok(Err(Refused::TooShort)) };
        Ok(Header::parse(bytes, sent.head(), frame_len, sender, mtu).map(|header| {
            sent.header = header;
            sent
        }))
    }

    /// What is left to do with it.
    pub fn header(&self) -> Header {
        self.header
    }
    /// Bytes of the frame, from [`ETHERNET`] to [`MAX_FRAME`].
    pub fn frame_len(&self) -> u32 {
        self.frame_len
    }
    /// The frame's first bytes: a private copy, of up to [`HEAD`].
    pub fn head(&self) -> &[u8] {
        let end = HEADER + (self.frame_len as usize).min(HEAD);
        self.front.get(HEADER..end).unwrap_or_default()
    }
    /// The first bytes, to be changed; what is delivered is this copy. Headers that a [`Tso`](super::Tso) was checked by
    /// must keep their lengths.
    pub fn head_mut(&mut self) -> &mut [u8] {
        let end = HEADER + (self.frame_len as usize).min(HEAD);
        self.front.get_mut(HEADER..end).unwrap_or_default()
    }

    /// Up to `bytes` of the frame from byte `from` on, where the guest has them. Those of the head are for
    /// [`Sent::head`] to know: the guest may have changed them.
    pub fn rest(&self, from: u32, bytes: u32) -> Data<'c> {
        let bytes = bytes.min(self.frame_len.saturating_sub(from));
        Data::new(self.segments, from.saturating_add(HEADER as u32), bytes)
    }

    /// Copies the frame into one piece.
    pub fn copy<'b>(&self, memory: &impl GuestMemory, into: &'b mut [u8; MAX_FRAME]) -> Result<&'b mut [u8], Outside> {
        let frame = into.get_mut(..self.frame_len as usize).unwrap_or_default();
        let head = self.head();
        let (front, behind) = frame.split_at_mut(head.len().min(frame.len()));
        front.iter_mut().zip(head).for_each(|(place, byte)| *place = *byte);
        if !behind.is_empty() {
            self.rest(HEAD as u32, self.frame_len).read(memory, behind)?;
        }
        Ok(frame)
    }

    /// How many packets it becomes on a wire; for limits that count packets.
    pub fn packets(&self) -> u32 {
        match self.header {
            Header::Tso(tso) => self.frame_len.saturating_sub(tso.headers()).div_ceil(tso.mss().max(1)).max(1),
            Header::Plain | Header::Partial(_) => 1,
        }
    }
    /// How many bytes of frames it becomes on a wire; for limits that count bytes.
    pub fn wire_bytes(&self) -> u32 {
        match self.header {
            Header::Tso(tso) => self.frame_len.saturating_add((self.packets() - 1).saturating_mul(tso.headers())),
            Header::Plain | Header::Partial(_) => self.frame_len,
        }
    }
}
