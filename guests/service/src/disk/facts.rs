//! [`Facts`]: what a disk says about itself in its features and its configuration space (virtio section 5.2.4).

use abi::plan::SERIAL;
use virtio::blk::{Limits, MAX_RANGES, SECTOR};
use virtio_drivers::transport::Transport;

const F_SEG_MAX: u64 = 1 << 2;
const F_RO: u64 = 1 << 5;
const F_BLK_SIZE: u64 = 1 << 6;
const F_FLUSH: u64 = 1 << 9;
const F_DISCARD: u64 = 1 << 13;
const F_WRITE_ZEROES: u64 = 1 << 14;
/// What the driver can make use of. Not SIZE_MAX: pieces that are neighbours go to the disk as one, however long.
pub(super) const WANTED: u64 = F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_DISCARD | F_WRITE_ZEROES;

const CAPACITY: usize = 0;
const SEG_MAX: usize = 12;
const BLK_SIZE: usize = 20;
const MAX_DISCARD_SECTORS: usize = 36;
const MAX_DISCARD_SEG: usize = 40;
const DISCARD_ALIGNMENT: usize = 44;
const MAX_FILL_SECTORS: usize = 48;
const MAX_FILL_SEG: usize = 52;
const FILL_MAY_UNMAP: usize = 56;

/// What a disk can do.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its serial number: what comes before the first zero.
    pub serial: heapless::String<SERIAL>,
    /// Sectors of 512 bytes.
    pub capacity: u64,
    /// Bytes of its blocks.
    pub block_size: u32,
    /// Most pieces of data in a request; 0 where it does not say.
    pub seg_max: u32,
    /// Most bytes of one of them, where more would keep others waiting.
    pub size_max: Option<u32>,
    /// It cannot be written.
    pub is_read_only: bool,
    /// It has a cache that must be flushed.
    pub has_flush: bool,
    /// What it can discard.
    pub discard: Option<Limits>,
    /// What it can fill with zeroes.
    pub write_zeroes: Option<Limits>,
}

impl Facts {
    /// Reads them; the serial number takes a request and comes later. `None`: the configuration space is too short.
    pub(super) fn read(transport: &impl Transport, features: u64) -> Option<Self> {
        let word = |at: usize| transport.read_config_space::<u32>(at).ok();
        let optional = |feature: u64, at: usize| if features & feature != 0 { word(at).map(Some) } else { Some(None) };
        let capacity = u64::from(word(CAPACITY)?) | u64::from(word(CAPACITY + 4)?) << 32;
        let block_size = optional(F_BLK_SIZE, BLK_SIZE)?.filter(|size| size.is_power_of_two() && *size >= SECTOR);
        let discard = match features & F_DISCARD {
            0 => None,
            _ => limits(word(MAX_DISCARD_SECTORS)?, word(MAX_DISCARD_SEG)?, word(DISCARD_ALIGNMENT)?, false),
        };
        let write_zeroes = match features & F_WRITE_ZEROES {
            0 => None,
            _ => limits(word(MAX_FILL_SECTORS)?, word(MAX_FILL_SEG)?, 0, word(FILL_MAY_UNMAP)? & 0xff != 0),
        };
        Some(Self {
            serial: heapless::String::new(),
            capacity,
            block_size: block_size.unwrap_or(SECTOR),
            seg_max: optional(F_SEG_MAX, SEG_MAX)?.unwrap_or(0),
            size_max: None,
            is_read_only: features & F_RO != 0,
            has_flush: features & F_FLUSH != 0,
            discard,
            write_zeroes,
        })
    }
}

fn limits(sectors: u32, ranges: u32, alignment: u32, may_unmap: bool) -> Option<Limits> {
    (sectors != 0 && ranges != 0).then(|| Limits {
        sectors,
        ranges: ranges.min(MAX_RANGES as u32),
        alignment,
        may_unmap,
    })
}
