//! The beat: one timer interrupt for each period, none lost, whatever its rate becomes.
//!
//! A new rate begins with a deadline: that beat is the last of the old one, and from there on periods are counted anew. So
//! what is expected at any time is known from the counter alone.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rt::arch::insn;
use rt::timer::{self, Timer};
use rt::{IntId, gic};

/// Beats per second at the start.
pub const HZ: u64 = 1000;
/// Rates that it can be given.
pub const RATES: core::ops::RangeInclusive<u64> = 1..=2000;
/// Lateness below 1, 2, 4 ... microseconds; the last one takes the rest.
const BUCKETS: usize = 24;

static PERIOD_TICKS: AtomicU64 = AtomicU64::new(0);
/// The period from the next deadline on; 0: the same.
static NEXT_PERIOD_TICKS: AtomicU64 = AtomicU64::new(0);
static DEADLINE_TICKS: AtomicU64 = AtomicU64::new(0);
static BEATS: AtomicU64 = AtomicU64::new(0);
/// Where the rate of now began: a deadline, and the beats until then.
static SINCE_TICKS: AtomicU64 = AtomicU64::new(0);
static BEFORE: AtomicU64 = AtomicU64::new(0);
static DOUBLED: AtomicU64 = AtomicU64::new(0);
static MAX_LATE_TICKS: AtomicU64 = AtomicU64::new(0);
static LATE: [AtomicU64; BUCKETS] = [const { AtomicU64::new(0) }; BUCKETS];

/// Begins, with interrupts from here on.
pub fn start() {
    let (start, period) = (timer::now(), timer::frequency() / HZ);
    PERIOD_TICKS.store(period, Relaxed);
    SINCE_TICKS.store(start, Relaxed);
    DEADLINE_TICKS.store(start + period, Relaxed);
    Timer::Virtual.set_deadline(start + period);
    gic::enable(Timer::Virtual.intid(), gic::PRIORITY);
    Timer::Virtual.enable();
    insn::unmask_irq();
}

/// Beats so far.
pub fn count() -> u64 {
    BEATS.load(Relaxed)
}

/// Beats per second, from the next deadline on at the latest.
pub fn rate() -> u64 {
    let period = match NEXT_PERIOD_TICKS.load(Relaxed) {
        0 => PERIOD_TICKS.load(Relaxed),
        next => next,
    };
    (timer::frequency() + period / 2) / period.max(1)
}

/// A number that is none of [`RATES`].
#[derive(Clone, Copy, Debug)]
pub struct NotARate;

/// From the next deadline on, so many beats per second.
pub fn set_rate(hz: u64) -> Result<(), NotARate> {
    if !RATES.contains(&hz) {
        return Err(NotARate);
    }
    NEXT_PERIOD_TICKS.store(timer::frequency() / hz, Relaxed);
    Ok(())
}

/// How late beats were: a count for each power of two of microseconds.
#[derive(Clone, Copy)]
pub struct Lateness([u64; BUCKETS]);

impl Lateness {
    /// Of no beats.
    pub const NONE: Self = Self([0; BUCKETS]);

    /// Of the beats since the start.
    pub fn so_far() -> Self {
        Self(LATE.each_ref().map(|bucket| bucket.load(Relaxed)))
    }

    /// Of the beats since `before`.
    pub fn since(self, before: Self) -> Self {
        let mut counts = self.0;
        counts.iter_mut().zip(before.0).for_each(|(count, before)| *count -= before);
        Self(counts)
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("late")?;
        for (power, count) in self.0.into_iter().enumerate().filter(|(_, count)| *count != 0) {
            write!(f, " <{}us {count}", 1_u64 << power)?;
        }
        Ok(())
    }
}

/// The handler.
pub fn interrupt(intid: IntId) {
    if intid != Timer::Virtual.intid() {
        return;
    }
    let now = timer::now();
    let deadline = DEADLINE_TICKS.load(Relaxed);
    let Some(late) = now.checked_sub(deadline) else {
        DOUBLED.fetch_add(1, Relaxed);
        return;
    };
    let beats = BEATS.load(Relaxed) + 1;
    BEATS.store(beats, Relaxed);
    let next_period = NEXT_PERIOD_TICKS.swap(0, Relaxed);
    if next_period != 0 {
        PERIOD_TICKS.store(next_period, Relaxed);
        SINCE_TICKS.store(deadline, Relaxed);
        BEFORE.store(beats, Relaxed);
    }
    let next = deadline + PERIOD_TICKS.load(Relaxed);
    DEADLINE_TICKS.store(next, Relaxed);
    Timer::Virtual.set_deadline(next);
    MAX_LATE_TICKS.fetch_max(late, Relaxed);
    let late_us = late * 1_000_000 / timer::frequency().max(1);
    let bucket = (u64::BITS - late_us.leading_zeros()) as usize;
    LATE[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
}

/// The state of the beat at one instant.
pub struct Account {
    /// Timer interrupts taken while a deadline had passed.
    pub beats: u64,
    /// Periods that have passed.
    pub expected: u64,
    /// Timer interrupts taken before their deadline.
    pub doubled: u64,
    /// In microseconds, since the start.
    pub max_late_us: u64,
}

impl Account {
    /// Call with interrupts masked. `None` while a deadline has passed whose interrupt is still to be taken.
    pub fn at_rest() -> Option<Self> {
        let now = timer::now();
        let is_waiting = now >= DEADLINE_TICKS.load(Relaxed);
        (!is_waiting).then(|| Self {
            beats: BEATS.load(Relaxed),
            expected: BEFORE.load(Relaxed) + (now - SINCE_TICKS.load(Relaxed)) / PERIOD_TICKS.load(Relaxed).max(1),
            doubled: DOUBLED.load(Relaxed),
            max_late_us: MAX_LATE_TICKS.load(Relaxed) * 1_000_000 / timer::frequency().max(1),
        })
    }

    /// Expected and never taken.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.beats)
    }
}
