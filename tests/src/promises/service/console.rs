//! S08 and S10: with a service partition the console is as it was, and without one nothing has changed. B40 and B43 are
//! the demo's, which has one too.

use crate::control::Report;
use crate::counters::Counters;
use crate::machine::Recipe;
use crate::promises::console::two_hello_of;
use crate::promises::linux::gic;
use crate::promises::panic::panic_stops_in;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Result, ensure};

/// Seconds for a boot or an answer.
const SHORT: u64 = 20;

/// S08, S10.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "service_console",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 90,
        promises: &[
            promise("S08", "input_reaches_only_the_focused_partition"),
            promise("S08", "prompt_of_each_guest_is_seen_in_tagged_mode"),
            promise("S08", "board_powers_off_when_all_partitions_have_stopped"),
        ],
        body: |run| two_hello_of(run, "two-hello-served"),
    },
    Scenario {
        name: "service_panic",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 90,
        promises: &[promise("S08", "a_panic_of_el2_is_printed_although_the_service_has_the_console")],
        body: |run| {
            panic_stops_in(run, "bare-served")?;
            run.promises_kept();
            Ok(())
        },
    },
    Scenario {
        name: "without_service",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 240,
        promises: &[promise("S10", "a_system_without_a_service_partition_has_its_console_and_its_beat")],
        body: without,
    },
];

fn without(run: &mut Run) -> Result<()> {
    let image = run.project.image("bare")?;
    let console = &mut Recipe::virt(gic(run.kind)).kernel(&image).start(run)?.console;
    console.expect("hello| hello> ", SHORT)?;
    Counters::ask(console, "hello/v0")?;
    let text = console.transcript().text_from(0);
    ensure!(!text.contains("service"), "there is a service partition:\n{text}");
    Report::check_next(console, 1)?;
    run.promises_kept();
    Ok(())
}
