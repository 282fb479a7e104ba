//! Tables made by `gpt_disk_io`, whole and damaged.

#[path = "../../../tests/gpt/image.rs"]
mod image;

use super::*;
use image::image;
use proptest::prelude::*;
use std::io::Write;

const SECTORS: u64 = 200;

/// What is read from an image of these bytes.
fn read_bytes(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    read(&file, bytes.len() as u64 / SECTOR)
}

fn entry(label: &str, sectors: u64) -> Entry {
    Entry { label: label.to_owned(), bytes: sectors * SECTOR }
}

#[test]
fn labels_and_sizes_are_read() {
    let longest = "36 UTF-16 units: größer geht's nicht";
    let bytes = image(SECTORS, &[("rootfs-a", 8), ("", 1), (longest, 1), ("🦀", 2)]);
    assert_eq!(read_bytes(&bytes), Some(vec![entry("rootfs-a", 8), entry(longest, 1), entry("🦀", 2)]));
}

#[test]
fn a_disk_without_a_table_has_none() {
    assert_eq!(read_bytes(&[0; 100 * 512]), None);
    assert_eq!(read_bytes(&[0; 512]), None);
    assert_eq!(read_bytes(&[]), None);
}

#[test]
fn the_backup_counts_where_the_primary_is_damaged() {
    let good = image(SECTORS, &[("data", 4)]);
    let (header, array) = (512, 2 * 512);
    for place in [header, header + 20, header + 90, array, array + 127] {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        assert_eq!(read_bytes(&bytes), Some(vec![entry("data", 4)]), "byte {place}");
        let last = bytes.len() - 512;
        bytes[last + 16] ^= 1;
        assert_eq!(read_bytes(&bytes), None, "byte {place}, and the backup");
    }
}

#[test]
fn a_partition_that_ends_behind_the_disk_is_none() {
    let mut bytes = image(SECTORS, &[("data", 4), ("beyond", 500)]);
    assert_eq!(read_bytes(&bytes), Some(vec![entry("data", 4)]));
    bytes.truncate(100 * 512);
    assert_eq!(read_bytes(&bytes), Some(vec![entry("data", 4)]), "the backup is cut off");
}

proptest! {
    #[test]
    fn whatever_an_image_holds_it_is_read_to_an_end(
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        is_sealed in any::<bool>(),
    ) {
        let mut bytes = image(SECTORS, &[("data", 4)]);
        for (place, value) in noise {
            // Headers and arrays of both tables.
            let near = place.index(34 * 512);
            let at = if value & 1 == 0 { near } else { bytes.len() - 1 - near };
            bytes[at] = value;
        }
        if is_sealed {
            seal(&mut bytes[512..1024]);
        }
        read_bytes(&bytes);
    }
}

/// Makes the checksum of the header in `sector` right.
fn seal(sector: &mut [u8]) {
    sector[16..20].fill(0);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&sector[..92]);
    sector[16..20].copy_from_slice(&crc.to_le_bytes());
}
