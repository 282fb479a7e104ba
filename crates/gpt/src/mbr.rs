//! Finds a partition of a disk by its number in the master boot record (UEFI specification, section 5.2.1 "Legacy MBR"):
//! for cards that firmware boots from, which know no other table.
//!
//! The four primary partitions count, by their place in the table. What is believed no further is as for a GPT: a partition
//! that is not on the disk, or shares sectors with another, is of no use. Logical partitions do not exist here.

use crate::Extent;
use core::fmt;

/// Bytes of the record, which is the disk's first sector.
pub const BYTES: usize = 512;
/// Partitions that a table has room for; numbers begin with 1.
pub const COUNT: u8 = 4;

const TABLE: usize = 446;
const ENTRY: usize = 16;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Partition types: a GPT's protective entry, containers of logical partitions, and FAT file systems.
const PROTECTIVE: u8 = 0xee;
const CONTAINERS: [u8; 3] = [0x05, 0x0f, 0x85];
const FAT: [u8; 6] = [0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e];

/// A partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Primary {
    /// Its sectors.
    pub extent: Extent,
    /// Whether firmware may boot from it: its type is that of a FAT file system.
    pub is_fat: bool,
}

/// Why a number names no partition that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// The first sector is no master boot record.
    NoTable,
    /// The disk has a GUID partition table.
    Gpt,
    /// The partition with this number is empty.
    Empty(u8),
    /// It is a container of logical partitions.
    Container(u8),
    /// It does not lie on the disk: its first sector, and how many it has.
    Outside(u32, u32),
    /// It shares sectors with the partition of this number.
    Overlap(u8),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => f.write_str("the disk has no master boot record"),
            Self::Gpt => f.write_str("the disk has a GUID partition table, whose partitions have labels"),
            Self::Empty(number) => write!(f, "the master boot record has no partition {number}"),
            Self::Container(number) => write!(f, "partition {number} is a container of logical partitions"),
            Self::Outside(first, count) => write!(f, "its {count} sectors from {first} on are not all on the disk"),
            Self::Overlap(number) => write!(f, "it shares sectors with partition {number}"),
        }
    }
}

/// An entry of the table.
#[derive(Clone, Copy)]
struct Entry {
    kind: u8,
    first: u32,
    count: u32,
}

impl Entry {
    fn of(record: &[u8; BYTES], number: u8) -> Option<Self> {
        let at = TABLE + ENTRY * usize::from(number.checked_sub(1)?);
        let entry: &[u8; ENTRY] = record.get(at..at + ENTRY)?.try_into().ok().filter(|_| number <= COUNT)?;
        let [_, _, _, _, kind, _, _, _, a, b, c, d, e, f, g, h] = *entry;
        let entry = Self { kind, first: u32::from_le_bytes([a, b, c, d]), count: u32::from_le_bytes([e, f, g, h]) };
        (kind != 0 && entry.count != 0).then_some(entry)
    }

    fn extent(self) -> Extent {
        Extent { sector: self.first.into(), sectors: self.count.into() }
    }
}

/// Finds the primary partition `number` in the record of a disk of `sectors` sectors.
pub fn find(record: &[u8; BYTES], number: u8, sectors: u64) -> Result<Primary, Unusable> {
    if !record.ends_with(&SIGNATURE) {
        return Err(Unusable::NoTable);
    }
    let entries = || (1..=COUNT).filter_map(|number| Some((number, Entry::of(record, number)?)));
    if entries().any(|(_, entry)| entry.kind == PROTECTIVE) {
        return Err(Unusable::Gpt);
    }
    // A boot sector of a file system ends as a record does, and has other bytes where the table would be.
    let is_active = |number: u8| record.get(TABLE + ENTRY * usize::from(number - 1)).copied().unwrap_or(1);
    if (1..=COUNT).any(|number| is_active(number) & 0x7f != 0) {
        return Err(Unusable::NoTable);
    }
    let entry = Entry::of(record, number).ok_or(Unusable::Empty(number))?;
    if CONTAINERS.contains(&entry.kind) {
        return Err(Unusable::Container(number));
    }
    let extent = entry.extent();
    // The record itself is nobody's.
    if extent.sector == 0 || extent.sector + extent.sectors > sectors {
        return Err(Unusable::Outside(entry.first, entry.count));
    }
    match entries().find(|(other, entry)| *other != number && entry.extent().overlaps(&extent)) {
        Some((other, _)) => Err(Unusable::Overlap(other)),
        None => Ok(Primary { extent, is_fat: FAT.contains(&entry.kind) }),
    }
}
