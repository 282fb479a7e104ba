//! Finds a partition of a disk by its label in the GUID partition table (UEFI specification, section 5.3 "GUID Partition Table"),
//! or by its number in a master boot record ([`mbr`]).
//!
//! The primary table counts if header and entries pass their checksums, else the backup at the disk's end. What a table
//! says is believed no further: a partition outside the usable blocks, or one that shares blocks with another, is refused,
//! since two owners would then write to the same place. Here is no driver ([`BlockIo`] is the caller's), nothing is
//! written, and no allocation: the caller lends the memory.
#![no_std]
#![forbid(unsafe_code)]

pub mod mbr;
mod table;

pub use gpt_disk_io::BlockIo;
pub use gpt_disk_types::{BlockSize, Lba};

use core::fmt;
use gpt_disk_types::{GptPartitionEntry, GptPartitionName, LbaRangeInclusive};
use table::Table;

/// Bytes that [`find`] needs, for blocks of up to 4 KiB: a block, and a table of twice the usual 128 entries.
pub const BUFFER: usize = 4096 + 256 * 128;
/// Bytes of the sectors that an [`Extent`] counts in, whatever the disk's blocks are.
pub const SECTOR: u64 = 512;

/// A run of sectors of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The first one.
    pub sector: u64,
    /// How many; never 0.
    pub sectors: u64,
}

impl Extent {
    /// Whether any sector is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.sector < other.sector.saturating_add(other.sectors)
            && other.sector < self.sector.saturating_add(self.sectors)
    }
}

/// Why a label names no partition that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// The disk cannot be read.
    Io,
    /// Neither table is sound; the reason is the primary one's.
    NoTable(NoTable),
    /// No partition has the label.
    NoLabel,
    /// So many partitions have it.
    Ambiguous(usize),
    /// The partition does not lie in the table's usable blocks, or not on the disk.
    Outside(Lba, Lba),
    /// The partition shares blocks with another one, which begins here.
    Overlap(Lba),
}

/// What is wrong with a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoTable {
    /// There is none.
    Signature,
    /// The header's checksum, or its own place, is wrong.
    Header,
    /// So many entries of so many bytes are more than the memory lent, or less than an entry needs.
    Entries(u32, u32),
    /// The entries' checksum is wrong.
    Checksum,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io => f.write_str("the disk cannot be read"),
            Self::NoTable(why) => why.fmt(f),
            Self::NoLabel => f.write_str("no partition has this label"),
            Self::Ambiguous(count) => write!(f, "{count} partitions have this label"),
            Self::Outside(first, last) => write!(f, "its blocks {first} to {last} are not all usable ones"),
            Self::Overlap(first) => write!(f, "it shares blocks with the partition that begins at block {first}"),
        }
    }
}

impl fmt::Display for NoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("the disk has no GUID partition table"),
            Self::Header => f.write_str("the partition table's header is damaged"),
            Self::Entries(count, bytes) => write!(f, "the partition table has {count} entries of {bytes} bytes"),
            Self::Checksum => f.write_str("the partition table's entries are damaged"),
        }
    }
}

/// Finds the one partition with this label. `buffer` has [`BUFFER`] bytes.
pub fn find(io: impl BlockIo, label: &str, buffer: &mut [u8]) -> Result<Extent, Unusable> {
    let table = Table::read(io, buffer)?;
    let mut found = None;
    let mut count = 0;
    for (index, entry) in table.entries().filter(|(_, entry)| has_label(entry, label)) {
        found = Some((index, *entry));
        count += 1;
    }
    let Some((index, entry)) = found else { return Err(Unusable::NoLabel) };
    if count > 1 {
        return Err(Unusable::Ambiguous(count));
    }
    let outside = Unusable::Outside(entry.starting_lba.into(), entry.ending_lba.into());
    let range = entry.lba_range().filter(|range| table.is_usable(range)).ok_or(outside)?;
    let others = table.entries().filter(|(other, _)| *other != index);
    for other in others.filter_map(|(_, entry)| entry.lba_range()) {
        if range.start() <= other.end() && other.start() <= range.end() {
            return Err(Unusable::Overlap(other.start()));
        }
    }
    table.extent(range).ok_or(outside)
}

/// Calls `visit` with the label of each partition that has one, character by character: for people who look for another.
pub fn labels(
    io: impl BlockIo,
    buffer: &mut [u8],
    visit: &mut dyn FnMut(&mut dyn Iterator<Item = char>),
) -> Result<(), Unusable> {
    for (_, entry) in Table::read(io, buffer)?.entries() {
        let name = entry.name;
        if !name.is_empty() {
            visit(&mut char::decode_utf16(units(&name)).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
    }
    Ok(())
}

fn has_label(entry: &GptPartitionEntry, label: &str) -> bool {
    let name = entry.name;
    units(&name).eq(label.encode_utf16())
}

/// The UTF-16 units of a label. [`GptPartitionName::chars`] knows no pairs of them.
fn units(name: &GptPartitionName) -> impl Iterator<Item = u16> {
    let (units, _) = name.0.as_chunks::<2>();
    units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0)
}

/// Blocks as sectors.
fn sectors(range: LbaRangeInclusive, block_size: BlockSize) -> Option<Extent> {
    let each = block_size.to_u64() / SECTOR;
    let sector = range.start().to_u64().checked_mul(each)?;
    let sectors = range.num_blocks().checked_mul(each)?;
    sector.checked_add(sectors)?;
    Some(Extent { sector, sectors })
}
