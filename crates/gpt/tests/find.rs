//! Which partition a label names, and what a damaged or hostile table can do.

use gpt::{BUFFER, BlockSize, Extent, NoTable, Unusable};
use gpt_disk_io::{BlockIoAdapter, Disk};
use gpt_disk_types::{
    GptHeader, GptPartitionEntry, GptPartitionEntryArray, GptPartitionEntryArrayLayout, GptPartitionEntrySize,
    GptPartitionName, GptPartitionType, Lba, LbaLe, U32Le,
};
use proptest::prelude::*;

const BLOCKS: u64 = 512;
const ENTRIES: u32 = 128;

/// `label` in UTF-16.
fn name(label: &str) -> GptPartitionName {
    let mut name = GptPartitionName::default();
    name.0.iter_mut().zip(label.encode_utf16().flat_map(u16::to_le_bytes)).for_each(|(byte, value)| *byte = value);
    name
}

/// A disk of 512 blocks with both tables, and partitions of these labels, first and last blocks.
fn disk(block_size: BlockSize, partitions: &[(&str, u64, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; (BLOCKS * block_size.to_u64()) as usize];
    let array_blocks = u64::from(ENTRIES) * 128 / block_size.to_u64();
    for (lba, alternate, entries_at) in [(1, BLOCKS - 1, 2), (BLOCKS - 1, 1, BLOCKS - 1 - array_blocks)] {
        let layout = GptPartitionEntryArrayLayout {
            start_lba: Lba(entries_at),
            entry_size: GptPartitionEntrySize::default(),
            num_entries: ENTRIES,
        };
        let mut storage = vec![0; 128 * ENTRIES as usize];
        let mut entries = GptPartitionEntryArray::new(layout, block_size, &mut storage).expect("a table that fits");
        for (index, (label, first, last)) in (0..).zip(partitions) {
            *entries.get_partition_entry_mut(index).expect("a table that fits") = GptPartitionEntry {
                partition_type_guid: GptPartitionType::BASIC_DATA,
                starting_lba: LbaLe::from_u64(*first),
                ending_lba: LbaLe::from_u64(*last),
                name: name(label),
                ..Default::default()
            };
        }
        let mut header = GptHeader {
            my_lba: LbaLe::from_u64(lba),
            alternate_lba: LbaLe::from_u64(alternate),
            first_usable_lba: LbaLe::from_u64(2 + array_blocks),
            last_usable_lba: LbaLe::from_u64(BLOCKS - 2 - array_blocks),
            partition_entry_lba: LbaLe::from_u64(entries_at),
            number_of_partition_entries: U32Le::from_u32(ENTRIES),
            partition_entry_array_crc32: entries.calculate_crc32(),
            ..Default::default()
        };
        header.update_header_crc32();
        let mut disk = Disk::new(BlockIoAdapter::new(bytes.as_mut_slice(), block_size)).expect("a table that fits");
        let mut block = vec![0; block_size.to_usize().expect("a table that fits")];
        disk.write_gpt_header(Lba(lba), &header, &mut block).expect("a table that fits");
        disk.write_gpt_partition_entry_array(&entries).expect("a table that fits");
    }
    bytes
}

fn find_in(block_size: BlockSize, disk: &mut [u8], label: &str) -> Result<Extent, Unusable> {
    gpt::find(BlockIoAdapter::new(disk, block_size), label, &mut [0; BUFFER])
}

fn find(disk: &mut [u8], label: &str) -> Result<Extent, Unusable> {
    find_in(BlockSize::BS_512, disk, label)
}

fn two() -> Vec<u8> {
    disk(BlockSize::BS_512, &[("rootfs-a", 64, 127), ("daten-ä", 128, 128)])
}

#[test]
fn a_label_names_its_blocks() {
    assert_eq!(find(&mut two(), "rootfs-a"), Ok(Extent { sector: 64, sectors: 64 }));
    assert_eq!(find(&mut two(), "daten-ä"), Ok(Extent { sector: 128, sectors: 1 }));
    assert_eq!(find(&mut two(), "rootfs"), Err(Unusable::NoLabel));
    assert_eq!(find(&mut two(), ""), Err(Unusable::NoLabel), "entries that are not used have no label");
}

#[test]
fn a_label_may_have_characters_of_two_utf_16_units() {
    let mut bytes = disk(BlockSize::BS_512, &[("🦀", 64, 64), ("a label of 36 UTF-16 units: größer ✓", 65, 65)]);
    assert_eq!(find(&mut bytes, "🦀"), Ok(Extent { sector: 64, sectors: 1 }));
    assert_eq!(find(&mut bytes, "a label of 36 UTF-16 units: größer ✓"), Ok(Extent { sector: 65, sectors: 1 }));
}

#[test]
fn labels_are_listed_in_the_tables_order() {
    let listed = |bytes: &mut [u8]| {
        let mut labels = Vec::new();
        let io = BlockIoAdapter::new(bytes, BlockSize::BS_512);
        let outcome = gpt::labels(io, &mut [0; BUFFER], &mut |label| labels.push(label.collect::<String>()));
        (labels, outcome)
    };
    let mut bytes = disk(BlockSize::BS_512, &[("rootfs-a", 64, 64), ("", 65, 65), ("🦀", 66, 66)]);
    assert_eq!(listed(&mut bytes), (vec!["rootfs-a".to_owned(), "🦀".to_owned()], Ok(())));
    assert_eq!(listed(&mut [0; 4096]), (vec![], Err(Unusable::NoTable(NoTable::Signature))));
}

#[test]
fn blocks_of_4096_bytes_count_as_eight_sectors() {
    let mut bytes = disk(BlockSize::BS_4096, &[("a", 64, 65)]);
    assert_eq!(find_in(BlockSize::BS_4096, &mut bytes, "a"), Ok(Extent { sector: 512, sectors: 16 }));
}

#[test]
fn a_damaged_primary_table_gives_way_to_the_backup() {
    for at in [512, 512 + 16, 1024, 1024 + 56] {
        let mut bytes = two();
        bytes[at] ^= 1;
        assert_eq!(find(&mut bytes, "rootfs-a"), Ok(Extent { sector: 64, sectors: 64 }), "byte {at}");
    }
}

#[test]
fn two_damaged_tables_are_refused_for_the_first_ones_reason() {
    let backup = (BLOCKS as usize - 1) * 512;
    let reasons = [(0, NoTable::Signature), (16, NoTable::Header)];
    for (at, reason) in reasons {
        let mut bytes = two();
        bytes[512 + at] ^= 1;
        bytes[backup + at] ^= 1;
        assert_eq!(find(&mut bytes, "rootfs-a"), Err(Unusable::NoTable(reason)));
    }
    let mut bytes = two();
    bytes[1024] ^= 1;
    bytes[backup] ^= 1;
    assert_eq!(find(&mut bytes, "rootfs-a"), Err(Unusable::NoTable(NoTable::Checksum)));
}

#[test]
fn a_disk_without_a_table_says_so() {
    for bytes in [0, 512, 1024, 1 << 20] {
        let mut empty = vec![0; bytes];
        assert_eq!(find(&mut empty, "a"), Err(Unusable::NoTable(NoTable::Signature)), "{bytes} bytes");
    }
}

#[test]
fn a_label_that_two_partitions_have_is_refused() {
    let mut bytes = disk(BlockSize::BS_512, &[("a", 64, 127), ("a", 128, 130)]);
    assert_eq!(find(&mut bytes, "a"), Err(Unusable::Ambiguous(2)));
}

#[test]
fn a_partition_that_shares_blocks_with_another_is_refused() {
    let mut bytes = disk(BlockSize::BS_512, &[("a", 64, 127), ("b", 127, 130)]);
    assert_eq!(find(&mut bytes, "a"), Err(Unusable::Overlap(Lba(127))));
    assert_eq!(find(&mut bytes, "b"), Err(Unusable::Overlap(Lba(64))));
}

#[test]
fn a_partition_outside_the_usable_blocks_is_refused() {
    for (first, last) in [(1, 64), (100, 511), (100, 1 << 40), (100, 99), (u64::MAX, u64::MAX)] {
        let mut bytes = disk(BlockSize::BS_512, &[("a", first, last)]);
        assert_eq!(find(&mut bytes, "a"), Err(Unusable::Outside(Lba(first), Lba(last))));
    }
}

proptest! {
    /// Headers that pass their checksum and say anything else: no panic, and no extent beyond the disk.
    #[test]
    fn a_hostile_table_names_no_sector_beyond_the_disk(
        first_usable in any::<u64>(), last_usable in any::<u64>(), entries_at in 0u64..1100, count in 0u32..600,
        size in prop::sample::select(vec![0u32, 1, 64, 128, 256, 1 << 16, 1 << 31]),
        ranges in prop::collection::vec((0u64..600, 0u64..600), 1..4),
    ) {
        let named: Vec<_> = ranges.iter().map(|(first, last)| ("a", *first, *last)).collect();
        let mut bytes = disk(BlockSize::BS_512, &named);
        let mut header = GptHeader {
            my_lba: LbaLe::from_u64(1),
            first_usable_lba: LbaLe::from_u64(first_usable),
            last_usable_lba: LbaLe::from_u64(last_usable),
            partition_entry_lba: LbaLe::from_u64(entries_at),
            number_of_partition_entries: U32Le::from_u32(count),
            size_of_partition_entry: U32Le::from_u32(size),
            ..*Disk::new(BlockIoAdapter::new(bytes.as_mut_slice(), BlockSize::BS_512)).expect("a table that fits")
                .read_primary_gpt_header(&mut [0; 512]).as_ref().expect("a table that fits")
        };
        header.update_header_crc32();
        Disk::new(BlockIoAdapter::new(bytes.as_mut_slice(), BlockSize::BS_512)).expect("a table that fits")
            .write_gpt_header(Lba(1), &header, &mut [0; 512]).expect("a table that fits");
        if let Ok(extent) = find(&mut bytes, "a") {
            prop_assert!(extent.sectors > 0 && extent.sector + extent.sectors <= BLOCKS);
        }
    }
}
