//! L01, L06 to L09 with bare-metal guests: what ends a life, what follows, and what EL2 says about it.

use super::{AGAIN, LIMITED, STAYS, comes_back, comes_back_after, is_whole, restart, start};
use crate::conversation::Conversation;
use crate::counters::{CTRL_T, Counters};
use crate::elcount::Work;
use crate::life::{History, el2_says, expect_record, is_el2, press, press_yes, said_at_us};
use crate::probe::{Probe, field, number as number_of};
use anyhow::{Context, Result, anyhow, ensure};
use std::path::Path;

/// No device of the guest machine, no RAM (guests/probe).
const NOWHERE: u64 = 0x0b00_0000;
/// Control frame of the guest's watchdog: W_CS; and refresh frame: W_RR (Arm DEN0094).
const WCS: u64 = 0x090d_0000;
const WRR: u64 = 0x090e_0000;
/// The time of the watchdogs in `tests/systems/lives.toml`.
const WATCHDOG_MS: u64 = 3000;

/// An end of a life that the guest brings about: the order to the probe, what EL2 says of it, and why it stays stopped.
struct End {
    order: &'static str,
    words: &'static str,
    stopped: &'static str,
}

const RESET: &str = "reset, on_reset = \"stop\"";
const CRASH: &str = "crashed, on_crash = \"stop\"";
const ENDS: &[End] = &[
    End { order: "off", words: "the guest switched itself off (PSCI SYSTEM_OFF)", stopped: "switched off" },
    End { order: "smc 0x84000008", words: "the guest switched itself off", stopped: "switched off" },
    End { order: "reset", words: "the guest asked for a reset (PSCI SYSTEM_RESET)", stopped: RESET },
    // SYSTEM_RESET2 of type SYSTEM_WARM_RESET, in 32 and 64 bits.
    End { order: "hvc 0x84000012 0 0", words: "the guest asked for a reset", stopped: RESET },
    End { order: "smc 0xc4000012 0 0", words: "the guest asked for a reset", stopped: RESET },
    // The vector itself cannot be fetched, and it loads from where nothing is.
    End { order: "faultloop", words: "error: NAME/v0: fault loop: its exception vector itself faults", stopped: CRASH },
    End { order: "abortloop", words: "error: NAME/v0: fault loop: its exception vector itself faults", stopped: CRASH },
];

/// Waits for the last word about a partition.
fn stopped(console: &mut Conversation, probe: &Probe, why: &str) -> Result<()> {
    let line = el2_says(console, &format!("partition '{}' stopped: ", probe.name))?;
    ensure!(line.ends_with(&format!("stopped: {why}")), "expected {why:?}, but {line:?}");
    let state = History::ask(console, probe.name)?.state;
    ensure!(state == "stopped", "{} has stopped, but its state is {state:?}", probe.name);
    Ok(())
}

/// L01: every `on_` is `restart`.
pub fn restarting(console: &mut Conversation) -> Result<()> {
    let mut history = History::ask(console, AGAIN.name)?;
    for one in ENDS {
        AGAIN.order(console, one.order)?;
        let words = one.words.replace("NAME", AGAIN.name);
        let (life, _) =
            comes_back_after(console, &AGAIN, &[&words]).with_context(|| format!("after `{}`", one.order))?;
        let next = History::ask(console, AGAIN.name)?;
        let expected = History {
            state: "running".into(),
            restarts: history.restarts + 1,
            faults: history.faults + u32::from(one.stopped == CRASH),
        };
        ensure!(next == expected, "after `{}`: {next:?}, expected {expected:?}", one.order);
        ensure!(life == next.restarts + 1, "life {life} after {} restarts", next.restarts);
        history = next;
    }
    is_whole(console, &AGAIN, 2)
}

/// L01: every `on_` is `stop`; a stopped partition's core has no exits ([`sleeping`]: and sleeps); a key starts it again.
pub fn stopping(console: &mut Conversation) -> Result<()> {
    for one in ENDS {
        STAYS.order(console, one.order)?;
        let words = one.words.replace("NAME", STAYS.name);
        el2_says(console, &words).with_context(|| format!("after `{}`", one.order))?;
        stopped(console, &STAYS, one.stopped)?;
        let before = Counters::ask(console, "stays/v0")?;
        AGAIN.ok(console, "spin 100")?;
        let moved = Counters::ask(console, "stays/v0")?.moved_since(&before, &[]);
        ensure!(moved.is_empty(), "the core of a stopped partition works: {}", moved.join(", "));
        start(console, &STAYS)?;
    }
    is_whole(console, &STAYS, 1)
}

