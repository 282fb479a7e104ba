//! An idle Linux with its disks up enters EL2 for its timers and for nothing else, and the service sleeps meanwhile.

use super::El2;
use super::linux::Disks;
use crate::conversation::Conversation;
use crate::counters::Counters;
use crate::promises::linux::BOOT;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::{Shell, View};
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

/// Seconds that are watched.
const WATCHED: u64 = 20;
/// The reasons that an idle Linux has: its timers' interrupts, and what its two CPUs say to one another.
const OWN: [&str; 4] = ["forwarded", "sgi", "sysreg", "doorbell"];
/// Most wake-ups of the service in that time: its watchdog is fed each 2.5 s, and EL2's own core turns over as often.
const WAKES: u64 = 2 * WATCHED;

/// B63.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "service_idle",
    kinds: &[Kind::V3, Kind::V2],
    when: When::Always,
    seconds: 300,
    promises: &[
        promise("B63", "an_idle_linux_with_its_disks_up_has_no_exit_but_for_its_timers"),
        promise("B63", "the_service_sleeps_while_linux_is_idle"),
    ],
    body: idle,
}];

fn idle(run: &mut Run) -> Result<()> {
    let (mut machine, _) = Disks::new(run)?.boot(run, El2::Ordinary)?;
    let mut shell = Shell::attach(&mut machine.console, View::Tagged, BOOT)?;
    // What the boot has left to write is written, and what the shell has left to do is done.
    shell.run("sync && sleep 8", 60)?;
    let console = shell.console();
    // Asking is console output, for which the service wakes: two questions at once show how much of that there is.
    let (first, second) = (Snapshot::ask(console)?, Snapshot::ask(console)?);
    thread::sleep(Duration::from_secs(WATCHED));
    let third = Snapshot::ask(console)?;
    run.promise("an_idle_linux_with_its_disks_up_has_no_exit_but_for_its_timers", |_| {
        for (before, after) in second.linux.iter().zip(&third.linux) {
            let moved = after.moved_since(before, &OWN);
            ensure!(moved.is_empty(), "Linux did nothing in {WATCHED} s, and yet: {}", moved.join(", "));
        }
        Ok(())
    });
    run.promise("the_service_sleeps_while_linux_is_idle", |run| {
        let asking = second.wakes()? - first.wakes()?;
        let wakes = third.wakes()? - second.wakes()?;
        println!("B63   {}   {wakes} interrupts of the service in {WATCHED} s, {asking} for a question", run.kind);
        ensure!(wakes <= asking + WAKES, "{wakes} interrupts of the service in {WATCHED} s, {asking} for a question");
        Ok(())
    });
    Ok(())
}

/// The counters of both vCPUs of Linux and of the service's.
struct Snapshot {
    linux: [Counters; 2],
    service: Counters,
}

impl Snapshot {
    fn ask(console: &mut Conversation) -> Result<Self> {
        let mut ask = |vcpu| Counters::ask(console, vcpu);
        Ok(Self { linux: [ask("linux/v0")?, ask("linux/v1")?], service: ask("service/v0")? })
    }

    /// Interrupts of the service.
    fn wakes(&self) -> Result<u64> {
        Ok(self.service.of("forwarded")? + self.service.of("doorbell")?)
    }
}
