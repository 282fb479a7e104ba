//! [`Link`]: a device's queue while its driver uses it, and what stays of it until nothing is outstanding.

use crate::hooks::Survivor;
use crate::hypercall::{self, DeviceState};
use crate::memory::Ram;
use abi::VirtioId;
use virtio::{Broken, Chain, Features, Head, Heads, Owner, Queue, Rings, Unusable};

/// Where a device is.
enum Phase {
    /// No driver uses it.
    Off,
    /// Its driver does.
    Running(Queue<'static, Survivor>),
    /// Its driver broke a ring and has not reset the device.
    Broken,
    /// It was reset: EL2 waits for the answer.
    Quieting,
}

/// One queue's tie to its driver.
pub(super) struct Link {
    /// Its number in the device.
    number: u16,
    phase: Phase,
    /// The epoch of what is above.
    pub(super) epoch: u64,
    /// Features that the driver accepted.
    pub(super) accepted: u64,
    record: &'static Survivor,
    /// Chains that the life before had taken: they come first.
    again: Option<Heads>,
    /// A chain that was taken and found no room.
    parked: Option<Head>,
    /// Requests of the device that a disk works on.
    outstanding: u32,
    /// The driver was asked to kick.
    is_kicked: bool,
    /// Chains given back of which the driver was not told.
    untold: u16,
    /// Turns since the first of them.
    waited: u32,
}

/// Turns that a driver with more requests under way waits for company of the first completed one.
const COMPANY: u32 = 32;

impl Link {
    pub(super) fn new(number: u16, record: &'static Survivor) -> Self {
        Self {
            number,
            phase: Phase::Off,
            epoch: 0,
            accepted: 0,
            record,
            again: None,
            parked: None,
            outstanding: 0,
            is_kicked: true,
            untold: 0,
            waited: 0,
        }
    }

    /// Whether the driver of this epoch is served, or has broken the device.
    pub(super) fn is_known(&self, epoch: u64) -> bool {
        matches!(self.phase, Phase::Running(_) | Phase::Broken) && self.epoch == epoch
    }

    /// Whether the driver is served.
    #[inline]
    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// Whether there may be a chain to take.
    #[inline]
    pub(super) fn has_work(&mut self, ram: &Ram) -> bool {
        let is_waiting = self.parked.is_some() || self.again.is_some();
        // What breaks the ring here breaks it when the chain is taken, too.
        is_waiting || self.queue().is_some_and(|queue| queue.has_work(ram) != Ok(false))
    }

    /// The driver is ready: takes its queue, or takes it over from the life before. Whether the state was still true.
    pub(super) fn start(&mut self, id: VirtioId, state: &DeviceState, ram: &Ram) -> Result<bool, Unusable> {
        self.epoch = state.epoch;
        self.accepted = state.features;
        let Ok(queue) = hypercall::device_queue(id, state.epoch, self.number.into()) else { return Ok(false) };
        if queue.size == 0 {
            // A driver that set up no queue has nothing to be served with.
            return Ok(true);
        }
        let rings = Rings {
            size: u32::try_from(queue.size).unwrap_or(u32::MAX),
            descriptors: queue.descriptors,
            driver: queue.driver,
            device: queue.device,
        };
        let features = Features::accepted(state.features);
        let owner = Owner { device: id.number().into(), queue: self.number, epoch: state.epoch };
        let (queue, again) = match Queue::resume(rings, features, ram, self.record, owner) {
            Ok((queue, heads)) => (queue, Some(heads)),
            Err(Unusable::Blank | Unusable::Epoch { .. }) => {
                (Queue::new(rings, features, ram, self.record, owner)?, None)
            }
            Err(why) => return Err(why),
        };
        self.again = again;
        self.phase = Phase::Running(queue);
        self.is_kicked = true;
        Ok(true)
    }

    /// The device was reset: nothing new begins.
    pub(super) fn stop(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.phase = Phase::Quieting;
        self.forget();
    }

    /// The driver broke a ring: nothing new begins, and nothing is given back.
    pub(super) fn set_broken(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.phase = Phase::Broken;
        self.forget();
    }

    /// What was taken and not issued is nobody's any more.
    fn forget(&mut self) {
        self.again = None;
        self.parked = None;
    }

    /// The epoch to answer a reset for, once, when nothing is outstanding.
    pub(super) fn has_become_quiet(&mut self) -> Option<u64> {
        if self.outstanding > 0 || !matches!(self.phase, Phase::Quieting) {
            return None;
        }
        self.record.clear();
        self.phase = Phase::Off;
        Some(self.epoch)
    }

