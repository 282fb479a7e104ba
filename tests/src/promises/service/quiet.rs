//! S09: what a guest cuts off stays cut off. The probes look at all of their memory after each reset.

use super::{ALICE, BOB, DIGIT, DISK, El2, SLOW, Shared};
use crate::conversation::Conversation;
use crate::life::{el2_says, press_yes};
use crate::probe::{Answer, field};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, ensure};

/// Seconds for a life, or for many resets.
const PATIENCE: u64 = 120;
/// Resets in one order.
const ROUNDS: u32 = 100;
/// One life in so many ends by a key.
const BY_KEY: u32 = 10;
/// Resets of the device, and lives of the partition, in all runs; 1,000 together.
const V3: (u32, u32) = (800, 200);
/// Where it is the same code behind another interrupt controller.
const V2: (u32, u32) = (200, 30);
const LONG: (u32, u32) = (20_000, 2000);

/// S09 for longer.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "service_quiet_long",
    kinds: &[Kind::V3, Kind::V2],
    when: When::Long,
    seconds: 3600,
    promises: &[
        promise("S09", "nothing_lands_after_a_reset_of_a_device_with_requests_in_flight"),
        promise("S09", "nothing_lands_in_the_life_after_one_with_requests_in_flight"),
    ],
    body: long,
}];

/// How many resets of the device and lives of the partition.
pub fn rounds(run: &Run) -> (u32, u32) {
    if run.kind == Kind::V3 { V3 } else { V2 }
}

fn long(run: &mut Run) -> Result<()> {
    let console = &mut Shared::boot(run, El2::Ordinary)?.machine.console;
    run.promise("nothing_lands_after_a_reset_of_a_device_with_requests_in_flight", |_| device_resets(console, LONG.0));
    run.promise("nothing_lands_in_the_life_after_one_with_requests_in_flight", |_| lives(console, LONG.1));
    Ok(())
}

/// Resets of the device in the middle of its requests. After each the ring, all buffers and what lies between are
/// canaries, for a while; then the driver is ready again and a few blocks are checked.
pub fn device_resets(console: &mut Conversation, resets: u32) -> Result<()> {
    write_all(console)?;
    let (mut flown, mut cut_off) = (0, 0);
    for seed in 0..resets.div_ceil(ROUNDS) {
        let said = ALICE.ok_within(console, &format!("rebind {ROUNDS} {seed}"), PATIENCE)?;
        flown += field(&said, "flown").with_context(|| format!("no number in {said:?}"))?;
        cut_off += field(&said, "cut_off").with_context(|| format!("no number in {said:?}"))?;
    }
    println!("S09         {resets} resets of a device with {flown} requests in flight, {cut_off} of them cut off");
    ensure!(flown > u64::from(resets), "only {flown} requests were in flight at {resets} resets");
    ALICE.ok_within(console, "scan", PATIENCE).map(drop)
}

/// Gives each block of Alice's disk something to land.
fn write_all(console: &mut Conversation) -> Result<()> {
    ALICE.ok(console, &format!("open {DISK}"))?;
    ALICE.ok_within(console, "whole 1 0", PATIENCE)?;
    ALICE.ok_within(console, "scan", PATIENCE)?;
    ALICE.ok_within(console, "io 1 2000 48 4096 100", PATIENCE).map(drop)
}

/// Ends of Alice's life in the middle of its requests: the next one finds its RAM zeroed, now and a while later.
pub fn lives(console: &mut Conversation, lives: u32) -> Result<()> {
    write_all(console)?;
    ALICE.order(console, "reset")?;
    expect_life(console)?;
    let zeros = zeros(console)?;
    for life in 0..lives {
        if life % BY_KEY == 0 {
            ALICE.ok(console, &format!("open {DISK}"))?;
            console.send(format!("io {life} 1000000 100 4096 30\n"))?;
            press_yes(console, ALICE.digit, b'r')?;
        } else {
            // The slow one answers when its partition might have its next life already.
            let slot = if life % 2 == 0 { DISK } else { SLOW };
            console.send(format!("flyingreset {slot} {life}\n"))?;
        }
        expect_life(console)?;
        let found = self::zeros(console)?;
        ensure!(found == zeros, "life {life} found {found} words of zeros in its RAM, the first {zeros}");
    }
    // Whatever is late has come by now.
    ALICE.ok(console, "spin 500")?;
    let found = self::zeros(console)?;
    ensure!(found == zeros, "{found} words of zeros in its RAM, {zeros} before");
    ALICE.ok(console, &format!("open {DISK}"))?;
    ALICE.ok_within(console, "scan", PATIENCE).map(drop)
}

