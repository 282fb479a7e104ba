//! N05, N12: what one partition takes away from the others, and what its limits leave it.
//!
//! Shares are counted in frames that the service takes of each. They and bandwidth are measured on the virtual clock
//! (`-icount`): a tick is an instruction of some core, and how busy the host is does not matter.

use super::boot;
use super::hostile::start;
use super::probes::{ALICE, BOB, BROADCAST, LIMITED, MALLORY, Station, ethernet, hex, udp};
use crate::conversation::Conversation;
use crate::disk::Disk;
use crate::machine::{Machine, Recipe};
use crate::probe::{Answer, field};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;

/// Frames that Bob answers to Alice: bytes, how many, how many at a time.
const TALK: (u64, u64, u64) = (1514, 200, 4);
/// Milliseconds after which a frame counts as lost: of the two, the short one is for a queue that is full of a flood.
const AGAIN_MS: [u64; 2] = [400, 50];
/// Milliseconds that Mallory floods while they talk: longer than that takes.
const LONG_MS: u64 = 200;
/// Milliseconds that Alice and Mallory send side by side, and before that, for their orders to be typed: more where the host
/// is slow.
const TOGETHER_MS: u64 = 50;
const TYPING_MS: [u64; 3] = [500, 2000, 8000];
/// The gateway.
const GATEWAY: ([u8; 6], Ipv4Addr) = ([0x02, 0x42, 0x48, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 1));
/// The limits of `tests/systems/net-limits.toml`, in bits and requests per second.
const BANDWIDTH: f64 = 40e6;
const IOPS: f64 = 400.0;
/// By how much a rate may be off.
const TOLERANCE: f64 = 0.05;
/// Seconds of requests, at most, one of which is undisturbed by the host.
const SECONDS: u32 = 4;
/// Milliseconds in which every bucket is full again, with what waits in a queue taken first.
const FULL_MS: u64 = 100;
/// A short and a long while in milliseconds, and a few and many requests.
const WINDOWS_MS: [u64; 2] = [40, 440];
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

