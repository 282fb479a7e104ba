//! [`Receiver`]: a guest's buffers to receive in, taken one after the other and used together.
//!
//! A packet becomes visible at once or not at all: its buffers are given back together, when all of it is in them. Where
//! they do not suffice, the packet is dropped and the buffers stay with the device, for the next packet.

use super::{Delivery, Filled};
use crate::{Broken, Chain, GuestMemory, Head, Heads, MAX_QUEUE_SIZE, Outside, Queue, Record};
use addr::Ipa;

/// Buffers that were taken from a queue and not given back.
#[derive(Debug)]
pub struct Receiver {
    /// The first `len` are there. A queue never has more in flight.
    heads: [Option<Head>; MAX_QUEUE_SIZE as usize],
    len: usize,
    /// Bytes in each of them.
    bytes: [u32; MAX_QUEUE_SIZE as usize],
    /// The room that all of them have, where a packet was too long for it.
    room: Option<u32>,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The guest has it. [`Queue::wants_interrupt`] says whether it is to hear of it.
    Delivered,
    /// It is dropped: the guest has too few buffers ready. It is to kick when it has more.
    NoBuffers,
    /// It is dropped: the next buffer is too small for it, and the guest takes one buffer for a packet.
    TooSmall,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Of a new queue.
    pub const fn new() -> Self {
        Self {
            heads: [const { None }; MAX_QUEUE_SIZE as usize],
            len: 0,
            bytes: [0; MAX_QUEUE_SIZE as usize],
            room: None,
        }
    }

    /// Of a queue that an earlier life of the service had ([`Queue::resume`]).
    pub fn resumed(heads: Heads) -> Self {
        let mut receiver = Self::new();
        for (place, head) in receiver.heads.iter_mut().zip(heads) {
            *place = Some(head);
            receiver.len += 1;
        }
        receiver
    }

    /// Puts a packet into as many buffers as it takes, and gives them back. `chain` is room to work in; `copy` is as in
    /// [`Delivery::fill`].
    pub fn deliver<R: Record>(
        &mut self,
        queue: &mut Queue<'_, R>,
        memory: &impl GuestMemory,
        chain: &mut Chain,
        mut delivery: Delivery,
        mut copy: impl FnMut(u32, Ipa, u32) -> Result<(), Outside>,
    ) -> Result<Outcome, Broken> {
        // Buffers that were too small together are not read again for as long as there are no more: a driver could make
        // each packet for it cost hundreds of chains.
        if self.room.is_some_and(|room| delivery.len() > room) && !queue.has_work(memory)? {
            return Ok(Outcome::NoBuffers);
        }
        let mut room: u32 = 0;
        for index in 0..self.heads.len() {
            if !self.take(queue, memory, chain, index)? {
                self.room = Some(room);
                return Ok(Outcome::NoBuffers);
            }
            self.room = None;
            let (bytes, is_last) = match delivery.fill(memory, chain, &mut copy)? {
                Filled::Last(bytes) => (bytes, true),
                Filled::Full(bytes) => (bytes, false),
                Filled::TooSmall => return Ok(Outcome::TooSmall),
            };
            room = room.saturating_add(bytes);
            self.bytes.get_mut(index).into_iter().for_each(|place| *place = bytes);
            if is_last {
                self.give_back(queue, memory, index + 1)?;
                return Ok(Outcome::Delivered);
            }
        }
        // As many buffers as the largest queue has, and not enough.
        Ok(Outcome::NoBuffers)
    }

    /// Reads buffer `index`, which may have to be taken first; whether there is one.
    fn take<R: Record>(
        &mut self,
        queue: &mut Queue<'_, R>,
        memory: &impl GuestMemory,
        chain: &mut Chain,
        index: usize,
    ) -> Result<bool, Broken> {
        let Some(place) = self.heads.get_mut(index) else { return Ok(false) };
        if let Some(head) = place {
            queue.chain_again(memory, head, chain)?;
            return Ok(true);
        }
        *place = queue.pop(memory, chain)?;
        self.len = index + usize::from(place.is_some());
        Ok(place.is_some())
    }

    /// Gives the first `count` buffers back.
    fn give_back<R: Record>(
        &mut self,
        queue: &mut Queue<'_, R>,
        memory: &impl GuestMemory,
        count: usize,
    ) -> Result<(), Broken> {
        let used = self.heads.iter_mut().take(count).zip(&self.bytes);
        queue.push_all(memory, used.filter_map(|(head, bytes)| Some((head.take()?, *bytes))))?;
        if let Some(heads) = self.heads.get_mut(..self.len) {
            heads.rotate_left(count.min(heads.len()));
        }
        self.len = self.len.saturating_sub(count);
        Ok(())
    }
}
