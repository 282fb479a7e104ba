//! N05, N12: what one partition takes away from the others, and what its limits leave it.
//!
//! All on the virtual clock (`-icount`): a tick is an instruction of some core, cores take turns, and how busy the host is
//! does not matter.

use super::boot;
use super::hostile::start;
use super::probes::{ALICE, BOB, BROADCAST, LIMITED, MALLORY, Station, ethernet, hex, udp};
use crate::conversation::Conversation;
use crate::disk::Disk;
use crate::machine::{Machine, Recipe};
use crate::probe::field;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;

/// Frames that Alice has answered by Bob, of so many bytes, so many at a time; one that is lost is sent again after
/// milliseconds.
const TALK: (u64, u64, u64, u64) = (1514, 400, 8, 5);
/// Milliseconds of the virtual clock that Mallory floods, or does nothing but spin: longer than the talk takes.
const LONG_MS: u64 = 400;
/// Bytes of the frames of a flood.
const FLOOD: usize = 60;
/// The limits of `tests/systems/net-limits.toml`, in bits and requests per second.
const BANDWIDTH: f64 = 100e6;
const IOPS: f64 = 400.0;
/// By how much a rate may be off.
const TOLERANCE: f64 = 0.05;
/// Milliseconds in which every bucket is full again.
const FULL_MS: u64 = 30;
/// A short and a long while in milliseconds, and a few and many requests.
const WINDOWS_MS: [u64; 2] = [40, 240];
const REQUESTS: [u64; 2] = [40, 440];
/// Ethernet frame bytes where bandwidth is measured.
const BYTES: u64 = 1514;

/// N05, N12.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "network_flood",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 240,
        promises: &[
            promise("N05", "others_keep_half_their_throughput_in_a_broadcast_storm"),
            promise("N05", "others_keep_half_their_throughput_when_one_floods_the_gateway"),
            promise("N05", "others_keep_half_their_throughput_when_one_floods_one_of_them"),
        ],
        body: flood,
    },
    Scenario {
        name: "network_limits",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 240,
        promises: &[
            promise("N12", "bandwidth_limit_of_what_is_sent_holds_within_5_percent"),
            promise("N12", "bandwidth_limit_of_what_is_received_holds_within_5_percent"),
            promise("N12", "limit_of_requests_per_second_holds_within_5_percent"),
        ],
        body: limits,
    },
];

fn counted(run: &Run, system: &str, equip: impl FnOnce(Recipe) -> Recipe) -> Result<Machine> {
    Ok(boot(run, system, |recipe| equip(recipe.arg("-icount").arg("shift=0,sleep=off")))?.0)
}

/// Ticks of a talk between Alice and Bob, while Mallory is at his order, from before its begin to behind its end.
fn talk(console: &mut Conversation, order: &str) -> Result<u64> {
    let (bytes, count, window, again) = TALK;
    let mallory = MALLORY.begin(console, order)?;
    let listens = BOB.listen(console)?;
    let said = ALICE.probe.ok_within(
        console,
        &format!("nping {} {bytes} {count} {window} {again}", BOB.address()),
        super::WORK,
    )?;
    let is_over = MALLORY.probe.has_answered(console, mallory, order);
    ensure!(!is_over, "Mallory was through with `{order}` before Alice was with {said:?}");
    BOB.heard(console, listens)?;
    MALLORY.done(console, mallory, order)?;
    field(&said, "ticks").with_context(|| format!("no ticks in {said:?}"))
}

fn flood(run: &mut Run) -> Result<()> {
    let mut machine = counted(run, "net-probes", |recipe| recipe)?;
    let console = &mut machine.console;
    start(console, &[&ALICE, &BOB, &MALLORY])?;
    // He spins there too: the cores take the same turns.
    let alone = talk(console, &format!("spin {LONG_MS}"))?;
    let mut kept = |name, to: [u8; 6], ip: Ipv4Addr| {
        run.promise(name, |run| {
            let frame = ethernet(to, MALLORY.mac, 0x0800, &udp((MALLORY.ip, 9), (ip, 9), &[0; FLOOD - 42]));
            let flooded = talk(console, &format!("nflood {} {FLOOD} {LONG_MS}", hex(&frame)))?;
            let (bytes, count, ..) = TALK;
            println!(
                "N05   {}   {count} frames of {bytes} bytes and their answers: {alone} ticks alone, {flooded} {name}",
                run.kind
            );
            ensure!(flooded <= 2 * alone, "{alone} ticks for {count} frames became {flooded}");
            Ok(())
        });
    };
    let gateway = ([0x02, 0x42, 0x48, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 1));
    kept("others_keep_half_their_throughput_in_a_broadcast_storm", BROADCAST, Ipv4Addr::BROADCAST);
    kept("others_keep_half_their_throughput_when_one_floods_the_gateway", gateway.0, gateway.1);
    kept("others_keep_half_their_throughput_when_one_floods_one_of_them", BOB.mac, BOB.ip);
    Ok(())
}

