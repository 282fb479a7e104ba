//! Which partition a number names, and what a damaged or hostile record can do.

use gpt::Extent;
use gpt::mbr::{BYTES, Primary, Unusable, find};
use proptest::prelude::*;

const SECTORS: u64 = 1 << 20;

/// A record with these types, first sectors and counts.
fn record(entries: &[(u8, u32, u32)]) -> [u8; BYTES] {
    let mut record = [0; BYTES];
    for (entry, (kind, first, count)) in record[446..510].chunks_exact_mut(16).zip(entries) {
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&count.to_le_bytes());
    }
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

#[test]
fn a_number_is_a_place_in_the_table() {
    let record = record(&[(0x0c, 2048, 1000), (0, 0, 0), (0x83, 4096, 500)]);
    let extent = |sector, sectors| Extent { sector, sectors };
    assert_eq!(find(&record, 1, SECTORS), Ok(Primary { extent: extent(2048, 1000), is_fat: true }));
    assert_eq!(find(&record, 3, SECTORS), Ok(Primary { extent: extent(4096, 500), is_fat: false }));
    for number in [0, 2, 4, 5, 255] {
        assert_eq!(find(&record, number, SECTORS), Err(Unusable::Empty(number)));
    }
}

#[test]
fn what_is_no_record_is_told_apart() {
    assert_eq!(find(&[0; BYTES], 1, SECTORS), Err(Unusable::NoTable));
    let mut text = record(&[(0x83, 1, 1)]);
    text[446] = b'x';
    assert_eq!(find(&text, 1, SECTORS), Err(Unusable::NoTable), "a boot sector with text in the table's place");
    assert_eq!(find(&record(&[(0xee, 1, u32::MAX)]), 1, SECTORS), Err(Unusable::Gpt));
    assert_eq!(find(&record(&[(0x0f, 1, 9)]), 1, SECTORS), Err(Unusable::Container(1)));
}

#[test]
fn a_partition_that_is_not_on_the_disk_alone_is_refused() {
    for (first, count) in [(0, 5), (SECTORS as u32 - 1, 2), (u32::MAX, u32::MAX)] {
        assert_eq!(find(&record(&[(0x83, first, count)]), 1, SECTORS), Err(Unusable::Outside(first, count)));
    }
    assert!(find(&record(&[(0x83, SECTORS as u32 - 1, 1)]), 1, SECTORS).is_ok());
    let shared = record(&[(0x0c, 100, 100), (0x83, 199, 10), (0x83, 209, 10)]);
    assert_eq!(find(&shared, 2, SECTORS), Err(Unusable::Overlap(1)));
    assert!(find(&shared, 3, SECTORS).is_ok());
}

proptest! {
    #[test]
    fn whatever_is_found_lies_on_the_disk_behind_the_record(
        bytes in proptest::collection::vec(any::<u8>(), 64), number: u8, sectors in 0..1u64 << 33,
    ) {
        let mut record = [0; BYTES];
        record[446..510].copy_from_slice(&bytes);
        record[510..].copy_from_slice(&[0x55, 0xaa]);
        if let Ok(Primary { extent, .. }) = find(&record, number, sectors) {
            prop_assert!(extent.sector > 0 && extent.sectors > 0 && extent.sector + extent.sectors <= sectors);
        }
    }
}
