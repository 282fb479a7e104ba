//! A split queue (virtio 1.2, section 2.7) in free RAM, the driver's side.
//!
//! Who describes what, and which descriptors are free, is the driver's matter.

use super::{EVENT_IDX, Transport, register};
use crate::arch::memory::{get, order, put};

/// Most elements.
pub const MAX_SIZE: u16 = 256;
/// Where the parts lie, from the beginning of the queue's memory.
const DRIVER_AREA: u64 = 0x1000;
const DEVICE_AREA: u64 = 0x2000;
/// Bytes of a queue's memory.
pub const BYTES: u64 = 0x3000;
/// Bytes of a descriptor.
pub const DESCRIPTOR: u64 = 16;

/// Flag of a descriptor: another one follows.
pub const NEXT: u16 = 1;
/// Flag of a descriptor: the device writes there.
pub const WRITE: u16 = 2;
/// Flag of a descriptor: it is a table of them.
pub const INDIRECT: u16 = 4;

/// A queue that a device knows.
#[derive(Debug)]
pub struct Queue {
    transport: Transport,
    number: u32,
    base: u64,
    size: u16,
    has_events: bool,
    available: u16,
    used: u16,
    kicked: u16,
    kicks: u64,
}

impl Queue {
    /// Queue `number` at `base`, in free memory of [`BYTES`], of at most so many elements; handed to a device with which
    /// `features` were agreed and whose driver is not ready yet.
    ///
    /// # Errors
    /// In words: the device has no such queue, or was not reset.
    pub fn begin(transport: Transport, number: u32, base: u64, most: u16, features: u64) -> Result<Self, &'static str> {
        transport.write(register::QUEUE_SEL, number);
        if transport.read(register::QUEUE_READY) != 0 {
            return Err("the queue of a device that was reset is ready");
        }
        let size = transport.read(register::QUEUE_NUM_MAX).min(most.min(MAX_SIZE).into());
        if !size.is_power_of_two() || size < 4 {
            return Err("the device has no such queue");
        }
        (base..base + BYTES).step_by(8).for_each(|at| put(at, 0_u64));
        transport.hand_over(number, size, [base, base + DRIVER_AREA, base + DEVICE_AREA]);
        let has_events = features & EVENT_IDX != 0;
        let size = size as u16;
        Ok(Self { transport, number, base, size, has_events, available: 0, used: 0, kicked: 0, kicks: 0 })
    }

    /// How many elements it has.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Times that the device was told.
    pub fn kicks(&self) -> u64 {
        self.kicks
    }

    /// Writes a descriptor of the queue's own table.
    pub fn describe(&self, number: u16, at: u64, bytes: u32, flags: u16, next: u16) {
        describe(self.base, number, at, bytes, flags, next);
    }

    /// Makes the chain that begins at `head` available.
    #[inline(always)]
    pub fn offer(&mut self, head: u16) {
        put(self.base + DRIVER_AREA + 4 + 2 * u64::from(self.available % self.size), head);
        self.available = self.available.wrapping_add(1);
        order();
        put(self.base + DRIVER_AREA + 2, self.available);
    }

    /// Tells the device of what was made available since the last call, unless it says that it looks by itself.
    #[inline(always)]
    pub fn kick(&mut self) {
        if self.available == self.kicked {
            return;
        }
        order();
        let is_wanted = if self.has_events {
            let event: u16 = get(self.base + DEVICE_AREA + 4 + 8 * u64::from(self.size));
            // vring_need_event (section 2.7.7.1).
            self.available.wrapping_sub(event).wrapping_sub(1) < self.available.wrapping_sub(self.kicked)
        } else {
            get::<u16>(self.base + DEVICE_AREA) & 1 == 0
        };
        self.kicked = self.available;
        if is_wanted {
            self.kicks += 1;
            self.transport.notify(self.number);
        }
    }

    /// How many chains the device has used that were not taken.
    #[inline(always)]
    pub fn used(&self) -> u16 {
        get::<u16>(self.base + DEVICE_AREA + 2).wrapping_sub(self.used)
    }

    /// The next chain that the device has used: its head as the device gives it, and the bytes that it says it wrote.
    #[inline(always)]
    pub fn take(&mut self) -> Option<(u32, u32)> {
        if self.used() == 0 {
            return None;
        }
        order();
        let element = self.base + DEVICE_AREA + 4 + 8 * u64::from(self.used % self.size);
        self.used = self.used.wrapping_add(1);
        Some((get(element), get(element + 4)))
    }

    /// Asks for an interrupt when the device has used more than `most` chains that are not taken; without event indexes,
    /// for one at each. What was used before may have no interrupt.
    #[inline(always)]
    pub fn want_interrupt(&self, most: u16) {
        self.wish(self.used.wrapping_add(most), 0);
    }

    /// Asks for no interrupt.
    #[inline(always)]
    pub fn want_silence(&self) {
        // One behind what was seen is the farthest away.
        self.wish(self.used.wrapping_sub(1), 1);
    }

    #[inline(always)]
    fn wish(&self, event: u16, flags: u16) {
        let (offset, value) = if self.has_events { (4 + 2 * u64::from(self.size), event) } else { (0, flags) };
        put(self.base + DRIVER_AREA + offset, value);
        order();
    }
}

/// Writes descriptor `number` of a table.
pub fn describe(table: u64, number: u16, at: u64, bytes: u32, flags: u16, next: u16) {
    let descriptor = table + DESCRIPTOR * u64::from(number);
    put(descriptor, at);
    put(descriptor + 8, bytes);
    put(descriptor + 12, flags);
    put(descriptor + 14, next);
}
