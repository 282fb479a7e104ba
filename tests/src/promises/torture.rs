//! L11: lives by the hundred. Whatever ends a life and whenever, the next one is as the first, and nobody else notices.
//!
//! Every moment and every way to end a life comes from a seed. The clock is the host's, so a moment is the same only on
//! a host that is as fast.

use crate::control::Report;
use crate::conversation::Conversation;
use crate::counters::CTRL_T;
use crate::gdb::{Gdb, Register};
use crate::interrupts::{self, Interrupts};
use crate::machine::{Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::probe::{Probe, field};
use crate::promises::console::sha256;
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::tag;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

/// Seconds for a word of EL2's or of a guest's.
const SHORT: u64 = 30;
/// Seconds from the first instruction of Linux to its shell.
const BOOT: u64 = 120;
/// Seed of `make test`; the long run takes the next one.
const SEED: u64 = 20_261_128;
/// Restarts of the small guest.
const SMALL_V3: u32 = 1000;
/// Restarts of the small guest where each costs more.
const SMALL_V2: u32 = 100;
/// Restarts of Linux.
const LINUX: u32 = 50;
/// Restarts of Linux in a long run.
const LINUX_LONG: u32 = 1000;
/// Linux's first second is what it is ended in.
const FIRST_MS: u64 = 1000;
/// How long a Linux whose PC was wrecked may take to notice; if it only hangs, a key ends it.
const NOTICES_WITHIN: Duration = Duration::from_secs(3);
/// Cores of the machine.
const CORES: u8 = 5;
/// Bytes of the witness's pattern.
const CANARY: u64 = 2 << 20;

const MORTAL: Probe = Probe { name: "mortal", digit: 1 };
const WITNESS: Probe = Probe { name: "witness", digit: 2 };

/// L11.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "torture",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 600,
        promises: &[
            promise("L11", "a_small_guest_comes_back_however_often_and_however_it_ends"),
            promise("L11", "beat_and_memory_of_others_are_right_during_all_restarts"),
            promise("L11", "a_checksumming_linux_goes_on_during_all_restarts"),
            promise("L11", "el2_memory_vmids_and_interrupt_controller_are_as_in_the_first_life"),
        ],
        body: small,
    },
    Scenario {
        name: "torture_linux",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 600,
        promises: &[
            promise("L11", "linux_comes_back_from_any_moment_of_its_first_second"),
            promise("L11", "beat_and_memory_of_others_are_right_during_all_restarts_of_linux"),
            promise("L11", "a_checksumming_linux_goes_on_during_all_restarts_of_another"),
            promise("L11", "el2_memory_vmids_and_interrupt_controller_are_as_in_the_first_life_of_linux"),
        ],
        body: |run| linux(run, LINUX, SEED),
    },
    Scenario {
        name: "torture_linux_long",
        kinds: &[Kind::V3],
        when: When::Long,
        seconds: 3 * 3600,
        promises: &[
            promise("L11", "linux_comes_back_from_any_moment_of_its_first_second"),
            promise("L11", "beat_and_memory_of_others_are_right_during_all_restarts_of_linux"),
            promise("L11", "a_checksumming_linux_goes_on_during_all_restarts_of_another"),
            promise("L11", "el2_memory_vmids_and_interrupt_controller_are_as_in_the_first_life_of_linux"),
        ],
        body: |run| linux(run, LINUX_LONG, SEED + 1),
    },
];

/// xorshift64* (Vigna), as the probe's.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }
}

fn boot(run: &Run, system: &str) -> Result<(Machine, Monitor)> {
    let socket = Socket::new()?;
    let recipe = Recipe::virt(gic(run.kind)).cores(CORES.into()).kernel(&run.project.image(system)?);
    let machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    Ok((machine, socket.accept(run)?))
}

/// Waits until the life of this number takes orders. EL2's words and the guest's may come in any order.
fn expect_prompt(console: &mut Conversation, life: u32) -> Result<()> {
    let words = format!("partition 'mortal' restarts: life {life}\r\n");
    let deadline = console.deadline(SHORT);
    console.transcript().wait(console.seen(), deadline, &format!("life {life} at its prompt"), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (_, behind) = text.split_once("mortal| probe: ready")?;
        (behind.contains("mortal| probe> ") && text.contains(&words)).then_some(())
    })?;
    console.skip();
    Ok(())
}

/// `Ctrl-T r` and `y` for the first partition.
fn press_restart(console: &mut Conversation, name: &str) -> Result<()> {
    console.send([CTRL_T, b'1', CTRL_T, b'r'])?;
    console.expect(&format!("restart '{name}'? y/n\r\n"), SHORT)?;
    console.send("y")
}

