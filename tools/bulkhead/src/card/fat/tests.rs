use super::*;
use crate::card::image::boot_volume;
use crate::card::mbr::FAT32;
use std::io::Cursor;

/// Offset of the first allocation table in a volume.
fn table(volume: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([volume[14], volume[15]])) * SECTOR as usize
}

/// A volume with the root folder in cluster 2, `one` of 1500 bytes in 3 to 5, and `two` of 600 bytes in 6 and 7.
fn volume() -> Vec<u8> {
    boot_volume(&[("one".to_owned(), vec![1; 1500]), ("two".to_owned(), vec![2; 600])]).unwrap()
}

/// What is wrong with the volume when cluster `at` is followed by `next` in both tables.
fn damage(at: usize, next: u32) -> Vec<String> {
    let mut bytes = volume();
    let sectors = u32::from_le_bytes(bytes[36..40].try_into().unwrap()) as usize;
    for copy in 0..2 {
        let entry = table(&bytes) + copy * sectors * SECTOR as usize + at * 4;
        bytes[entry..entry + 4].copy_from_slice(&next.to_le_bytes());
    }
    open(bytes).unwrap().damage.iter().map(Damage::to_string).collect()
}

fn open(bytes: Vec<u8>) -> Result<Volume, Damage> {
    let partition = Partition { number: 1, kind: FAT32, first: 0, sectors: bytes.len() as u64 / SECTOR };
    Volume::open(&mut Card::new(Cursor::new(bytes))?, &partition)
}

#[test]
fn a_sound_volume_has_no_damage() {
    assert_eq!(damage(5, END), [""; 0]);
    assert_eq!(damage(2, END | 7), [""; 0]);
}

#[test]
fn chains_that_lead_astray_are_named() {
    let others = "'two' goes on in cluster 4, which something else already has";
    assert_eq!(damage(6, 4), [others]);
    assert_eq!(damage(3, 3), ["'one' goes on in cluster 3, which something else already has"]);
    assert_eq!(damage(3, 0), ["'one' goes on in cluster 3, which is marked as free"]);
    assert_eq!(damage(3, 0x00ff_ffff), ["'one' goes on in cluster 16777215, which the file system does not have"]);
    assert_eq!(damage(3, 100), ["'one' goes on in cluster 100, which is marked as free"]);
    assert_eq!(damage(3, BAD), ["'one' goes on in a cluster that is marked as unusable"]);
    assert_eq!(damage(4, END), ["'one' has 1500 bytes and clusters for 1024"]);
    assert_eq!(damage(7, 8), ["'two' has more clusters than the 2 that it needs"]);
}

#[test]
fn a_root_folder_that_loops_ends() {
    assert_eq!(damage(2, 2), ["'/' goes on in cluster 2, which something else already has"]);
}

#[test]
fn boot_sectors_that_cannot_be_are_refused() {
    let refusal = |at: usize, value: &[u8]| {
        let mut bytes = volume();
        bytes[at..at + value.len()].copy_from_slice(value);
        open(bytes).err().map(|damage| damage.to_string()).unwrap_or_default()
    };
    assert_eq!(refusal(510, &[0]), "there is no FAT file system: its boot sector has no signature");
    assert_eq!(refusal(11, &[0, 16]), "the file system has sectors of 4096 bytes, a card of 512");
    assert_eq!(refusal(13, &[0]), "the file system has clusters of 0 sectors");
    assert_eq!(refusal(13, &[64]), "the file system is not FAT32");
    assert_eq!(refusal(16, &[9]), "the file system has 9 allocation tables of 1072 sectors");
    assert_eq!(refusal(22, &[1]), "the file system is not FAT32");
    assert_eq!(refusal(32, &[0xff; 4]), "the file system has 4294967295 sectors, its partition 139264");
    assert_eq!(refusal(36, &[1, 0]), "the file system has 2 allocation tables of 1 sectors");
}

#[test]
fn a_long_name_with_a_false_checksum_is_not_believed() {
    let mut bytes = volume();
    let root = table(&bytes) + 2 * u32::from_le_bytes(bytes[36..40].try_into().unwrap()) as usize * SECTOR as usize;
    let at = bytes[root..].windows(11).position(|name| name == b"ONE        ").unwrap();
    // Its checksum stands in the entry before.
    bytes[root + at - folder::ENTRY + 13] ^= 1;
    let names = open(bytes).unwrap().files.into_iter().map(|file| file.path);
    assert_eq!(names.collect::<Vec<_>>(), ["ONE", "two"]);
}
