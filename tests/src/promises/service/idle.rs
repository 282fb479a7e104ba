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

/// Seconds that are watched, up to so many times: now and then Linux writes a little, and is not idle then.
const WATCHED: u64 = 5;
const TIMES: usize = 12;
/// The reasons that an idle Linux has: its timers' interrupts, and what its two CPUs say to one another.
const OWN: [&str; 4] = ["forwarded", "sgi", "sysreg", "doorbell"];
/// Most wake-ups of the service in that time: its watchdog is fed each 2.5 s, and EL2's own core turns over as often.
const WAKES: u64 = 2 * WATCHED;

/// B63.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "service_idle",
    // It takes its time: once is what `make test` has time for.
    kinds: &[Kind::V3],
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
    // What the boot has left to write is written, what the shell has left to do is done, and the kernel's own thread that
    // takes fresh entropy now and then, which is not the disks', has no source. A root that can be written has a journal,
    // and that a thread with a clock of its own.
    shell.run("echo none >/sys/class/misc/hw_random/rng_current; mount -o remount,ro /; sync; sleep 8", 60)?;
    let console = shell.console();
    // Asking is console output, for which the service wakes: two questions at once show how much of that there is.
    let (first, mut before) = (Snapshot::ask(console)?, Snapshot::ask(console)?);
    let asking = before.wakes()? - first.wakes()?;
    let (mut moved, mut wakes) = (Vec::new(), 0);
    for _ in 0..TIMES {
        thread::sleep(Duration::from_secs(WATCHED));
        let after = Snapshot::ask(console)?;
        moved = after.moved_since(&before);
        wakes = after.wakes()? - before.wakes()?;
        before = after;
        // What is asked is printed in more pieces where the host is busy: a time without that shows how the service sleeps.
        if moved.is_empty() && wakes <= asking + WAKES {
            break;
        }
    }
    run.promise("an_idle_linux_with_its_disks_up_has_no_exit_but_for_its_timers", |_| {
        ensure!(moved.is_empty(), "Linux had {TIMES} times {WATCHED} s, and still: {}", moved.join(", "));
        Ok(())
    });
    run.promise("the_service_sleeps_while_linux_is_idle", |run| {
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
        let first = Counters::ask(console, "linux/v0")?;
        let second = Counters::next(console, "linux/v1")?;
        Ok(Self { linux: [first, second], service: Counters::next(console, "service/v0")? })
    }

    /// Counters of Linux that an idle one does not move.
    fn moved_since(&self, earlier: &Self) -> Vec<String> {
        let pairs = self.linux.iter().zip(&earlier.linux);
        pairs.flat_map(|(now, before)| now.moved_since(before, &OWN)).collect()
    }

    /// Interrupts of the service.
    fn wakes(&self) -> Result<u64> {
        Ok(self.service.of("forwarded")? + self.service.of("doorbell")?)
    }
}
