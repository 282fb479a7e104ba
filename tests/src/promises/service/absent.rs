//! S04: a disk that is not there. What `bulkhead check` can know is in the tool's own tests; here is what only the board
//! shows.

use super::{El2, SHORT, boot, expect_ready};
use crate::conversation::Conversation;
use crate::disk::{Content, Disk};
use crate::life::{History, expect_record};
use crate::machine::Machine;
use crate::probe::Probe;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::tag;
use anyhow::{Result, ensure};

/// Starts without its disks: a label and a serial number that nobody has.
const MISSING: Probe = Probe { name: "missing", digit: 2 };
/// Starts without its disks: one too small, one whose label two partitions have.
const UNFIT: Probe = Probe { name: "unfit", digit: 3 };

/// S04.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "service_absent",
    kinds: &[Kind::V3, Kind::V2],
    when: When::Always,
    seconds: 90,
    promises: &[
        promise("S04", "each_disk_that_is_not_there_gets_one_line"),
        promise("S04", "a_partition_starts_without_a_disk_only_if_it_is_optional"),
    ],
    body: absent,
}];

fn absent(run: &mut Run) -> Result<()> {
    let console = &mut start(run, El2::Ordinary)?.console;
    run.promise("each_disk_that_is_not_there_gets_one_line", |_| lines(console));
    run.promise("a_partition_starts_without_a_disk_only_if_it_is_optional", |_| lives(console));
    Ok(())
}

/// Boots until the partitions that start at all take orders.
pub fn start(run: &Run, el2: El2) -> Result<Machine> {
    let parts = [("small", Content::Empty(1)), ("twin", Content::Empty(1)), ("twin", Content::Empty(1))];
    let disk = Disk::gpt(run, "board", &parts)?;
    let (mut machine, _) = boot(run, el2, "absent", &[&disk])?;
    expect_ready(&mut machine.console, &[MISSING, UNFIT])?;
    Ok(machine)
}

/// One line of the service for each disk, which names the partition and what was looked for.
fn lines(console: &Conversation) -> Result<()> {
    const WANTED: [(&str, &str); 5] = [
        ("needy", "gpt:nowhere"),
        ("missing", "gpt:nobody"),
        ("missing", "disk:none"),
        ("unfit", "gpt:small"),
        ("unfit", "gpt:twin"),
    ];
    let count = |text: &str, (partition, origin): (&str, &str)| {
        let own = text.lines().filter_map(tag).filter(|(name, _)| *name == "service");
        own.filter(|(_, line)| line.contains(partition) && line.contains(origin)).count()
    };
    // The partitions that start may speak first.
    console.transcript().wait(0, console.deadline(SHORT), "a line for each disk", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        WANTED.iter().all(|wanted| count(&text, *wanted) != 0).then_some(())
    })?;
    let text = console.transcript().text_from(0);
    let repeated = WANTED.iter().find(|wanted| count(&text, **wanted) != 1);
    ensure!(repeated.is_none(), "not one line tells of {repeated:?}:\n{text}");
    Ok(())
}

/// Who starts, and without what.
pub fn lives(console: &mut Conversation) -> Result<()> {
    for probe in [&MISSING, &UNFIT] {
        let devices = probe.ok(console, "disks")?;
        ensure!(devices.is_empty(), "{} has {devices:?}", probe.name);
    }
    let needy = History::ask(console, "needy")?;
    let text = console.transcript().text_from(0);
    ensure!(needy.state == "stopped" && !text.contains("needy| "), "a partition without its disk is {needy:?}");
    let word = "partition 'needy' stopped: a device of it is missing";
    ensure!(text.contains(word), "EL2 did not say {word:?}:\n{text}");
    expect_record(console, "needy", "a device of it is missing")
}
