//! Where a virtio disk's sectors are: which of the board's disks, and which part of it.

use crate::disk::{Disk, Reader};
use abi::plan::{self, Kind, Origin, Plan};
use addr::ByteSize;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use gpt::{BlockIo as _, Extent, Lba, NoTable, SECTOR, Unusable, mbr};

/// A part of one of the board's disks, or all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Volume {
    /// The disk's place among the board's.
    pub disk: usize,
    /// Its sectors.
    pub extent: Extent,
}

/// Why a partition cannot have the device that its system file names.
#[derive(Clone, Debug)]
pub enum Missing {
    /// No disk has this serial number.
    NoDisk,
    /// More than one has it.
    TwoDisks,
    /// No GPT partition has this label.
    NoLabel,
    /// Partitions on more than one disk have it.
    TwoLabels,
    /// The table or the partition on this disk is of no use.
    Unusable(usize, Unusable),
    /// No disk has a master boot record.
    NoRecord,
    /// More than one has.
    TwoRecords,
    /// The partition on this disk is of no use.
    Primary(usize, mbr::Unusable),
    /// It has a FAT file system, which firmware boots from, and is to be written.
    Boot,
    /// It has fewer bytes than the partition can do with.
    TooSmall(ByteSize, ByteSize),
    /// It cannot be written.
    ReadOnly,
    /// This partition's device in this slot has some of its sectors, and one of the two may write.
    Shared(&'static str, u8),
    /// The kept memory is too small to read a partition table.
    Memory,
    /// The board has no entropy device that can be used.
    NoEntropy,
    /// The board's random number generator does not answer.
    NoGenerator,
    /// The plan has no network.
    NoNetwork,
}

/// A missing device's reason, with what to do.
pub struct Explained<'e> {
    /// Why.
    pub why: &'e Missing,
    /// The board's disks.
    pub disks: &'e [Disk],
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Missing::NoDisk => {
                f.write_str("no disk of the board has this serial number")?;
                self.present(f)
            }
            Missing::TwoDisks => f.write_str("two disks of the board have this serial number: give one another"),
            Missing::NoLabel => {
                f.write_str("no GPT partition of the board's disks has this label")?;
                self.present(f)
            }
            Missing::TwoLabels => f.write_str("two GPT partitions have this label: rename one (sgdisk -c)"),
            Missing::Unusable(disk, Unusable::NoTable(why)) => {
                let serial = self.disks.get(*disk).map_or("", |disk| &disk.facts().serial);
                write!(f, "disk '{serial}': {why} (sgdisk --verify)")
            }
            Missing::Unusable(disk, why) => {
                let serial = self.disks.get(*disk).map_or("", |disk| &disk.facts().serial);
                write!(f, "disk '{serial}': {why}")
            }
            Missing::NoRecord => {
                f.write_str("no disk of the board has a master boot record")?;
                self.present(f)
            }
            Missing::TwoRecords => f.write_str("two disks of the board have a master boot record: give one a GPT"),
            Missing::Primary(disk, why) => {
                let serial = self.disks.get(*disk).map_or("", |disk| &disk.facts().serial);
                write!(f, "disk '{serial}': {why} (sfdisk -l)")
            }
            Missing::Boot => f.write_str("it has a FAT file system, which firmware boots from: write mode = \"ro\""),
            Missing::TooSmall(has, wants) => write!(f, "it has {has}, at_least wants {wants}"),
            Missing::ReadOnly => f.write_str("the board's disk is read-only: write mode = \"ro\""),
            Missing::Shared(partition, slot) => write!(
                f,
                "virtio device {slot} of '{partition}' shares sectors with it, and one of the two is mode = \"rw\""
            ),
            Missing::Memory => f.write_str("the service's kept memory is too small (raise [service] memory)"),
            Missing::NoNetwork => f.write_str("the plan has no network: build the image again"),
            Missing::NoGenerator => {
                f.write_str("the board's random number generator does not answer (QEMU's raspi4b has none)")
            }
            Missing::NoEntropy => {
                f.write_str("the board has no entropy device that can be used (QEMU: -device virtio-rng-device)")
            }
        }
    }
}

impl Explained<'_> {
    fn present(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = " (there are: ";
        if self.disks.is_empty() {
            return f.write_str(" (there is no disk)");
        }
        for disk in self.disks {
            write!(f, "{separator}{}", disk.facts().serial)?;
            separator = ", ";
        }
        f.write_str(")")
    }
}

/// Finds disks and partitions, while the service starts.
pub struct Finder {
    plan: &'static Plan,
    buffer: Option<NonNull<u8>>,
    table: Vec<u8>,
}

impl Finder {
    /// Nothing found yet.
    pub fn new(plan: &'static Plan) -> Self {
        Self { plan, buffer: Reader::buffer(), table: vec![0; gpt::BUFFER] }
    }

