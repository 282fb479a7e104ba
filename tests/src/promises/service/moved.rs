//! S04: a disk that is another one in a further life of the service, or gone, while its driver knows what it was.

use super::{ALICE, El2, SHORT, boot, expect_ready};
use crate::conversation::Conversation;
use crate::disk::{Content, Disk};
use crate::life::{el2_says, press_yes};
use crate::probe::Answer;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::tag;
use anyhow::{Result, ensure};

/// The service's digit for Ctrl-T.
const SERVICE: u8 = 2;

/// S04.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "service_moved",
    kinds: &[Kind::V3],
    when: When::Always,
    seconds: 90,
    promises: &[
        promise("S04", "a_disk_that_has_become_another_is_back_when_its_partition_restarts"),
        promise("S04", "a_partition_whose_disk_has_gone_stops_when_it_restarts"),
    ],
    body: moved,
}];

fn moved(run: &mut Run) -> Result<()> {
    let first = Disk::gpt(run, "first", &[("data", Content::Empty(4))])?;
    let content = first.read(first.whole()?)?;
    // Other features.
    let second = Disk::blank(run, "second", content.len() as u64)?.without_discard();
    let (mut machine, _monitor) = boot(run, El2::Ordinary, "moved", &[&first, &second])?;
    let console = &mut machine.console;
    expect_ready(console, &[ALICE])?;
    run.promise("a_disk_that_has_become_another_is_back_when_its_partition_restarts", |_| {
        works(console)?;
        second.write(0, &content)?;
        erase(&first)?;
        restart_service(console, "'alice' has lost disk gpt:data")?;
        is_broken(console)?;
        press_yes(console, ALICE.digit, b'r')?;
        console.expect_line("a new life of Alice", SHORT, |line| ALICE.begins(line).then_some(()))?;
        works(console)?;
        // It is that one.
        let blocks = second.partition("data")?;
        ensure!(second.read(blocks)?.iter().any(|byte| *byte != 0), "nothing was written to the second disk");
        Ok(())
    });
    run.promise("a_partition_whose_disk_has_gone_stops_when_it_restarts", |_| {
        erase(&second)?;
        restart_service(console, "'alice' cannot start without disk gpt:data")?;
        is_broken(console)?;
        press_yes(console, ALICE.digit, b'r')?;
        el2_says(console, "partition 'alice' stopped: a device of it is missing").map(drop)
    });
    Ok(())
}

/// Alice's driver begins anew and works.
fn works(console: &mut Conversation) -> Result<()> {
    ALICE.ok(console, "open 0")?;
    ALICE.ok_within(console, "io 1 500 16 4096 50", SHORT).map(drop)
}

/// The device says so, and completes nothing.
fn is_broken(console: &mut Conversation) -> Result<()> {
    let answer = ALICE.ask(console, "io 1 8 1 4096 0")?;
    let expected = Answer::Error("the device says that it needs a reset".into());
    ensure!(answer == expected, "the driver of a disk that is another says {answer:?}");
    Ok(())
}

fn restart_service(console: &mut Conversation, word: &str) -> Result<()> {
    press_yes(console, SERVICE, b'r')?;
    console.expect_line(&format!("the service to say {word:?}"), SHORT, |line| {
        tag(line).is_some_and(|(name, text)| name == "service" && text.contains(word)).then_some(())
    })
}

fn erase(disk: &Disk) -> Result<()> {
    let range = disk.whole()?;
    disk.write(0, &vec![0; usize::try_from(range.end)?])
}
