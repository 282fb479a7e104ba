//! Reads what the `control` guest reports and what `Ctrl-T s` counts, and holds the beat to it.

use crate::conversation::Conversation;
use crate::counters::Counters;
use anyhow::{Context, Result, ensure};

/// vCPU of the `control` partition.
const VCPU: &str = "control/v0";

/// Seconds between two reports of `control`. It reports only when it is behind no beat, and a host that has stood still, or
/// has more to do than it can, leaves it thousands behind.
const NEXT_REPORT: u64 = 150;

/// One `control: beats ...` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Timer interrupts taken at or behind their deadline.
    pub beats: u64,
    /// Periods that have passed.
    pub expected: u64,
    /// Expected and never taken.
    pub lost: u64,
    /// Taken before their deadline.
    pub doubled: u64,
    /// Worst lateness, for people: wall time under emulation is never asserted.
    pub max_late_us: u64,
    /// Console accesses before this line.
    pub writes: u64,
    /// How often it has rung its channel.
    pub rings: u64,
}

impl Report {
    /// Reads one from a line, whatever stands before it.
    pub fn parse(line: &str) -> Option<Self> {
        let (_, fields) = line.split_once("control: ")?;
        let mut words = fields.split_whitespace();
        let mut field = |name| (words.next()? == name).then(|| words.next()?.parse().ok())?;
        Some(Self {
            beats: field("beats")?,
            expected: field("expected")?,
            lost: field("lost")?,
            doubled: field("doubled")?,
            max_late_us: field("max_late_us")?,
            writes: field("writes")?,
            rings: field("rings")?,
        })
    }

    /// Waits for the next report.
    pub fn next(console: &mut Conversation) -> Result<Self> {
        console.expect_line("a report of control", NEXT_REPORT, Self::parse)
    }

    /// No beat was lost or doubled.
    pub fn check(&self) -> Result<()> {
        let is_exact = self.beats == self.expected && self.lost == 0 && self.doubled == 0;
        ensure!(is_exact, "control missed its beat: {self:?}");
        Ok(())
    }

    /// Waits for `count` reports and holds each to the beat; returns the last.
    pub fn check_next(console: &mut Conversation, count: u32) -> Result<Self> {
        let mut last = None;
        for _ in 0..count {
            let report = Self::next(console)?;
            report.check()?;
            last = Some(report);
        }
        last.context("no report was asked for")
    }
}

/// Holds `control` to its beat over `intervals` reports: none lost or doubled, and every entry into EL2 on its core is
/// one of its own beats or one of its own console accesses.
pub fn check_beat(console: &mut Conversation, intervals: u32) -> Result<Report> {
    let first = Report::check_next(console, 1)?;
    let before = Counters::ask(console, VCPU)?;
    let mut earlier = first;
    let mut last = Report::check_next(console, 1)?;
    check_entries(&before, &earlier, &last)?;
    for _ in 0..intervals {
        let now = Counters::ask(console, VCPU)?;
        earlier = last;
        last = Report::check_next(console, 1)?;
        check_entries(&now, &earlier, &last)?;
        let others = now.moved_since(&before, &["forwarded", "uart"]);
        ensure!(others.is_empty(), "EL2 was entered on control's core for another's sake: {}", others.join(", "));
    }
    Ok(last)
}

/// Holds `control` to its beat over one report, while it is rung and rings: EL2's entries on its core are its beats, its
/// console accesses and its own rings, whatever the other end of its channel does.
pub fn check_beat_with_rings(console: &mut Conversation) -> Result<Report> {
    // The next one has not begun yet when EL2 counts.
    Report::next(console)?;
    let before = Counters::ask(console, VCPU)?;
    let report = Report::check_next(console, 1)?;
    let after = Counters::ask(console, VCPU)?;
    let others = after.moved_since(&before, &["forwarded", "uart", "hvc"]);
    ensure!(others.is_empty(), "EL2 was entered on control's core for another's sake: {}", others.join(", "));
    for (name, counted) in [("forwarded", report.beats), ("uart", report.writes), ("hvc", report.rings)] {
        let between = before.of(name)?..=after.of(name)?;
        ensure!(between.contains(&counted), "{name}: the guest counted {counted}, EL2 {between:?}");
    }
    ensure!(after.of("hvc")? > before.of("hvc")?, "nobody was at the other end of its channel");
    Ok(report)
}

/// EL2 counted what the guest counted: `counters` were read between the two reports.
fn check_entries(counters: &Counters, before: &Report, after: &Report) -> Result<()> {
    let (forwarded, uart, hvc) = (counters.of("forwarded")?, counters.of("uart")?, counters.of("hvc")?);
    ensure!(
        (before.rings..=after.rings).contains(&hvc),
        "{hvc} hypercalls between the guest's {} and {} rings",
        before.rings,
        after.rings
    );
    ensure!(
        (before.beats..=after.beats).contains(&forwarded),
        "{forwarded} interrupts were forwarded between beat {} and beat {}",
        before.beats,
        after.beats
    );
    ensure!(
        (before.writes..=after.writes).contains(&uart),
        "EL2 counted {uart} console accesses between the guest's {} and {}",
        before.writes,
        after.writes
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "control| control: beats 5000 expected 5000 lost 0 doubled 0 max_late_us 40 writes 83 rings 2";

    #[test]
    fn a_report_is_read_behind_its_tag() {
        let report = Report::parse(LINE).unwrap();
        assert_eq!((report.beats, report.writes, report.rings), (5000, 83, 2));
        report.check().unwrap();
    }

    #[test]
    fn a_lost_beat_breaks_the_promise() {
        let report = Report { beats: 4999, lost: 1, ..Report::parse(LINE).unwrap() };
        assert!(report.check().is_err());
    }

    #[test]
    fn the_histogram_line_is_no_report() {
        assert_eq!(Report::parse("control: late <1us 4990 <2us 8"), None);
    }
}
