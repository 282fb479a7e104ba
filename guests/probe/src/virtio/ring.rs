//! Requests of a disk in a queue.
//!
//! Each request in flight has a tag, and with the tag its places: descriptors or a table of them, header, status byte. So
//! nothing is ever searched, and a request's memory is known without asking the ring.

use crate::arch::{get, put};
use crate::reply::{Refusal, check};
use rt::virtio::queue::{self, DESCRIPTOR, INDIRECT, MAX_SIZE, NEXT, Queue, WRITE, describe};
use rt::virtio::{INDIRECT_DESC, Transport};

/// Descriptors of a request without a table: header, data, status.
const DIRECT: u64 = 3;
/// Bytes of a table: 64 descriptors.
const TABLE: u64 = 64 * DESCRIPTOR;
/// Bytes of a header and its status byte.
const HEADER: u64 = 32;
/// Where headers and tables lie, from the beginning of the ring's memory: behind the queue.
const HEADERS: u64 = queue::BYTES;
const TABLES: u64 = HEADERS + MAX_SIZE as u64 * HEADER;
/// Bytes of it all.
pub const BYTES: u64 = TABLES + MAX_SIZE as u64 * TABLE;
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
    queue: Queue,
    base: u64,
    has_tables: bool,
}

impl Ring {
    /// A ring at `base`, in memory of [`BYTES`], handed to a device with which `features` were agreed.
    pub fn begin(transport: Transport, base: u64, features: u64) -> Result<Self, Refusal> {
        let queue = Queue::begin(transport, 0, base, MAX_SIZE, features)?;
        (base + HEADERS..base + TABLES).step_by(8).for_each(|at| put(at, 0_u64));
        transport.ready();
        Ok(Self { transport, queue, base, has_tables: features & INDIRECT_DESC != 0 })
    }

    /// How many requests can be in flight.
    pub fn depth(&self) -> u64 {
        if self.has_tables { self.queue.size().into() } else { u64::from(self.queue.size()) / DIRECT }
    }

    /// Kicks so far.
    pub fn kicks(&self) -> u64 {
        self.queue.kicks()
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
        let has_table = self.has_tables;
        // The queue's own table lies at its beginning.
        let table = if has_table { self.base + TABLES + tag * TABLE } else { self.base };
        // The number of the first descriptor, in its table.
        let first = if has_table { 0 } else { (tag * DIRECT) as u16 };
        let piece = if has_table { request.piece } else { request.bytes };
        let mut number = first;
        let mut chain = |at: u64, bytes: u64, flags: u16| {
            describe(table, number, at, bytes as u32, flags, number + 1);
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
            self.queue.describe(tag as u16, table, u32::from(number) * DESCRIPTOR as u32, INDIRECT, 0);
        }
        self.queue.offer(if has_table { tag as u16 } else { first });
    }

    /// Makes one buffer available, which the device writes.
    pub fn submit_buffer(&mut self, at: u64, bytes: u32) {
        self.queue.describe(0, at, bytes, WRITE, 0);
        self.queue.offer(0);
    }

    /// Tells the device of what is available, unless it said that it looks by itself.
    pub fn kick(&mut self) {
        self.queue.kick();
    }

    /// Whether the device has used something that was not yet seen.
    pub fn has_used(&self) -> bool {
        self.queue.used() != 0
    }

    /// Asks for an interrupt at the next used buffer, or for none.
    pub fn want_interrupt(&mut self, is_wanted: bool) {
        if is_wanted { self.queue.want_interrupt(0) } else { self.queue.want_silence() }
    }

    /// The next request that the device is done with.
    pub fn completed(&mut self) -> Result<Option<Completion>, Refusal> {
        let Some((head, written)) = self.queue.take() else {
            check(!self.transport.is_broken(), "the device says that it needs a reset")?;
            return Ok(None);
        };
        let tag = if self.has_tables { head.into() } else { u64::from(head) / DIRECT };
        if tag >= self.depth() {
            return Err(Refusal::Wrong("the device used a head that was never available", head.into(), 0));
        }
        Ok(Some(Completion { tag, status: get(self.status(tag)), written }))
    }
}
