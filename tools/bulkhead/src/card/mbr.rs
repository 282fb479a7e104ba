//! The partition table in a card's first sector (UEFI specification, section 5.2.1 "Legacy Master Boot Record").
//!
//! Primary partitions only: the firmware boots from the first of them, and guests' disks are among the others. Cylinders
//! and heads are written as what cannot be said in them, and not read.

use super::{SECTOR, u32_at};

/// Primary partitions of a table.
pub const MOST: usize = 4;
/// A FAT32 partition that is addressed by sector numbers.
pub const FAT32: u8 = 0x0c;
/// What Linux file systems have, and guests' disks on a card.
pub const LINUX: u8 = 0x83;
/// The one partition of a disk that really has a GUID partition table.
pub const PROTECTIVE: u8 = 0xee;

/// Where the entries are, what one takes, and the signature behind them.
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// The disk's number, by which Linux would name its partitions; the same for every card, as all else on it.
const NUMBER: (usize, [u8; 4]) = (440, *b"BLKH");

/// A partition of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: usize,
    /// Its type.
    pub kind: u8,
    /// Its first sector.
    pub first: u64,
    /// Its sectors.
    pub sectors: u64,
}

impl Partition {
    /// The sector behind it.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.sectors)
    }

    /// Whether any sector is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first < other.end() && other.first < self.end()
    }

    /// Whether its type says that it holds a FAT file system of whatever kind.
    pub fn is_fat(&self) -> bool {
        matches!(self.kind, 0x01 | 0x04 | 0x06 | 0x0b | FAT32 | 0x0e)
    }
}

/// The partitions in a first sector, in their table's order; `None` if it has no table.
pub fn read(sector: &[u8; SECTOR as usize]) -> Option<Vec<Partition>> {
    if !sector.ends_with(&SIGNATURE) || is_file_system(sector) {
        return None;
    }
    let entries = sector.get(ENTRIES..ENTRIES + MOST * ENTRY)?.chunks_exact(ENTRY).zip(1..);
    let partition = |(entry, number): (&[u8], usize)| Partition {
        number,
        kind: entry.get(4).copied().unwrap_or(0),
        first: u64::from(u32_at(entry, 8)),
        sectors: u64::from(u32_at(entry, 12)),
    };
    Some(entries.map(partition).filter(|partition| partition.kind != 0).collect())
}

/// Whether a sector begins a FAT file system, which has the same signature: the card was formatted without partitions.
pub fn is_file_system(sector: &[u8; SECTOR as usize]) -> bool {
    let has = |at: usize, word: &[u8]| sector.get(at..).is_some_and(|rest| rest.starts_with(word));
    has(82, b"FAT32   ") || has(54, b"FAT16   ") || has(54, b"FAT12   ")
}

/// A first sector with these partitions; none behind the fourth is written.
pub fn write(partitions: &[Partition]) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    let (at, number) = NUMBER;
    sector[at..at + number.len()].copy_from_slice(&number);
    for (entry, partition) in sector[ENTRIES..].chunks_exact_mut(ENTRY).zip(partitions) {
        let word = |sectors: u64| u32::try_from(sectors).unwrap_or(u32::MAX).to_le_bytes();
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[4] = partition.kind;
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&word(partition.first));
        entry[12..16].copy_from_slice(&word(partition.sectors));
    }
    sector[SECTOR as usize - SIGNATURE.len()..].copy_from_slice(&SIGNATURE);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let partitions = [
            Partition { number: 1, kind: FAT32, first: 8192, sectors: 262_144 },
            Partition { number: 2, kind: LINUX, first: 270_336, sectors: 1 },
        ];
        assert_eq!(read(&write(&partitions)), Some(partitions.to_vec()));
        assert!(!partitions[0].overlaps(&partitions[1]));
        assert!(partitions[0].overlaps(&Partition { first: 8191, sectors: 2, ..partitions[1] }));
    }

    #[test]
    fn a_sector_without_a_table_has_no_partitions() {
        assert_eq!(read(&[0; 512]), None);
        let mut formatted = write(&[]);
        assert_eq!(read(&formatted), Some(Vec::new()));
        formatted[82..90].copy_from_slice(b"FAT32   ");
        assert_eq!(read(&formatted), None);
    }
}
