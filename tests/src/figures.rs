//! What a restart costs and how long EL2 keeps a guest waiting, in instructions that EL2 executes on that guest's core.
//!
//! The plugin counts them core by core ([`crate::elcount`]), under `-icount`, which makes cores take turns: only then do
//! two cores that share the work of a restart get equal time on any host.

use crate::bench::{Row, Rows};
use crate::conversation::Conversation;
use crate::counters::CTRL_T;
use crate::elcount::{self, Longest, Start};
use crate::machine::{GicVersion, Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::net_figures;
use crate::probe::Probe;
use crate::run::Run;
use crate::symbols::Symbols;
use anyhow::{Context, Result, ensure};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Seconds for a boot, a life or an order, all cores on one thread and EL2 instrumented.
const SLOW: u64 = 90;
/// Restarts of the small guest that are measured.
const SMALL: usize = 5;
/// Restarts of Linux that are measured.
const LINUX: usize = 2;
/// VMID of the first partition of a system.
const FIRST: u64 = 1;

const MORTAL: Probe = Probe { name: "mortal", digit: 1 };
const HOSTILE: Probe = Probe { name: "hostile", digit: 1 };
const VICTIM: Probe = Probe { name: "victim", digit: 2 };

/// A machine with the plugin.
struct Instrumented {
    machine: Machine,
    monitor: Monitor,
    out: PathBuf,
}

impl Instrumented {
    fn start(run: &Run, gic: GicVersion, system: &str) -> Result<Self> {
        let out = run.new_directory("elcount")?.join("out");
        let socket = Socket::new()?;
        let recipe = Recipe::virt(gic).kernel(&run.project.image(system)?).arg("-icount").arg("shift=0");
        let recipe = recipe.arg("-plugin").arg(format!("{},stretches=on", elcount::option(run.project, &out)?));
        let machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
        Ok(Self { machine, monitor: socket.accept(run)?, out })
    }

    /// Ends the machine; the file that the plugin wrote.
    fn end(mut self) -> Result<PathBuf> {
        self.monitor.quit()?;
        self.machine.expect_power_off(SLOW)?;
        Ok(self.out)
    }
}

fn expect_life(console: &mut Conversation, name: &str, life: usize) -> Result<()> {
    console.expect(&format!("partition '{name}' restarts: life {life}\r\n"), SLOW).map(drop)
}

/// It may have been done long ago.
fn expect_attack_done(console: &mut Conversation) -> Result<()> {
    let deadline = console.deadline(SLOW);
    let is_done = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("attack done").then_some(());
    console.transcript().wait(0, deadline, "the end of the attack", is_done)
}

/// From the fault of a guest of 8 MiB to its first instruction: each restart.
fn restarts_of_small_guest(run: &Run, gic: GicVersion) -> Result<Vec<u64>> {
    let mut instrumented = Instrumented::start(run, gic, "restart-small")?;
    let console = &mut instrumented.machine.console;
    for _ in 0..SMALL {
        console.expect("mortal| probe: ready", SLOW)?;
        MORTAL.order(console, "faultloop")?;
    }
    console.expect("mortal| probe: ready", SLOW)?;
    let starts = Start::read(&instrumented.end()?)?;
    let own = starts.iter().filter(|start| start.vmid == FIRST).map(|start| start.instructions);
    let restarts: Vec<u64> = own.collect();
    ensure!(restarts.len() == SMALL, "{SMALL} restarts were made, the plugin saw {starts:?}");
    Ok(restarts)
}

/// From the end of a Linux of 512 MiB on two cores, by its own panic, to its first instruction: each restart, the share
/// of each core; and the longest stretch of each vCPU while Linux boots and panics.
fn restarts_of_linux(run: &Run, gic: GicVersion) -> Result<(Vec<[u64; 2]>, Vec<Longest>)> {
    let mut instrumented = Instrumented::start(run, gic, "restart-linux")?;
    // One more, so that both vCPUs of the ones before have started.
    expect_life(&mut instrumented.machine.console, "linux", LINUX + 2)?;
    let out = instrumented.end()?;
    let starts = Start::read(&out)?;
    let of = |vcpu| starts.iter().filter(move |start| (start.vmid, start.vcpu) == (FIRST, vcpu));
    let restarts: Vec<[u64; 2]> =
        of(0).zip(of(1)).map(|(first, second)| [first.instructions, second.instructions]).collect();
    ensure!(restarts.len() >= LINUX, "{LINUX} restarts were made, the plugin saw {starts:?}");
    Ok((restarts, Longest::read(&out)?))
}

/// The longest stretch of each vCPU of a system where every core has a guest, so that the console's core has one too.
///
/// One guest floods the console, falls and comes back while the other, whose first core is the console's, attacks its
/// devices, starts its second vCPU and sends interrupts. `with_keys`: the keys that print many lines instead.
fn longest_stretches(run: &Run, gic: GicVersion, with_keys: bool) -> Result<Vec<Longest>> {
    let mut instrumented = Instrumented::start(run, gic, "stretches")?;
    let console = &mut instrumented.machine.console;
    HOSTILE.ready(console)?;
    VICTIM.ready(console)?;
    if with_keys {
        for (key, last) in [(b's', "control/v0 "), (b'?', "ask first"), (b'f', "no partition has a fault")] {
            console.send([CTRL_T, key])?;
            console.expect(last, SLOW)?;
        }
    } else {
        let mut ask = |probe: &Probe, order: &str| probe.ask_for(console, order, SLOW).map(drop);
        ask(&HOSTILE, "cpu_on 1")?;
        ask(&HOSTILE, "sgi 3")?;
        ask(&HOSTILE, "gic storm")?;
        ask(&HOSTILE, "gic order")?;
        // As much as fits into its ring: what does not is dropped, and its answer with it.
        VICTIM.order(console, "flood 100")?;
        HOSTILE.order(console, "attack 7 300")?;
        console.expect("flood 00000099", SLOW)?;
        for _ in 0..2 {
            VICTIM.order(console, "reset")?;
            // EL2's words about it and the guest's may come in any order.
            console.expect("victim| probe: ready", SLOW)?;
        }
        expect_attack_done(console)?;
    }
    Longest::read(&instrumented.end()?)
}

/// A stretch and what caused it: the exception, and the functions that executed most of it.
struct Cause<'a>(&'a Longest, &'a Symbols);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(longest, symbols) = self;
        write!(f, "{} at VMID {} vCPU {}", longest.instructions, longest.vmid, longest.vcpu)?;
        match longest.kind.as_str() {
            "sync" => {
                write!(f, ", exit of class {:#x}, ISS {:#x}", longest.esr >> 26 & 0x3f, longest.esr & 0x1ff_ffff)?
            }
            "irq" => write!(f, ", an interrupt")?,
            other => write!(f, ", {other}")?,
        }
        let mut functions: BTreeMap<String, u64> = BTreeMap::new();
        for (address, count) in &longest.places {
            *functions.entry(symbols.name_at(*address)).or_default() += count;
        }
        let mut functions: Vec<_> = functions.into_iter().collect();
        functions.sort_by_key(|(_, count)| Reverse(*count));
        for (name, count) in functions.iter().take(4) {
            write!(f, "; {count} in {name}")?;
        }
        Ok(())
    }
}

