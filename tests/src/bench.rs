//! Instruction counts of hypervisor paths: the bench guest under `-icount`, with and without Bulkhead.
//!
//! One tick of the guest's counter is one executed instruction, guest's and EL2's together: not time on silicon, but
//! it repeats to the digit, in any checkout: EL2 and the guest have the same bytes everywhere (`scripts/rustc`). Medians
//! are held to `tests/bench-baseline.txt` exactly and to the peers, maxima to the baseline with a small margin.

use crate::disk_figures;
use crate::elcount::{self, Stretches};
use crate::figures;
use crate::machine::{GicVersion, Recipe};
use crate::monitor::Socket;
use crate::net_figures;
use crate::pi_figures;
use crate::project::{self, Project};
use crate::promises::boot_failures::RPI4_TREE;
use crate::promises::speed;
use crate::run::Run;
use crate::scenario::Kind;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Seconds for one run of the bench guest.
const RUN: u64 = 240;
/// The row that only a machine with one core makes comparable: cores that spin at boot count in full.
const BOOT_ROW: &str = "boot_cntpct_at_entry";
/// The row that executes nothing at EL2, and its instructions: what it shows beyond them is another core's work.
///
/// Under icount all cores share one host thread and one clock, so a sample also counts what another core does meanwhile:
/// no property of the measured path. With GICv3 nothing runs beside the bench guest. With GICv2 the console core touches
/// QEMU's GIC once a millisecond (docs/decisions/0004-lost-levels.md), which is once in each sample of this row and in
/// at most one of a few hundred samples elsewhere: there a maximum may be that much above the median.
const LOOP_ROW: (&str, u64) = ("cpu_loop_1M_insn", 1_000_004);
/// Instructions that a maximum may exceed the baseline's by: two slices that interleave otherwise.
const MARGIN: u64 = 64;

/// What the peers need, median, in instructions; the better one of Bao and hvisor on GICv3, Bao on GICv2 (hvisor has
/// none). Bao 738e3dc (v2.0-rc7-41), hvisor 6a3fb78 (v0.1.2-306), QEMU 10.0.2, cortex-a72. Rows: name, GICv3, GICv2.
const PEERS: &[(&str, u64, Option<u64>)] = &[
    ("hvc_psci_version", 135, Some(197)),
    ("mmio_gicd_typer", 230, Some(230)),
    ("idreg_read", 3, Some(3)),
    ("vtimer_irq", 202, Some(207)),
    ("vtimer_irq_to_resume", 267, Some(274)),
    ("sgi_self", 343, Some(903)),
    ("wfi_timer_wake", 201, Some(206)),
    // No peer number on GICv2, where this clock also counts the console core's nudges ([`LOOP_ROW`]). The peers execute
    // nothing at EL2 in this row; `promises::beat` shows the same of the loop's own core, by the plugin.
    ("cpu_loop_1M_insn", 1_000_005, None),
    ("cpu_on_to_running", 13_565, Some(10_862)),
    ("sgi_cross_roundtrip_wfi", 768, Some(1882)),
    ("sgi_cross_oneway_wfi", 354, Some(912)),
    ("sgi_cross_roundtrip_spin", 767, Some(1881)),
    ("sgi_cross_oneway_spin", 354, Some(912)),
    (BOOT_ROW, 381_559, Some(381_559)),
];

/// One row: the guest's `RESULT name min median p99 max mean`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The middle sample.
    pub median: u64,
    /// The worst sample.
    pub max: u64,
}

/// Rows by name.
pub type Rows = BTreeMap<String, Row>;

fn parse_row(line: &str) -> Option<(String, Row)> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "RESULT").skip(1);
    let name = words.next()?.to_owned();
    let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    Some((name, Row { median: *numbers.get(1)?, max: *numbers.get(3)? }))
}

/// A machine whose counter counts instructions and that sees nothing of the host's clock or randomness.
fn counting_machine(gic: GicVersion, options: &str) -> Recipe {
    Recipe::virt_with(gic, "cortex-a72,cntfrq=1000000000", &format!(",dtb-randomness=off{options}"))
        .arg("-icount")
        .arg("shift=0,sleep=off")
        .arg("-rtc")
        .arg("base=2026-01-01,clock=vm")
}

