//! The block device (section 5.2), without its disk: what it offers, and what its requests ask for.
//!
//! ```text
//! Queue::pop -> Request::parse -> the disk -> Reply::finish -> Queue::push
//! ```
//!
//! A request's data stays where the guest has it: [`Data`](crate::Data) lists its pieces for the disk to read and write. Deliberately
//! absent: several queues, topology, switching the cache mode, lifetime, secure erase, zones.

mod ranges;
mod request;

pub use ranges::{MAX_RANGES, Range, Ranges};
pub use request::{Kind, Reply, Request, Status};

use crate::Features;

/// The block device's number (section 5).
pub const DEVICE_ID: u32 = 2;
/// Bytes of a sector, whatever the disk's blocks are.
pub const SECTOR: u32 = 512;
/// Most pieces of a request's data. With header and status in descriptors of their own 128: half of the largest queue,
/// and within [`MAX_SEGMENTS`](crate::MAX_SEGMENTS) if those two are split.
pub const SEG_MAX: u32 = 126;
/// Bytes of the configuration space.
pub const CONFIG: usize = 60;

/// VIRTIO_BLK_F_SIZE_MAX.
const F_SIZE_MAX: u64 = 1 << 1;
/// VIRTIO_BLK_F_SEG_MAX.
const F_SEG_MAX: u64 = 1 << 2;
/// VIRTIO_BLK_F_RO.
const F_RO: u64 = 1 << 5;
/// VIRTIO_BLK_F_BLK_SIZE.
const F_BLK_SIZE: u64 = 1 << 6;
/// VIRTIO_BLK_F_FLUSH.
const F_FLUSH: u64 = 1 << 9;
/// VIRTIO_BLK_F_DISCARD.
const F_DISCARD: u64 = 1 << 13;
/// VIRTIO_BLK_F_WRITE_ZEROES.
const F_WRITE_ZEROES: u64 = 1 << 14;

/// A disk as its guest sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disk {
    /// Sectors of [`SECTOR`] bytes.
    pub capacity: u64,
    /// Bytes of the blocks that suit the disk best; a power of two from [`SECTOR`] on.
    pub block_size: u32,
    /// Most bytes of one piece of data, if the disk has a limit.
    pub size_max: Option<u32>,
    /// Whether the guest may write.
    pub mode: Mode,
    /// What the disk can discard, if it can.
    pub discard: Option<Limits>,
    /// What the disk can fill with zeroes, if it can.
    pub write_zeroes: Option<Limits>,
}

/// Whether a guest may write to a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It may read and write.
    ReadWrite,
    /// It may only read.
    ReadOnly,
}

/// How much one request may discard or fill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most sectors of a range.
    pub sectors: u32,
    /// Most ranges, up to [`MAX_RANGES`].
    pub ranges: u32,
    /// Multiple of sectors that ranges should begin and end at; for discarding only.
    pub alignment: u32,
    /// Whether filling may discard what it fills; for filling only.
    pub may_unmap: bool,
}

impl Limits {
    pub(crate) fn ranges(&self) -> u32 {
        self.ranges.min(MAX_RANGES as u32)
    }
}

impl Disk {
    /// The limits of what a guest may do; a read-only disk has none to offer.
    fn limits(&self) -> (Option<Limits>, Option<Limits>) {
        match self.mode {
            Mode::ReadWrite => (self.discard, self.write_zeroes),
            Mode::ReadOnly => (None, None),
        }
    }

    /// The feature bits to offer.
    pub fn features(&self) -> u64 {
        let (discard, write_zeroes) = self.limits();
        let optional = [
            (self.size_max.is_some(), F_SIZE_MAX),
            (self.mode == Mode::ReadOnly, F_RO),
            (discard.is_some(), F_DISCARD),
            (write_zeroes.is_some(), F_WRITE_ZEROES),
        ];
        let always = Features::OFFERED | F_SEG_MAX | F_BLK_SIZE | F_FLUSH;
        optional.into_iter().filter(|(is_offered, _)| *is_offered).fold(always, |all, (_, bit)| all | bit)
    }

    /// The configuration space (section 5.2.4). Fields of features that are not offered are 0.
    pub fn config(&self) -> [u8; CONFIG] {
        let mut config = [0; CONFIG];
        let (discard, write_zeroes) = self.limits();
        put(&mut config, 0, &self.capacity.to_le_bytes());
        put(&mut config, 8, &self.size_max.unwrap_or(0).to_le_bytes());
        put(&mut config, 12, &SEG_MAX.to_le_bytes());
        put(&mut config, 20, &self.block_size.to_le_bytes());
        if let Some(limits) = discard {
            put(&mut config, 36, &limits.sectors.to_le_bytes());
            put(&mut config, 40, &limits.ranges().to_le_bytes());
            put(&mut config, 44, &limits.alignment.to_le_bytes());
        }
        if let Some(limits) = write_zeroes {
            put(&mut config, 48, &limits.sectors.to_le_bytes());
            put(&mut config, 52, &limits.ranges().to_le_bytes());
            put(&mut config, 56, &[u8::from(limits.may_unmap)]);
        }
        config
    }

    /// Whether `sectors` from `sector` on are all on the disk.
    fn has(&self, sector: u64, sectors: u64) -> bool {
        sector.checked_add(sectors).is_some_and(|end| end <= self.capacity)
    }
}

/// Whether each write must be on the medium before it is completed: the driver did not accept VIRTIO_BLK_F_FLUSH, so it
/// may take the cache for a write-through one (section 5.2.6.2).
pub const fn is_write_through(accepted: u64) -> bool {
    accepted & F_FLUSH == 0
}

fn put(config: &mut [u8; CONFIG], at: usize, bytes: &[u8]) {
    config.iter_mut().skip(at).zip(bytes).for_each(|(place, byte)| *place = *byte);
}
