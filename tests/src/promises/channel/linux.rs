//! Linux's orders to the control loop, which never waits and never misses a beat, whoever lives and dies.

use super::{REFUSED, SHORT};
use crate::control::check_beat_with_rings;
use crate::conversation::Conversation;
use crate::counters::Counters;
use crate::life::{History, press_yes};
use crate::machine::Recipe;
use crate::probe::{Answer, Probe, field};
use crate::promises::linux::{BOOT, gic};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::{Shell, View};
use abi::channel::{FIRST_PORT, RING_DOORBELL};
use abi::machine::channel_ipa;
use anyhow::{Context, Result, ensure};

/// Has a socket device of its own, and a channel that is not this one.
const MALLORY: Probe = Probe { name: "mallory", digit: 2 };
/// At the other end of that.
const PEER: Probe = Probe { name: "peer", digit: 4 };
/// Linux's key behind Ctrl-T.
const LINUX: u8 = b'1';
/// Digits for Ctrl-T.
const CONTROL: u8 = 3;
const SERVICE: u8 = 5;
/// The ports of Linux's channel and of Mallory's.
const PORT: u32 = FIRST_PORT;
const MALLORYS: u32 = FIRST_PORT + 1;
/// VIRTIO_VSOCK_OP_RESPONSE and VIRTIO_VSOCK_OP_RST.
const RESPONSE: u64 = 2;
const RESET: u64 = 3;
/// The rate of control's lives at first, and the one of most tests: a QEMU whose GICv2 loses levels gives back what a busy
/// host takes from it at no more than about a thousand beats per second.
const FIRST_RATE: u64 = 1000;
const RATE: u64 = 500;
/// One at which [`UNREAD`] takes the loop 45 s: it takes a line's length with each beat.
const SLOW: u64 = 10;
/// Lines, and behind them an order that the loop must never come to.
const UNREAD: &str = "ctl flood 450 rate 250";
/// Packets of an attack, and lies of one that goes on beside it.
const ROUNDS: u64 = 3000;
const LIES: u64 = 50_000;

/// N11, with Linux.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "channel_linux",
    kinds: &[Kind::V3, Kind::V2],
    when: When::LongOn(Kind::V2),
    seconds: 240,
    promises: &[
        promise("N11", "linux_changes_the_rate_and_the_histogram_shows_it"),
        promise("N11", "a_foreign_partition_opens_the_channel_in_no_way"),
        promise("N11", "a_neighbour_that_lies_and_rings_without_end_costs_no_beat"),
        promise("N11", "beat_is_exact_while_linux_floods_the_channel"),
        promise("N11", "restart_of_control_ends_the_connection_and_the_next_life_obeys"),
        promise("N11", "restart_of_the_service_ends_the_connection_and_control_misses_no_beat"),
        promise("N11", "restart_of_linux_leaves_the_beat_and_its_next_life_commands_again"),
    ],
    body: linux,
}];

fn linux(run: &mut Run) -> Result<()> {
    let mut machine = Recipe::virt(gic(run.kind)).cores(5).kernel(&run.project.image("channel")?).start(run)?;
    let mut shell = Shell::attach(&mut machine.console, View::Tagged, BOOT)?;
    run.promise("linux_changes_the_rate_and_the_histogram_shows_it", |_| command(&mut shell));
    run.promise("a_foreign_partition_opens_the_channel_in_no_way", |_| {
        foreign(shell.console())?;
        shell.console().focus(LINUX, "linux")?;
        obeys(&mut shell)
    });
    run.promise("a_neighbour_that_lies_and_rings_without_end_costs_no_beat", |_| {
        lie(shell.console())?;
        shell.console().focus(LINUX, "linux")?;
        obeys(&mut shell)
    });
    run.promise("beat_is_exact_while_linux_floods_the_channel", |_| flood(&mut shell));
    run.promise("restart_of_control_ends_the_connection_and_the_next_life_obeys", |_| {
        // The rate is the next life's own again.
        lost_by(&mut shell, "control", CONTROL)?;
        wait_until_rate(&mut shell, FIRST_RATE)?;
        says(&mut shell, &format!("rate {RATE}"), RATE)?;
        obeys(&mut shell)
    });
    run.promise("restart_of_the_service_ends_the_connection_and_control_misses_no_beat", |_| {
        let before = Beats::ask(&mut shell)?;
        lost_by(&mut shell, "service", SERVICE)?;
        wait_until_rate(&mut shell, SLOW)?;
        let after = Beats::ask(&mut shell)?;
        after.check(SLOW)?;
        ensure!(after.beats > before.beats, "control began anew: {before:?}, then {after:?}");
        Ok(())
    });
    run.promise("restart_of_linux_leaves_the_beat_and_its_next_life_commands_again", |_| {
        let before = Beats::ask(&mut shell)?;
        let console = shell.console();
        console.send(format!("{}; reboot -f\n", background(UNREAD, "ordered")))?;
        let mut shell = Shell::attach(console, View::Tagged, BOOT)?;
        let after = Beats::ask(&mut shell)?;
        after.check(SLOW)?;
        ensure!(after.beats > before.beats, "control began anew: {before:?}, then {after:?}");
        says(&mut shell, &format!("rate {RATE}"), RATE)?;
        obeys(&mut shell)
    });
    Ok(())
}

