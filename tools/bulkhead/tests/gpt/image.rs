//! Disk images with a GUID partition table, made here: for the reader's own tests and for system files that name one.

use gpt_disk_io::gpt_disk_types::{
    BlockSize, GptHeader, GptPartitionEntry, GptPartitionEntryArray, GptPartitionType, Lba, LbaLe, U32Le,
};
use gpt_disk_io::{BlockIoAdapter, Disk};

/// Entries of a table.
const ENTRIES: u32 = 128;
/// Sectors that they take.
const ENTRY_SECTORS: u64 = 32;

/// An image of `sectors` with partitions of (label, sectors) behind one another.
pub fn image(sectors: u64, partitions: &[(&str, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; sectors as usize * 512];
    let mut disk = Disk::new(BlockIoAdapter::new(&mut bytes[..], BlockSize::BS_512)).unwrap();
    let mut sector = [0; 512];
    let mut primary = GptHeader {
        my_lba: LbaLe::from_u64(1),
        alternate_lba: LbaLe::from_u64(sectors - 1),
        first_usable_lba: LbaLe::from_u64(2 + ENTRY_SECTORS),
        last_usable_lba: LbaLe::from_u64(sectors - 2 - ENTRY_SECTORS),
        partition_entry_lba: LbaLe::from_u64(2),
        number_of_partition_entries: U32Le::from_u32(ENTRIES),
        ..GptHeader::default()
    };
    let mut storage = vec![0; ENTRY_SECTORS as usize * 512];
    let layout = primary.get_partition_entry_array_layout().unwrap();
    let mut array = GptPartitionEntryArray::new(layout, BlockSize::BS_512, &mut storage).unwrap();
    let mut next = 2 + ENTRY_SECTORS;
    for (n, (label, size)) in partitions.iter().enumerate() {
        let mut entry = GptPartitionEntry {
            partition_type_guid: GptPartitionType::BASIC_DATA,
            starting_lba: LbaLe::from_u64(next),
            ending_lba: LbaLe::from_u64(next + size - 1),
            ..GptPartitionEntry::default()
        };
        let units = label.encode_utf16().flat_map(u16::to_le_bytes);
        entry.name.0.iter_mut().zip(units).for_each(|(byte, unit)| *byte = unit);
        *array.get_partition_entry_mut(n as u32).unwrap() = entry;
        next += size;
    }
    primary.partition_entry_array_crc32 = array.calculate_crc32();
    primary.update_header_crc32();
    let mut backup = GptHeader {
        my_lba: primary.alternate_lba,
        alternate_lba: primary.my_lba,
        partition_entry_lba: LbaLe::from_u64(sectors - 1 - ENTRY_SECTORS),
        ..primary
    };
    backup.update_header_crc32();
    disk.write_protective_mbr(&mut sector).unwrap();
    disk.write_primary_gpt_header(&primary, &mut sector).unwrap();
    disk.write_secondary_gpt_header(&backup, &mut sector).unwrap();
    disk.write_gpt_partition_entry_array(&array).unwrap();
    array.set_start_lba(Lba(sectors - 1 - ENTRY_SECTORS));
    disk.write_gpt_partition_entry_array(&array).unwrap();
    drop(disk);
    bytes
}
