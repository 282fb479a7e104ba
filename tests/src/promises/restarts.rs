//! The figures of issue 3: what a restart costs, and how long EL2 runs with interrupts masked on a running guest's core.

use crate::bench::{Baseline, Rows};
use crate::figures;
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Result, ensure};

/// B63.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "restart_cost",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Alone,
        seconds: 600,
        promises: &[
            promise("B63", "a_restart_of_8_mib_costs_at_most_half_a_million_el2_instructions"),
            promise("B63", "the_longest_stretch_with_interrupts_masked_is_what_the_baseline_says"),
        ],
        body: |run| {
            run.promise("a_restart_of_8_mib_costs_at_most_half_a_million_el2_instructions", small);
            run.promise("the_longest_stretch_with_interrupts_masked_is_what_the_baseline_says", masked);
            Ok(())
        },
    },
    Scenario {
        name: "restart_cost_of_linux",
        kinds: &[Kind::V3],
        when: When::Alone,
        seconds: 600,
        promises: &[promise("B63", "a_restart_of_linux_costs_at_most_15_million_el2_instructions_on_each_core")],
        body: |run| {
            run.promise("a_restart_of_linux_costs_at_most_15_million_el2_instructions_on_each_core", linux);
            Ok(())
        },
    },
];

/// Rows against the baseline, which EL2's own bytes decide.
fn hold(run: &Run, rows: &Rows) -> Result<()> {
    for (name, row) in rows {
        println!("B63   {}   {name}: {} EL2 instructions, worst {}", run.kind, row.median, row.max);
    }
    let different = Baseline::read(run.project)?.far_from(rows, run.kind);
    ensure!(different.is_empty(), "{}\n`bulkhead-tests bench --accept` if this is meant", different.join("\n"));
    Ok(())
}

fn hold_within_bounds(run: &Run, rows: &Rows) -> Result<()> {
    let above = figures::above_bounds(rows);
    ensure!(above.is_empty(), "{}", above.join("\n"));
    hold(run, rows)
}

fn small(run: &Run) -> Result<()> {
    hold_within_bounds(run, &figures::restart_rows(run, gic(run.kind), false)?)
}

fn linux(run: &Run) -> Result<()> {
    hold_within_bounds(run, &figures::restart_rows(run, gic(run.kind), true)?)
}

fn masked(run: &Run) -> Result<()> {
    let (rows, causes) = figures::masked_rows(run, gic(run.kind))?;
    causes.iter().for_each(|cause| println!("B63   {}   {cause}", run.kind));
    hold(run, &rows)
}
