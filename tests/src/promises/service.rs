//! S01 to S13, N10: the service partition. Guests use disks and entropy as if the hardware were theirs, and it may crash.
//!
//! Most is asked of bare-metal probes, in one boot for each GIC; Linux is in [`linux`].

mod absent;
mod console;
mod crash;
mod hvc;
mod hypercalls;
mod idle;
mod linux;
mod moved;
mod poisoned;
mod quiet;
mod sectors;

use crate::conversation::Conversation;
use crate::counters::Counters;
use crate::disk::{Content, Disk};
use crate::machine::{Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::probe::{Probe, field};
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, ensure};
use std::time::{SystemTime, UNIX_EPOCH};

/// Has a disk, one that it may only read, one that is slow, and an entropy device.
const ALICE: Probe = Probe { name: "alice", digit: 1 };
/// Has another part of Alice's disk.
const BOB: Probe = Probe { name: "bob", digit: 2 };
/// Alice's devices, by slot.
const ENTROPY: u64 = 0;
const DISK: u64 = 1;
const FROZEN: u64 = 2;
const SLOW: u64 = 3;
/// The service's digit for Ctrl-T: behind all others.
const DIGIT: u8 = 4;
/// Seconds for a boot, or for a service that comes back.
const SHORT: u64 = 40;

/// L09, S02, S03, S06, S07, S09, S11, S12, on probes.
const SERVICE: Scenario = Scenario {
    name: "service",
    kinds: &[Kind::V3, Kind::V2],
    when: When::Always,
    seconds: 300,
    promises: &[
        promise("S12", "clock_shows_the_time_of_day"),
        promise("S02", "read_only_disk_refuses_every_write"),
        promise("S03", "two_partitions_of_a_disk_reach_their_own_sectors_only"),
        promise("S03", "requests_beyond_the_capacity_are_refused"),
        promise("S06", "loads_from_a_transport_page_never_enter_el2"),
        promise("S07", "hypercalls_of_a_partition_that_is_not_the_service_are_refused"),
        promise("S09", "nothing_lands_after_a_reset_of_a_device_with_requests_in_flight"),
        promise("S09", "nothing_lands_in_the_life_after_one_with_requests_in_flight"),
        promise("S09", "a_driver_that_tells_nonsense_breaks_its_own_device_only"),
        promise("S11", "entropy_differs_between_two_requests_and_two_boots"),
        promise("L09", "a_stop_key_counts_while_a_restart_waits_for_the_service"),
    ],
    body: service,
};

/// S01 to S13, N10.
pub const SCENARIOS: &[&[Scenario]] = &[
    &[SERVICE],
    absent::SCENARIOS,
    console::SCENARIOS,
    crash::SCENARIOS,
    hvc::SCENARIOS,
    hypercalls::SCENARIOS,
    idle::SCENARIOS,
    linux::SCENARIOS,
    moved::SCENARIOS,
    poisoned::SCENARIOS,
    quiet::SCENARIOS,
];

/// Which EL2 a system runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum El2 {
    /// The one that users get.
    Ordinary,
    /// One that reads nonsense from HPFAR_EL2 where the architecture promises nothing, as emulators do not.
    Poisoned,
}

/// Boots `tests/systems/SYSTEM.toml` with these disks and an entropy device.
fn boot(run: &Run, el2: El2, system: &str, disks: &[&Disk]) -> Result<(Machine, Monitor)> {
    let image = match el2 {
        El2::Ordinary => run.project.image(system)?,
        El2::Poisoned => run.project.image_with(system, "poison-hpfar")?,
    };
    let socket = Socket::new()?;
    let recipe =
        disks.iter().fold(Recipe::virt(gic(run.kind)).kernel(&image).entropy(), |recipe, disk| recipe.disk(disk));
    let machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    Ok((machine, socket.accept(run)?))
}

/// Waits until the first lives of these probes take orders.
fn expect_ready(console: &mut Conversation, probes: &[Probe]) -> Result<()> {
    let ready: Vec<_> = probes.iter().map(|probe| move |line: &str| probe.begins(line)).collect();
    let ready: Vec<&dyn Fn(&str) -> bool> = ready.iter().map(|begins| begins as _).collect();
    console.expect_lines("the first lives", SHORT, &ready).map(drop)
}

/// `tests/systems/service.toml`, its probes ready, and its disks.
struct Shared {
    machine: Machine,
    monitor: Monitor,
    disk: Disk,
    frozen: Disk,
}

/// What the sectors of a partition hold before anybody has written to them, as words.
const FIRST: [(&str, u64); 3] =
    [("alice", 0x1111_1111_1111_1111), ("middle", 0x3333_3333_3333_3333), ("bob", 0x2222_2222_2222_2222)];

