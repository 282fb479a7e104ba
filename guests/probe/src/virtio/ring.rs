//! A split ring (virtio 1.2, section 2.7) in free RAM, the driver's side.
//!
//! Each request in flight has a tag, and with the tag its places: descriptors or a table of them, header, status byte. So
//! nothing is ever searched, and a request's memory is known without asking the ring.

use super::{EVENT_IDX, INDIRECT, NEEDS_RESET, Transport, register};
use crate::arch::{get, order, put};
use crate::reply::{Refusal, check};

/// Most elements.
const MAX_SIZE: u32 = 256;
/// Descriptors of a request without a table: header, data, status.
const DIRECT: u64 = 3;
/// Bytes of a table: 64 descriptors.
const TABLE: u64 = 1024;
/// Bytes of a header and its status byte.
const HEADER: u64 = 32;
/// Where the parts lie, from the beginning of the ring's memory.
const DRIVER_AREA: u64 = 0x1000;
const DEVICE_AREA: u64 = 0x2000;
const HEADERS: u64 = 0x4000;
const TABLES: u64 = 0x8000;
/// Bytes of it all.
pub const BYTES: u64 = TABLES + MAX_SIZE as u64 * TABLE;
/// Flags of a descriptor.
pub const NEXT: u16 = 1;
/// The device writes there.
pub const WRITE: u16 = 2;
/// A table of descriptors.
pub const TABLE_FLAG: u16 = 4;
/// What the status byte is before the device writes it.
const PENDING: u8 = 0xff;

/// A request of virtio-blk (section 5.2.6).
#[derive(Clone, Copy)]
pub struct Request {
    /// VIRTIO_BLK_T_*.
    pub kind: u32,
    /// The first sector.
    pub sector: u64,
    /// The data's address.
    pub at: u64,
    /// The data's bytes.
    pub bytes: u64,
    /// Whether the device writes the data.
    pub is_input: bool,
    /// Bytes of data in one descriptor, where a table allows several.
    pub piece: u64,
}

/// What the device did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Which.
    pub tag: u64,
    /// The status byte.
    pub status: u8,
    /// How many bytes the device says it wrote.
    pub written: u32,
}

/// A ring that a device knows.
pub struct Ring {
    transport: Transport,
    base: u64,
    size: u32,
    features: u64,
    available: u16,
    used: u16,
    kicked: u16,
    /// Kicks so far.
    pub kicks: u64,
}

impl Ring {
    /// A ring at `base`, in memory of [`BYTES`], handed to a device with which `features` were agreed.
    pub fn begin(transport: Transport, base: u64, features: u64) -> Result<Self, Refusal> {
        transport.write(register::QUEUE_SEL, 0);
        check(transport.read(register::QUEUE_READY) == 0, "the queue of a device that was reset is ready")?;
        let size = transport.read(register::QUEUE_NUM_MAX).min(MAX_SIZE);
        check(size.is_power_of_two() && size >= 4, "the device has no queue")?;
        for at in (base..base + HEADERS).step_by(8) {
            put(at, 0_u64);
        }
        transport.hand_over(size, base, base + DRIVER_AREA, base + DEVICE_AREA);
        Ok(Self { transport, base, size, features, available: 0, used: 0, kicked: 0, kicks: 0 })
    }

    /// How many requests can be in flight.
    pub fn depth(&self) -> u64 {
        if self.has(INDIRECT) { self.size.into() } else { u64::from(self.size) / DIRECT }
    }

