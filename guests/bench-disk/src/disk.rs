//! The disk in the first transport of the guest machine, and random reads of it.

use crate::ring::{self, Ring};
use crate::wait;
use rt::arch::memory::{get, put};
use rt::arch::mmio::Registers;
use rt::machine;

// Registers (virtio 1.2, section 4.2.2).
const DEVICE_ID: u64 = 0x08;
const DEVICE_FEATURES: u64 = 0x10;
const DEVICE_FEATURES_SEL: u64 = 0x14;
const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SEL: u64 = 0x24;
const QUEUE_SEL: u64 = 0x30;
const QUEUE_NUM: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const QUEUE_NOTIFY: u64 = 0x50;
const INTERRUPT_STATUS: u64 = 0x60;
const INTERRUPT_ACK: u64 = 0x64;
const STATUS: u64 = 0x70;
const QUEUE_PARTS: [u64; 3] = [0x80, 0x90, 0xa0];
const CONFIG: u64 = 0x100;

const DISK: u32 = 2;
const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
/// INDIRECT_DESC, EVENT_IDX and VERSION_1.
const FEATURES: u64 = 1 << 28 | 1 << 29 | 1 << 32;
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
    ring: Ring,
    headers: u64,
    data: u64,
    /// Sectors.
    capacity: u64,
    /// State of a linear congruential generator.
    random: u64,
    /// What each element reads.
    sectors: [u64; ring::SIZE as usize],
    bytes: u64,
    kicks: u64,
}

fn registers() -> Registers {
    // SAFETY: the guest machine has a virtio transport there, and guests map the first GiB as Device. Its DMA goes where
    // the ring in free RAM says.
    unsafe { Registers::new(machine::VIRTIO.as_u64()) }
}

/// Takes the interrupt away.
pub fn acknowledge() {
    registers().write32(INTERRUPT_ACK, registers().read32(INTERRUPT_STATUS));
}

impl Disk {
    /// Sets the disk up.
    pub fn open() -> Self {
        let transport = registers();
        assert!(transport.read32(DEVICE_ID) == DISK, "no disk is in the first transport");
        transport.write32(STATUS, 0);
        transport.write32(STATUS, ACKNOWLEDGE | DRIVER);
        for half in [0, 1] {
            transport.write32(DEVICE_FEATURES_SEL, half);
            let wanted = (FEATURES >> (32 * half)) as u32;
            assert!(transport.read32(DEVICE_FEATURES) & wanted == wanted, "the device lacks a feature");
            transport.write32(DRIVER_FEATURES_SEL, half);
            transport.write32(DRIVER_FEATURES, wanted);
        }
        transport.write32(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        let base = rt::arch::free_ram().next_multiple_of(PAGE);
        let ring = Ring::new(base);
        transport.write32(QUEUE_SEL, 0);
        transport.write32(QUEUE_NUM, ring::SIZE as u32);
        for (register, part) in QUEUE_PARTS.into_iter().zip(ring.parts()) {
            transport.write32(register, part as u32);
            transport.write32(register + 4, (part >> 32) as u32);
        }
        transport.write32(QUEUE_READY, 1);
        transport.write32(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        let capacity = u64::from(transport.read32(CONFIG)) | u64::from(transport.read32(CONFIG + 4)) << 32;
        let headers = base + ring::BYTES;
        let data = (headers + ring::SIZE * HEADER).next_multiple_of(PAGE);
        let sectors = [0; ring::SIZE as usize];
        Self { ring, headers, data, capacity, random: 1, sectors, bytes: 0, kicks: 0 }
    }

    /// Kicks so far.
    pub fn kicks(&self) -> u64 {
        self.kicks
    }

    /// Reads at random until `count` reads are done, `depth` at a time.
    pub fn read(&mut self, bytes: u64, depth: usize, count: usize) {
        let (mut begun, mut done) = (0, 0);
        while begun < depth.min(count) {
            self.submit(begun as u64, bytes);
            begun += 1;
        }
        self.kick();
        while done < count {
            while let Some(element) = self.ring.take() {
                self.check(element);
                done += 1;
                if begun < count {
                    self.submit(element, bytes);
                    begun += 1;
                }
            }
            self.kick();
            if done < count && !self.ring.want_interrupt() {
                self.wait();
            }
        }
    }

    /// Reads `bytes` from anywhere.
    pub fn submit(&mut self, element: u64, bytes: u64) {
        let header = self.headers + element * HEADER;
        if bytes != self.bytes {
            self.describe_all(bytes);
        }
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let sector = (self.random >> 33) % (self.capacity * SECTOR / bytes) * (bytes / SECTOR);
        self.sectors[element as usize] = sector;
        put(header + 8, sector);
        self.ring.offer(element);
    }

    /// Tells the device, if it wants to be told.
    pub fn kick(&mut self) {
        if self.ring.must_kick() {
            self.kicks += 1;
            self.notify();
        }
    }

    /// Tells the device.
    #[inline(always)]
    pub fn notify(&self) {
        registers().write32(QUEUE_NOTIFY, 0);
    }

    fn wait(&self) {
        wait(|| self.ring.has_used());
    }

    /// All elements read so many bytes from now on; none is in flight.
    fn describe_all(&mut self, bytes: u64) {
        self.bytes = bytes;
        for element in 0..ring::SIZE {
            let header = self.headers + element * HEADER;
            put(header, IN);
            put(header + 4, 0_u32);
            let first = self.data + element * DATA;
            let pages = (0..bytes / PAGE).map(|page| (first + page * 2 * PAGE, PAGE, true));
            let all = core::iter::once((header, 16, false)).chain(pages);
            self.ring.describe(element, all.chain(core::iter::once((header + 16, 1, true))));
        }
    }

    /// Compares the first and the last page with the disk's: each begins with its number.
    fn check(&self, element: u64) {
        let first = self.data + element * DATA;
        let last = self.bytes / PAGE - 1;
        let page = self.sectors[element as usize] * SECTOR / PAGE;
        let is_right = get::<u64>(first) == page && get::<u64>(first + last * 2 * PAGE) == page + last;
        assert!(is_right, "page {page} of the disk is another");
        assert!(get::<u8>(self.headers + element * HEADER + 16) == 0, "a read failed");
    }
}