impl Shared {
    fn boot(run: &Run, el2: El2) -> Result<Self> {
        let parts = [("alice", Content::Empty(4)), ("middle", Content::Empty(1)), ("bob", Content::Empty(4))];
        let disk = Disk::gpt(run, "shared", &parts)?;
        for (label, word) in FIRST {
            fill(&disk, label, word)?;
        }
        let frozen = Disk::blank(run, "frozen", 1 << 20)?;
        frozen.write(0, &vec![0x77; 1 << 20])?;
        let slow = Disk::blank(run, "slow", 1 << 20)?.paced(500);
        slow.write(0, &vec![0x55; 1 << 20])?;
        let (mut machine, monitor) = boot(run, el2, "service", &[&disk, &frozen, &slow])?;
        expect_ready(&mut machine.console, &[ALICE, BOB])?;
        Ok(Self { machine, monitor, disk, frozen })
    }
}

/// Fills a partition with a word; the machine does not use it now.
fn fill(disk: &Disk, label: &str, word: u64) -> Result<()> {
    let range = disk.partition(label)?;
    let words = usize::try_from((range.end - range.start) / 8)?;
    disk.write(range.start, &word.to_le_bytes().repeat(words))
}

fn service(run: &mut Run) -> Result<()> {
    let mut shared = Shared::boot(run, El2::Ordinary)?;
    run.promise("clock_shows_the_time_of_day", |_| clock(&mut shared.machine.console));
    run.promise("read_only_disk_refuses_every_write", |_| sectors::read_only(&mut shared));
    run.promise("two_partitions_of_a_disk_reach_their_own_sectors_only", |_| sectors::own_only(&mut shared));
    run.promise("requests_beyond_the_capacity_are_refused", |_| sectors::beyond(&mut shared));
    let console = &mut shared.machine.console;
    run.promise("loads_from_a_transport_page_never_enter_el2", |_| loads(console));
    run.promise("hypercalls_of_a_partition_that_is_not_the_service_are_refused", |_| hypercalls::of_a_guest(console));
    run.promise("nothing_lands_after_a_reset_of_a_device_with_requests_in_flight", |run| {
        quiet::device_resets(console, quiet::rounds(run).0)
    });
    run.promise("nothing_lands_in_the_life_after_one_with_requests_in_flight", |run| {
        quiet::lives(console, quiet::rounds(run).1)
    });
    run.promise("a_driver_that_tells_nonsense_breaks_its_own_device_only", |_| quiet::hostile(console));
    run.promise("entropy_differs_between_two_requests_and_two_boots", |run| {
        let first = [entropy(console)?, entropy(console)?];
        let mut second = Shared::boot(run, El2::Ordinary)?;
        let second = entropy(&mut second.machine.console)?;
        let is_new = first[0] != first[1] && !first.contains(&second);
        ensure!(is_new, "one boot gave {first:?}, the next {second:?}");
        Ok(())
    });
    run.promise("a_stop_key_counts_while_a_restart_waits_for_the_service", |_| quiet::keys(console));
    Ok(())
}

/// PL031's data register, as the guest reads it.
fn clock(console: &mut Conversation) -> Result<()> {
    /// Seconds that a busy host may take from one look to the other.
    const PATIENCE: u64 = 20;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    let before = now()?;
    let seen = ALICE.value(console, "read32 0x09010000")?;
    let after = now()?;
    ensure!(
        (before - 2..=after + 2).contains(&seen) && after - before < PATIENCE,
        "{seen} is not in {before}..{after}"
    );
    Ok(())
}

/// Every offset of Alice's pages, in every size.
fn loads(console: &mut Conversation) -> Result<()> {
    const ROUNDS: u64 = 100;
    let before = Counters::ask(console, "alice/v0")?;
    for slot in [ENTROPY, DISK, FROZEN] {
        ALICE.ok_within(console, &format!("vread {slot} {ROUNDS}"), SHORT)?;
    }
    let after = Counters::ask(console, "alice/v0")?;
    // Its own console and timer, and what its input rings.
    let moved = after.moved_since(&before, &["uart", "forwarded", "doorbell", "maintenance"]);
    ensure!(moved.is_empty(), "EL2 was entered for loads: {}", moved.join(", "));
    Ok(())
}

/// 32 bytes of Alice's entropy device.
fn entropy(console: &mut Conversation) -> Result<String> {
    let said = ALICE.ok(console, &format!("entropy {ENTROPY} 32"))?;
    ensure!(field(&said, "bytes") == Some(32), "the device gave {said:?}");
    let bytes = said.split_whitespace().last().context("no bytes")?;
    ensure!(bytes.len() == 64, "32 bytes were {bytes:?}");
    Ok(bytes.to_owned())
}
