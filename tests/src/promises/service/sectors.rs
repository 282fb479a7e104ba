//! S02 and S03: a partition reads and writes the sectors that are its own, whatever it asks for.

use super::{ALICE, BOB, DISK, FIRST, FROZEN, SHORT, Shared};
use crate::conversation::Conversation;
use crate::disk::SECTOR;
use crate::probe::{Probe, field};
use anyhow::{Context, Result, ensure};

/// VIRTIO_BLK_T_*.
const IN: u64 = 0;
const OUT: u64 = 1;
const DISCARD: u64 = 11;
const WRITE_ZEROES: u64 = 13;
/// VIRTIO_BLK_S_OK.
const OK: u64 = 0;
/// Bytes of the range of a discard: its sector, how many, flags.
const RANGE: u64 = 16;
/// Word that a partition writes over all of its own.
const WRITTEN: [(&str, u64); 2] = [("alice", 0xaaaa_aaaa_aaaa_aaaa), ("bob", 0xbbbb_bbbb_bbbb_bbbb)];

/// What a request came to.
struct Outcome {
    status: u64,
    /// The first word of the data, and how many others differ from it.
    first: u64,
    others: u64,
}

fn request(console: &mut Conversation, probe: &Probe, order: &str) -> Result<Outcome> {
    let said = probe.ok(console, &format!("request {order}"))?;
    let of = |name| field(&said, name).with_context(|| format!("`{order}` said {said:?}"));
    Ok(Outcome { status: of("status")?, first: of("first")?, others: of("others")? })
}

/// Opens a disk; its sectors.
fn open(console: &mut Conversation, probe: &Probe, slot: u64) -> Result<u64> {
    field(&probe.ok(console, &format!("open {slot}"))?, "sectors").context("a disk without sectors")
}

fn must_be_refused(console: &mut Conversation, probe: &Probe, order: &str) -> Result<()> {
    let status = request(console, probe, order)?.status;
    ensure!(status != OK, "{}: `{order}` was done", probe.name);
    Ok(())
}

/// No kind of write changes a disk that its partition may only read; reads work.
pub fn read_only(shared: &mut Shared) -> Result<()> {
    let Shared { machine, monitor, frozen, .. } = shared;
    let console = &mut machine.console;
    let list = ALICE.ok(console, "disks")?;
    ensure!(list.contains(&format!("{FROZEN}:disk,2048,ro")), "Alice's devices are {list:?}");
    let (before, writes) = (frozen.read(frozen.whole()?)?, monitor.disk_traffic("frozen")?.writes);
    open(console, &ALICE, FROZEN)?;
    for order in [format!("{OUT} 0 4096 0x99"), format!("{DISCARD} 0 {RANGE} 1"), format!("{WRITE_ZEROES} 0 {RANGE} 1")]
    {
        must_be_refused(console, &ALICE, &order)?;
    }
    let Outcome { status, first, others } = request(console, &ALICE, &format!("{IN} 0 4096"))?;
    ensure!((status, first, others) == (OK, 0x7777_7777_7777_7777, 0), "a read gave status {status}, {first:#x}");
    let traffic = monitor.disk_traffic("frozen")?;
    ensure!(traffic.writes == writes, "{} writes reached the board's disk", traffic.writes - writes);
    ensure!(frozen.read(frozen.whole()?)? == before, "the disk has changed");
    Ok(())
}

/// Two partitions read and overwrite all that they have; nobody's sectors are in both, and the rest is as it was.
pub fn own_only(shared: &mut Shared) -> Result<()> {
    let Shared { machine, disk, .. } = shared;
    let console = &mut machine.console;
    let before = disk.read(disk.whole()?)?;
    for (probe, slot, word) in [(ALICE, DISK, FIRST[0].1), (BOB, 0, FIRST[2].1)] {
        let sectors = open(console, &probe, slot)?;
        let part = disk.partition(probe.name)?;
        ensure!(sectors * SECTOR == part.end - part.start, "{} has {sectors} sectors of {part:?}", probe.name);
        let said = probe.ok_within(console, &format!("whole {IN} {word:#x}"), SHORT)?;
        ensure!(field(&said, "others") == Some(0), "{} read what is not its own: {said}", probe.name);
    }
    for (probe, (_, word)) in [ALICE, BOB].iter().zip(WRITTEN) {
        probe.ok_within(console, &format!("whole {OUT} {word:#x}"), SHORT)?;
    }
    let mut expected = before;
    for (label, word) in WRITTEN {
        let part = disk.partition(label)?;
        let bytes = expected.get_mut(usize::try_from(part.start)?..usize::try_from(part.end)?);
        let (words, _) = bytes.context("the partition lies outside")?.as_chunks_mut::<8>();
        words.fill(word.to_le_bytes());
    }
    let found = disk.read(disk.whole()?)?;
    let place = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    ensure!(place.is_none(), "byte {place:x?} of the disk is not as it must be");
    Ok(())
}

/// Requests that begin or end behind the last sector, wrap, or would be of the neighbour.
pub fn beyond(shared: &mut Shared) -> Result<()> {
    let Shared { machine, monitor, disk, .. } = shared;
    let console = &mut machine.console;
    let sectors = open(console, &ALICE, DISK)?;
    let (before, traffic) = (disk.read(disk.whole()?)?, monitor.disk_traffic("shared")?);
    let bob = (disk.partition("bob")?.start - disk.partition("alice")?.start) / SECTOR;
    let places = [sectors - 1, sectors, sectors + 1, bob, 1 << 55, (1 << 55) - 1, 1 << 63, u64::MAX - 7, u64::MAX];
    for sector in places {
        must_be_refused(console, &ALICE, &format!("{IN} {sector} 4096"))?;
        must_be_refused(console, &ALICE, &format!("{OUT} {sector} 4096 0x99"))?;
    }
    // A range whose sector and number are this word; its upper half is the flags.
    for word in [sectors, bob, u64::from(u32::MAX), u64::MAX] {
        must_be_refused(console, &ALICE, &format!("{DISCARD} 0 {RANGE} {word:#x}"))?;
        must_be_refused(console, &ALICE, &format!("{WRITE_ZEROES} 0 {RANGE} {word:#x}"))?;
    }
    // No whole sectors.
    for bytes in [1, 511, 513] {
        must_be_refused(console, &ALICE, &format!("{IN} 0 {bytes}"))?;
        must_be_refused(console, &ALICE, &format!("{OUT} 0 {bytes} 0x99"))?;
    }
    ensure!(monitor.disk_traffic("shared")? == traffic, "a request reached the board's disk");
    ensure!(disk.read(disk.whole()?)? == before, "the disk has changed");
    let status = request(console, &ALICE, &format!("{IN} {} 512", sectors - 1))?.status;
    ensure!(status == OK, "the last sector cannot be read: status {status}");
    Ok(())
}
