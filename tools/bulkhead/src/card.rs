//! A card for the Raspberry Pi 4: written whole, and read back with suspicion.
//!
//! ```text
//! mbr       the partition table in the first sector     -> partitions
//! fat       the boot partition's FAT32 file system      -> files, damage
//! config    config.txt as the firmware reads it         -> settings
//! check     all of these, and what the board needs      -> findings
//! image     files and guests' disks                     -> a card image
//! ```
//! A card is what somebody put together by hand or pulled out too early: every number on it may be wrong, so reading
//! is bounded, and nothing on a card makes the tool panic. The file system is written by crate `fatfs` and read by code
//! of our own, which shows chains and damage that the crate does not, and ends on any volume.

pub mod check;
pub mod config;
pub mod fat;
pub mod image;
pub mod mbr;

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of a card's sector.
pub const SECTOR: u64 = 512;

/// A card, or an image of one: bytes that can only be read.
pub struct Card<D> {
    device: D,
    bytes: u64,
}

impl<D: Read + Seek> Card<D> {
    /// A card of all that `device` has: its end is asked for, since a block device has no length of its own.
    pub fn new(mut device: D) -> io::Result<Self> {
        let bytes = device.seek(SeekFrom::End(0))?;
        Ok(Self { device, bytes })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// The bytes at `offset`.
    pub fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.device.seek(SeekFrom::Start(offset))?;
        self.device.read_exact(into)
    }

    /// The sector at `number`.
    pub fn sector(&mut self, number: u64) -> io::Result<[u8; SECTOR as usize]> {
        let mut sector = [0; SECTOR as usize];
        let offset = number.checked_mul(SECTOR).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.read(offset, &mut sector).map(|()| sector)
    }
}

/// Something about a card that keeps Bulkhead from starting, or a guest from its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where on the card.
    pub place: String,
    /// What is wrong, with values.
    pub problem: String,
    /// What to do.
    pub help: String,
}

impl Finding {
    fn new(place: impl fmt::Display, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place: place.to_string(), problem: problem.into(), help: help.into() }
    }
}

/// The little-endian number of two bytes at `at`, or 0 where there are none.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |raw| u16::from_le_bytes(*raw))
}

/// The little-endian number of four bytes at `at`, or 0 where there are none.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |raw| u32::from_le_bytes(*raw))
}