/// L01: the core of a stopped partition, and that of a vCPU that is off, sleep in hardware: they execute nothing while
/// another guest computes. `counts` is what the plugin counts core by core, in the time between two hints of that guest.
pub fn sleeping(console: &mut Conversation, counts: &Path) -> Result<()> {
    /// HINT #100 begins the plugin's phase 0, HINT #127 ends it.
    const BEGIN: &str = "insn 0xd5032c9f";
    const END: &str = "insn 0xd5032fff";
    /// VMIDs: the place in the system file, from 1 on.
    const VMID_AGAIN: u64 = 1;
    const VMID_LIMITED: u64 = 3;
    /// Room for a wake or two. One that does not sleep executes millions meanwhile.
    const ALMOST_NOTHING: u64 = 2000;
    press_yes(console, LIMITED.digit, b'k')?;
    stopped(console, &LIMITED, "by key")?;
    AGAIN.ok(console, "park count")?;
    AGAIN.ok(console, "cpu_off 1")?;
    AGAIN.ok(console, BEGIN)?;
    AGAIN.ok(console, "spin 500")?;
    AGAIN.ok(console, END)?;
    let all = Work::read(counts)?;
    let of = |vmid, vcpu| {
        let found = all.iter().find(|work| (work.phase, work.vmid, work.vcpu) == (Some(0), vmid, vcpu));
        found.with_context(|| format!("the plugin counted no core of VMID {vmid}, vCPU {vcpu}: {all:?}"))
    };
    let busy = of(VMID_AGAIN, 0)?.guest;
    ensure!(busy > 100 * ALMOST_NOTHING, "the guest that computes executed only {busy} instructions");
    for (name, work) in [("stopped partition", of(VMID_LIMITED, 0)?), ("vCPU that is off", of(VMID_AGAIN, 1)?)] {
        let executed = work.guest + work.el2;
        ensure!(executed < ALMOST_NOTHING, "the core of a {name} executed {executed} instructions: {work:?}");
    }
    Ok(())
}

/// L01: the keys do what they say to either partition.
pub fn by_key(console: &mut Conversation) -> Result<()> {
    for (probe, vcpus) in [(&AGAIN, 2), (&STAYS, 1)] {
        press_yes(console, probe.digit, b'r')?;
        comes_back_after(console, probe, &[&format!("{}/v0: restarted by key", probe.name)])?;
        press_yes(console, probe.digit, b'k')?;
        el2_says(console, &format!("{}/v0: stopped by key", probe.name))?;
        stopped(console, probe, "by key")?;
        // Both start a stopped partition.
        start(console, probe)?;
        press_yes(console, probe.digit, b'k')?;
        stopped(console, probe, "by key")?;
        restart(console, probe)?;
        is_whole(console, probe, vcpus)?;
    }
    Ok(())
}

/// L06: three in a minute, the second after 100 ms, the third after 200 ms by EL2's own clock, and no fourth, until a key.
pub fn limit(console: &mut Conversation) -> Result<()> {
    // A key begins the count anew, whatever was before.
    restart(console, &LIMITED)?;
    for round in 1..=2 {
        for wait in [None, Some(100), Some(200)] {
            let from = console.seen();
            LIMITED.order(console, "reset")?;
            let life = comes_back(console, &LIMITED)?;
            let said = console.transcript().text_from(from);
            let waits = said.contains("partition 'limited' restarts in ");
            match wait {
                None => ensure!(!waits, "the first restart of round {round} waited:\n{said}"),
                Some(ms) => {
                    let at = |words: String| -> Result<u64> {
                        let line = said.lines().find(|line| is_el2(line, &words) && line.ends_with(&words));
                        line.and_then(said_at_us).with_context(|| format!("round {round}: no {words:?} in:\n{said}"))
                    };
                    let announced = at(format!("partition 'limited' restarts in {ms} ms: restart {}", life - 1))?;
                    let waited_us = at(format!("partition 'limited' restarts: life {life}"))?.saturating_sub(announced);
                    ensure!(
                        waited_us >= ms * 1000,
                        "round {round}: it waited {waited_us} us instead of {ms} ms:\n{said}"
                    );
                }
            }
        }
        LIMITED.order(console, "reset")?;
        stopped(console, &LIMITED, "3 restarts in 60 s: restart_limit")?;
        expect_record(console, LIMITED.name, "it asked to come back oftener than restart_limit allows")?;
        start(console, &LIMITED)?;
    }
    is_whole(console, &LIMITED, 1)
}

