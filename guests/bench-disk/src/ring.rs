//! A split ring with tables of descriptors and event indexes (virtio 1.2, section 2.7), the driver's side, in free RAM.

use rt::arch::memory::{get, order, put};

/// Elements of the ring.
pub const SIZE: u64 = 64;
/// Descriptors of a table.
pub const TABLE: u64 = 34;
/// Where the parts lie, from the beginning of the ring's memory.
const DRIVER_AREA: u64 = 0x1000;
const DEVICE_AREA: u64 = 0x2000;
const TABLES: u64 = 0x3000;
/// Bytes of it all.
pub const BYTES: u64 = TABLES + (SIZE * TABLE * 16).next_multiple_of(4096);
/// Flags of a descriptor.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// The ring.
pub struct Ring {
    base: u64,
    available: u16,
    used: u16,
    kicked: u16,
}

impl Ring {
    /// An empty ring at `base`; element n has the table n for good.
    pub fn new(base: u64) -> Self {
        (base..base + BYTES).step_by(8).for_each(|at| put(at, 0_u64));
        Self { base, available: 0, used: 0, kicked: 0 }
    }

    /// Descriptor table, driver area and device area.
    pub fn parts(&self) -> [u64; 3] {
        [self.base, self.base + DRIVER_AREA, self.base + DEVICE_AREA]
    }

    /// Writes a table: each piece with its length, and whether the device writes there.
    pub fn describe(&self, element: u64, pieces: impl Iterator<Item = (u64, u64, bool)>) {
        let table = self.base + TABLES + element * TABLE * 16;
        let mut count = 0;
        for (at, bytes, is_written) in pieces {
            let flags = if is_written { WRITE } else { 0 };
            descriptor(table, count, (at, bytes), flags | NEXT, count as u16 + 1);
            count += 1;
        }
        // The last one has no next.
        put(table + (count - 1) * 16 + 12, get::<u16>(table + (count - 1) * 16 + 12) & !NEXT);
        descriptor(self.base, element, (table, count * 16), INDIRECT, 0);
    }

    /// Makes an element available.
    pub fn offer(&mut self, element: u64) {
        put(self.base + DRIVER_AREA + 4 + 2 * (u64::from(self.available) % SIZE), element as u16);
        self.available = self.available.wrapping_add(1);
        order();
        put(self.base + DRIVER_AREA + 2, self.available);
    }

    /// Whether the device wants to be told of what was offered since it was last asked.
    pub fn must_kick(&mut self) -> bool {
        order();
        let event = get::<u16>(self.base + DEVICE_AREA + 4 + 8 * SIZE);
        let is_wanted = self.available.wrapping_sub(event).wrapping_sub(1) < self.available.wrapping_sub(self.kicked);
        self.kicked = self.available;
        is_wanted
    }

    /// The next element that the device has used.
    pub fn take(&mut self) -> Option<u64> {
        if !self.has_used() {
            return None;
        }
        order();
        let element: u32 = get(self.base + DEVICE_AREA + 4 + 8 * (u64::from(self.used) % SIZE));
        self.used = self.used.wrapping_add(1);
        Some(element.into())
    }

    /// Whether the device has used an element.
    pub fn has_used(&self) -> bool {
        get::<u16>(self.base + DEVICE_AREA + 2) != self.used
    }

    /// Asks for an interrupt when the device uses the next element. Whether it has done so already.
    pub fn want_interrupt(&self) -> bool {
        put(self.base + DRIVER_AREA + 4 + 2 * SIZE, self.used);
        order();
        self.has_used()
    }
}

fn descriptor(table: u64, number: u64, (at, bytes): (u64, u64), flags: u16, next: u16) {
    let descriptor = table + 16 * number;
    put(descriptor, at);
    put(descriptor + 8, bytes as u32);
    put(descriptor + 12, flags);
    put(descriptor + 14, next);
}