/// Where a flood goes: what the test is called, and to which addresses.
type Flood = (&'static str, [u8; 6], Ipv4Addr);

const FLOODS: [Flood; 3] = [
    ("others_keep_half_their_throughput_in_a_broadcast_storm", BROADCAST, Ipv4Addr::BROADCAST),
    ("others_keep_half_their_throughput_when_one_floods_the_gateway", GATEWAY.0, GATEWAY.1),
    ("others_keep_half_their_throughput_when_one_floods_one_of_them", BOB.mac, BOB.ip),
];

fn flood(run: &mut Run) -> Result<()> {
    let (mut machine, _) = boot(run, "net-probes", |recipe| recipe.arg("-icount").arg("shift=0"))?;
    let console = &mut machine.console;
    start(console, &[&ALICE, &BOB, &MALLORY])?;
    for (name, to, ip) in FLOODS {
        run.promise(name, |run| {
            let content = ethernet(to, MALLORY.mac, 0x0800, &udp((MALLORY.ip, 9), (ip, 9), &[0; BYTES as usize - 42]));
            let header = hex(content.get(..42).unwrap_or(&content));
            let mut sent = None;
            for typing_ms in TYPING_MS {
                sent = side_by_side(console, &header, typing_ms)?;
                if sent.is_some() {
                    break;
                }
            }
            let [own, other] = sent.context("the orders are not typed in time")?;
            println!("N05   {}   Alice has sent {own} frames, Mallory {other}: {name}", run.kind);
            ensure!(own * 10 >= other * 9, "of {} frames that the service took, Alice's were {own}", own + other);
            talk(console, &header, to == BOB.mac)
        });
    }
    Ok(())
}

/// Alice sends to Bob as much as she can, and Mallory to somebody, in the same time: how many frames of each the service has
/// taken. They are as long, so with as many frames as Mallory, Alice has half of what the service can do. The cores take
/// turns of some thousand instructions, so both have frames waiting all the time. `None`: an order came when the time to begin
/// had passed.
fn side_by_side(console: &mut Conversation, header: &str, typing_ms: u64) -> Result<Option<[u64; 2]>> {
    let uptime = MALLORY.probe.value(console, "uptime")?;
    let window = format!("{BYTES} {TOGETHER_MS} {}", uptime + typing_ms);
    let other = format!("nflood {header} {window}");
    let own = flooding(&ALICE, &BOB, &window);
    let other_from = MALLORY.begin(console, &other)?;
    let own_from = ALICE.begin(console, &own)?;
    let mut sent = [0; 2];
    for (sent, (station, from, order)) in
        sent.iter_mut().zip([(&ALICE, own_from, &own), (&MALLORY, other_from, &other)])
    {
        *sent = match station.probe.answer_behind(console, from, order, super::WORK)? {
            Answer::Ok(said) => field(&said, "frames").with_context(|| format!("no frames in {said:?}"))?,
            Answer::Error(why) if why == "that time has passed" => return Ok(None),
            other => anyhow::bail!("{}: `{order}` ended in {other:x?}", station.probe.name),
        };
    }
    Ok(Some(sent))
}

/// Alice and Bob talk while Mallory floods somebody. Nothing of theirs is lost, unless it is Bob's own queue that is full.
fn talk(console: &mut Conversation, header: &str, is_bob: bool) -> Result<()> {
    let ((bytes, count, window), again) = (TALK, AGAIN_MS[usize::from(is_bob)]);
    let order = format!("nflood {header} {BYTES} {LONG_MS}");
    let listens = BOB.listen(console)?;
    let floods = MALLORY.begin(console, &order)?;
    let talk = format!("nping {} {bytes} {count} {window} {again}", BOB.address());
    let said = ALICE.probe.ok_within(console, &talk, super::WORK)?;
    let is_over = MALLORY.probe.has_answered(console, floods, &order);
    BOB.heard(console, listens)?;
    MALLORY.done(console, floods, &order)?;
    ensure!(!is_over, "the flood was over before Alice was done: {said}");
    let resent = field(&said, "resent").with_context(|| format!("no number in {said:?}"))?;
    ensure!(is_bob || resent == 0, "{resent} of {count} frames were lost");
    Ok(())
}

fn limits(run: &mut Run) -> Result<()> {
    let disk = Disk::blank(run, "paced", 8 << 20)?;
    let mut machine = counted(run, "net-limits", |recipe| recipe.disk(&disk))?;
    let console = &mut machine.console;
    start(console, &[&LIMITED, &BOB])?;
    let bits = |frames: f64| frames * (8 * BYTES) as f64;
    run.promise("bandwidth_limit_of_what_is_sent_holds_within_5_percent", |run| {
        let [short, long] = WINDOWS_MS.map(|ms| flooding(&LIMITED, &BOB, &format!("{BYTES} {ms}")));
        let short = Progress::of(&LIMITED, console, &short, "frames")?;
        let long = Progress::of(&LIMITED, console, &long, "frames")?;
        holds(run, "bits sent", bits(long.rate_beyond(&short)?), BANDWIDTH)
    });
    run.promise("bandwidth_limit_of_what_is_received_holds_within_5_percent", |run| {
        let order = flooding(&BOB, &LIMITED, &format!("{BYTES} {}", 20 * WINDOWS_MS[1]));
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
        let mut best = 0.0_f64;
        // A bucket is full after 20 ms, so a host that stands still for longer takes away what would have been allowed, of the
        // short while too. It gives nothing: one undisturbed second shows the limit.
        let mut fastest = Progress::of(&LIMITED, console, &short, "ios")?;
        for _ in 1..SECONDS {
            let again = Progress::of(&LIMITED, console, &short, "ios")?;
            fastest = if again.seconds < fastest.seconds { again } else { fastest };
        }
        for _ in 0..SECONDS {
            let long = Progress::of(&LIMITED, console, &long, "ios")?;
            best = best.max(long.rate_beyond(&fastest)?);
            if best > IOPS * (1.0 - TOLERANCE) {
                break;
            }
        }
        holds(run, "requests", best, IOPS)
    });
    Ok(())
}

/// An order to flood somebody with large frames.
fn flooding(from: &Station, to: &Station, window: &str) -> String {
    let content = ethernet(to.mac, from.mac, 0x0800, &udp((from.ip, 9), (to.ip, 9), &[0; BYTES as usize - 42]));
    // What follows is zeros.
    format!("nflood {} {window}", hex(content.get(..42).unwrap_or(&content)))
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