/// What `ctl` says to an order that is obeyed.
fn ctl(shell: &mut Shell, order: &str) -> Result<String> {
    shell.run(&format!("ctl {order}"), 2 * SHORT).map(|said| said.trim().to_owned())
}

/// `ctl` says this to an order that is obeyed.
fn says(shell: &mut Shell, order: &str, wanted: impl std::fmt::Display) -> Result<()> {
    let (said, wanted) = (ctl(shell, order)?, wanted.to_string());
    ensure!(said == wanted, "`ctl {order}` said {said:?}, not {wanted:?}");
    Ok(())
}

/// What `ctl beats` says.
#[derive(Debug)]
struct Beats {
    beats: u64,
    expected: u64,
    lost: u64,
    doubled: u64,
    rate: u64,
}

impl Beats {
    fn ask(shell: &mut Shell) -> Result<Self> {
        let said = ctl(shell, "beats")?;
        Self::parse(&said).with_context(|| format!("`ctl beats` said {said:?}"))
    }

    fn parse(said: &str) -> Option<Self> {
        let words: Vec<&str> = said.split_whitespace().collect();
        let of = |name| words.windows(2).find(|pair| pair[0] == name)?[1].parse().ok();
        Some(Self {
            beats: of("beats")?,
            expected: of("expected")?,
            lost: of("lost")?,
            doubled: of("doubled")?,
            rate: of("rate")?,
        })
    }

    fn check(&self, rate: u64) -> Result<()> {
        let is_exact = self.beats == self.expected && self.lost == 0 && self.doubled == 0;
        ensure!(is_exact && self.rate == rate, "control missed its beat, or its rate is not {rate}: {self:?}");
        Ok(())
    }
}

/// Beats in the histogram.
fn histogram(shell: &mut Shell) -> Result<u64> {
    let said = ctl(shell, "histogram")?;
    let counts = said.strip_prefix("late ").context("no histogram")?.split_whitespace().skip(1).step_by(2);
    let counts = counts.map(|count| count.parse::<u64>().with_context(|| format!("`ctl histogram` said {said:?}")));
    counts.sum()
}

fn command(shell: &mut Shell) -> Result<()> {
    says(shell, "rate", FIRST_RATE)?;
    for rate in [500, 250, 100] {
        says(shell, &format!("rate {rate}"), rate)?;
        // The histogram has every beat between those before it and those behind it.
        let before = Beats::ask(shell)?;
        let shown = histogram(shell)?;
        let after = Beats::ask(shell)?;
        before.check(rate)?;
        after.check(rate)?;
        ensure!((before.beats..=after.beats).contains(&shown), "{shown} beats shown between {before:?} and {after:?}");
    }
    says(shell, &format!("rate {RATE}"), RATE)?;
    for (order, status, why) in [
        ("rate 0", 1, "0 is no rate: use 1 to 2000"),
        ("rate 5000", 1, "5000 is no rate: use 1 to 2000"),
        ("dance", 1, "no order 'dance': use rate, rate HZ, beats or histogram"),
        ("flood", 64, "use: ctl [-p PORT]"),
    ] {
        let (ended, said) = shell.status(&format!("ctl {order}"), SHORT)?;
        ensure!(ended == status && said.contains(why), "`ctl {order}` ended with {ended}: {said}");
    }
    obeys(shell)
}

fn obeys(shell: &mut Shell) -> Result<()> {
    Beats::ask(shell)?.check(RATE)
}

