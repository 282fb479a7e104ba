//! The disk in the first transport of the guest machine, and random reads of it.
//!
//! Each element of the queue has a table of descriptors for good, with a header, the data's pages and the status byte.

use crate::wait;
use rt::arch::memory::{get, put};
use rt::virtio::queue::{self, DESCRIPTOR, INDIRECT, NEXT, Queue, WRITE};
use rt::virtio::{DISK, EVENT_IDX, INDIRECT_DESC, Transport, VERSION_1, register};

const FEATURES: u64 = INDIRECT_DESC | EVENT_IDX | VERSION_1;
/// Elements of the queue.
const SIZE: u16 = 64;
/// Descriptors of a table.
const TABLE: u64 = 34;
/// VIRTIO_BLK_T_IN.
const IN: u32 = 0;
/// Bytes of a sector, and of a piece of data: a page of a guest that has no two beside each other.
const SECTOR: u64 = 512;
const PAGE: u64 = 4096;
/// Bytes of a request's header and status, and of its data with a gap behind each page.
const HEADER: u64 = 32;
const DATA: u64 = 64 * PAGE;

/// A disk in use.
pub struct Disk {
    transport: Transport,
    queue: Queue,
    tables: u64,
    headers: u64,
    data: u64,
    /// Sectors.
    capacity: u64,
    /// State of a linear congruential generator.
    random: u64,
    /// What each element reads.
    sectors: [u64; SIZE as usize],
    bytes: u64,
}

/// The disk's transport.
pub fn transport() -> Transport {
    Transport::of_machine(0)
}

impl Disk {
    /// Sets the disk up.
    pub fn open() -> Self {
        let transport = transport();
        assert!(transport.read(register::DEVICE_ID) == DISK, "no disk is in the first transport");
        assert!(transport.begin(FEATURES) == Ok(FEATURES), "the device lacks a feature");
        let base = rt::arch::free_ram().next_multiple_of(PAGE);
        let queue = Queue::begin(transport, 0, base, SIZE, FEATURES).expect("a disk has a queue");
        assert!(queue.size() == SIZE, "the disk's queue is too short");
        transport.ready();
        let tables = base + queue::BYTES;
        let headers = tables + (u64::from(SIZE) * TABLE * DESCRIPTOR).next_multiple_of(PAGE);
        let data = (headers + u64::from(SIZE) * HEADER).next_multiple_of(PAGE);
        let capacity = transport.config64(0);
        let sectors = [0; SIZE as usize];
        Self { transport, queue, tables, headers, data, capacity, random: 1, sectors, bytes: 0 }
    }

    /// Kicks so far.
    pub fn kicks(&self) -> u64 {
        self.queue.kicks()
    }

    /// Reads at random until `count` reads are done, `depth` at a time.
    pub fn read(&mut self, bytes: u64, depth: u16, count: u16) {
        let (mut begun, mut done) = (0, 0);
        while begun < depth.min(count) {
            self.submit(begun, bytes);
            begun += 1;
        }
        self.queue.kick();
        while done < count {
            while let Some((element, _)) = self.queue.take() {
                let element = element as u16 % SIZE;
                self.check(element);
                done += 1;
                if begun < count {
                    self.submit(element, bytes);
                    begun += 1;
                }
            }
            self.queue.kick();
            if done < count {
                self.queue.want_interrupt(0);
                wait(|| self.queue.used() > 0);
            }
        }
    }

    /// Reads `bytes` from anywhere.
    fn submit(&mut self, element: u16, bytes: u64) {
        if bytes != self.bytes {
            self.describe_all(bytes);
        }
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let sector = (self.random >> 33) % (self.capacity * SECTOR / bytes) * (bytes / SECTOR);
        self.sectors[usize::from(element)] = sector;
        put(self.header(element) + 8, sector);
        self.queue.offer(element);
    }

    /// Tells the device, whether it wants to be told or not.
    #[inline(always)]
    pub fn notify(&self) {
        self.transport.notify(0);
    }

    fn header(&self, element: u16) -> u64 {
        self.headers + u64::from(element) * HEADER
    }

    fn pages(&self, element: u16) -> u64 {
        self.data + u64::from(element) * DATA
    }

    /// All elements read so many bytes from now on; none is in flight.
    pub fn describe_all(&mut self, bytes: u64) {
        self.bytes = bytes;
        for element in 0..SIZE {
            let header = self.header(element);
            put(header, IN);
            put(header + 4, 0_u32);
            let table = self.tables + u64::from(element) * TABLE * DESCRIPTOR;
            queue::describe(table, 0, header, 16, NEXT, 1);
            let pages = (bytes / PAGE) as u16;
            for page in 0..pages {
                let at = self.pages(element) + u64::from(page) * 2 * PAGE;
                queue::describe(table, page + 1, at, PAGE as u32, NEXT | WRITE, page + 2);
            }
            queue::describe(table, pages + 1, header + 16, 1, WRITE, 0);
            self.queue.describe(element, table, u32::from(pages + 2) * DESCRIPTOR as u32, INDIRECT, 0);
        }
    }

    /// Compares the first and the last page with the disk's: each begins with its number.
    fn check(&self, element: u16) {
        let first = self.pages(element);
        let last = self.bytes / PAGE - 1;
        let page = self.sectors[usize::from(element)] * SECTOR / PAGE;
        let is_right = get::<u64>(first) == page && get::<u64>(first + last * 2 * PAGE) == page + last;
        assert!(is_right, "page {page} of the disk is another");
        assert!(get::<u8>(self.header(element) + 16) == 0, "a read failed");
    }
}