/// What EL2 has of its frame pool in use, as `Ctrl-T s` says it.
fn pool(console: &mut Conversation) -> Result<String> {
    console.send([CTRL_T, b's'])?;
    console.expect_line("EL2's use of its memory", SHORT, |line| {
        let (_, used) = line.strip_prefix("bulkhead| ")?.split_once("EL2: ")?;
        used.ends_with(" in use").then(|| used.to_owned())
    })
}

/// A guest that fills memory and looks whether it stays, and the pattern's place.
struct Watch {
    start: u64,
}

impl Watch {
    fn begin(console: &mut Conversation) -> Result<Self> {
        let machine = WITNESS.ok(console, "machine")?;
        let start =
            field(&machine, "free").with_context(|| format!("no free RAM in {machine:?}"))?.next_multiple_of(4096);
        WITNESS.ok(console, &format!("canary fill {start:#x} {CANARY}"))?;
        Ok(Self { start })
    }

    fn check(&self, console: &mut Conversation) -> Result<()> {
        WITNESS.ok(console, &format!("canary check {:#x} {CANARY}", self.start)).map(drop)
    }
}

/// A Linux of one vCPU that computes the checksum of the same file again and again (`tests/systems/torture.toml`).
struct Sums {
    expected: String,
}

impl Sums {
    /// Waits for its first sum.
    fn begin(console: &Conversation) -> Result<Self> {
        /// The file, as the system file's `gt.cmd` writes it.
        const FILE: &str = "bulkhead\n";
        const BYTES: usize = 1 << 20;
        let mut file = FILE.repeat(BYTES.div_ceil(FILE.len()));
        file.truncate(BYTES);
        let sums = Self { expected: sha256(&file) };
        sums.check_next(console, BOOT)?;
        Ok(sums)
    }

    /// It goes on: another sum comes; and all so far were right, none was left out, and it began once.
    fn check_next(&self, console: &Conversation, seconds: u64) -> Result<()> {
        let (from, deadline) = (console.transcript().len(), console.deadline(seconds));
        console.transcript().wait(from, deadline, "another checksum of Linux", |bytes| {
            (!sums(&String::from_utf8_lossy(bytes).replace('\r', "")).is_empty()).then_some(())
        })?;
        let all = sums(&console.transcript().text_from(0));
        let wrong = (1..).zip(&all).find(|(n, (number, sum))| n != number || *sum != self.expected);
        ensure!(wrong.is_none(), "checksum {wrong:?} is not {}", self.expected);
        Ok(())
    }
}

/// Number and sum of each line `sum 1 HEX - end` of `sums`, which others' lines may have broken.
fn sums(text: &str) -> Vec<(u64, String)> {
    let own = text.lines().filter_map(tag).filter(|(name, _)| *name == "sums").map(|(_, line)| line);
    let squeezed: String = own.collect();
    let whole = squeezed.split("sum ").skip(1).filter_map(|line| line.split_once(" - end")).map(|(line, _)| line);
    let parts = whole.map(|line| line.split_once(' ').unwrap_or((line, "")));
    parts.map(|(number, sum)| (number.parse().unwrap_or(0), sum.to_owned())).collect()
}

/// The first failure is kept.
fn note(result: &mut Result<()>, next: Result<()>) {
    if result.is_ok() {
        *result = next;
    }
}

/// Every report of `control` so far is exact, and there were some.
fn check_beats(console: &mut Conversation) -> Result<()> {
    // One more, so that the last restart is covered.
    Report::next(console)?;
    let text = console.transcript().text_from(0);
    let control = text.lines().filter_map(tag).filter(|(name, _)| *name == "control");
    let reports: Vec<Report> = control.filter_map(|(_, line)| Report::parse(line)).collect();
    reports.iter().try_for_each(Report::check)?;
    let is_one_life = reports.windows(2).all(|pair| pair[0].beats < pair[1].beats);
    ensure!(!reports.is_empty() && is_one_life, "control began anew: {reports:?}");
    Ok(())
}