/// What the issues allow: the worst sample of a row.
pub const BOUNDS: [(&str, u64); 10] = [
    (SMALL_ROW, 500_000),
    (LINUX_ROW, 15_000_000),
    ("notify_awake", 120),
    ("notify_asleep", 300),
    ("exits_100_reads_4k_d1", 300),
    ("exits_100_reads_4k_d32", 20),
    (net_figures::EXITS_ROW, 5),
    (net_figures::IDLE_ROW, 0),
    ("service_image", 512 << 10),
    ("service_per_partition", 128 << 10),
];

/// Rows whose worst sample is above what the issue allows.
pub fn above_bounds(rows: &Rows) -> Vec<String> {
    let bounded = BOUNDS.iter().filter_map(|(name, most)| Some((name, rows.get(*name)?.max, *most)));
    bounded
        .filter(|(_, max, most)| max > most)
        .map(|(name, max, most)| format!("{name}: {max} of at most {most}"))
        .collect()
}

/// The row of a restart of 8 MiB.
pub const SMALL_ROW: &str = "restart_8m";
/// The row of a restart of Linux with 512 MiB: for each restart, the mean of what its two cores execute.
///
/// DC ZVA and DC CIVAC clean and zero a line, and an ADD goes on to the next: 3 instructions, and 2 more for each 16
/// lines. A line of payload takes 2 LDP, 2 STP, 4 MLA, a REV32 and a DC CIVAC, and 2 more for each 4 lines. Of 8 388 608
/// lines, payloads are 458 193: (7 930 415 * 3.125 + 458 193 * 10.5) / 2 = 14.8 M for each core.
pub const LINUX_ROW: &str = "restart_linux_512m";
/// The row of the longest stretch on the core of a running guest.
const MASKED_ROW: &str = "masked_guest_core";
/// The row of the same of a Linux that boots, on a core that is not the console's: median of its vCPUs, and worst.
const MASKED_LINUX_ROW: &str = "masked_linux_core";
/// The row of the longest stretch on the console's core where a guest runs there: what all rings hold goes out at once
/// if the UART takes it, which QEMU's does.
const MASKED_CONSOLE_ROW: &str = "masked_console_core";