    fn has(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    fn header(&self, tag: u64) -> u64 {
        self.base + HEADERS + tag * HEADER
    }

    fn status(&self, tag: u64) -> u64 {
        self.header(tag) + 16
    }

    /// Makes a request available under a tag that is not in flight.
    pub fn submit(&mut self, tag: u64, request: Request) {
        let header = self.header(tag);
        put(header, request.kind);
        put(header + 4, 0_u32);
        put(header + 8, request.sector);
        put(self.status(tag), PENDING);
        let has_table = self.has(INDIRECT);
        let table = if has_table { self.base + TABLES + tag * TABLE } else { self.base };
        // The number of the first descriptor, in its table.
        let first = if has_table { 0 } else { tag * DIRECT };
        let piece = if has_table { request.piece } else { request.bytes };
        let mut number = first;
        let mut chain = |at: u64, bytes: u64, flags: u16| {
            describe(table, number, at, bytes as u32, flags, number as u16 + 1);
            number += 1;
        };
        chain(header, 16, NEXT);
        let mut done = 0;
        while done < request.bytes {
            let bytes = piece.min(request.bytes - done);
            chain(request.at + done, bytes, NEXT | if request.is_input { WRITE } else { 0 });
            done += bytes;
        }
        chain(self.status(tag), 1, WRITE);
        if has_table {
            describe(self.base, tag, table, number as u32 * 16, TABLE_FLAG, 0);
        }
        self.make_available(if has_table { tag } else { first } as u16);
    }

    /// Makes one buffer available, which the device writes.
    pub fn submit_buffer(&mut self, at: u64, bytes: u32) {
        describe(self.base, 0, at, bytes, WRITE, 0);
        self.make_available(0);
    }

    fn make_available(&mut self, head: u16) {
        let slot = u64::from(self.available) % u64::from(self.size);
        put(self.base + DRIVER_AREA + 4 + 2 * slot, head);
        self.available = self.available.wrapping_add(1);
        order();
        put(self.base + DRIVER_AREA + 2, self.available);
    }

    /// Tells the device of what is available, unless it said that it looks by itself.
    pub fn kick(&mut self) {
        if self.available == self.kicked {
            return;
        }
        order();
        let wants = if self.has(EVENT_IDX) {
            let event: u16 = get(self.base + DEVICE_AREA + 4 + 8 * u64::from(self.size));
            // vring_need_event (section 2.7.7.1).
            self.available.wrapping_sub(event).wrapping_sub(1) < self.available.wrapping_sub(self.kicked)
        } else {
            get::<u16>(self.base + DEVICE_AREA) & 1 == 0
        };
        self.kicked = self.available;
        if wants {
            self.kicks += 1;
            self.transport.write(register::QUEUE_NOTIFY, 0);
        }
    }

    /// Whether the device has used something that was not yet seen.
    pub fn has_used(&self) -> bool {
        get::<u16>(self.base + DEVICE_AREA + 2) != self.used
    }

    /// Asks for an interrupt at the next used buffer, or for none.
    pub fn want_interrupt(&mut self, is_wanted: bool) {
        if self.has(EVENT_IDX) {
            // One behind what was seen is the farthest away.
            let event = if is_wanted { self.used } else { self.used.wrapping_sub(1) };
            put(self.base + DRIVER_AREA + 4 + 2 * u64::from(self.size), event);
        } else {
            put(self.base + DRIVER_AREA, u16::from(!is_wanted));
        }
        order();
    }

    /// The next request that the device is done with.
    pub fn completed(&mut self) -> Result<Option<Completion>, Refusal> {
        if !self.has_used() {
            let is_broken = self.transport.read(register::STATUS) & NEEDS_RESET != 0;
            check(!is_broken, "the device says that it needs a reset")?;
            return Ok(None);
        }
        order();
        let element = self.base + DEVICE_AREA + 4 + 8 * (u64::from(self.used) % u64::from(self.size));
        let (head, written): (u32, u32) = (get(element), get(element + 4));
        self.used = self.used.wrapping_add(1);
        let tag = if self.has(INDIRECT) { head.into() } else { u64::from(head) / DIRECT };
        if tag >= self.depth() {
            return Err(Refusal::Wrong("the device used a head that was never available", head.into(), 0));
        }
        Ok(Some(Completion { tag, status: get(self.status(tag)), written }))
    }
}

/// Writes descriptor `number` of a table.
pub fn describe(table: u64, number: u64, at: u64, bytes: u32, flags: u16, next: u16) {
    let descriptor = table + 16 * number;
    put(descriptor, at);
    put(descriptor + 8, bytes);
    put(descriptor + 12, flags);
    put(descriptor + 14, next);
}