fn small(run: &mut Run) -> Result<()> {
    let restarts = if run.kind == Kind::V3 { SMALL_V3 } else { SMALL_V2 };
    let (mut machine, mut monitor) = boot(run, "torture")?;
    let console = &mut machine.console;
    MORTAL.ready(console)?;
    WITNESS.ready(console)?;
    let watch = Watch::begin(console)?;
    let sums = Sums::begin(console)?;
    let before = hardware_of_a_hung_probe(run, console, &mut monitor)?;
    press_restart(console, MORTAL.name)?;
    expect_prompt(console, 2)?;

    let mut random = Random(SEED);
    let began = Instant::now();
    let mut witness = Ok(());
    let mut summed = Ok(());
    run.promise("a_small_guest_comes_back_however_often_and_however_it_ends", |_| {
        for life in 3..restarts + 2 {
            end_small(console, &mut random).and_then(|()| expect_prompt(console, life))?;
            if life % 100 == 0 {
                note(&mut witness, watch.check(console));
                note(&mut summed, sums.check_next(console, SHORT));
            }
        }
        Ok(())
    });
    let each = began.elapsed().as_secs_f64() * 1000.0 / f64::from(restarts);
    println!("L11   {}   {restarts} restarts of a small guest, {each:.0} ms each", run.kind);
    run.promise("beat_and_memory_of_others_are_right_during_all_restarts", |_| {
        witness?;
        watch.check(console)?;
        check_beats(console)
    });
    run.promise("a_checksumming_linux_goes_on_during_all_restarts", |_| {
        summed?;
        sums.check_next(console, SHORT)
    });
    run.promise("el2_memory_vmids_and_interrupt_controller_are_as_in_the_first_life", |run| {
        let after = hardware_of_a_hung_probe(run, console, &mut monitor)?;
        ensure!(before == after, "before {before:x?}\nafter  {after:x?}");
        Ok(())
    });
    Ok(())
}

/// Ends the life of a probe at its prompt in one of the ways that lead to another.
fn end_small(console: &mut Conversation, random: &mut Random) -> Result<()> {
    match random.below(8) {
        0 => press_restart(console, MORTAL.name),
        1 => {
            MORTAL.order(console, "hang")?;
            press_restart(console, MORTAL.name)
        }
        2 => {
            // Timers and SPIs active in their handlers, everything else pending.
            MORTAL.ok(console, "here hold")?;
            press_restart(console, MORTAL.name)
        }
        3..=4 => MORTAL.order(console, "reset").map(drop),
        _ => MORTAL.order(console, "faultloop").map(drop),
    }
}

/// What must be as in the first life, whatever came between.
#[derive(Debug, PartialEq)]
struct Hardware {
    pool: String,
    interrupts: Interrupts,
    /// VTTBR_EL2 of each core: VMID and root of stage 2.
    stage2: Vec<u64>,
}

/// Of `mortal` while it spins with everything masked: always the same point of its life.
fn hardware_of_a_hung_probe(run: &Run, console: &mut Conversation, monitor: &mut Monitor) -> Result<Hardware> {
    MORTAL.order(console, "hang")?;
    console.expect("hang\r\n", SHORT)?;
    let file = run.new_directory("snapshot")?.join("machine");
    let interrupts = match run.kind {
        Kind::V2 => interrupts::of_gicv2(monitor, &[1], &file)?,
        _ => [interrupts::of_gicv3(monitor, &[1])?, interrupts::interfaces_of_gicv3(monitor, &[1], &file)?].concat(),
    };
    Ok(Hardware { pool: pool(console)?, interrupts, stage2: monitor.stopped(stage2)? })
}

fn stage2(gdb: &mut Gdb) -> Result<Vec<u64>> {
    gdb.system_registers("VTTBR_EL2", 0..CORES)
}

fn linux(run: &mut Run, restarts: u32, seed: u64) -> Result<()> {
    let (mut machine, mut monitor) = boot(run, "torture-linux")?;
    let console = &mut machine.console;
    WITNESS.ready(console)?;
    let watch = Watch::begin(console)?;
    let sums = Sums::begin(console)?;
    expect_shell(console, 0)?;
    let before = hardware_of_an_idle_linux(run, console, &mut monitor)?;
    let mut gdb = monitor.debug()?;
    gdb.resume()?;

    let mut random = Random(seed);
    let began = Instant::now();
    let mut witness = Ok(());
    let mut summed = Ok(());
    let mut ways = [0_u32; 3];
    run.promise("linux_comes_back_from_any_moment_of_its_first_second", |_| {
        let mut life = 1;
        while life <= restarts {
            let (way, next) = end_linux(console, &mut gdb, &mut random, life + 1)
                .with_context(|| format!("the end of life {life}, seed {seed}"))?;
            life = next;
            ways[way as usize] += 1;
            if life % 10 == 0 {
                note(&mut witness, watch.check(console));
                note(&mut summed, sums.check_next(console, SHORT));
            }
        }
        expect_shell(console, console.seen()).context("the last life")
    });
    gdb.halt()?;
    monitor.leave(gdb)?;
    let each = began.elapsed().as_secs_f64() * 1000.0 / f64::from(restarts);
    let [keys, wrecked, hung] = ways;
    println!(
        "L11   {}   {restarts} restarts of Linux, {each:.0} ms each: {keys} by key, {wrecked} by its own end after a \
         wrecked PC, {hung} by key after one",
        run.kind
    );
    run.promise("beat_and_memory_of_others_are_right_during_all_restarts_of_linux", |_| {
        witness?;
        watch.check(console)?;
        check_beats(console)
    });
    run.promise("a_checksumming_linux_goes_on_during_all_restarts_of_another", |_| {
        summed?;
        sums.check_next(console, SHORT)
    });
    run.promise("el2_memory_vmids_and_interrupt_controller_are_as_in_the_first_life_of_linux", |run| {
        let after = hardware_of_an_idle_linux(run, console, &mut monitor)?;
        ensure!(before == after, "before {before:x?}\nafter  {after:x?}");
        Ok(())
    });
    Ok(())
}