fn rows_of(recipe: Recipe, run: &Run) -> Result<Rows> {
    let mut machine = recipe.start(run)?;
    machine.console.expect("BENCH-DONE", RUN)?;
    machine.expect_power_off(RUN)?;
    let text = machine.console.transcript().text_from(0);
    Ok(text.lines().filter_map(parse_row).collect())
}

/// The stretches of EL2 in the bench guest's phases, by the plugin, on a Raspberry Pi 4, which does not power off.
pub fn measure_stretches_on_pi(run: &Run) -> Result<Vec<Stretches>> {
    let out = run.directory().join("stretches-on-pi");
    let option = format!("{},stretches=on", elcount::option(run.project, &out)?);
    let socket = Socket::new()?;
    let recipe = Recipe::raspi4b(&run.project.built(RPI4_TREE)?).kernel(&run.project.image("pi-bench")?);
    let recipe = recipe.arg("-icount").arg("shift=0,sleep=off").arg("-plugin").arg(option);
    let mut machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    let monitor = socket.accept(run)?;
    machine.console.expect("BENCH-DONE", RUN)?;
    monitor.quit()?;
    machine.expect_power_off(RUN)?;
    Stretches::read(&out)
}

/// The stretches of EL2 in the bench guest's phases, by the plugin.
pub fn measure_stretches(run: &Run, gic: GicVersion) -> Result<Vec<Stretches>> {
    let out = run.directory().join("stretches");
    let option = format!("{},stretches=on", elcount::option(run.project, &out)?);
    rows_of(bulkhead(gic).kernel(&run.project.image("bench")?).arg("-plugin").arg(option), run)?;
    Stretches::read(&out)
}

/// The bench guest without a hypervisor: the floor.
pub fn measure_plain(run: &Run, gic: GicVersion) -> Result<Rows> {
    rows_of(counting_machine(gic, "").kernel(&run.project.built("build/guests/bench.elf")?), run)
}

/// The bench guest under Bulkhead, its boot row from a machine with one core.
pub fn measure(run: &Run, gic: GicVersion) -> Result<Rows> {
    let mut rows = rows_of(bulkhead(gic).kernel(&run.project.image("bench")?), run)?;
    let boot = rows_of(bulkhead(gic).cores(1).kernel(&run.project.image("bench-boot")?), run)?;
    rows.insert(BOOT_ROW.into(), *boot.get(BOOT_ROW).context("the bench guest did not report its boot")?);
    Ok(rows)
}

fn bulkhead(gic: GicVersion) -> Recipe {
    counting_machine(gic, ",virtualization=on")
}

/// What the peers need in this row.
fn peers(name: &str, kind: Kind) -> Option<u64> {
    let (_, v3, v2) = PEERS.iter().find(|(row, ..)| *row == name)?;
    if kind == Kind::V2 { *v2 } else { Some(*v3) }
}

/// Rows that do not beat the peers. A row whose peers cost nothing must cost nothing too.
pub fn behind_peers(rows: &Rows, plain: &Rows, kind: Kind) -> Vec<String> {
    let mut behind = Vec::new();
    for (name, ..) in PEERS {
        let Some(row) = rows.get(*name) else {
            behind.push(format!("{name}: not measured"));
            continue;
        };
        let Some(peer) = peers(name, kind) else { continue };
        let floor = plain.get(*name).map_or(0, |row| row.median);
        if !(row.median < peer || (peer <= floor && row.median <= floor)) {
            behind.push(format!("{name}: {} instructions, the best peer needs {peer}", row.median));
        }
    }
    behind
}

/// The committed numbers.
pub struct Baseline {
    file: PathBuf,
    /// QEMU's version when they were measured.
    qemu: String,
    rows: BTreeMap<(String, String), Row>,
}

/// The line of the file that names QEMU's version.
const QEMU_LINE: &str = "# QEMU ";

impl Baseline {
    /// Reads the checkout's baseline: lines of `machine row median max`.
    pub fn read(project: &Project) -> Result<Self> {
        let file = project.root().join("tests/bench-baseline.txt");
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let parse = |line: &str| -> Option<((String, String), Row)> {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [machine, name, median, max] = words.as_slice() else { return None };
            Some((((*machine).into(), (*name).into()), Row { median: median.parse().ok()?, max: max.parse().ok()? }))
        };
        let qemu = text.lines().find_map(|line| line.strip_prefix(QEMU_LINE)).unwrap_or_default().to_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let rows = lines.map(|line| parse(line).with_context(|| format!("{}: {line:?}", file.display())));
        Ok(Self { rows: rows.collect::<Result<_>>()?, qemu, file })
    }