    /// The queue, while its driver is served.
    pub(super) fn queue(&mut self) -> Option<&mut Queue<'static, Survivor>> {
        match &mut self.phase {
            Phase::Running(queue) => Some(queue),
            Phase::Off | Phase::Broken | Phase::Quieting => None,
        }
    }

    /// The next chain: what found no room, what the life before had taken, then what the driver offers.
    pub(super) fn next(&mut self, ram: &Ram, chain: &mut Chain) -> Result<Option<Head>, Broken> {
        let Phase::Running(queue) = &mut self.phase else { return Ok(None) };
        if let Some(head) = self.parked.take().or_else(|| self.again.as_mut().and_then(Iterator::next)) {
            queue.chain_again(ram, &head, chain)?;
            return Ok(Some(head));
        }
        self.again = None;
        let head = queue.pop(ram, chain)?;
        if head.is_some() && core::mem::take(&mut self.is_kicked) {
            queue.suppress_kicks(ram)?;
        }
        Ok(head)
    }

    /// How many chains the driver has offered and not got back.
    pub(super) fn held(&mut self, ram: &Ram) -> Result<u16, Broken> {
        self.queue().map_or(Ok(0), |queue| queue.held(ram))
    }

    /// Size and used index of a queue that was taken over from the life before, as long as nothing was taken from it since.
    pub(super) fn resumed(&self) -> Option<(u32, u16)> {
        let Phase::Running(queue) = &self.phase else { return None };
        self.again.as_ref().map(|_| (queue.rings().size, queue.used()))
    }

    /// The chains that the life before had taken, for who takes care of them himself.
    pub(super) fn take_again(&mut self) -> Option<Heads> {
        self.again.take()
    }

    /// Whether the queue was taken over from the life before. True until the first chain is taken.
    pub(super) fn is_resumed(&self) -> bool {
        self.again.is_some()
    }

    /// The driver need not kick from now on.
    pub(super) fn suppress_kicks(&mut self, ram: &Ram) -> Result<(), Broken> {
        let Phase::Running(queue) = &mut self.phase else { return Ok(()) };
        if core::mem::take(&mut self.is_kicked) { queue.suppress_kicks(ram) } else { Ok(()) }
    }

    /// A chain was given back to the queue itself.
    pub(super) fn note_given_back(&mut self) {
        self.untold = self.untold.saturating_add(1);
    }

    /// Keeps a chain for later.
    pub(super) fn park(&mut self, head: Head) {
        self.parked = Some(head);
    }

    /// Whether a chain waits for room on a disk.
    pub(super) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// A disk works on one more request.
    pub(super) fn begin(&mut self) {
        self.outstanding += 1;
    }

    /// A disk has completed one.
    pub(super) fn end(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// Gives a chain back.
    pub(super) fn give_back(&mut self, ram: &Ram, head: Head, written: u32) -> Result<(), Broken> {
        let Phase::Running(queue) = &mut self.phase else { return Ok(()) };
        self.untold = self.untold.saturating_add(1);
        queue.push(ram, head, written)
    }

    /// Whether the driver should hear of what was given back: as much as is still under way, or nothing more for a while.
    /// An interrupt costs a guest two exits, so one that keeps many requests under way gets them in bunches.
    #[inline]
    pub(super) fn is_worth_an_interrupt(&mut self, is_last: bool) -> bool {
        let Phase::Running(queue) = &self.phase else { return false };
        if self.untold == 0 && !is_last {
            return false;
        }
        if self.untold < queue.in_flight() && self.waited < COMPANY && !is_last {
            self.waited += 1;
            return false;
        }
        self.waited = 0;
        // After a life of the service before this one the queue itself knows of more.
        core::mem::take(&mut self.untold) > 0 || is_last
    }

    pub(super) fn wants_interrupt(&mut self, ram: &Ram) -> Result<bool, Broken> {
        self.queue().map_or(Ok(false), |queue| queue.wants_interrupt(ram))
    }

    /// Asks the driver to kick. Whether it has offered something meanwhile.
    pub(super) fn request_kicks(&mut self, ram: &Ram) -> Result<bool, Broken> {
        let Phase::Running(queue) = &mut self.phase else { return Ok(false) };
        self.is_kicked = true;
        queue.request_kicks(ram)
    }
}
