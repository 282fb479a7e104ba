//! S05: the service crashes at the worst points of a request, hangs, and is restarted by key, with dozens of requests in
//! flight. Its guests see a slow disk.

use super::{ALICE, BOB, DIGIT, El2, boot, expect_ready};
use crate::control::Report;
use crate::conversation::Conversation;
use crate::counters::CTRL_T;
use crate::disk::{Content, Disk};
use crate::life::{History, press_yes};
use crate::machine::Machine;
use crate::probe::{Answer, field};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::tag;
use anyhow::{Context, Result, ensure};

/// Seconds for a piece of work in which the service hangs once or twice.
const PATIENCE: u64 = 120;
/// Requests of one piece of work.
const WORK: u32 = 3000;
/// Pieces of work after which the service must have crashed as often as was asked for.
const PIECES: u32 = 600;
/// Lives that the hooks end.
const CRASHES: u32 = 100;
/// Where the hooks end a life, in guests/service/src/hooks.
const POINTS: [&str; 5] = ["Issued", "Completed", "BeforeUsed", "AfterUsed", "Spinning"];
/// Restarts by key.
const KEYS: u32 = 5;

/// S05.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "service_crash",
    kinds: &[Kind::V3, Kind::V2],
    when: When::LongOn(Kind::V2),
    seconds: 500,
    promises: &[
        promise("S05", "no_request_fails_and_no_acknowledged_write_is_lost_when_the_service_crashes_or_hangs"),
        promise("S05", "no_request_fails_and_no_acknowledged_write_is_lost_when_a_key_restarts_the_service"),
        promise("S05", "the_disks_hold_what_the_guests_wrote"),
        promise("S05", "control_keeps_its_beat_while_the_service_crashes"),
    ],
    body: crash,
}];

/// Two probes and their disks.
pub struct Workers {
    machine: Machine,
    first: Disk,
    second: Disk,
}

fn crash(run: &mut Run) -> Result<()> {
    let mut workers = Workers::start(run, El2::Ordinary)?;
    run.promise("no_request_fails_and_no_acknowledged_write_is_lost_when_the_service_crashes_or_hangs", |_| {
        workers.until_crashed(CRASHES)?;
        workers.hooks_met_every_point()
    });
    run.promise("no_request_fails_and_no_acknowledged_write_is_lost_when_a_key_restarts_the_service", |_| {
        workers.by_key()
    });
    run.promise("the_disks_hold_what_the_guests_wrote", |_| workers.compare());
    run.promise("control_keeps_its_beat_while_the_service_crashes", |_| {
        let console = &mut workers.machine.console;
        Report::next(console)?;
        let text = console.transcript().text_from(0);
        let control = text.lines().filter_map(tag).filter(|(name, _)| *name == "control");
        let reports: Vec<Report> = control.filter_map(|(_, line)| Report::parse(line)).collect();
        ensure!(!reports.is_empty(), "control said nothing");
        reports.iter().try_for_each(Report::check)
    });
    Ok(())
}

impl Workers {
    /// Boots `tests/systems/crash.toml` with empty disks, both open.
    pub fn start(run: &Run, el2: El2) -> Result<Self> {
        run.project.built("build/guests/service-hooks.elf")?;
        let first = Disk::blank(run, "first", 8 << 20)?;
        let second = Disk::gpt(run, "board", &[("second", Content::Empty(8))])?;
        let (mut machine, _) = boot(run, el2, "crash", &[&first, &second])?;
        let console = &mut machine.console;
        expect_ready(console, &[ALICE, BOB])?;
        for probe in [ALICE, BOB] {
            probe.ok(console, "open 0")?;
            probe.ok_within(console, "scan", PATIENCE)?;
        }
        Ok(Self { machine, first, second })
    }

    /// Both work until the service has ended `crashes` lives. Each piece of work checks every byte that it reads.
    pub fn until_crashed(&mut self, crashes: u32) -> Result<()> {
        let console = &mut self.machine.console;
        for piece in 0..PIECES {
            if History::ask(console, "service")?.restarts >= crashes {
                return Ok(());
            }
            // One of them with event indices and tables of descriptors, the other alternating.
            if piece % 16 == 8 {
                BOB.ok(console, if piece % 32 == 8 { "open 0 plain" } else { "open 0" })?;
            }
            both(console, &format!("io {piece} {WORK} 64 4096 50"))?;
        }
        let history = History::ask(console, "service")?;
        ensure!(history.restarts >= crashes, "after {PIECES} pieces of work the service is {history:?}");
        Ok(())
    }

    /// The hooks ended lives everywhere.
    fn hooks_met_every_point(&self) -> Result<()> {
        let text = self.machine.console.transcript().text_from(0);
        for point in POINTS {
            let lives = text.matches(&format!(" ends, {point}, after ")).count();
            ensure!(lives >= 5, "only {lives} lives ended at {point}");
        }
        Ok(())
    }

    /// Both work, and keys restart the service.
    fn by_key(&mut self) -> Result<()> {
        let console = &mut self.machine.console;
        for n in 0..KEYS {
            let before = History::ask(console, "service")?.restarts;
            let work = format!("io {n} 8000 64 4096 50");
            let from = begin(console, &work)?;
            press_yes(console, DIGIT, b'r')?;
            done(console, from, &work)?;
            let after = History::ask(console, "service")?.restarts;
            ensure!(after > before, "the key did not restart the service");
        }
        Ok(())
    }

    /// What the guests and the images say of all blocks.
    pub fn compare(&mut self) -> Result<()> {
        let console = &mut self.machine.console;
        let first = self.first.blocks(self.first.whole()?)?;
        let second = self.second.blocks(self.second.partition("second")?)?;
        for (probe, (written, sum)) in [(ALICE, first), (BOB, second)] {
            let said = probe.ok_within(console, "scan", PATIENCE)?;
            let of = |name| field(&said, name).with_context(|| format!("{} said {said:?}", probe.name));
            let found = (of("written")?, of("sum")?);
            ensure!(found == (written, sum), "{} says {said}, its disk {written} {sum:#x}", probe.name);
            ensure!(written > 1000, "only {written} blocks were ever written");
        }
        Ok(())
    }
}

/// Gives both the same work, and waits until both are done.
fn both(console: &mut Conversation, work: &str) -> Result<()> {
    let from = begin(console, work)?;
    done(console, from, work)
}

/// Gives both the same work; returns the place behind which they answer.
fn begin(console: &mut Conversation, work: &str) -> Result<usize> {
    ALICE.take_keyboard(console)?;
    let from = console.transcript().open_line();
    // At once: a life that ends between the two bytes of a command takes the first one with it.
    console.send([work.as_bytes(), &[b'\n', CTRL_T, b'0' + BOB.digit], work.as_bytes(), b"\n"].concat())?;
    Ok(from)
}

/// Waits until both have answered, in any order, and other lines between.
fn done(console: &mut Conversation, from: usize, work: &str) -> Result<()> {
    for probe in [ALICE, BOB] {
        let answer = probe.work_behind(console, from, work)?;
        let is_done = matches!(&answer, Answer::Ok(said) if said.contains("lost=0"));
        ensure!(is_done, "{}: `{work}` ended in {answer:x?}", probe.name);
    }
    console.skip();
    Ok(())
}
