//! A channel whose ends are both bare-metal guests, without a service partition.

use super::{REFUSED, SHORT};
use crate::conversation::Conversation;
use crate::counters::Counters;
use crate::machine::Recipe;
use crate::probe::{Answer, Probe, field};
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use abi::channel::RING_DOORBELL;
use abi::machine::channel_ipa;
use anyhow::{Context, Result, bail, ensure};

const ALICE: Probe = Probe { name: "alice", digit: 1 };
const BOB: Probe = Probe { name: "bob", digit: 2 };
const MALLORY: Probe = Probe { name: "mallory", digit: 3 };

/// Where the guests of `tests/systems/channel-probes.toml` see the channel of Alice and Bob, and its first ring.
const MEMORY: u64 = channel_ipa(0).as_u64();
const RING: u64 = MEMORY + 0x1080;
/// Bytes of a ring, and the channel's last word.
const CAPACITY: u64 = 4032;
const LAST: u64 = MEMORY + 0x2ff8;
/// Many times what a ring holds.
const BYTES: u64 = 100_000;

/// N11, between bare-metal guests.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "channel_plain",
    kinds: &[Kind::V3, Kind::V2],
    when: When::Always,
    seconds: 120,
    promises: &[
        promise("N11", "two_bare_metal_guests_exchange_bytes_and_ring_each_other"),
        promise("N11", "neither_end_can_forge_the_epoch"),
        promise("N11", "restart_of_either_bare_metal_guest_clears_the_memory_and_tells_the_other"),
        promise("N11", "a_third_partition_has_neither_the_memory_nor_the_doorbell"),
    ],
    body: plain,
}];

fn plain(run: &mut Run) -> Result<()> {
    let mut machine = Recipe::virt(gic(run.kind)).kernel(&run.project.image("channel-probes")?).start(run)?;
    let console = &mut machine.console;
    begins(console, &[&ALICE, &BOB, &MALLORY])?;
    for probe in [&ALICE, &BOB] {
        open(console, probe)?;
    }
    run.promise("two_bare_metal_guests_exchange_bytes_and_ring_each_other", |_| {
        exchange(console, &ALICE, &BOB, 1)?;
        exchange(console, &BOB, &ALICE, 2)
    });
    run.promise("neither_end_can_forge_the_epoch", |_| {
        for probe in [&ALICE, &BOB] {
            let epoch = probe.value(console, &format!("read64 {MEMORY:#x}"))?;
            for address in [MEMORY, MEMORY + 0xff8] {
                probe.must_abort(console, &format!("write64 {address:#x} {}", epoch + 1), address)?;
            }
            ensure!(probe.value(console, &format!("read64 {MEMORY:#x}"))? == epoch, "{} forged it", probe.name);
        }
        Ok(())
    });
    run.promise("restart_of_either_bare_metal_guest_clears_the_memory_and_tells_the_other", |_| {
        restart(console, &ALICE, &BOB)?;
        restart(console, &BOB, &ALICE)?;
        exchange(console, &ALICE, &BOB, 3)
    });
    run.promise("a_third_partition_has_neither_the_memory_nor_the_doorbell", |_| foreign(console));
    Ok(())
}

/// Waits until these begin a life, in any order.
fn begins(console: &mut Conversation, probes: &[&Probe]) -> Result<()> {
    let ready: Vec<_> = probes.iter().map(|probe| move |line: &str| probe.begins(line)).collect();
    let ready: Vec<&dyn Fn(&str) -> bool> = ready.iter().map(|begins| begins as _).collect();
    console.expect_lines("new lives", SHORT, &ready).map(drop)
}

fn open(console: &mut Conversation, probe: &Probe) -> Result<()> {
    let said = probe.ok(console, "copen pair")?;
    ensure!(said == format!("channel=0 capacity={CAPACITY}"), "{} opened {said:?}", probe.name);
    Ok(())
}

