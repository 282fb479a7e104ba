//! [`History`]: when a partition was restarted, which decides whether and when it is restarted once more.

use abi::Policy;
use abi::life::MAX_RESTARTS;

/// Longest wait before a restart in milliseconds, however many came before.
pub const WAIT_MAX_MS: u32 = 5_000;
/// Without a limit, restarts within this many milliseconds count for the wait.
pub const NO_LIMIT_WINDOW_MS: u32 = 60_000;

const PLACES: usize = MAX_RESTARTS as usize;

/// The last restarts that no key asked for. [`MAX_RESTARTS`] of them are enough for every limit, and for the wait to
/// reach [`WAIT_MAX_MS`] from 1 ms.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// Times in milliseconds, a ring: the first `len` are in use, the oldest is overwritten.
    times_ms: [u64; PLACES],
    len: usize,
    next: usize,
}

impl History {
    pub(crate) const fn new() -> Self {
        Self { times_ms: [0; PLACES], len: 0, next: 0 }
    }

    /// Makes all that came before count no more.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.next = 0;
    }

    /// Notes a restart at `now_ms`; how long it waits. `None`, and nothing is noted, where the limit forbids it.
    pub(crate) fn restart(&mut self, policy: &Policy, now_ms: u64) -> Option<u32> {
        let window_ms = policy.limit.map_or(NO_LIMIT_WINDOW_MS, |limit| limit.window_ms);
        let earlier = self.within(window_ms, now_ms);
        if policy.limit.is_some_and(|limit| earlier >= u32::from(limit.restarts.min(MAX_RESTARTS))) {
            return None;
        }
        self.note(now_ms);
        Some(wait_ms(policy.backoff_ms, earlier))
    }

    /// How many restarts are less than `window_ms` old. A time after `now_ms` counts as now.
    fn within(&self, window_ms: u32, now_ms: u64) -> u32 {
        let mut count = 0;
        for &time_ms in self.times_ms.iter().take(self.len) {
            count += u32::from(now_ms.saturating_sub(time_ms) < u64::from(window_ms));
        }
        count
    }

    fn note(&mut self, now_ms: u64) {
        self.times_ms[self.next % PLACES] = now_ms;
        self.next = (self.next + 1) % PLACES;
        self.len = (self.len + 1).min(PLACES);
    }
}

/// The first restart does not wait, the second waits `backoff_ms`, each further one twice as long.
fn wait_ms(backoff_ms: u32, earlier: u32) -> u32 {
    let mut wait_ms = if earlier == 0 { 0 } else { backoff_ms };
    for _ in 1..earlier {
        wait_ms = wait_ms.saturating_mul(2);
    }
    wait_ms.min(WAIT_MAX_MS)
}
