//! B53: the worst EL2 instructions added to one beat of `control`, beside a Linux that
//! loads both its CPUs and floods its console.
//!
//! The guest's clock cannot say it, since under icount it counts every core; the plugin tells cores apart. The bench
//! guest, where both counts are known, shows that it tells the truth.

use crate::bench::{measure, measure_stretches};
use crate::counters::Counters;
use crate::elcount::{self, Stretches};
use crate::machine::Recipe;
use crate::monitor::Socket;
use crate::pi_figures::per_exit;
use crate::promises::linux::{SHORT, SPIN, gic, start_loads};
use crate::run::Run;
use crate::scenario::{Kind, Promise, Scenario, When, promise};
use crate::shell::{Shell, View};
use anyhow::{Context, Result, ensure};

/// EL2 instructions on control's core for one forwarded timer interrupt: fewer than these.
const WORST: u64 = 95;
/// Beats to be seen under load.
const BEATS: u64 = 2000;
/// Seconds from reset to a shell, all cores on one thread and EL2 instrumented.
const BOOT: u64 = 240;
/// VMID of the partition `control` in `tests/systems/linux.toml`.
const CONTROL: u64 = 2;
/// Phase of the bench guest: virtual timer interrupts.
const TIMER_PHASE: u64 = 4;
/// Phase of the bench guest: a loop that only computes.
const LOOP_PHASE: u64 = 7;
/// Instructions of the bench guest between its deadline and its reading of the clock that are its own.
const OWN: u64 = 3;

const AGREE: Promise = promise("B53", "plugin_and_guests_clock_agree_on_a_timer_interrupt");
const NOTHING: Promise = promise("B63", "el2_executes_nothing_on_the_core_of_a_guest_that_computes");

/// B53, and P02 for what it measures on `virt` with GICv2.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "stretches",
        kinds: &[Kind::V3],
        when: When::Alone,
        seconds: 300,
        promises: &[AGREE, NOTHING],
        body: stretches,
    },
    Scenario {
        name: "stretches_beside_pi",
        kinds: &[Kind::V2],
        when: When::Alone,
        seconds: 400,
        promises: &[AGREE, NOTHING, promise("P02", "exits_cost_what_they_cost_on_virt_within_5_percent")],
        body: stretches,
    },
    Scenario { kinds: &[Kind::V3], when: When::Alone, ..BEAT_COST },
    // The bench holds what an interrupt costs on either GIC.
    Scenario { kinds: &[Kind::V2], when: When::Long, ..BEAT_COST },
];

const BEAT_COST: Scenario = Scenario {
    name: "beat_cost",
    kinds: &[],
    when: When::Long,
    seconds: 600,
    promises: &[promise("B53", "worst_beat_costs_fewer_than_95_el2_instructions_beside_a_flooding_linux")],
    body: beat_cost,
};

fn stretches(run: &mut Run) -> Result<()> {
    let gic = gic(run.kind);
    let by_clock = measure(run, gic)?.get("vtimer_irq").context("no row vtimer_irq")?.median - OWN;
    let all = measure_stretches(run, gic)?;
    let of_phase = |phase| all.iter().filter(move |stretches| stretches.phase == Some(phase));
    run.promise("plugin_and_guests_clock_agree_on_a_timer_interrupt", |_| {
        let timer = of_phase(TIMER_PHASE).next().context("the plugin saw no phase of timer interrupts")?.interrupt;
        ensure!(
            timer.count == 1000 && timer.min == by_clock && timer.max == by_clock,
            "the guest's clock counts {by_clock} EL2 instructions for a timer interrupt, the plugin {timer:?}"
        );
        Ok(())
    });
    run.promise("el2_executes_nothing_on_the_core_of_a_guest_that_computes", |_| {
        ensure!(of_phase(LOOP_PHASE).next().is_some(), "the plugin saw no phase of pure computation");
        let entered = of_phase(LOOP_PHASE).find(|s| s.synchronous.count + s.interrupt.count != 0);
        ensure!(entered.is_none(), "EL2 was entered in 50 million instructions of a loop: {entered:?}");
        Ok(())
    });
    if run.kind == Kind::V2 {
        run.promise("exits_cost_what_they_cost_on_virt_within_5_percent", |run| {
            let rows = per_exit(run, &all)?;
            rows.iter().for_each(|row| println!("P02   PI   {row}"));
            ensure!(!rows.is_empty(), "the bench guest had no exits");
            let far: Vec<String> = rows.iter().filter(|row| !row.is_alike()).map(ToString::to_string).collect();
            ensure!(far.is_empty(), "{}", far.join("\n"));
            Ok(())
        });
    }
    for stretches in all.iter().filter(|stretches| stretches.phase.is_none()) {
        println!("B53   {}   bench vCPU {}: longest stretch {}", run.kind, stretches.vcpu, stretches.longest());
    }
    Ok(())
}

fn beat_cost(run: &mut Run) -> Result<()> {
    let out = run.directory().join("stretches");
    let socket = Socket::new()?;
    let recipe = Recipe::virt(gic(run.kind)).kernel(&run.project.image("linux")?).arg("-icount").arg("shift=0");
    let recipe = recipe.arg("-plugin").arg(format!("{},stretches=on", elcount::option(run.project, &out)?));
    let mut machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    let monitor = socket.accept(run)?;
    let mut shell = Shell::attach(&mut machine.console, View::Tagged, BOOT)?;
    start_loads(&mut shell, &[SPIN, SPIN])?;
    let console = shell.console();
    let beats = |console: &mut _| Counters::ask(console, "control/v0")?.of("forwarded");
    console.send("yes flood\n")?;
    console.expect("flood\r\n", SHORT)?;
    let first = beats(console)?;
    while beats(console)? < first + BEATS {
        console.expect("flood\r\n", SHORT)?;
    }
    monitor.quit()?;
    machine.expect_power_off(SHORT)?;
    let all = Stretches::read(&out)?;
    for stretches in &all {
        let Stretches { vmid, vcpu, synchronous, interrupt, .. } = stretches;
        println!(
            "B53   {}   VMID {vmid} vCPU {vcpu}: {} interrupts, worst {}; {} other entries, worst {}",
            run.kind, interrupt.count, interrupt.max, synchronous.count, synchronous.max
        );
    }
    let control = all.iter().find(|stretches| stretches.vmid == CONTROL).context("no stretch on control's core")?;
    let beat = control.interrupt;
    ensure!(beat.count >= first + BEATS, "the plugin saw {} of control's beats: {control:?}", beat.count);
    ensure!(beat.max < WORST, "a beat cost {} instructions at EL2, fewer than {WORST} are promised", beat.max);
    run.promises_kept();
    Ok(())
}
