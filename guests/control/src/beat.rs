//! The beat: one timer interrupt for each period, none lost, whatever its rate becomes.
//!
//! A new rate begins with a deadline: that beat is the last of the old one, and from there on periods are counted anew. So
//! what is expected at any time is known from the counter alone.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rt::arch::insn;
use rt::timer::{self, Timer};
use rt::{IntId, gic};

/// Beats per second at the start.
pub const HZ: u64 = 1000;
/// Rates that it can be given.
pub const RATES: core::ops::RangeInclusive<u64> = 1..=2000;
/// Lateness below 1, 2, 4 ... microseconds; the last one takes the rest.
pub const BUCKETS: usize = 24;

/// In counter ticks.
static PERIOD: AtomicU64 = AtomicU64::new(0);
/// The period from the next deadline on; 0: the same.
static NEXT_PERIOD: AtomicU64 = AtomicU64::new(0);
static DEADLINE: AtomicU64 = AtomicU64::new(0);
static BEATS: AtomicU64 = AtomicU64::new(0);
/// Where the rate of now began: a deadline, and the beats until then.
static SINCE: AtomicU64 = AtomicU64::new(0);
static BEFORE: AtomicU64 = AtomicU64::new(0);
static DOUBLED: AtomicU64 = AtomicU64::new(0);
/// In counter ticks.
static MAX_LATE: AtomicU64 = AtomicU64::new(0);
static LATE: [AtomicU64; BUCKETS] = [const { AtomicU64::new(0) }; BUCKETS];

/// Begins, with interrupts from here on.
pub fn start() {
    let (start, period) = (timer::now(), timer::frequency() / HZ);
    PERIOD.store(period, Relaxed);
    SINCE.store(start, Relaxed);
    DEADLINE.store(start + period, Relaxed);
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
    let period = match NEXT_PERIOD.load(Relaxed) {
        0 => PERIOD.load(Relaxed),
        next => next,
    };
    (timer::frequency() + period / 2) / period.max(1)
}

/// From the next deadline on, so many beats per second. `Err`: that is no rate of it.
pub fn set_rate(hz: u64) -> Result<(), ()> {
    if !RATES.contains(&hz) {
        return Err(());
    }
    NEXT_PERIOD.store(timer::frequency() / hz, Relaxed);
    Ok(())
}

/// How late beats were since the start: a count for each power of two of microseconds.
pub fn lateness() -> [u64; BUCKETS] {
    LATE.each_ref().map(|bucket| bucket.load(Relaxed))
}

/// The handler.
pub fn interrupt(intid: IntId) {
    if intid != Timer::Virtual.intid() {
        return;
    }
    let now = timer::now();
    let deadline = DEADLINE.load(Relaxed);
    let Some(late) = now.checked_sub(deadline) else {
        DOUBLED.fetch_add(1, Relaxed);
        return;
    };
    let beats = BEATS.load(Relaxed) + 1;
    BEATS.store(beats, Relaxed);
    let next_period = NEXT_PERIOD.swap(0, Relaxed);
    if next_period != 0 {
        PERIOD.store(next_period, Relaxed);
        SINCE.store(deadline, Relaxed);
        BEFORE.store(beats, Relaxed);
    }
    let next = deadline + PERIOD.load(Relaxed);
    DEADLINE.store(next, Relaxed);
    Timer::Virtual.set_deadline(next);
    MAX_LATE.fetch_max(late, Relaxed);
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
        let is_waiting = now >= DEADLINE.load(Relaxed);
        (!is_waiting).then(|| Self {
            beats: BEATS.load(Relaxed),
            expected: BEFORE.load(Relaxed) + (now - SINCE.load(Relaxed)) / PERIOD.load(Relaxed).max(1),
            doubled: DOUBLED.load(Relaxed),
            max_late_us: MAX_LATE.load(Relaxed) * 1_000_000 / timer::frequency().max(1),
        })
    }

    /// Expected and never taken.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.beats)
    }
}