/// How a life of Linux ended.
#[derive(Clone, Copy)]
enum Way {
    Key,
    Wrecked,
    Hung,
}

/// Ends Linux at a random moment of its first second, from outside: by key, or by a PC that leads nowhere, which it may
/// survive for a while or for ever; then a key ends it. Returns when the life of this number has begun, or the one behind it
/// where Linux ended by itself just before the key.
fn end_linux(console: &mut Conversation, gdb: &mut Gdb, random: &mut Random, life: u32) -> Result<(Way, u32)> {
    std::thread::sleep(Duration::from_millis(random.below(FIRST_MS)));
    let (is_wrecked, core, pc) = (random.below(2) == 0, random.below(2) as u8, random.below(1 << 40) & !3);
    let mut way = Way::Key;
    if is_wrecked && wreck(gdb, core, pc)? {
        let line = format!("partition 'linux' restarts: life {life}\r\n");
        let deadline = Instant::now() + NOTICES_WITHIN;
        let seen = console.seen();
        let came_back = console.transcript().wait(seen, deadline, "the end of Linux", |bytes| {
            String::from_utf8_lossy(bytes).contains(&line).then_some(())
        });
        way = if came_back.is_ok() { Way::Wrecked } else { Way::Hung };
    }
    if !matches!(way, Way::Wrecked) {
        press_restart(console, "linux")?;
    }
    let begun = console.expect_line(&format!("life {life} of Linux"), SHORT, |line| {
        line.split_once("partition 'linux' restarts: life ")?.1.parse().ok().filter(|number| *number >= life)
    })?;
    Ok((way, begun))
}

/// Sends a core of Linux astray, unless it is at EL2 just now.
fn wreck(gdb: &mut Gdb, core: u8, pc: u64) -> Result<bool> {
    gdb.halt()?;
    let is_guest = gdb.register(core, Register::Pstate)? >> 2 & 3 < 2;
    if is_guest {
        gdb.set_register(core, Register::Pc, pc)?;
    }
    gdb.resume()?;
    Ok(is_guest)
}

/// Waits for Linux's shell, anywhere behind `from`.
fn expect_shell(console: &mut Conversation, from: usize) -> Result<()> {
    let deadline = console.deadline(BOOT);
    let ready = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("GUEST-READY").then_some(());
    console.transcript().wait(from, deadline, "Linux's shell", ready)?;
    console.skip();
    Ok(())
}

/// Of Linux while it waits at its prompt and no interrupt is on its way.
fn hardware_of_an_idle_linux(run: &Run, console: &mut Conversation, monitor: &mut Monitor) -> Result<Hardware> {
    let interrupts = interrupts_of_an_idle_linux(monitor, &run.new_directory("snapshot")?.join("machine"))?;
    Ok(Hardware { pool: pool(console)?, interrupts, stage2: monitor.stopped(stage2)? })
}

/// The interrupt controller while Linux waits at its prompt and no interrupt is on its way.
fn interrupts_of_an_idle_linux(monitor: &mut Monitor, file: &Path) -> Result<Interrupts> {
    const TRIES: u32 = 100;
    let is_quiet = |(name, words): &(String, Vec<u32>)| {
        !["active", "pending", "priorities", "list registers"].iter().any(|end| name.ends_with(end))
            || words.iter().all(|word| *word == 0)
    };
    for _ in 0..TRIES {
        let all = interrupts::of_gicv3(monitor, &[0, 1])?;
        if all.iter().all(is_quiet) {
            let interfaces = interrupts::interfaces_of_gicv3(monitor, &[0, 1], file)?;
            if interfaces.iter().all(is_quiet) {
                return Ok([all, interfaces].concat());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    anyhow::bail!(
        "interrupts were pending or active at each of {TRIES} looks: {:x?}",
        interrupts::of_gicv3(monitor, &[0, 1])?
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_although_others_speak_in_their_middle() {
        let text =
            "sums| sum 1 ab - end\nmortal| probe> \nsums| sum 2 a\nbulkhead| [ 1.0] x\nsums| b - end\nsums| sum 3 a";
        assert_eq!(sums(text), [(1, "ab".to_owned()), (2, "ab".to_owned())]);
        // What was heard from the middle on counts only from its first beginning.
        assert!(sums("sums| b - end\nsums| sum 3 a").is_empty());
    }
}