/// L06: `restart_limit = "none"`, `restart_backoff = "none"`.
pub fn no_limit(console: &mut Conversation) -> Result<()> {
    let from = console.seen();
    // More than any limit that there may be.
    for _ in 0..17 {
        AGAIN.order(console, "reset")?;
        comes_back(console, &AGAIN)?;
    }
    let said = console.transcript().text_from(from);
    ensure!(!said.contains("'again' restarts in "), "it waited:\n{said}");
    Ok(())
}

/// The lines of a fault record of `again`: the cause's, the place's, the life's.
const RECORD: [&str; 3] = [": again/v0: ", " again/v0: pc ", " again/v0: up "];

/// A fault record of `again` and its next life, with its number.
fn crashes(console: &mut Conversation) -> Result<(u32, [String; 3])> {
    let [_, place, up] = RECORD;
    let (life, lines) = comes_back_after(console, &AGAIN, &["error: again/v0: ", place, up])?;
    let lines = lines.try_into().map_err(|lines| anyhow!("a record has three lines: {lines:?}"))?;
    Ok((life, lines))
}

/// The number behind a word of a line, as in `pc 0x40200000`.
fn after(line: &str, word: &str) -> Result<u64> {
    let value = line.split_whitespace().skip_while(|known| *known != word).nth(1);
    value.and_then(number_of).with_context(|| format!("no number behind `{word}` in {line:?}"))
}

/// L07: the vCPU's registers at a fault whose place the guest knows, and at a key.
pub fn record(console: &mut Conversation) -> Result<()> {
    let from = console.seen();
    AGAIN.order(console, "abortloop")?;
    let (number, [cause, place, life]) = crashes(console)?;
    // The guest's own word, said before it fails and heard before its next life's first.
    let said = console.transcript().text_from(from);
    let pc = said.lines().find_map(|line| line.split_once("ok pc=")).and_then(|(_, pc)| number_of(pc));
    let pc = pc.context("`abortloop` says no pc")?;
    ensure!(
        cause.contains("error: again/v0: fault loop: its exception vector itself faults"),
        "the cause is {cause:?}"
    );
    ensure!(after(&place, "pc")? == pc, "the guest fails at {pc:#x}, but {place:?}");
    ensure!(after(&place, "esr")? >> 26 == 0x24 && place.contains(" (data abort"), "the syndrome is wrong: {place:?}");
    ensure!(
        after(&place, "far")? == NOWHERE && place.ends_with("ipa page 0xb000000"),
        "the address is wrong: {place:?}"
    );
    for word in ["lr", "sp", "pstate"] {
        ensure!(after(&place, word)? != 0, "{word} is 0: {place:?}");
    }
    ensure!(life.contains(&format!(" s in life {}; last exits: ", number - 1)), "{life:?}, but life {number} came");
    ensure!(life.contains(&format!("data abort at {pc:#x}")), "the last exits are wrong: {life:?}");
    // A hanging vCPU is found where it hangs. Not on the console's core, which takes the key before the guest is there.
    const TRIES: u32 = 5;
    for tries in 1.. {
        let pc = field(&STAYS.ok(console, "here spin")?, "pc").context("`here spin` says no pc")?;
        press_yes(console, STAYS.digit, b'r')?;
        let (_, lines) = comes_back_after(console, &STAYS, &["stays/v0: restarted by key", " stays/v0: pc "])?;
        if after(&lines.concat(), "pc")? == pc {
            break;
        }
        ensure!(tries < TRIES, "the guest spins at {pc:#x}, but {lines:?}");
    }
    // An abort has its addresses.
    AGAIN.order(console, "faultloop")?;
    let (_, [_, place, _]) = crashes(console)?;
    let (pc, far) = (after(&place, "pc")?, after(&place, "far")?);
    ensure!(pc == far && place.contains("(instruction abort") && place.ends_with("ipa page 0xb000000"), "{place:?}");
    Ok(())
}

