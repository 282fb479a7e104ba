//! A split queue (virtio 1.2, section 2.7) of a device that has several, without tables and event indices: one descriptor
//! for each frame, unless somebody describes chains by hand.

use crate::arch::{get, order, put};
use crate::reply::{Refusal, check};
use crate::virtio::{Transport, register};

/// Most elements.
pub const MAX_SIZE: u16 = 256;
/// Where the parts lie, from the beginning of the queue's memory.
const DRIVER_AREA: u64 = 0x1000;
const DEVICE_AREA: u64 = 0x2000;
/// Bytes of it all.
pub const BYTES: u64 = 0x3000;

/// A queue that a device knows.
pub struct Queue {
    transport: Transport,
    number: u32,
    base: u64,
    /// How many elements it has.
    pub size: u16,
    available: u16,
    used: u16,
    kicked: u16,
}

impl Queue {
    /// Queue `number` at `base`, in memory of [`BYTES`], handed to a device whose driver is not ready yet.
    pub fn begin(transport: Transport, number: u32, base: u64) -> Result<Self, Refusal> {
        transport.write(register::QUEUE_SEL, number);
        check(transport.read(register::QUEUE_READY) == 0, "the queue of a device that was reset is ready")?;
        let size = transport.read(register::QUEUE_NUM_MAX).min(MAX_SIZE.into());
        check(size.is_power_of_two() && size >= 4, "the device has no such queue")?;
        (base..base + BYTES).step_by(8).for_each(|at| put(at, 0_u64));
        transport.hand_over_queue(number, size, [base, base + DRIVER_AREA, base + DEVICE_AREA]);
        Ok(Self { transport, number, base, size: size as u16, available: 0, used: 0, kicked: 0 })
    }

    /// Writes a descriptor.
    pub fn describe(&self, number: u16, at: u64, bytes: u32, flags: u16, next: u16) {
        crate::virtio::ring::describe(self.base, number.into(), at, bytes, flags, next);
    }

    /// Makes the chain that begins at `head` available.
    pub fn offer(&mut self, head: u16) {
        put(self.base + DRIVER_AREA + 4 + 2 * u64::from(self.available % self.size), head);
        self.available = self.available.wrapping_add(1);
        order();
        put(self.base + DRIVER_AREA + 2, self.available);
    }

    /// Tells the device of what is available, unless it said that it looks by itself.
    pub fn kick(&mut self) {
        order();
        let is_wanted = get::<u16>(self.base + DEVICE_AREA) & 1 == 0;
        if self.available != self.kicked && is_wanted {
            self.transport.write(register::QUEUE_NOTIFY, self.number);
        }
        self.kicked = self.available;
    }

    /// Whether the device has used something that was not yet seen.
    pub fn has_used(&self) -> bool {
        get::<u16>(self.base + DEVICE_AREA + 2) != self.used
    }

    /// The next chain that the device has used: its head, and the bytes that it wrote.
    pub fn take(&mut self) -> Option<(u16, u32)> {
        if !self.has_used() {
            return None;
        }
        order();
        let element = self.base + DEVICE_AREA + 4 + 8 * u64::from(self.used % self.size);
        self.used = self.used.wrapping_add(1);
        Some((get::<u32>(element) as u16, get(element + 4)))
    }

    /// Asks for interrupts, or for none.
    pub fn want_interrupt(&self, is_wanted: bool) {
        put(self.base + DRIVER_AREA, u16::from(!is_wanted));
        order();
    }
}
