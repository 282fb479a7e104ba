//! Writes a card image: partition table, boot partition, guests' disks.
//!
//! The same input gives the same bytes: files in the order of their names, no time of day, fixed numbers of volume and
//! card. Neither root nor a loop device is needed, since the boot partition is made in memory, by crate `fatfs`.

use super::fat::Volume;
use super::mbr::{self, FAT32, LINUX, Partition};
use super::{Card, SECTOR, config};
use crate::image;
use anyhow::{Context, Result, anyhow, ensure};
use fatfs::{Date, DateTime, FatType, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The name by which the firmware finds a 64-bit kernel.
pub const KERNEL: &str = "kernel8.img";
/// The firmware's settings.
pub const CONFIG: &str = "config.txt";

/// Partitions begin at multiples of it: what cards erase at once is no larger on most.
const ALIGN: u64 = 4 << 20;
/// What the boot partition leaves free, for another kernel beside the one that is there.
const BOOT_FREE: u64 = 64 << 20;
/// Largest boot partition: it is made in memory.
const BOOT_MAX: u64 = 2 << 30;
/// Bytes of the largest file that is copied from a card.
const EXTRACT_MAX: u64 = BOOT_MAX;
/// Volume number and label of the boot partition.
const VOLUME: (u32, [u8; 11]) = (0x424c_4b48, *b"BULKHEAD   ");
/// Bytes that are copied at a time, and left out where they are zeros: the image is sparse.
const CHUNK: usize = 64 << 10;

/// A guest's disk on the card: one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// The bytes of a file.
    Copy(PathBuf),
    /// So many bytes of zeros.
    Empty(u64),
}

impl Disk {
    fn bytes(&self) -> Result<u64> {
        let bytes = match self {
            Self::Copy(path) => std::fs::metadata(path).with_context(|| unreadable(path))?.len(),
            Self::Empty(bytes) => *bytes,
        };
        ensure!(bytes != 0, "a disk of no bytes: {self:?}");
        Ok(bytes)
    }
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// Writes the card `output`: `kernel`, the files of the folder `boot`, the default config.txt unless it is among them,
/// and the partitions 2 to 4 that guests have as disks.
pub fn write(output: &Path, kernel: &Path, boot: &Path, disks: &[Disk]) -> Result<()> {
    ensure!(disks.len() < mbr::MOST, "a card has room for {} disks, not for {}", mbr::MOST - 1, disks.len());
    let volume = boot_volume(&files(kernel, boot)?)?;
    let mut partitions = vec![partition(1, FAT32, ALIGN, volume.len() as u64)?];
    for (number, disk) in (2..).zip(disks) {
        let from = partitions.last().map_or(ALIGN, |last| (last.end() * SECTOR).next_multiple_of(ALIGN));
        partitions.push(partition(number, LINUX, from, disk.bytes()?)?);
    }
    // QEMU takes cards whose size is a power of two only.
    let end = partitions.last().map_or(ALIGN, |last| last.end() * SECTOR).next_power_of_two();
    image::write_by(output, |file| {
        file.set_len(end)?;
        file.write_all(&mbr::write(&partitions))?;
        copy(&mut Cursor::new(volume), file, ALIGN)?;
        for (disk, partition) in disks.iter().zip(partitions.iter().skip(1)) {
            if let Disk::Copy(path) = disk {
                let mut source = File::open(path).with_context(|| unreadable(path))?;
                copy(&mut source, file, partition.first * SECTOR).with_context(|| unreadable(path))?;
            }
        }
        Ok(())
    })
}

/// Copies the files of the boot partition to `folder`.
pub fn extract<D: Read + Seek>(card: &mut Card<D>, volume: &Volume, folder: &Path) -> Result<()> {
    for file in &volume.files {
        // A card may name a file as it likes, but not out of the folder.
        let is_plain =
            file.path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']));
        ensure!(is_plain, "the card has a file with the name {:?}", file.path);
        let path = folder.join(&file.path);
        let content = volume.content(card, file, EXTRACT_MAX).map_err(|damage| anyhow!("{}: {damage}", file.path))?;
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        image::write(&path, &content)?;
    }
    Ok(())
}

fn partition(number: usize, kind: u8, from: u64, bytes: u64) -> Result<Partition> {
    let partition = Partition { number, kind, first: from / SECTOR, sectors: bytes.div_ceil(SECTOR) };
    ensure!(
        partition.end() <= u64::from(u32::MAX),
        "the card would be larger than 2 TiB, where a partition table ends"
    );
    Ok(partition)
}

/// The boot partition's files with their names, by name.
fn files(kernel: &Path, boot: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = vec![(KERNEL.to_owned(), std::fs::read(kernel).with_context(|| unreadable(kernel))?)];
    for entry in boot.read_dir().with_context(|| unreadable(boot))? {
        let path = entry.with_context(|| unreadable(boot))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file()) else { continue };
        ensure!(!name.eq_ignore_ascii_case(KERNEL), "{} is the kernel's place on the card", path.display());
        files.push((name.to_owned(), std::fs::read(&path).with_context(|| unreadable(&path))?));
    }
    if !files.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONFIG)) {
        files.push((CONFIG.to_owned(), config::DEFAULT.as_bytes().to_vec()));
    }
    files.sort();
    Ok(files)
}

