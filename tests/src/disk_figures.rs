//! What a disk of the service partition costs: exits and instructions of a guest's kicks and reads, and bytes.
//!
//! The guest `bench-disk` reads a disk whose pages hold their numbers. The plugin counts in two runs. In one, cores take
//! turns under `-icount` and the plugin holds the machine back until the disk has done what it was told: counts repeat,
//! whatever the host does meanwhile. What the service executes in turns without work is left out: how long it looks for
//! the next request is a choice, and depends on the disk. In the other run all cores work side by side, so that a kick
//! finds the service awake; from there comes only what does not depend on the host.

use crate::bench::{Row, Rows};
use crate::disk::Disk;
use crate::elcount::{self, Work};
use crate::machine::{GicVersion, Recipe};
use crate::run::Run;
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSegment};
use std::path::Path;

/// Seconds for a run.
const RUN: u64 = 240;
/// What the plugin waits for the disk, in microseconds.
const DISK_WAIT: u32 = 2000;
/// Bytes of the disk, and of a page.
const DISK: u64 = 32 << 20;
const PAGE: usize = 4096;
/// VMIDs of `tests/systems/bench-disk.toml`.
const GUEST: u64 = 1;
const SERVICE: u64 = 2;
/// Phases of the guest: kicks while the service sleeps and while it is awake.
const ASLEEP: u64 = 0;
const AWAKE: u64 = 1;

/// A phase of reads: its number and name, and whether its exits have a row.
const READS: [(u64, &str, bool); 3] = [(2, "read_4k_d1", true), (3, "read_4k_d32", true), (4, "read_128k_d1", false)];

/// One run: what each core executed in each phase, and how many kicks or reads a phase has.
struct Counted {
    work: Vec<Work>,
    text: String,
}

impl Counted {
    fn run(run: &Run, recipe: Recipe, options: &str) -> Result<Self> {
        let mut pages = vec![0; usize::try_from(DISK)?];
        for (number, page) in (0_u64..).zip(pages.chunks_exact_mut(PAGE)) {
            page[..8].copy_from_slice(&number.to_le_bytes());
        }
        let disk = Disk::blank(run, "bench", DISK)?;
        disk.write(0, &pages)?;
        let out = run.new_directory("elcount")?.join("out");
        let option = format!("{},cores=on{options}", elcount::option(run.project, &out)?);
        let recipe = recipe.kernel(&run.project.image("bench-disk")?).disk(&disk).arg("-plugin").arg(option);
        let mut machine = recipe.start(run)?;
        machine.console.expect("BENCH-DONE", RUN)?;
        machine.expect_power_off(RUN)?;
        let text = machine.console.transcript().text_from(0);
        Ok(Self { work: Work::read(&out)?, text })
    }

    /// All of one core in one phase.
    fn of(&self, phase: u64, vmid: u64) -> impl Iterator<Item = &Work> {
        self.work.iter().filter(move |work| (work.phase, work.vmid) == (Some(phase), vmid))
    }

    /// The only one.
    fn one(&self, phase: u64, vmid: u64) -> Result<Work> {
        self.of(phase, vmid).next().copied().with_context(|| format!("no phase {phase} of VMID {vmid}"))
    }

    /// Kicks or reads of a phase.
    fn count(&self, phase: u64) -> Result<u64> {
        let begins = format!("PHASE {phase} ");
        let line = self.text.lines().find(|line| line.contains(&begins));
        let count = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
        count.with_context(|| format!("the guest did not begin phase {phase}"))
    }

    /// Entries into EL2 on the guest's core for 100 reads. The guest has no timer.
    fn exits(&self, phase: u64) -> Result<u64> {
        let work = self.one(phase, GUEST)?;
        Ok(((work.synchronous + work.interrupts) * 100).div_ceil(self.count(phase)?))
    }
}

/// All rows of one GIC.
pub fn rows(run: &Run, gic: GicVersion) -> Result<Rows> {
    let (counted, mut rows) = repeatable(run, gic)?;
    rows.insert("notify_awake".into(), awake(run, gic)?);
    rows.insert("service_image".into(), exactly(image_bytes(&run.project.built("build/guests/service.elf")?)?));
    rows.insert("service_per_partition".into(), exactly(bytes_per_partition(run, gic, &counted.text)?));
    Ok(rows)
}

