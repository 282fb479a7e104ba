//! When the driver wants an interrupt, and when the device wants a kick (sections 2.7.7 and 2.7.10).
//!
//! Both sides do the same dance: store an index, fence, load the other side's wish. Without the fence each may miss the
//! other's store, and both would wait.

use super::Queue;
use crate::{Broken, GuestMemory, Record};

/// VIRTQ_AVAIL_F_NO_INTERRUPT.
const NO_INTERRUPT: u16 = 1;
/// VIRTQ_USED_F_NO_NOTIFY.
const NO_NOTIFY: u16 = 1;

impl<R: Record> Queue<'_, R> {
    /// Whether the driver wants to be interrupted for what was given back since the last call. One call may answer for any
    /// number of chains.
    pub fn wants_interrupt(&mut self, memory: &impl GuestMemory) -> Result<bool, Broken> {
        if self.unannounced == 0 {
            return Ok(false);
        }
        // The used ring's index is seen before the driver's wish is read.
        memory.fence();
        let count = core::mem::take(&mut self.unannounced);
        if !self.features.event_idx {
            return Ok(memory.load_u16(self.rings.available_flags())? & NO_INTERRUPT == 0);
        }
        let event = memory.load_u16(self.rings.used_event())?;
        Ok(has_passed(event, self.used, count))
    }

    /// The device looks by itself from now on. Only a hint: kicks may still come.
    pub fn suppress_kicks(&mut self, memory: &impl GuestMemory) -> Result<(), Broken> {
        if self.features.event_idx {
            // The event index stays where it is: the driver's index has passed it.
            return Ok(());
        }
        Ok(memory.store_u16(self.rings.used_flags(), NO_NOTIFY)?)
    }

    /// The driver is to kick when it offers a chain from now on. True: one is there already, maybe without a kick, so take
    /// it instead of sleeping.
    pub fn request_kicks(&mut self, memory: &impl GuestMemory) -> Result<bool, Broken> {
        if self.features.event_idx {
            memory.store_u16(self.rings.available_event(), self.next)?;
        } else {
            memory.store_u16(self.rings.used_flags(), 0)?;
        }
        // The wish is seen before the driver's index is read.
        memory.fence();
        self.look(memory)
    }

    /// Whether there is a chain to take.
    pub fn has_work(&mut self, memory: &impl GuestMemory) -> Result<bool, Broken> {
        Ok(self.next != self.available || self.look(memory)?)
    }
}

/// Whether one of the last `count` indexes up to `new` came by putting an element at `event` (vring_need_event).
fn has_passed(event: u16, new: u16, count: u32) -> bool {
    u32::from(new.wrapping_sub(event).wrapping_sub(1)) < count
}