/// L07: the first record that nobody has read is kept; reading makes room for the next.
pub fn kept(console: &mut Conversation) -> Result<()> {
    let read = |console: &mut Conversation| -> Result<String> {
        console.send([CTRL_T, b'f'])?;
        RECORD.iter().try_fold(String::new(), |place, part| {
            let line = el2_says(console, part)?;
            Ok(if line.contains(RECORD[1]) { line } else { place })
        })
    };
    let crash = |console: &mut Conversation, order: &str| -> Result<String> {
        AGAIN.order(console, order)?;
        crashes(console).map(|(_, [_, place, _])| place)
    };
    let text = |line: &str| line.split_once(" again/v0: ").map(|(_, text)| text.to_owned());
    // Whatever was before has been read.
    crash(console, "abortloop")?;
    read(console)?;
    let first = crash(console, "abortloop")?;
    let second = crash(console, "faultloop")?;
    ensure!(text(&first) != text(&second), "two different faults look alike: {first:?}");
    let shown = read(console)?;
    ensure!(text(&shown) == text(&first), "Ctrl-T f shows {shown:?}, the first fault was {first:?}");
    el2_says(console, "again: 1 more since then")?;
    let third = crash(console, "faultloop")?;
    let shown = read(console)?;
    ensure!(text(&shown) == text(&third), "Ctrl-T f shows {shown:?}, the last fault was {third:?}");
    // What a key ended is no news: its record makes way unread.
    restart(console, &AGAIN)?;
    let fourth = crash(console, "abortloop")?;
    let shown = read(console)?;
    ensure!(text(&shown) == text(&fourth), "Ctrl-T f shows {shown:?}, the fault after a key was {fourth:?}");
    Ok(())
}

/// L08: `stays` never opens its watchdog, `again` feeds it for longer than its time and then starves.
pub fn watchdog(console: &mut Conversation) -> Result<()> {
    restart(console, &STAYS)?;
    let asleep = STAYS.value(console, &format!("read32 {WCS:#x}"))?;
    ensure!(asleep & 1 == 0, "a watchdog that nobody opened has W_CS = {asleep:#x}");
    let before = [History::ask(console, AGAIN.name)?, History::ask(console, STAYS.name)?];
    AGAIN.ok(console, &format!("write32 {WCS:#x} 1"))?;
    for _ in 0..8 {
        AGAIN.ok(console, &format!("spin {}", WATCHDOG_MS / 6))?;
        AGAIN.ok(console, &format!("write32 {WRR:#x} 1"))?;
    }
    let after = [History::ask(console, AGAIN.name)?, History::ask(console, STAYS.name)?];
    ensure!(before == after, "fed and never opened: {before:?}, later {after:?}");
    // It hangs with everything masked, and interrupts in its hands.
    AGAIN.ok(console, &format!("write32 {WRR:#x} 1"))?;
    AGAIN.ok(console, "park hold")?;
    let fed_at = AGAIN.value(console, "sysreg CNTVCT")?;
    AGAIN.ok(console, &format!("write32 {WRR:#x} 1"))?;
    let frequency = AGAIN.value(console, "sysreg CNTFRQ")?;
    AGAIN.ok(console, "here hold")?;
    let (_, [cause, _, life]) = crashes(console)?;
    ensure!(cause.ends_with("again/v0: its watchdog starved"), "the cause is {cause:?}");
    let up = life.split(" up ").nth(1).and_then(|rest| rest.split_once(" s ")).map(|(seconds, _)| seconds);
    let up: f64 = up.and_then(|seconds| seconds.parse().ok()).with_context(|| format!("no uptime: {life:?}"))?;
    let hungry = up - fed_at as f64 / frequency as f64;
    ensure!(hungry >= WATCHDOG_MS as f64 / 1000.0, "it starved {hungry:.3} s after it was fed");
    let asleep = AGAIN.value(console, &format!("read32 {WCS:#x}"))?;
    ensure!(asleep & 1 == 0, "a new life has W_CS = {asleep:#x}");
    is_whole(console, &AGAIN, 2)?;
    // The same starved, but on_crash = "stop".
    STAYS.ok(console, &format!("write32 {WCS:#x} 1"))?;
    el2_says(console, "error: stays/v0: its watchdog starved")?;
    stopped(console, &STAYS, CRASH)?;
    start(console, &STAYS)
}

/// L09: each key asks with the number of this boot; no answer but `y` does anything, and none reaches the guest.
pub fn cancelled(console: &mut Conversation) -> Result<()> {
    let number = boot_number(&console.transcript().text_from(0))?;
    let before = History::ask(console, AGAIN.name)?;
    let questions = [(b'r', "restart"), (b'k', "stop"), (b'g', "start"), (b'p', "press the power key of")];
    for ((key, verb), answer) in questions.into_iter().zip(*b"n\x1b\r\x14") {
        let asked = press(console, AGAIN.digit, key, &format!(": {verb} 'again'? y/n"))?;
        ensure!(asked == number, "the question has number {asked}, the boot log says {number}");
        console.send([answer])?;
        el2_says(console, "cancelled").with_context(|| format!("answered {}", answer.escape_ascii()))?;
    }
    // A `y` that nothing asked for is input; what it answers is the guest's.
    let answer = AGAIN.ask(console, "y")?;
    ensure!(answer == crate::probe::Answer::Error("no such command, try help".into()), "`y` alone did {answer:?}");
    let after = History::ask(console, AGAIN.name)?;
    ensure!(before == after, "cancelled, but {before:?} became {after:?}");
    Ok(())
}