    /// What the system file names, if it is there and large enough.
    pub fn find(&mut self, disks: &mut [Disk], wanted: &plan::Disk) -> Result<Volume, Missing> {
        let volume = match &wanted.from {
            Origin::Disk(serial) => whole(disks, serial)?,
            Origin::Gpt(label) => self.labelled(disks, label)?,
            Origin::Mbr(number) => self.numbered(disks, *number, wanted.is_read_only)?,
        };
        let bytes = volume.extent.sectors.saturating_mul(SECTOR);
        if bytes < wanted.at_least {
            return Err(Missing::TooSmall(ByteSize(bytes), ByteSize(wanted.at_least)));
        }
        let is_read_only = disks.get(volume.disk).is_some_and(|disk| disk.facts().is_read_only);
        if is_read_only && !wanted.is_read_only { Err(Missing::ReadOnly) } else { Ok(volume) }
    }

    fn labelled(&mut self, disks: &mut [Disk], label: &str) -> Result<Volume, Missing> {
        let buffer = self.buffer.ok_or(Missing::Memory)?;
        let (mut found, mut wrong) = (None, None);
        let plan = self.plan;
        for (number, disk) in disks.iter_mut().enumerate().filter(|(_, disk)| !disk.is_lost()) {
            // Its owner may write any table there, with labels of others.
            if is_given_away(plan, &disk.facts().serial) {
                continue;
            }
            // So may the owner of a partition of a master boot record, at the ends of the disk.
            if self.table.split_first_chunk_mut().is_some_and(|(record, _)| has_partitions(disk, buffer, record)) {
                continue;
            }
            match gpt::find(Reader::new(disk, buffer), label, &mut self.table) {
                Ok(_) if found.is_some() => return Err(Missing::TwoLabels),
                Ok(extent) => found = Some(Volume { disk: number, extent }),
                // A disk without a table, or with other labels, is none of this device's business.
                Err(Unusable::NoLabel | Unusable::NoTable(NoTable::Signature)) => {}
                Err(why) => wrong = Some(Missing::Unusable(number, why)),
            }
        }
        found.ok_or(wrong.unwrap_or(Missing::NoLabel))
    }
}

impl Finder {
    /// A primary partition of the one disk that has a master boot record.
    fn numbered(&mut self, disks: &mut [Disk], number: u8, is_read_only: bool) -> Result<Volume, Missing> {
        let buffer = self.buffer.ok_or(Missing::Memory)?;
        let mut found = None;
        for (place, disk) in disks.iter_mut().enumerate().filter(|(_, disk)| !disk.is_lost()) {
            if is_given_away(self.plan, &disk.facts().serial) {
                continue;
            }
            let capacity = disk.facts().capacity;
            let Some((record, _)) = self.table.split_first_chunk_mut::<{ mbr::BYTES }>() else { continue };
            if !reads_record(disk, buffer, record) {
                continue;
            }
            match mbr::find(record, number, capacity) {
                // A disk without a record is none of this device's business.
                Err(mbr::Unusable::NoTable | mbr::Unusable::Gpt) => {}
                _ if found.is_some() => return Err(Missing::TwoRecords),
                result => found = Some((place, result)),
            }
        }
        let (disk, result) = found.ok_or(Missing::NoRecord)?;
        match result {
            Ok(primary) if primary.is_fat && !is_read_only => Err(Missing::Boot),
            Ok(primary) => Ok(Volume { disk, extent: primary.extent }),
            Err(why) => Err(Missing::Primary(disk, why)),
        }
    }
}

/// Reads a disk's first sector; a disk of larger blocks has no master boot record that is known here.
fn reads_record(disk: &mut Disk, buffer: NonNull<u8>, record: &mut [u8; mbr::BYTES]) -> bool {
    let mut reader = Reader::new(disk, buffer);
    reader.block_size().to_u64() == SECTOR && reader.read_blocks(Lba(0), record).is_ok()
}

/// Whether a disk has a master boot record of its own, and not one that protects a GPT.
fn has_partitions(disk: &mut Disk, buffer: NonNull<u8>, record: &mut [u8; mbr::BYTES]) -> bool {
    let capacity = disk.facts().capacity;
    let is_read = reads_record(disk, buffer, record);
    is_read && !matches!(mbr::find(record, 1, capacity), Err(mbr::Unusable::NoTable | mbr::Unusable::Gpt))
}

/// Whether a partition may write the whole of the disk with this serial number.
fn is_given_away(plan: &Plan, serial: &str) -> bool {
    plan.devices.iter().any(|device| match &device.kind {
        Kind::Disk(plan::Disk { from: Origin::Disk(whole), is_read_only: false, .. }) => whole.as_str() == serial,
        _ => false,
    })
}

fn whole(disks: &[Disk], serial: &str) -> Result<Volume, Missing> {
    let mut with_serial = disks.iter().enumerate().filter(|(_, disk)| disk.facts().serial == serial && !disk.is_lost());
    let (number, disk) = with_serial.next().ok_or(Missing::NoDisk)?;
    let extent = Extent { sector: 0, sectors: disk.facts().capacity };
    if with_serial.next().is_some() { Err(Missing::TwoDisks) } else { Ok(Volume { disk: number, extent }) }
}