/// A FAT32 volume with `files`.
pub(super) fn boot_volume(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let used: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let size = used.saturating_add(BOOT_FREE).next_multiple_of(ALIGN);
    ensure!(size <= BOOT_MAX, "the boot partition would have {size} bytes, of at most {BOOT_MAX}");
    let mut volume = Cursor::new(vec![0; size as usize]);
    let (number, label) = VOLUME;
    let options = FormatVolumeOptions::new().fat_type(FatType::Fat32).volume_id(number).volume_label(label);
    let failed = "cannot make the boot partition";
    fatfs::format_volume(&mut volume, options).context(failed)?;
    volume.set_position(0);
    let system = fatfs::FileSystem::new(&mut volume, FsOptions::new().time_provider(&NO_TIME)).context(failed)?;
    for (name, bytes) in files {
        let write = || system.root_dir().create_file(name)?.write_all(bytes);
        write().with_context(|| format!("{failed}: {name}"))?;
    }
    // Counts the free clusters, which is written when the volume is left.
    system.stats().context(failed)?;
    system.unmount().context(failed)?;
    Ok(volume.into_inner())
}

/// A clock that stands at the first day of FAT.
#[derive(Debug)]
struct NoTime;

static NO_TIME: NoTime = NoTime;

impl TimeProvider for NoTime {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }
    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// Copies all of `source` to `offset` of the image, where zeros already are.
fn copy(source: &mut dyn Read, image: &mut File, offset: u64) -> Result<()> {
    static ZEROS: [u8; CHUNK] = [0; CHUNK];
    let mut chunk = vec![0; CHUNK];
    let mut at = offset;
    loop {
        let mut filled = 0;
        while filled < CHUNK {
            match source.read(&mut chunk[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        let held = &chunk[..filled];
        if held.is_empty() {
            return Ok(());
        }
        if *held != ZEROS[..filled] {
            image.seek(SeekFrom::Start(at))?;
            image.write_all(held)?;
        }
        at += filled as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_library_writes_the_other_reads() {
        let names = ["config.txt", "A.B", "bcm2711-rpi-4-b.dtb", "a long name with spaces and more than one part.text"];
        let contents = [0, 1, 512, 70_000].map(|size| (0..size).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
        let files: Vec<_> = names.map(str::to_owned).into_iter().zip(contents).collect();
        let bytes = boot_volume(&files).unwrap();
        assert!(bytes == boot_volume(&files).unwrap(), "the same twice");
        let whole = partition(1, FAT32, 0, bytes.len() as u64).unwrap();
        let mut card = Card::new(Cursor::new(bytes)).unwrap();
        let volume = Volume::open(&mut card, &whole).unwrap();
        assert!(volume.damage.is_empty(), "{:?}", volume.damage);
        assert_eq!(volume.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), names);
        for (name, content) in &files {
            let file = volume.find(&name.to_uppercase()).unwrap();
            assert!(volume.content(&mut card, file, u64::MAX).unwrap() == *content, "{name}");
            assert_eq!(volume.content(&mut card, file, 100).unwrap().len(), content.len().min(100));
        }
    }
}
