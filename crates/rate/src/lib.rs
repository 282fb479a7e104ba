//! Token bucket (RFC 2697, section 3, with one rate and one burst): bits, requests or broadcasts per second.
//!
//! Tokens are counted in units of one token per tick and second: every tick of the counter adds the rate, and a token
//! costs the counter's frequency. So nothing is rounded and nothing drifts, however often the bucket is asked, and only
//! who must wait pays for a division. Here is no clock and no sleeping: the caller brings the counter's value.
#![no_std]
#![forbid(unsafe_code)]

use core::num::NonZeroU64;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: NonZeroU64,
    hz: u64,
    /// Most units that there can be.
    cap: i128,
    /// Units that there are; below zero after an amount larger than the bucket.
    level: i128,
    /// The latest time seen.
    latest: u64,
    /// Whether [`Self::latest`] is one: the first time seen is where the first refill begins.
    is_started: bool,
}

/// There is not enough, and will not be before this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Counter value at which the same amount can be taken, if nothing else is until then; `u64::MAX`: beyond any.
    pub until_ticks: u64,
}

impl Bucket {
    /// A full bucket of `burst` tokens that gets `rate_per_second` of them from a counter with `counter_hz` (0 counts
    /// as 1). Who asks late loses what the bucket has no room for: `burst` is the largest amount and what comes in while
    /// nobody looks. Rates of 0 that stand for "no limit" are for callers to turn into no bucket.
    pub fn new(rate_per_second: NonZeroU64, burst: u64, counter_hz: u64) -> Self {
        let hz = counter_hz.max(1);
        let cap = product(burst, hz);
        Self { rate: rate_per_second, hz, cap, level: cap, latest: 0, is_started: false }
    }

    /// Takes `amount` tokens at `now_ticks`, or none.
    ///
    /// An amount larger than the bucket waits for a full one and leaves a debt, rather than waiting for ever. So in any
    /// time t at most `rate * t` and the larger of burst and largest amount are taken.
    ///
    /// A time before the latest one seen counts as that one: it brings no tokens, and none twice when the counter comes
    /// forward again. However far it leaps, the bucket is only full.
    pub fn take(&mut self, amount: u64, now_ticks: u64) -> Result<(), Wait> {
        self.refill(now_ticks);
        let cost = product(amount, self.hz);
        let needed = cost.min(self.cap);
        if self.level < needed {
            return Err(self.wait(needed));
        }
        self.level = self.level.saturating_sub(cost);
        Ok(())
    }

    /// Puts back what was taken for nothing.
    pub fn put_back(&mut self, amount: u64) {
        self.level = self.level.saturating_add(product(amount, self.hz)).min(self.cap);
    }

    fn refill(&mut self, now_ticks: u64) {
        let since = if self.is_started { self.latest } else { now_ticks };
        let elapsed = now_ticks.saturating_sub(since);
        self.level = self.level.saturating_add(product(elapsed, self.rate.get())).min(self.cap);
        self.latest = since.max(now_ticks);
        self.is_started = true;
    }

    #[cold]
    fn wait(&self, needed: i128) -> Wait {
        let missing = needed.saturating_sub(self.level).unsigned_abs();
        let ticks = u64::try_from(missing.div_ceil(self.rate.get().into())).unwrap_or(u64::MAX);
        Wait { until_ticks: self.latest.saturating_add(ticks) }
    }
}

/// `a * b`, or the largest number: then the bucket is one that nobody empties.
fn product(a: u64, b: u64) -> i128 {
    i128::try_from(u128::from(a) * u128::from(b)).unwrap_or(i128::MAX)
}