    fn row(&self, kind: Kind, name: &str) -> Option<Row> {
        self.rows.get(&(kind.to_string(), name.to_owned())).copied()
    }

    /// Rows that differ with this QEMU: a median at all, a maximum by more than the margin. What other cores may add to
    /// a sample is what [`LOOP_ROW`] shows.
    ///
    /// QEMU makes the firmware's tree, which the boot reads: its row is exact only with the baseline's QEMU.
    pub fn differences(&self, rows: &Rows, kind: Kind, qemu: &str) -> Vec<String> {
        let coincidence = self.row(kind, LOOP_ROW.0).map_or(0, |row| row.median.saturating_sub(LOOP_ROW.1));
        let mut different = Vec::new();
        for (name, row) in rows {
            let Some(known) = self.row(kind, name) else {
                different.push(format!("{name}: median {} is not in the baseline", row.median));
                continue;
            };
            let has_other_tree = name == BOOT_ROW && qemu != self.qemu;
            let slack = if has_other_tree { known.median / 100 } else { 0 };
            if row.median.abs_diff(known.median) > slack {
                different.push(format!("{name}: median {}, the baseline has {}", row.median, known.median));
            }
            let most = known.max.max(known.median + coincidence) + MARGIN + slack;
            if row.max > most {
                different.push(format!("{name}: maximum {}, at most {most} is expected", row.max));
            }
        }
        different
    }

    /// Figures of [`crate::figures`] that differ by more than they may.
    pub fn far_from(&self, rows: &Rows, kind: Kind) -> Vec<String> {
        let mut different = Vec::new();
        for (name, row) in rows {
            let Some(known) = self.row(kind, name) else {
                different.push(format!("{name}: {} is not in the baseline", row.median));
                continue;
            };
            let slack = |number: u64| number * figures::tolerance(name) / 100;
            let fewer = if figures::is_most(name) { 0 } else { known.median.saturating_sub(row.median) };
            let more = row.median.saturating_sub(known.median);
            if fewer.max(more) > slack(known.median) || row.max > known.max + slack(known.max) {
                let Row { median, max } = row;
                different
                    .push(format!("{name}: {median}, worst {max}; the baseline has {}, {}", known.median, known.max));
            }
        }
        different
    }

    /// Takes these rows. A worst case that their run did not reach stays: it is lowered by deleting its line.
    fn take(&mut self, rows: &Rows, kind: Kind) {
        let machine = kind.to_string();
        let kept = |name: &str| self.row(kind, name).filter(|_| figures::is_most(name));
        let accepted: Vec<_> = rows
            .iter()
            .map(|(name, row)| {
                let row = kept(name).filter(|known| known.median > row.median).unwrap_or(*row);
                ((machine.clone(), name.clone()), row)
            })
            .collect();
        self.rows.retain(|(other, _), _| *other != machine);
        self.rows.extend(accepted);
    }

