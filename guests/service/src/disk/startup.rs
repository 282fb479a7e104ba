//! Finding the board's disks, and reading from them before any guest does: serial numbers and partition tables.

use super::blk::{Buffers, PIECES, QUEUE, REQUESTS, Virtio};
use super::facts::WANTED;
use super::slots::Slots;
use super::{Disk, Facts, Hosts, Medium, Ticket, Work};
use crate::firmware::Firmware;
use crate::watchdog::Watchdog;
use crate::{dma, say, timer, transports};
use abi::plan::{SERIAL, Transports};
use addr::{ByteSize, PAGE_SIZE, Pa};
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use gpt::{BlockIo, BlockSize, Lba, SECTOR};
use virtio::PhysicalPiece;
use virtio::blk::{SEG_MAX, Status};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport};

/// How long a disk may take for one request while the service starts.
const PATIENCE_MS: u64 = 2000;
/// Pages for data of the service's own requests, one set for all disks.
const PAGES: usize = 4;
const _: () = assert!(PIECES <= QUEUE);

/// Why a disk cannot be used.
#[derive(Clone, Copy, Debug)]
enum Unfit {
    Features,
    Configuration,
    Queue(u32),
    Pieces(u32),
    Arena,
    Silent,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Features => f.write_str("it does not accept the driver's features"),
            Self::Configuration => f.write_str("its configuration space is too short"),
            Self::Queue(size) => write!(f, "its queue has {size} elements, and {QUEUE} are needed (QEMU: queue-size)"),
            Self::Pieces(count) => write!(f, "its requests have at most {count} pieces, and {SEG_MAX} are needed"),
            Self::Arena => f.write_str("the service's kept memory is too small for it (raise [service] memory)"),
            Self::Silent => f.write_str("it does not answer"),
        }
    }
}

/// All of the board's disks that can be used; each other one is named.
pub fn open_all(
    row: Option<Transports>,
    hosts: Hosts,
    firmware: &mut Option<Firmware>,
    watchdog: &mut Watchdog,
) -> Vec<Disk> {
    let mut disks: Vec<Disk> = super::card::open(hosts, firmware, watchdog).into_iter().collect();
    let buffer = dma::allocate(PAGES);
    for (place, transport) in transports::devices(row, DeviceType::Block) {
        watchdog.feed(timer::now());
        let number = place.number;
        let result = buffer.ok_or(Unfit::Arena).and_then(|buffer| Disk::start(place, transport, buffer));
        match result {
            Ok(disk) => {
                let Facts { serial, capacity, .. } = disk.facts();
                say!("disk '{serial}' at transport {number}: {}", ByteSize(capacity.saturating_mul(SECTOR)));
                disks.push(disk);
            }
            Err(why) => say!("error: the disk at transport {number} is not used: {why}"),
        }
    }
    disks
}

impl Disk {
    fn start(
        place: transports::Place,
        mut transport: MmioTransport<'static>,
        buffer: NonNull<u8>,
    ) -> Result<Self, Unfit> {
        let features = transports::negotiate(&mut transport, WANTED).ok_or(Unfit::Features)?;
        let facts = Facts::read(&transport, features).ok_or(Unfit::Configuration)?;
        if facts.seg_max != 0 && facts.seg_max < SEG_MAX {
            return Err(Unfit::Pieces(facts.seg_max));
        }
        let size = transport.max_queue_size(REQUESTS);
        if size < QUEUE as u32 {
            return Err(Unfit::Queue(size));
        }
        let queue = VirtQueue::new(&mut transport, REQUESTS, false, false).map_err(|_| Unfit::Arena)?;
        let slots = Slots::new().ok_or(Unfit::Arena)?;
        transport.finish_init();
        let medium = Virtio { place, transport, queue, slots, buffers: Buffers::new(), has_news: false };
        let mut disk = Self::new(Medium::Virtio(medium), facts);
        disk.enable_interrupt(false);
        disk.identify(buffer)?;
        Ok(disk)
    }