/// The number that the boot log announces.
pub fn boot_number(log: &str) -> Result<String> {
    let (_, rest) =
        log.split_once("questions of this boot begin with #").context("the boot log announces no number")?;
    rest.split_once(';').map(|(number, _)| number.to_owned()).context("the number has no end")
}

/// L09: what makes no sense in a state says so, and nothing changes.
pub fn refused(console: &mut Conversation) -> Result<()> {
    let refuses = |console: &mut Conversation, key: u8, state: &str| -> Result<()> {
        press_yes(console, STAYS.digit, key)?;
        let line = format!("'stays' is {state}: not now");
        el2_says(console, &line).with_context(|| format!("Ctrl-T {} while it is {state}", char::from(key)))?;
        let now = History::ask(console, STAYS.name)?.state;
        ensure!(now == state, "a refused key made {state} {now}");
        Ok(())
    };
    restart(console, &STAYS)?;
    refuses(console, b'g', "running")?;
    press_yes(console, STAYS.digit, b'k')?;
    stopped(console, &STAYS, "by key")?;
    refuses(console, b'k', "stopped")?;
    refuses(console, b'p', "stopped")?;
    start(console, &STAYS)
}

/// L09: the power key is pin 3 of the PL061 (Arm DDI 0190), down and up again.
pub fn power_key(console: &mut Conversation) -> Result<()> {
    /// GPIOIBE: both edges. GPIOIE, GPIORIS, GPIOIC: enabled, came, forget. GPIODATA of pin 3 alone.
    const IBE: u64 = 0x0903_0408;
    const IE: u64 = 0x0903_0410;
    const RIS: u64 = 0x0903_0414;
    const IC: u64 = 0x0903_041c;
    const DATA: u64 = 0x0903_0020;
    const PIN: u64 = 1 << 3;
    for register in [IBE, IE] {
        AGAIN.ok(console, &format!("write32 {register:#x} {PIN}"))?;
    }
    let (up, edges) = (AGAIN.value(console, &format!("read32 {DATA:#x}"))?, format!("read32 {RIS:#x}"));
    ensure!(up == 0 && AGAIN.value(console, &edges)? == 0, "pressed before it was: GPIODATA = {up:#x}");
    let pin = format!("read32 {DATA:#x}");
    // Both edges are one, where the host stands still while the key is down.
    let mut has_both = false;
    for _ in 0..5 {
        press_yes(console, AGAIN.digit, b'p')?;
        // It has the keyboard now, and the key goes up 200 ms after it went down: no time for a line about the keyboard.
        let deadline = console.deadline(10);
        while number_of(&AGAIN.ok_on(console, &edges)?) != Some(PIN) {
            ensure!(std::time::Instant::now() < deadline, "the power key does not go down");
        }
        AGAIN.ok_on(console, &format!("write32 {IC:#x} {PIN}"))?;
        while number_of(&AGAIN.ok_on(console, &pin)?) != Some(0) {
            ensure!(std::time::Instant::now() < deadline, "the power key does not go up");
        }
        has_both = number_of(&AGAIN.ok_on(console, &edges)?) == Some(PIN);
        if has_both {
            break;
        }
    }
    ensure!(has_both, "the power key goes up without an edge");
    AGAIN.ok_on(console, &format!("write32 {IC:#x} {PIN}"))?;
    let up = AGAIN.value(console, &pin)?;
    ensure!(up == 0, "the power key stays down: GPIODATA = {up:#x}");
    // Another partition's key pressed meanwhile: this one goes up all the same.
    press_yes(console, AGAIN.digit, b'p')?;
    press_yes(console, STAYS.digit, b'p')?;
    let deadline = console.deadline(10);
    while AGAIN.value(console, &pin)? != 0 {
        ensure!(std::time::Instant::now() < deadline, "the power key stays down after another one was pressed");
    }
    AGAIN.ok(console, &format!("write32 {IC:#x} {PIN}")).map(drop)
}