fn limits(run: &mut Run) -> Result<()> {
    let disk = Disk::blank(run, "paced", 8 << 20)?;
    let mut machine = counted(run, "net-limits", |recipe| recipe.disk(&disk))?;
    let console = &mut machine.console;
    start(console, &[&LIMITED, &BOB])?;
    let bits = |frames: f64| frames * (8 * BYTES) as f64;
    run.promise("bandwidth_limit_of_what_is_sent_holds_within_5_percent", |run| {
        let [short, long] = WINDOWS_MS.map(|ms| flooding(&LIMITED, &BOB, ms));
        let short = Progress::of(&LIMITED, console, &short, "frames")?;
        let long = Progress::of(&LIMITED, console, &long, "frames")?;
        holds(run, "bits sent", bits(long.rate_beyond(&short)?), BANDWIDTH)
    });
    run.promise("bandwidth_limit_of_what_is_received_holds_within_5_percent", |run| {
        let order = flooding(&BOB, &LIMITED, 20 * WINDOWS_MS[1]);
        let floods = BOB.begin(console, &order)?;
        let [short, long] = WINDOWS_MS.map(|ms| format!("nsink {ms}"));
        let short = Progress::of(&LIMITED, console, &short, "frames")?;
        let long = Progress::of(&LIMITED, console, &long, "frames")?;
        ensure!(!BOB.probe.has_answered(console, floods, &order), "Bob's flood was over too early");
        holds(run, "bits received", bits(long.rate_beyond(&short)?), BANDWIDTH)
    });
    drop(machine);
    // A disk's answer comes in the host's time, ages of a clock that leaps: this one is the host's.
    let (mut machine, _) = boot(run, "net-limits", |recipe| recipe.disk(&disk))?;
    let console = &mut machine.console;
    start(console, &[&LIMITED])?;
    run.promise("limit_of_requests_per_second_holds_within_5_percent", |run| {
        LIMITED.probe.ok(console, "open 0")?;
        let [short, long] = REQUESTS.map(|count| format!("io 1 {count} 32 4096 0"));
        let short = Progress::of(&LIMITED, console, &short, "ios")?;
        let long = Progress::of(&LIMITED, console, &long, "ios")?;
        holds(run, "requests", long.rate_beyond(&short)?, IOPS)
    });
    Ok(())
}

/// An order to flood somebody with large frames.
fn flooding(from: &Station, to: &Station, milliseconds: u64) -> String {
    let content = ethernet(to.mac, from.mac, 0x0800, &udp((from.ip, 9), (to.ip, 9), &[0; BYTES as usize - 42]));
    // What follows is zeros.
    format!("nflood {} {BYTES} {milliseconds}", hex(content.get(..42).unwrap_or(&content)))
}

/// How much was done in how many seconds of the guest's clock, from a full bucket on.
#[derive(Clone, Copy, Debug)]
struct Progress {
    count: f64,
    seconds: f64,
}

impl Progress {
    /// Lets the station's buckets fill, then gives an order and reads what came of it.
    fn of(station: &Station, console: &mut Conversation, order: &str, counted: &str) -> Result<Self> {
        station.probe.ok(console, &format!("spin {FULL_MS}"))?;
        let said = station.probe.ok_within(console, order, super::WORK)?;
        let of = |name| field(&said, name).map(|value| value as f64).with_context(|| format!("no {name} in {said:?}"));
        Ok(Self { count: of(counted)?, seconds: of("ticks")? / of("hz")? })
    }

    /// What is beyond a shorter one: the full bucket that both began with is in neither.
    fn rate_beyond(&self, shorter: &Self) -> Result<f64> {
        let (count, seconds) = (self.count - shorter.count, self.seconds - shorter.seconds);
        ensure!(shorter.count > 0.0 && seconds > 0.0, "{self:?} is not beyond {shorter:?}");
        Ok(count / seconds)
    }
}

fn holds(run: &Run, what: &str, rate: f64, limit: f64) -> Result<()> {
    println!("N12   {}   {rate:.0} {what} per second, of {limit:.0}", run.kind);
    ensure!((rate / limit - 1.0).abs() <= TOLERANCE, "{rate:.0} {what} per second, where the limit is {limit:.0}");
    Ok(())
}
