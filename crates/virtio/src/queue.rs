//! [`Queue`]: the device's end of a split virtqueue.

mod notify;

use crate::inflight::{self, State};
use crate::{Broken, Chain, Features, GuestMemory, Head, Heads, Inflight, Owner, Record, Rings, Unusable};

/// A virtqueue that a driver made ready. It lives until the driver resets the device, or breaks it.
///
/// Each chain that it takes and gives back goes through its [`Inflight`] record. A method that answers [`Broken`] has
/// changed nothing of its own; there is no use in calling it again.
#[derive(Debug)]
pub struct Queue<'r, R = Inflight> {
    rings: Rings,
    features: Features,
    record: &'r R,
    /// The available index of the next chain to take.
    next: u16,
    /// The available ring's index when it was last looked at.
    available: u16,
    /// The used ring's index.
    used: u16,
    /// Elements put into the used ring since the driver was last interrupted, or decided not to be.
    unannounced: u32,
}

impl<'r, R: Record> Queue<'r, R> {
    /// A queue of which nothing was taken so far, and its record.
    pub fn new(
        rings: Rings,
        features: Features,
        memory: &impl GuestMemory,
        record: &'r R,
        owner: Owner,
    ) -> Result<Self, Broken> {
        rings.check(memory)?;
        // A driver begins with zeroes. Anything else has a history, and no record of it.
        let used = memory.load_u16(rings.used_index())?;
        if used != 0 {
            return Err(Broken::UsedIndex(used));
        }
        inflight::begin(record, &rings, owner);
        Ok(Self { rings, features, record, next: 0, available: 0, used: 0, unannounced: 0 })
    }

    /// Takes over the queue of an earlier life of the service, with the chains to issue again
    /// ([`Queue::chain_again`]). Only after no physical device works for that life any more.
    ///
    /// The record is checked like a guest's input. [`Unusable::Blank`] and [`Unusable::Epoch`]: the queue was never
    /// used, [`Queue::new`] is right. All others: the device needs a reset.
    pub fn resume(
        rings: Rings,
        features: Features,
        memory: &impl GuestMemory,
        record: &'r R,
        owner: Owner,
    ) -> Result<(Self, Heads), Unusable> {
        rings.check(memory)?;
        inflight::check(record, &rings, owner)?;
        let used = memory.load_u16(rings.used_index())?;
        for number in 0..State::of(record).unfinished(used).min(rings.size as u16) {
            let mut element = [0; 4];
            memory.read(rings.used_element(used.wrapping_add(number)), &mut element)?;
            let head = u32::from_le_bytes(element);
            let head = u16::try_from(head).ok().filter(|head| u32::from(*head) < rings.size);
            inflight::restore(record, head.ok_or(Unusable::Head(u32::from_le_bytes(element) as u16))?);
        }
        if let Some((word, value)) = State::of(record).repair(rings.size, used)? {
            record.store(word, value);
        }
        let state = State::of(record);
        let next = state.taken.index;
        let mut queue = Self { rings, features, record, next, available: next, used, unannounced: 0 };
        queue.look(memory)?;
        // Nobody knows whether the last interrupt was sent: one too many does no harm.
        queue.unannounced = u32::MAX;
        Ok((queue, Heads::new(state.heads)))
    }

    /// Takes the next chain, if there is one.
    #[inline]
    pub fn pop(&mut self, memory: &impl GuestMemory, chain: &mut Chain) -> Result<Option<Head>, Broken> {
        if self.next == self.available && !self.look(memory)? {
            return Ok(None);
        }
        let head = memory.load_u16(self.rings.available_entry(self.next))?;
        if u32::from(head) >= self.rings.size {
            return Err(Broken::Head(head));
        }
        if inflight::is_in_flight(self.record, head) {
            return Err(Broken::InFlight(head));
        }
        chain.read(memory, &self.rings, self.features, head)?;
        let next = self.next.wrapping_add(1);
        inflight::take(self.record, next, head);
        self.next = next;
        Ok(Some(Head::new(head)))
    }

    /// Reads the chain of a head in flight once more.
    pub fn chain_again(&self, memory: &impl GuestMemory, head: &Head, chain: &mut Chain) -> Result<(), Broken> {
        self.check_in_flight(head)?;
        chain.read(memory, &self.rings, self.features, head.number())
    }

    /// Gives a chain back, with `written` bytes written from its first device-writable byte on. [`Queue::wants_interrupt`]
    /// says what the driver is to hear of it.
    #[inline]
    pub fn push(&mut self, memory: &impl GuestMemory, head: Head, written: u32) -> Result<(), Broken> {
        self.check_in_flight(&head)?;
        let head = head.number();
        let used = self.used.wrapping_add(1);
        inflight::announce(self.record, used, head, 0);
        self.put_used(memory, self.used, head, written)?;
        memory.store_u16(self.rings.used_index(), used)?;
        inflight::release(self.record, head);
        self.used = used;
        self.unannounced = self.unannounced.saturating_add(1);
        Ok(())
    }

    /// Gives several chains back, each as in [`Queue::push`]; the driver sees all of them, or none.
    pub fn push_all(
        &mut self,
        memory: &impl GuestMemory,
        chains: impl IntoIterator<Item = (Head, u32)>,
    ) -> Result<(), Broken> {
        let (mut used, mut batch) = (self.used, 0);
        for (head, written) in chains {
            self.check_in_flight(&head)?;
            let head = head.number();
            self.put_used(memory, used, head, written)?;
            (used, batch) = (used.wrapping_add(1), batch + 1);
            inflight::announce(self.record, used, head, batch);
            inflight::release(self.record, head);
        }
        memory.store_u16(self.rings.used_index(), used)?;
        self.used = used;
        self.unannounced = self.unannounced.saturating_add(batch.into());
        Ok(())
    }

    /// Writes the element that index `used` is for.
    #[inline]
    fn put_used(&self, memory: &impl GuestMemory, used: u16, head: u16, written: u32) -> Result<(), Broken> {
        let element = u64::from(head) | u64::from(written) << 32;
        Ok(memory.write(self.rings.used_element(used), &element.to_le_bytes())?)
    }

    /// How many chains were taken and not given back.
    pub fn in_flight(&self) -> u16 {
        self.next.wrapping_sub(self.used)
    }

    /// The index up to which chains were given back.
    pub fn used(&self) -> u16 {
        self.used
    }

    /// How many chains the driver has offered and not got back, taken or not.
    pub fn held(&mut self, memory: &impl GuestMemory) -> Result<u16, Broken> {
        self.look(memory)?;
        Ok(self.available.wrapping_sub(self.used))
    }

    /// Where the driver put it.
    pub fn rings(&self) -> &Rings {
        &self.rings
    }

    fn check_in_flight(&self, head: &Head) -> Result<(), Broken> {
        let number = head.number();
        if inflight::is_in_flight(self.record, number) { Ok(()) } else { Err(Broken::NotInFlight(number)) }
    }

    /// Looks at the driver's index; whether there is a chain to take.
    fn look(&mut self, memory: &impl GuestMemory) -> Result<bool, Broken> {
        let available = memory.load_u16(self.rings.available_index())?;
        let (used, size) = (self.used, self.rings.size);
        // What is in flight and what waits, together, fit the queue; and an index never goes back.
        let (all, taken) = (available.wrapping_sub(used), self.next.wrapping_sub(used));
        if u32::from(all) > size || all < taken {
            return Err(Broken::AvailableIndex { used, available });
        }
        self.available = available;
        Ok(available != self.next)
    }
}