    fn identify(&mut self, buffer: NonNull<u8>) -> Result<(), Unfit> {
        let piece = PhysicalPiece { at: Pa::new(buffer.as_ptr() as u64), bytes: SERIAL as u32 };
        let mut serial = [0; SERIAL];
        // A disk without a serial number is still a disk.
        if self.run(Work::Identify, piece).ok_or(Unfit::Silent)? == Status::Ok {
            copy_out(buffer, &mut serial);
        }
        let text = serial.iter().map_while(|byte| (*byte != 0).then_some(char::from(*byte)));
        for character in text.filter(char::is_ascii_graphic) {
            // It has room for all of the field.
            let _ = self.facts.serial.push(character);
        }
        Ok(())
    }

    /// Has one request done, while nothing else is under way. `None`: it was not within a bounded time.
    fn run(&mut self, work: Work<'_>, piece: PhysicalPiece) -> Option<Status> {
        let until = timer::now() + timer::ticks(PATIENCE_MS);
        // SAFETY: the piece lies in the arena, and its pages are used for one request at a time.
        unsafe { self.submit(work, core::iter::once(piece), Ticket::Own) }.ok()?;
        self.notify();
        while timer::now() < until {
            self.turn();
            if let Some((_, status)) = self.reap() {
                return Some(status);
            }
        }
        // It must not write to the buffer when that is another's.
        match &mut self.medium {
            Medium::Virtio(disk) => disk.abandon(),
            Medium::Card(card) => card.abandon(),
        }
        self.is_lost = true;
        say!(
            "error: the disk '{}' (interrupt {}) has not answered for {PATIENCE_MS} ms and is not used",
            self.facts.serial,
            self.intid()
        );
        None
    }
}

/// A disk as `gpt` reads it, through a buffer in the arena.
pub struct Reader<'d> {
    disk: &'d mut Disk,
    buffer: NonNull<u8>,
}

impl<'d> Reader<'d> {
    /// Reads this disk through a buffer that [`Reader::buffer`] made.
    pub fn new(disk: &'d mut Disk, buffer: NonNull<u8>) -> Self {
        Self { disk, buffer }
    }
    /// Memory for any number of readers, one after the other.
    pub fn buffer() -> Option<NonNull<u8>> {
        dma::allocate(PAGES)
    }
}

/// The disk did not read.
#[derive(Clone, Copy, Debug)]
pub struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk cannot be read")
    }
}

impl BlockIo for Reader<'_> {
    type Error = Unread;

    fn block_size(&self) -> BlockSize {
        BlockSize::new(self.disk.facts.block_size).unwrap_or(BlockSize::BS_512)
    }

    fn num_blocks(&mut self) -> Result<u64, Unread> {
        Ok(self.disk.facts.capacity / (self.block_size().to_u64() / SECTOR))
    }

    fn read_blocks(&mut self, start: Lba, into: &mut [u8]) -> Result<(), Unread> {
        let mut sector = start.to_u64().checked_mul(self.block_size().to_u64() / SECTOR).ok_or(Unread)?;
        for part in into.chunks_mut(PAGES * PAGE_SIZE as usize) {
            let piece = PhysicalPiece { at: Pa::new(self.buffer.as_ptr() as u64), bytes: part.len() as u32 };
            if self.disk.run(Work::Read(sector), piece) != Some(Status::Ok) {
                return Err(Unread);
            }
            copy_out(self.buffer, part);
            sector += part.len() as u64 / SECTOR;
        }
        Ok(())
    }

    fn write_blocks(&mut self, _: Lba, _: &[u8]) -> Result<(), Unread> {
        Err(Unread)
    }

    fn flush(&mut self) -> Result<(), Unread> {
        Ok(())
    }
}

/// Copies out of a buffer of the arena that no request uses now.
fn copy_out(buffer: NonNull<u8>, into: &mut [u8]) {
    for (offset, byte) in into.iter_mut().enumerate() {
        // SAFETY: callers ask for at most `PAGES` pages, which the buffer has.
        let from = unsafe { buffer.add(offset) };
        // SAFETY: as above; mapped, and no request uses it.
        *byte = unsafe { from.read_volatile() };
    }
}