/// Memory, doorbell, ports: nothing of the channel is another partition's.
fn foreign(console: &mut Conversation) -> Result<()> {
    let refused = |console: &mut Conversation| Counters::ask(console, "mallory/v0")?.of("refused");
    let before = refused(console)?;
    // Where control and Peer see their ends; Mallory's own is the service's.
    let [controls, peers, own] = [0, 1, 2].map(|number| channel_ipa(number).as_u64());
    for address in [controls, controls + 0xfff8, peers, own + 0x1000] {
        MALLORY.must_abort(console, &format!("read64 {address:#x}"), address)?;
        MALLORY.must_abort(console, &format!("write64 {address:#x} 1"), address)?;
    }
    for number in [0, 1] {
        let answer = MALLORY.ok(console, &format!("hvc {RING_DOORBELL:#x} {number}"))?;
        ensure!(field(&answer, "x0") == Some(REFUSED), "channel {number}: {answer}");
    }
    let counted = refused(console)? - before;
    ensure!(counted == 2, "{counted} refusals were counted");
    let mut connect = |order: &str| -> Result<u64> {
        let said = MALLORY.ok(console, order)?;
        field(&said, "operation").with_context(|| format!("`{order}` said {said:?}"))
    };
    // Her device leads to no channel but her own, and not to Linux.
    for order in [format!("sconnect 0 {PORT}"), "sconnect 0 22".to_owned(), format!("sconnect 0 {PORT} 3")] {
        ensure!(connect(&order)? == RESET, "`{order}` was not refused");
    }
    // To hers it does as soon as somebody is there.
    let own = format!("sconnect 0 {MALLORYS}");
    ensure!(connect(&own)? == RESET, "a channel without its other end was connected");
    PEER.ok(console, "copen other")?;
    ensure!(
        MALLORY.ok(console, &own).is_ok_and(|said| field(&said, "operation") == Some(RESPONSE)),
        "not her own channel"
    );
    let said = MALLORY.ok(console, &format!("sattack 0 5 {ROUNDS} {MALLORYS}"))?;
    ensure!(field(&said, "resets").is_some_and(|resets| resets > 0), "the attack said {said:?}");
    History::ask(console, "service").and_then(|history| {
        ensure!(history.restarts == 0, "the service fell: {history:?}");
        Ok(())
    })
}

/// Peer rings control by a channel where that never looks, and lies to the service by another one, while Mallory attacks from
/// that one's other side.
fn lie(console: &mut Conversation) -> Result<()> {
    PEER.ok(console, "copen noise")?;
    PEER.ok_within(console, &format!("clie {LIES} 1"), SHORT)?;
    PEER.ok(console, "copen other")?;
    let lies = format!("clie {LIES} 2");
    let from = PEER.begin(console, &lies)?;
    MALLORY.ok(console, &format!("sattack 0 6 {ROUNDS} {MALLORYS}"))?;
    let answer = PEER.answer_behind(console, from, &lies, SHORT)?;
    ensure!(matches!(answer, Answer::Ok(_)), "peer said {answer:x?}");
    let history = History::ask(console, "service")?;
    ensure!(history.restarts == 0, "the service fell: {history:?}");
    Ok(())
}

fn flood(shell: &mut Shell) -> Result<()> {
    shell.run(&background("ctl flood 1000000", "flooding"), SHORT)?;
    check_beat_with_rings(shell.console())?;
    // Its connection is the only one.
    let (status, said) = shell.status("ctl rate", SHORT)?;
    ensure!(status == 2 && said.contains("somebody else has it"), "a second connection ended with {status}: {said}");
    shell.run("killall ctl", SHORT)?;
    wait_until_rate(shell, RATE)?;
    obeys(shell)
}

/// Runs a command in the background, and waits until it says so. A subshell forgets the job: no word about it later.
fn background(command: &str, said: &str) -> String {
    format!(
        "rm -f /tmp/begun; ({command} >/tmp/begun &); until grep -q {said} /tmp/begun 2>/dev/null; do sleep 0.1; done"
    )
}

/// The orders of somebody who was killed are obeyed first, and whoever comes too early hears so.
fn wait_until_rate(shell: &mut Shell, rate: u64) -> Result<()> {
    let said = shell.run("until ctl rate 2>/dev/null; do sleep 0.1; done", SHORT)?;
    ensure!(said.trim() == rate.to_string(), "the rate is {said:?}, not {rate}");
    Ok(())
}

/// A restart of `partition` by key ends a connection that waits for an answer, Linux hears of it, and the order that it gave and
/// nobody has read is gone. The rate is [`SLOW`] until then.
fn lost_by(shell: &mut Shell, partition: &str, digit: u8) -> Result<()> {
    says(shell, &format!("rate {SLOW}"), SLOW)?;
    let waiting = format!("sh -c 'rm -f /tmp/lost; {UNREAD} 2>/tmp/said; echo $? >/tmp/lost'");
    shell.run(&background(&waiting, "ordered"), SHORT)?;
    let console = shell.console();
    let before = History::ask(console, partition)?.restarts;
    press_yes(console, digit, b'r')?;
    console.expect(&format!("partition '{partition}' restarts: life {}\r\n", before + 2), SHORT)?;
    if partition == "service" {
        // It ends whatever line is open when it takes the console.
        console.expect("service| life ", SHORT)?;
    }
    console.focus(LINUX, "linux")?;
    let said = shell.run("until [ -s /tmp/lost ]; do sleep 0.1; done; cat /tmp/said /tmp/lost", SHORT)?;
    // A reset that comes while it waits is an error to some versions of Linux, and the end of what comes to others.
    let is_lost = said.contains("the connection is lost") || said.contains("the connection was closed");
    ensure!(is_lost && said.trim_end().ends_with('2'), "who waited for an answer said {said:?}");
    Ok(())
}