fn expect_life(console: &mut Conversation) -> Result<()> {
    console.expect_line("a new life of Alice", PATIENCE, |line| ALICE.begins(line).then_some(()))
}

fn zeros(console: &mut Conversation) -> Result<u64> {
    let said = ALICE.ok_on(console, "ram find 0")?;
    field(&said, "found").with_context(|| format!("no number in {said:?}"))
}

/// Nonsense at each of Alice's devices, while Bob's requests on the same physical disk go on.
pub fn hostile(console: &mut Conversation) -> Result<()> {
    /// Seeds and rounds of the attack.
    const SEEDS: u64 = 3;
    const ROUNDS: u64 = 300;
    let work = "io 1 20000 32 4096 50";
    BOB.ok(console, "open 0")?;
    BOB.ok_within(console, "whole 1 0", PATIENCE)?;
    BOB.ok_within(console, "scan", PATIENCE)?;
    let from = BOB.order(console, work)?;
    let mut broken = 0;
    for (slot, seed) in (0..3).flat_map(|slot| (1..=SEEDS).map(move |seed| (slot, seed))) {
        let said = ALICE.ok_within(console, &format!("vattack {slot} {seed} {ROUNDS}"), PATIENCE)?;
        broken += field(&said, "broken").with_context(|| format!("no number in {said:?}"))?;
    }
    ensure!(broken > SEEDS, "nothing was broken by it: it was no attack");
    let answer = BOB.answer_behind(console, from, work, PATIENCE)?;
    ensure!(matches!(answer, Answer::Ok(_)), "Bob's work ended in {answer:?}");
    BOB.ok_within(console, "scan", PATIENCE)?;
    // Her devices are devices again.
    ALICE.ok(console, &format!("open {DISK}"))?;
    let said = ALICE.ok(console, "request 0 0 4096")?;
    ensure!(field(&said, "status") == Some(0), "after the attack a read ended in {said:?}");
    Ok(())
}

/// Alice's life ends by `r`, waits for a service that does not run, and `k` makes that a stop. Its record says so, and how
/// long the life was: without the wait.
pub fn keys(console: &mut Conversation) -> Result<()> {
    /// How long the wait is at least, and how far `up` may be from the times of EL2's lines.
    const WAIT_MS: u32 = 3000;
    const TOLERANCE: f64 = 1.5;
    /// Alice's own core in EL2's lines (tests/systems/service.toml).
    const OWN: &str = "] core1 ";
    press_yes(console, ALICE.digit, b'r')?;
    let begins = el2_says(console, "partition 'alice' restarts: life ")?;
    expect_life(console)?;
    ALICE.ok(console, &format!("open {DISK}"))?;
    press_yes(console, DIGIT, b'k')?;
    el2_says(console, "partition 'service' stopped: by key")?;
    press_yes(console, ALICE.digit, b'r')?;
    let waits = el2_says(console, "partition 'alice' waits for the service partition")?;
    press_yes(console, ALICE.digit, b'k')?;
    BOB.ok(console, &format!("spin {WAIT_MS}"))?;
    press_yes(console, DIGIT, b'g')?;
    let cause = el2_says(console, "alice/v0: stopped by key")?;
    ensure!(cause.contains(OWN), "the service's word ended it, but another core went on with it: {cause:?}");
    let life = el2_says(console, "alice/v0: up ")?;
    el2_says(console, "partition 'alice' stopped: by key")?;
    let up = life.split(" up ").nth(1).and_then(|rest| rest.split_once(" s ")?.0.parse::<f64>().ok());
    let up = up.with_context(|| format!("no uptime: {life:?}"))?;
    let wanted = said_at(&waits)? - said_at(&begins)?;
    ensure!((up - wanted).abs() < TOLERANCE, "it was up {up} s, by EL2's lines {wanted} s: {begins:?}, {waits:?}");
    press_yes(console, ALICE.digit, b'g')?;
    expect_life(console)
}

/// Seconds since the board's start, at the beginning of a line of EL2's.
fn said_at(line: &str) -> Result<f64> {
    let time = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(time, _)| time.trim());
    time.and_then(|time| time.parse().ok()).with_context(|| format!("no time: {line:?}"))
}