    fn accept(&mut self, rows: &Rows, kind: Kind, qemu: &str) -> Result<()> {
        self.take(rows, kind);
        self.qemu = qemu.to_owned();
        let mut text = format!(
            "# Executed instructions under -icount: machine, row, median, worst sample. Medians are held exactly.\n\
             # `bulkhead-tests bench --accept` writes this file; a commit that changes it says why.\n\
             {QEMU_LINE}{qemu}\n",
        );
        for ((machine, name), row) in &self.rows {
            writeln!(text, "{machine} {name} {} {}", row.median, row.max)?;
        }
        std::fs::write(&self.file, text).with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// The version of the QEMU that the tests start.
pub fn qemu_version() -> Result<String> {
    let said = project::run(Command::new("qemu-system-aarch64").arg("--version"))?;
    let version = said.split_whitespace().skip_while(|word| *word != "version").nth(1);
    Ok(version.context("QEMU does not say its version")?.to_owned())
}

/// Prints all rows on both GICs beside the plain machine and the peers, then where the instructions go.
pub fn print(is_accepted: bool) -> Result<ExitCode> {
    let project = Project::open(false)?;
    project.build_tool()?;
    let mut baseline = Baseline::read(&project)?;
    let qemu = qemu_version()?;
    let mut complaints = Vec::new();
    for (kind, gic) in [(Kind::V3, GicVersion::V3), (Kind::V2, GicVersion::V2)] {
        let run = Run::new(&project, &speed::TABLE, kind)?;
        let plain = measure_plain(&run, gic)?;
        let rows = measure(&run, gic)?;
        println!("\nGICv{}, executed instructions (guest and EL2)", gic.number());
        println!("{:<26} {:>10} {:>10} {:>10} {:>10}", "row", "plain", "Bulkhead", "worst", "best peer");
        for (name, row) in &rows {
            let show = |number: Option<u64>| number.map_or_else(|| "-".into(), |n| n.to_string());
            let floor = plain.get(name).filter(|_| name != BOOT_ROW).map(|row| row.median);
            let peer = show(peers(name, kind));
            println!("{name:<26} {:>10} {:>10} {:>10} {peer:>10}", show(floor), row.median, row.max);
        }
        complaints.extend(behind_peers(&rows, &plain, kind).into_iter().map(|line| format!("{kind} {line}")));
        print_levels(&run, gic)?;
        let figures = print_figures(&run, gic)?;
        if is_accepted {
            baseline.accept(&rows.into_iter().chain(figures).collect(), kind, &qemu)?;
        } else {
            let different = [baseline.differences(&rows, kind, &qemu), baseline.far_from(&figures, kind)].concat();
            complaints.extend(different.into_iter().map(|line| format!("{kind} {line}")));
        }
        run.finish(Ok(()));
    }
    print_pi(&project)?;
    project.close(true);
    println!();
    for complaint in &complaints {
        println!("{complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What differs on a Raspberry Pi 4: nothing should but its start.
fn print_pi(project: &Project) -> Result<()> {
    let run = Run::new(project, &speed::TABLE, Kind::Pi)?;
    println!("\nraspi4b, instructions at EL2");
    let start = pi_figures::start_of_control(&run)?;
    println!("control's first instruction: {} on its core, at most {}", start.own, pi_figures::START_MAX);
    println!("Linux's cores by then: {}; its kernel's copy alone: {}", start.loaders, start.copy);
    for row in pi_figures::per_exit(&run, &measure_stretches(&run, GicVersion::V2)?)? {
        println!("{row}");
    }
    run.finish(Ok(()));
    Ok(())
}

/// Restarts and masked stretches, in instructions at EL2 on the guest's core, and what a disk and the network of the service
/// partition cost, beside what the issues allow.
fn print_figures(run: &Run, gic: GicVersion) -> Result<Rows> {
    let mut rows = figures::restart_rows(run, gic, gic == GicVersion::V3)?;
    let (masked, causes) = figures::masked_rows(run, gic)?;
    rows.extend(masked);
    rows.extend(disk_figures::rows(run, gic)?);
    rows.extend(net_figures::rows(run, gic)?);
    println!("{:<26} {:>12} {:>10} {:>10}", "figure", "typical", "worst", "at most");
    for (name, row) in &rows {
        let bound = figures::BOUNDS.iter().find(|(bounded, _)| bounded == name).map(|(_, most)| most.to_string());
        println!("{name:<26} {:>12} {:>10} {:>10}", row.median, row.max, bound.as_deref().unwrap_or("-"));
    }
    figures::above_bounds(&rows).iter().for_each(|line| println!("above its bound: {line}"));
    causes.iter().for_each(|cause| println!("{cause}"));
    Ok(rows)
}

/// The second, independent count: instructions at EL2 and entries into it, for each phase of the guest.
fn print_levels(run: &Run, gic: GicVersion) -> Result<()> {
    let counts = run.directory().join("elcount");
    let option = elcount::option(run.project, &counts)?;
    let recipe = bulkhead(gic).kernel(&run.project.image("bench")?).arg("-plugin").arg(option);
    let mut machine = recipe.start(run)?;
    machine.expect_power_off(RUN * 3)?;
    let names: BTreeMap<u64, String> = machine.console.transcript().text_from(0).lines().filter_map(phase).collect();
    println!("{:<26} {:>12} {:>10} {:>10}", "phase", "EL2 total", "sync", "interrupt");
    for line in std::fs::read_to_string(&counts)?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |name: &str| words.iter().skip_while(|word| **word != name).nth(1).copied().unwrap_or("-");
        let name = value("phase").parse().ok().and_then(|number: u64| names.get(&(number + 100)));
        if let Some(name) = name {
            println!("{name:<26} {:>12} {:>10} {:>10}", value("el2"), value("el2_sync"), value("el2_irq"));
        }
    }
    Ok(())
}

fn phase(line: &str) -> Option<(u64, String)> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "PHASE").skip(1);
    Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, median: u64, max: u64) -> Rows {
        Rows::from([(name.to_owned(), Row { median, max })])
    }

    #[test]
    fn a_result_line_is_read_behind_its_tag() {
        let (name, row) = parse_row("bench| RESULT hvc_psci_version 9 10 11 12 10").unwrap();
        assert_eq!((name.as_str(), row), ("hvc_psci_version", Row { median: 10, max: 12 }));
    }

    #[test]
    fn a_row_as_slow_as_the_best_peer_is_behind_it() {
        let behind = |median| behind_peers(&rows("sgi_self", median, median), &rows("sgi_self", 8, 8), Kind::V3);
        assert!(behind(343).iter().any(|line| line.starts_with("sgi_self: 343")));
        assert!(!behind(342).iter().any(|line| line.starts_with("sgi_self")));
    }

    #[test]
    fn a_row_that_costs_the_peers_nothing_must_cost_nothing() {
        let behind = |median| behind_peers(&rows("idreg_read", median, median), &rows("idreg_read", 3, 3), Kind::V3);
        assert!(!behind(3).iter().any(|line| line.starts_with("idreg_read")));
        assert!(behind(4).iter().any(|line| line.starts_with("idreg_read")));
    }

    fn baseline(kind: Kind, known: &[(&str, u64, u64)]) -> Baseline {
        let row = |&(name, median, max): &(&str, u64, u64)| ((kind.to_string(), name.to_owned()), Row { median, max });
        Baseline { file: PathBuf::new(), qemu: "10.0.2".into(), rows: known.iter().map(row).collect() }
    }

    #[test]
    fn a_worst_case_that_a_run_does_not_reach_stays_in_the_baseline() {
        let known = [("masked_console_core", 90, 90), ("sgi_self", 200, 210)];
        let mut baseline = baseline(Kind::V3, &known);
        let mut found = rows("masked_console_core", 70, 70);
        found.extend(rows("sgi_self", 190, 195));
        baseline.take(&found, Kind::V3);
        let median = |baseline: &Baseline, name| baseline.row(Kind::V3, name).unwrap().median;
        assert_eq!((median(&baseline, "masked_console_core"), median(&baseline, "sgi_self")), (90, 190));
        baseline.take(&rows("masked_console_core", 95, 95), Kind::V3);
        assert_eq!(median(&baseline, "masked_console_core"), 95);
    }

    #[test]
    fn medians_are_exact_and_maxima_have_a_margin() {
        let baseline = baseline(Kind::V3, &[("sgi_self", 200, 210), (LOOP_ROW.0, LOOP_ROW.1, LOOP_ROW.1)]);
        let differences =
            |median, max, kind| baseline.differences(&rows("sgi_self", median, max), kind, "10.0.2").len();
        assert_eq!(differences(200, 210 + MARGIN, Kind::V3), 0);
        assert_eq!(differences(199, 200, Kind::V3), 1);
        assert_eq!(differences(200, 211 + MARGIN, Kind::V3), 1);
        assert_eq!(differences(200, 200, Kind::V2), 1, "not in the baseline");
    }

    #[test]
    fn a_maximum_may_hold_what_another_core_adds_to_the_loop() {
        let baseline = baseline(Kind::V2, &[("sgi_self", 200, 210), (LOOP_ROW.0, LOOP_ROW.1 + 800, LOOP_ROW.1 + 800)]);
        let differences = |max| baseline.differences(&rows("sgi_self", 200, max), Kind::V2, "10.0.2").len();
        assert_eq!(differences(1000 + MARGIN), 0);
        assert_eq!(differences(1001 + MARGIN), 1);
    }

    #[test]
    fn boot_is_exact_with_the_baselines_qemu_only() {
        let baseline = baseline(Kind::V3, &[(BOOT_ROW, 300_000, 300_000)]);
        let differences = |count, qemu| baseline.differences(&rows(BOOT_ROW, count, count), Kind::V3, qemu).len();
        assert_eq!(differences(300_000, "10.0.2"), 0);
        assert_ne!(differences(300_001, "10.0.2"), 0);
        assert_eq!(differences(303_000, "7.2.1"), 0);
        assert_ne!(differences(303_100, "7.2.1"), 0);
    }
}
