//! [`Table`]: a partition table that passed its checksums.

use crate::{Extent, NoTable, Unusable, sectors};
use gpt_disk_io::{BlockIo, Disk};
use gpt_disk_types::{
    BlockSize, GptHeader, GptPartitionEntry, GptPartitionEntryArray, GptPartitionEntryArrayLayout, Lba,
    LbaRangeInclusive,
};

/// Largest block that the caller's memory is divided for.
const MAX_BLOCK: usize = 4096;

/// The sound one of a disk's two tables.
pub(crate) struct Table<'b> {
    header: GptHeader,
    entries: GptPartitionEntryArray<'b>,
    block_size: BlockSize,
    blocks: u64,
}

impl<'b> Table<'b> {
    /// The primary table, or else the backup.
    pub(crate) fn read(mut io: impl BlockIo, buffer: &'b mut [u8]) -> Result<Self, Unusable> {
        let block_size = io.block_size();
        let blocks = io.num_blocks().map_err(|_| Unusable::Io)?;
        let (block, storage) = buffer.split_at_mut_checked(MAX_BLOCK).ok_or(Unusable::Io)?;
        let mut disk = Disk::new(io).map_err(|_| Unusable::Io)?;
        let primary = match load(&mut disk, Lba(1), blocks, block_size, block, storage) {
            Ok(sound) => Ok(sound),
            Err(why) => {
                let backup = Lba(blocks.saturating_sub(1));
                load(&mut disk, backup, blocks, block_size, block, storage).map_err(|_| why)
            }
        };
        let (header, layout) = primary?;
        // `load` has read the entries into `storage`.
        let entries = GptPartitionEntryArray::new(layout, block_size, storage).map_err(|_| Unusable::Io)?;
        Ok(Self { header, entries, block_size, blocks })
    }

    /// The entries in use, with their place.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, &GptPartitionEntry)> {
        let all = (0..self.entries.layout().num_entries).map_while(|index| {
            let entry = self.entries.get_partition_entry(index)?;
            Some((index, entry))
        });
        all.filter(|(_, entry)| entry.is_used())
    }

    /// Whether all of it lies where the table has room for partitions, and on the disk.
    pub(crate) fn is_usable(&self, range: &LbaRangeInclusive) -> bool {
        let (first, last): (Lba, Lba) = (self.header.first_usable_lba.into(), self.header.last_usable_lba.into());
        range.start() >= first && range.end() <= last && range.end().to_u64() < self.blocks
    }

    /// The range in sectors.
    pub(crate) fn extent(&self, range: LbaRangeInclusive) -> Option<Extent> {
        sectors(range, self.block_size)
    }
}

/// Reads and checks the table whose header is at `lba`, its entries into `storage`.
fn load<Io: BlockIo>(
    disk: &mut Disk<Io>,
    lba: Lba,
    blocks: u64,
    block_size: BlockSize,
    block: &mut [u8],
    storage: &mut [u8],
) -> Result<(GptHeader, GptPartitionEntryArrayLayout), Unusable> {
    if lba.to_u64() >= blocks {
        return Err(Unusable::NoTable(NoTable::Signature));
    }
    let header = disk.read_gpt_header(lba, block).map_err(|_| Unusable::Io)?;
    let layout = check(&header, lba).map_err(Unusable::NoTable)?;
    let too_large = Unusable::NoTable(NoTable::Entries(layout.num_entries, layout.entry_size.to_u32()));
    let length = layout.num_blocks(block_size).ok_or(too_large)?;
    let end = layout.start_lba.to_u64().checked_add(length).ok_or(too_large)?;
    let bytes = layout.num_bytes_rounded_to_block_as_usize(block_size).ok_or(too_large)?;
    if length == 0 || end > blocks || bytes > storage.len() {
        return Err(too_large);
    }
    let entries = disk.read_gpt_partition_entry_array(layout, storage).map_err(|_| Unusable::Io)?;
    let expected = header.partition_entry_array_crc32;
    if entries.calculate_crc32() != expected {
        return Err(Unusable::NoTable(NoTable::Checksum));
    }
    Ok((header, layout))
}

fn check(header: &GptHeader, lba: Lba) -> Result<GptPartitionEntryArrayLayout, NoTable> {
    if !header.is_signature_valid() {
        return Err(NoTable::Signature);
    }
    let (crc, at) = (header.header_crc32, header.my_lba);
    if header.calculate_header_crc32() != crc || Lba::from(at) != lba {
        return Err(NoTable::Header);
    }
    let (count, bytes) = (header.number_of_partition_entries.to_u32(), header.size_of_partition_entry.to_u32());
    header.get_partition_entry_array_layout().map_err(|_| NoTable::Entries(count, bytes))
}