const fn exactly(number: u64) -> Row {
    Row { median: number, max: number }
}

/// Instructions of a kick that wakes the service and of reads, and exits.
fn repeatable(run: &Run, gic: GicVersion) -> Result<(Counted, Rows)> {
    let machine = Recipe::virt_with(gic, "cortex-a72,cntfrq=1000000000", ",dtb-randomness=off,virtualization=on");
    // Not `sleep=off`, by which time jumps ahead while all cores wait for the disk.
    let machine = machine.arg("-icount").arg("shift=0").arg("-rtc").arg("base=2026-01-01,clock=vm");
    let counted = Counted::run(run, machine, &format!(",disk_wait={DISK_WAIT}"))?;
    let mut rows = Rows::new();
    // Until the service runs: on the guest's core, and on the service's.
    let el2 = counted.one(ASLEEP, GUEST)?.el2 + counted.one(ASLEEP, SERVICE)?.el2;
    rows.insert("notify_asleep".into(), exactly(el2.div_ceil(counted.count(ASLEEP)?)));
    for (phase, name, has_exits) in READS {
        let (guest, service) = (counted.one(phase, GUEST)?, counted.one(phase, SERVICE)?);
        let parts =
            [("guest", guest.guest), ("el2", guest.el2 + service.el2), ("service", service.guest - service.idle)];
        let count = counted.count(phase)?;
        for (part, sum) in parts {
            rows.insert(format!("{name}_{part}"), exactly(sum / count));
        }
        rows.insert(name.into(), exactly(parts.iter().map(|(_, sum)| sum).sum::<u64>() / count));
        if has_exits {
            rows.insert(format!("exits_100_reads_{}", &name[5..]), exactly(counted.exits(phase)?));
        }
    }
    Ok((counted, rows))
}

/// Instructions of a kick while the service is awake, where all cores run side by side: the least, since the service may
/// fall asleep between the kick before and the one that counts. Exits are held to their bounds here too.
fn awake(run: &Run, gic: GicVersion) -> Result<Row> {
    let counted = Counted::run(run, Recipe::virt(gic), "")?;
    let kicks = counted.of(AWAKE, GUEST).filter(|work| (work.synchronous, work.interrupts) == (1, 0));
    let least = kicks.map(|work| work.el2).min().context("no kick found the service awake")?;
    // Side by side, a guest and a service that meet in the ring have fewer exits or as many.
    for (phase, most) in [(2, 300), (3, 20)] {
        let exits = counted.exits(phase)?;
        println!("{} exits for 100 reads of phase {phase}, all cores side by side", exits);
        ensure!(exits <= most, "{exits} exits for 100 reads of phase {phase}, at most {most} are promised");
    }
    Ok(exactly(least))
}

/// Bytes of memory that the service's image takes, zeroed memory and stack included.
fn image_bytes(file: &Path) -> Result<u64> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let elf = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF", file.display()))?;
    Ok(elf.segments().map(|segment| segment.size()).sum())
}

/// What one more partition with a disk takes of the service's heap.
fn bytes_per_partition(run: &Run, gic: GicVersion, one: &str) -> Result<u64> {
    let disks = [Disk::blank(run, "bench", DISK)?, Disk::blank(run, "more", DISK)?];
    let recipe = Recipe::virt(gic).kernel(&run.project.image("bench-disks")?);
    let mut machine = disks.iter().fold(recipe, Recipe::disk).start(run)?;
    machine.console.expect("in use", RUN)?;
    let two = machine.console.transcript().text_from(0);
    let (one, two) = (heap_in_use(one)?, heap_in_use(&two)?);
    ensure!(two > one, "a second partition takes nothing: {one} and {two} bytes");
    Ok(two - one)
}

/// From `life 1: 156K of 24324K in use`.
fn heap_in_use(text: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.split_once("life 1: ")).context("the service did not say its heap")?;
    let kib = line.1.split('K').next().and_then(|kib| kib.parse::<u64>().ok()).context("no number of KiB")?;
    Ok(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heap_in_use_is_read() {
        assert_eq!(heap_in_use("x\nservice| life 1: 156K of 24324K in use\n").unwrap(), 156 << 10);
    }
}
