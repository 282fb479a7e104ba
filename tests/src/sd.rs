//! An SD card as QEMU's `raspi4b` takes it: a master boot record, a boot partition with a FAT file system, then partitions
//! for guests.

use crate::disk::{Disk, path_with_sbin};
use crate::project;
use crate::run::Run;
use anyhow::{Context, Result};
use std::ops::Range;
use std::path::Path;
use std::process::Command;

/// Bytes of a card: a power of two, which QEMU wants.
const CARD: u64 = 256 << 20;
const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// Partition types: FAT32 with LBA, Linux.
const FAT: u8 = 0x0c;
const LINUX: u8 = 0x83;
/// Type, first MiB and MiB of each partition.
const PARTITIONS: [(u8, u64, u64); 4] = [(FAT, 1, 40), (LINUX, 48, 64), (LINUX, 128, 2), (LINUX, 136, 1)];

/// A card.
pub struct Card(Disk);

impl Card {
    /// A card whose partition 2 is a copy of `root`; 3 and 4 are empty.
    pub fn new(run: &Run, root: &Path) -> Result<Self> {
        let disk = Disk::blank(run, "card", CARD)?;
        let mut record = [0; SECTOR as usize];
        for (entry, (kind, first, size)) in record[446..].chunks_exact_mut(16).zip(PARTITIONS) {
            let sectors = |mib: u64| (mib * MIB / SECTOR) as u32;
            entry[4] = kind;
            entry[8..12].copy_from_slice(&sectors(first).to_le_bytes());
            entry[12..].copy_from_slice(&sectors(size).to_le_bytes());
        }
        record[510..].copy_from_slice(&[0x55, 0xaa]);
        disk.write(0, &record)?;
        let card = Self(disk);
        let boot = run.new_directory("boot")?.join("image");
        let (_, _, size) = PARTITIONS[0];
        std::fs::File::create(&boot)?.set_len(size * MIB)?;
        let mut make = Command::new("mkfs.fat");
        project::run(make.env("PATH", path_with_sbin()).args(["-F", "32", "-n", "BOOT"]).arg(&boot))?;
        card.0.write(card.partition(1)?.start, &std::fs::read(&boot)?)?;
        card.0.write(card.partition(2)?.start, &std::fs::read(root)?)?;
        Ok(card)
    }

    /// QEMU's arguments for it.
    pub fn arguments(&self) -> [String; 2] {
        ["-drive".into(), format!("if=sd,format=raw,file={}", self.0.file())]
    }

    /// The image.
    pub fn disk(&self) -> &Disk {
        &self.0
    }

    /// Where the partition with this number lies, in bytes.
    pub fn partition(&self, number: usize) -> Result<Range<u64>> {
        let partition = number.checked_sub(1).and_then(|place| PARTITIONS.get(place));
        let (_, first, size) = partition.context("a card has no such partition")?;
        Ok(first * MIB..(first + size) * MIB)
    }

    /// What fsck.vfat says of the boot partition: nothing is wrong with it, and nothing is repaired.
    pub fn check_boot(&self, run: &Run) -> Result<()> {
        let copy = run.new_directory("fsck")?.join("image");
        std::fs::write(&copy, self.0.read(self.partition(1)?)?)?;
        project::run(Command::new("fsck.vfat").env("PATH", path_with_sbin()).arg("-n").arg(&copy)).map(drop)
    }
}