/// Whether less than the baseline is no change. How much waits when the console's core looks depends on when the host ran
/// QEMU's other threads; at most it is what `hypervisor::console` moves at once, 8 KiB, which the baseline has.
pub fn is_most(row: &str) -> bool {
    row == MASKED_CONSOLE_ROW
}

/// By how many hundredths a row may differ from the baseline. EL2's part of a read is small, and whether a timer's interrupt
/// falls into it depends on when the host ran QEMU's other threads.
pub fn tolerance(row: &str) -> u64 {
    match row {
        // Of two or three exits, one more or less.
        net_figures::EXITS_ROW => 50,
        _ if row.starts_with("exits_") || row.ends_with("_el2") => 10,
        _ => 2,
    }
}

/// Restarts of the small guest, and of Linux where asked for.
pub fn restart_rows(run: &Run, gic: GicVersion, with_linux: bool) -> Result<Rows> {
    let mut rows = Rows::from([(SMALL_ROW.to_owned(), row_of(restarts_of_small_guest(run, gic)?)?)]);
    if with_linux {
        let (restarts, stretches) = restarts_of_linux(run, gic)?;
        let longest = stretches.iter().filter(|found| found.vmid == FIRST).map(|found| found.instructions);
        rows.insert(MASKED_LINUX_ROW.to_owned(), row_of(longest.collect())?);
        for [first, second] in &restarts {
            // Cores that take turns a millisecond long, and blocks of 2 MiB: nearly halves.
            ensure!(first.abs_diff(*second) < first / 4, "two cores do not share the work: {first} and {second}");
        }
        let means = restarts.iter().map(|[first, second]| first.midpoint(*second)).collect();
        rows.insert(LINUX_ROW.to_owned(), row_of(means)?);
    }
    Ok(rows)
}

fn row_of(mut samples: Vec<u64>) -> Result<Row> {
    samples.sort_unstable();
    let median = *samples.get(samples.len() / 2).context("no sample")?;
    Ok(Row { median, max: samples.last().copied().unwrap_or(median) })
}

/// The longest stretches, and for people what caused them.
pub fn masked_rows(run: &Run, gic: GicVersion) -> Result<(Rows, Vec<String>)> {
    let symbols = Symbols::read(run.project)?;
    let mut all = longest_stretches(run, gic, false)?;
    all.extend(longest_stretches(run, gic, true)?);
    // The console's core is the first core of the first partition: no core is free.
    let (console, others): (Vec<_>, Vec<_>) = all.iter().partition(|found| (found.vmid, found.vcpu) == (FIRST, 0));
    let mut rows = Rows::new();
    let mut causes = Vec::new();
    for (name, found) in [(MASKED_ROW, others), (MASKED_CONSOLE_ROW, console)] {
        let longest = found.into_iter().max_by_key(|found| found.instructions).context("the plugin saw no stretch")?;
        rows.insert(name.to_owned(), Row { median: longest.instructions, max: longest.instructions });
        causes.push(format!("{name}: {}", Cause(longest, &symbols)));
    }
    Ok((rows, causes))
}
