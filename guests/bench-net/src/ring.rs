//! A split ring with event indexes (virtio 1.2, section 2.7), the driver's side, in free RAM.
//!
//! Each element has its place for good: a descriptor, and a table of two where it is sent.

use rt::arch::memory::{get, order, put};

/// Most elements.
pub const MAX_SIZE: u64 = 256;
/// Where the parts lie, from the beginning of the ring's memory.
const DRIVER_AREA: u64 = 0x1000;
const DEVICE_AREA: u64 = 0x2000;
const TABLES: u64 = 0x3000;
/// Bytes of a table: two descriptors.
const TABLE: u64 = 32;
/// Bytes of it all.
pub const BYTES: u64 = TABLES + MAX_SIZE * TABLE;
/// Flags of a descriptor.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// The ring.
pub struct Ring {
    base: u64,
    size: u64,
    available: u16,
    used: u16,
    kicked: u16,
}

impl Ring {
    /// An empty ring at `base`.
    pub fn new(base: u64, size: u64) -> Self {
        assert!(size.is_power_of_two() && size <= MAX_SIZE, "a ring has 1 to 256 elements");
        (base..base + BYTES).step_by(8).for_each(|at| put(at, 0_u64));
        Self { base, size, available: 0, used: 0, kicked: 0 }
    }

    /// Elements.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Descriptor table, driver area and device area.
    pub fn parts(&self) -> [u64; 3] {
        [self.base, self.base + DRIVER_AREA, self.base + DEVICE_AREA]
    }

    /// The element is one piece that the device writes to, without a table.
    pub fn describe_empty(&self, element: u64, at: u64, bytes: u64) {
        descriptor(self.base, element, (at, bytes), WRITE, 0);
    }

    /// The element is two pieces that the device reads, in a table: headers and payload, as Linux sends a segment.
    pub fn describe_pieces(&self, element: u64, headers: (u64, u64), payload: (u64, u64)) {
        let table = self.base + TABLES + element * TABLE;
        descriptor(table, 0, headers, NEXT, 1);
        descriptor(table, 1, payload, 0, 0);
        descriptor(self.base, element, (table, TABLE), INDIRECT, 0);
    }

    /// Makes an element available.
    pub fn offer(&mut self, element: u64) {
        put(self.base + DRIVER_AREA + 4 + 2 * (u64::from(self.available) % self.size), element as u16);
        self.available = self.available.wrapping_add(1);
        order();
        put(self.base + DRIVER_AREA + 2, self.available);
    }

    /// Whether the device wants to be told of what was offered since it was last asked.
    pub fn must_kick(&mut self) -> bool {
        order();
        let event = get::<u16>(self.base + DEVICE_AREA + 4 + 8 * self.size);
        let is_wanted = self.available.wrapping_sub(event).wrapping_sub(1) < self.available.wrapping_sub(self.kicked);
        self.kicked = self.available;
        is_wanted
    }

    /// The next element that the device has used, and how many bytes it says it wrote.
    pub fn take(&mut self) -> Option<(u64, u64)> {
        if self.used() == 0 {
            return None;
        }
        order();
        let at = self.base + DEVICE_AREA + 4 + 8 * (u64::from(self.used) % self.size);
        self.used = self.used.wrapping_add(1);
        let (element, bytes): (u32, u32) = (get(at), get(at + 4));
        Some((u64::from(element) % self.size, bytes.into()))
    }

    /// How many elements the device has used that were not taken.
    pub fn used(&self) -> u16 {
        get::<u16>(self.base + DEVICE_AREA + 2).wrapping_sub(self.used)
    }

    /// Asks for an interrupt when the device has used more than so many. Whether it has done so already.
    pub fn want_interrupt(&self, most: u16) -> bool {
        put(self.base + DRIVER_AREA + 4 + 2 * self.size, self.used.wrapping_add(most));
        order();
        self.used() > most
    }
}

fn descriptor(table: u64, number: u64, (at, bytes): (u64, u64), flags: u16, next: u16) {
    let descriptor = table + 16 * number;
    put(descriptor, at);
    put(descriptor + 8, bytes as u32);
    put(descriptor + 12, flags);
    put(descriptor + 14, next);
}
