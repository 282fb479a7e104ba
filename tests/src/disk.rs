//! Disks of a machine: raw images made for one test, given to QEMU, and read when it has ended.
//!
//! An image belongs to its scenario: nothing that a guest does reaches a file of the checkout. A machine that is killed
//! leaves what QEMU has written in the host's page cache, so the image is what a power loss leaves.

use crate::project;
use crate::run::Run;
use anyhow::{Context, Result, anyhow, ensure};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a sector: virtio's unit, and the GPT's on every disk here.
pub const SECTOR: u64 = 512;

/// What a partition of a disk begins with.
pub enum Content<'a> {
    /// Zeros: so many MiB.
    Empty(u64),
    /// A file's bytes.
    Copy(&'a Path),
}

/// A disk image.
pub struct Disk {
    /// How the board names it.
    pub serial: String,
    path: PathBuf,
    /// Requests in a second, where they are limited.
    pace: Option<u32>,
    has_discard: bool,
}

impl Disk {
    /// A disk of zeros.
    pub fn blank(run: &Run, serial: &str, bytes: u64) -> Result<Self> {
        let disk = Self::new(run, serial)?;
        File::create(&disk.path)?.set_len(bytes)?;
        Ok(disk)
    }

    /// A disk with a GPT and these partitions, by label.
    pub fn gpt(run: &Run, serial: &str, partitions: &[(&str, Content)]) -> Result<Self> {
        let disk = Self::new(run, serial)?;
        let mut command = Command::new(run.project.root().join("scripts/disk-image"));
        command.arg(&disk.path);
        for (label, content) in partitions {
            command.arg(match content {
                Content::Empty(mib) => format!("{label}={mib}M"),
                Content::Copy(file) => format!("{label}={}", file.display()),
            });
        }
        project::run(&mut command)?;
        Ok(disk)
    }

    /// An image that is there already.
    pub fn found(serial: &str, path: PathBuf) -> Self {
        Self { serial: serial.to_owned(), path, pace: None, has_discard: true }
    }

    fn new(run: &Run, serial: &str) -> Result<Self> {
        Ok(Self::found(serial, run.new_directory("disk")?.join("image")))
    }

    /// So slow that requests stay with the board's device for a while: so many in a second, behind a tenth of them at once.
    pub fn paced(self, requests_in_a_second: u32) -> Self {
        Self { pace: Some(requests_in_a_second), ..self }
    }

    /// Without DISCARD and WRITE_ZEROES.
    pub fn without_discard(self) -> Self {
        Self { has_discard: false, ..self }
    }

    /// QEMU's arguments for it: one of the machine's virtio-mmio transports, of version 2.
    pub fn arguments(&self) -> [String; 6] {
        let file = self.file();
        let discard = if self.has_discard { "" } else { ",discard=off,write-zeroes=off" };
        let pace = self.pace.map_or_else(String::new, |pace| format!(",throttling.iops-total={pace}"));
        [
            "-global".into(),
            "virtio-mmio.force-legacy=false".into(),
            "-drive".into(),
            format!("if=none,format=raw,id={},file={file}{pace}", self.serial),
            "-device".into(),
            format!("virtio-blk-device,drive={0},serial={0}{1}", self.serial, discard),
        ]
    }

    /// The image as QEMU's options name a file.
    pub fn file(&self) -> String {
        // QEMU splits options at commas and reads a doubled comma as one.
        self.path.to_string_lossy().replace(',', ",,")
    }

    /// Where the first partition with this label lies, in bytes, as the primary GPT says (UEFI, "GUID Partition Table").
    pub fn partition(&self, label: &str) -> Result<Range<u64>> {
        const NAME: Range<usize> = 56..128;
        let header = self.read(SECTOR..2 * SECTOR)?;
        ensure!(header.starts_with(b"EFI PART"), "the disk {} has no GPT", self.serial);
        let (table, count, size) = (number(&header, 72, 8)?, number(&header, 80, 4)?, number(&header, 84, 4)?);
        for n in 0..count {
            let at = table * SECTOR + n * size;
            let entry = self.read(at..at + size)?;
            let name = entry.get(NAME).context("a GPT entry is too short")?.chunks_exact(2);
            let name: Vec<u16> = name.map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
            if String::from_utf16_lossy(&name).trim_end_matches('\0') == label {
                return Ok(number(&entry, 32, 8)? * SECTOR..(number(&entry, 40, 8)? + 1) * SECTOR);
            }
        }
        anyhow::bail!("the disk {} has no partition {label}", self.serial)
    }

    /// All of it.
    pub fn whole(&self) -> Result<Range<u64>> {
        Ok(0..self.path.metadata()?.len())
    }

    /// Its bytes there.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
        let read = File::open(&self.path).and_then(|file| file.read_exact_at(&mut bytes, range.start));
        read.with_context(|| format!("cannot read {range:?} of the disk {}", self.serial))?;
        Ok(bytes)
    }

    /// Writes there; no machine may run on it.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let written = File::options().write(true).open(&self.path).and_then(|file| file.write_all_at(bytes, at));
        written.with_context(|| format!("cannot write to the disk {}", self.serial))
    }

    /// The blocks there (crate `blocks`): how many were ever written, and the sum of all.
    pub fn blocks(&self, range: Range<u64>) -> Result<(u64, u64)> {
        let bytes = self.read(range)?;
        let (mut written, mut sum) = (0, 0_u64);
        for (number, block) in (0..).zip(bytes.chunks_exact(blocks::BYTES as usize)) {
            let (words, _) = block.as_chunks::<8>();
            let generation =
                blocks::identify(number, |n| words.get(n as usize).map_or(0, |word| u64::from_le_bytes(*word)));
            let generation = generation.map_err(|flaw| anyhow!("block {number} of {}: {flaw:?}", self.serial))?;
            written += u64::from(generation != 0);
            sum = sum.wrapping_add(blocks::weight(number, generation));
        }
        Ok((written, sum))
    }

    /// What e2fsck says of the file system in `range`: nothing is wrong with it, and nothing is repaired.
    ///
    /// One that was mounted when its machine died has a journal; it is played first, as the next mount would, on a copy.
    pub fn check_file_system(&self, run: &Run, range: Range<u64>) -> Result<()> {
        let copy = run.new_directory("fsck")?.join("image");
        std::fs::write(&copy, self.read(range)?)?;
        let fsck = |option: &str| {
            let mut command = Command::new("e2fsck");
            command.env("PATH", path_with_sbin()).arg(option).arg(&copy);
            command
        };
        let journal = fsck("-Ejournal_only").arg("-y").output().context("cannot run e2fsck: run `make setup`")?;
        // 1: the file system was changed, which is what playing a journal is.
        ensure!(journal.status.code().is_some_and(|code| code <= 1), "e2fsck ended with {}", journal.status);
        project::run(&mut fsck("-fn")).map(drop)
    }
}

/// Debian keeps the tools of file systems where ordinary users do not look.
pub fn path_with_sbin() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64> {
    let field = bytes.get(at..at + length).context("a GPT is too short")?;
    Ok(field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}
