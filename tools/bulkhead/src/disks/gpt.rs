//! The GUID partition table of a disk image (UEFI specification, chapter 5): labels and sizes, nothing written.
//!
//! The primary table counts if it is sound, else the backup at the end of the disk, as Linux and the service partition
//! have it. What an image holds is not trusted: sizes and places are checked before they are used.

use gpt_disk_io::gpt_disk_types::{BlockSize, GptHeader, GptPartitionEntry, Lba};
use gpt_disk_io::{BlockIo, Disk};
use std::fs::File;
use std::io::{self, Error, ErrorKind, Read, Seek, SeekFrom};

/// Bytes of a sector: what QEMU's disks have unless told otherwise.
pub const SECTOR: u64 = 512;
/// Most entries of a table that are looked at. A usual one has 128.
const MAX_ENTRIES: u32 = 4096;

/// A partition with a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its label.
    pub label: String,
    /// Its size.
    pub bytes: u64,
}

/// The partitions with labels on an image of `sectors`; `None` when it has no sound table.
pub fn read(file: &File, sectors: u64) -> Option<Vec<Entry>> {
    let mut disk = Disk::new(Sectors { file, count: sectors }).ok()?;
    let backup = sectors.checked_sub(1)?;
    [1, backup].into_iter().find_map(|lba| table(&mut disk, Lba(lba), sectors))
}

/// The table whose header is at `lba`, if both are sound.
fn table(disk: &mut Disk<Sectors<'_>>, lba: Lba, sectors: u64) -> Option<Vec<Entry>> {
    let mut sector = [0; SECTOR as usize];
    let header: GptHeader = disk.read_gpt_header(lba, &mut sector).ok()?;
    let (crc, own_lba, array_crc) = (header.header_crc32, header.my_lba, header.partition_entry_array_crc32);
    if !header.is_signature_valid() || crc != header.calculate_header_crc32() || own_lba.to_u64() != lba.to_u64() {
        return None;
    }
    let layout = header.get_partition_entry_array_layout().ok()?;
    let is_sane = layout.num_entries <= MAX_ENTRIES && layout.entry_size.to_u64() <= SECTOR;
    let size = layout.num_bytes_rounded_to_block_as_usize(BlockSize::BS_512).filter(|_| is_sane)?;
    let mut storage = vec![0; size];
    let array = disk.read_gpt_partition_entry_array(layout, &mut storage).ok()?;
    if array.calculate_crc32() != array_crc {
        return None;
    }
    let entries = (0..layout.num_entries).filter_map(|n| array.get_partition_entry(n));
    Some(entries.filter_map(|entry| labelled(entry, sectors)).collect())
}

/// A used entry with a label, if it lies on the disk.
fn labelled(entry: &GptPartitionEntry, sectors: u64) -> Option<Entry> {
    let range = entry.lba_range().filter(|range| entry.is_used() && range.end().to_u64() < sectors)?;
    let name = entry.name;
    let units: Vec<u16> = name.0.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let label = units.split(|unit| *unit == 0).next()?;
    let bytes = range.num_bytes(BlockSize::BS_512)?;
    (!label.is_empty()).then(|| Entry { label: String::from_utf16_lossy(label), bytes })
}

/// An image as a disk that can only be read.
struct Sectors<'a> {
    file: &'a File,
    count: u64,
}

impl BlockIo for Sectors<'_> {
    type Error = Error;

    fn block_size(&self) -> BlockSize {
        BlockSize::BS_512
    }
    fn num_blocks(&mut self) -> io::Result<u64> {
        Ok(self.count)
    }
    fn read_blocks(&mut self, start: Lba, into: &mut [u8]) -> io::Result<()> {
        let start = start.to_u64().checked_mul(SECTOR).ok_or(ErrorKind::UnexpectedEof)?;
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_exact(into)
    }
    fn write_blocks(&mut self, _: Lba, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