/// Many more bytes than fit go from one to the other: each sleeps until the other rings. Each seed is used once, so that an
/// order is told by it from the earlier ones.
fn exchange(console: &mut Conversation, from: &Probe, to: &Probe, seed: u64) -> Result<()> {
    let order = format!("chear {BYTES} {seed}");
    let heard_behind = to.begin(console, &order)?;
    let said = from.ok_within(console, &format!("csay {BYTES} {seed}"), SHORT)?;
    ensure!(field(&said, "said") == Some(BYTES), "{} said {said:?}", from.name);
    let heard = match to.answer_behind(console, heard_behind, &order, SHORT)? {
        Answer::Ok(heard) => heard,
        other => bail!("{} heard {other:x?}", to.name),
    };
    ensure!(field(&heard, "heard") == Some(BYTES), "{} heard {heard:?}", to.name);
    // Whoever listens first sleeps, and nothing but the doorbell ends that in time.
    ensure!(field(&heard, "sleeps").is_some_and(|sleeps| sleeps > 0), "{} never waited: {heard:?}", to.name);
    Ok(())
}

/// What the end of this probe says of itself.
fn state(console: &mut Conversation, probe: &Probe, name: &str) -> Result<u64> {
    let said = probe.ok(console, "cstate")?;
    field(&said, name).with_context(|| format!("no {name} in {said:?}"))
}

fn foreign(console: &mut Conversation) -> Result<()> {
    let refused = |console: &mut Conversation| Counters::ask(console, "mallory/v0")?.of("refused");
    let [alice, bob] = [&ALICE, &BOB].map(|probe| state(console, probe, "rung"));
    let (alice, bob) = (alice?, bob?);
    let before = refused(console)?;
    for address in [MEMORY, RING, LAST] {
        MALLORY.must_abort(console, &format!("read64 {address:#x}"), address)?;
        MALLORY.must_abort(console, &format!("write64 {address:#x} 1"), address)?;
    }
    // A channel of two others, none, and none in any number of bits.
    let foreign = ["0", "2", "8", "0x100000001", "0xffffffffffffffff"];
    for number in foreign {
        let answer = MALLORY.ok(console, &format!("hvc {RING_DOORBELL:#x} {number}"))?;
        ensure!(field(&answer, "x0") == Some(REFUSED), "channel {number}: {answer}");
    }
    let counted = refused(console)? - before;
    ensure!(counted == foreign.len() as u64, "{counted} refusals were counted");
    for (probe, rung) in [(&ALICE, alice), (&BOB, bob)] {
        ensure!(state(console, probe, "rung")? == rung, "{} was rung", probe.name);
    }
    // Her own is hers: its other end is rung, and nobody else.
    let said = BOB.ok(console, "copen other")?;
    ensure!(field(&said, "channel") == Some(1), "bob opened {said:?}");
    let rung = state(console, &BOB, "rung")?;
    let answer = MALLORY.ok(console, &format!("hvc {RING_DOORBELL:#x} 1"))?;
    ensure!(field(&answer, "x0") == Some(0), "her own channel: {answer}");
    let said = BOB.ok(console, &format!("cwatch {rung}"))?;
    ensure!(field(&said, "rung") == Some(rung + 1), "bob was told {said:?}");
    ensure!(state(console, &ALICE, "rung")? == alice, "alice was rung");
    Ok(())
}

/// `ends` restarts with bytes on their way to it: its next life finds none, and `stays` hears of it.
fn restart(console: &mut Conversation, stays: &Probe, ends: &Probe) -> Result<()> {
    stays.ok(console, "csay 100 9")?;
    ensure!(state(console, ends, "available")? == 100, "{} has not got the bytes", ends.name);
    let rung = state(console, stays, "rung")?;
    ends.order(console, "reset")?;
    begins(console, &[ends])?;
    let said = stays.ok(console, &format!("cwatch {rung}"))?;
    ensure!(field(&said, "anew") == Some(1), "{} was told {said:?}", stays.name);
    open(console, ends)?;
    ensure!(state(console, ends, "available")? == 0, "bytes for the life before have reached the next");
    for word in [RING, RING + 8, RING + CAPACITY, LAST] {
        let value = ends.value(console, &format!("read64 {word:#x}"))?;
        ensure!(value == 0, "{word:#x} of a cleared channel has {value:#x}");
    }
    Ok(())
}
