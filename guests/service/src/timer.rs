//! Time: the virtual counter, and one deadline by the virtual timer, which wakes the service from WFI.

use crate::arch::insn::isb;
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTPCT_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable as _, Writeable as _,
};
use core::num::NonZeroU8;

/// CNTV_CTL: ENABLE and not IMASK.
const ENABLE: u64 = 1;

/// The counter, not read before earlier instructions (ISB).
#[inline(always)]
pub fn now() -> u64 {
    isb();
    CNTVCT_EL0.get()
}

/// Ticks in this many milliseconds.
pub fn ticks(milliseconds: u64) -> u64 {
    CNTFRQ_EL0.get().saturating_mul(milliseconds) / 1000
}

/// Ticks in this many microseconds.
pub fn microseconds(count: u64) -> u64 {
    CNTFRQ_EL0.get().saturating_mul(count) / 1_000_000
}

/// Milliseconds since the counter was 0.
pub fn now_ms() -> u64 {
    now() / (CNTFRQ_EL0.get() / 1000).max(1)
}

/// Microseconds since the counter was 0.
pub fn now_us() -> u64 {
    now() / (CNTFRQ_EL0.get() / 1_000_000).max(1)
}

/// Milliseconds since the board started, which no restart of the service resets: the physical counter.
pub fn board_ms() -> u64 {
    isb();
    CNTPCT_EL0.get() / (CNTFRQ_EL0.get() / 1000).max(1)
}

/// A second of waiting for somebody else, of which only the steps count in which this core could look: where it stood still,
/// as in a QEMU whose host had no time for it, the others may have as well.
#[derive(Clone, Copy)]
pub struct Patience {
    next: u64,
    steps: NonZeroU8,
}

impl Patience {
    const STEP_MS: u64 = 20;
    const STEPS: NonZeroU8 = NonZeroU8::new(50).unwrap();

    /// It begins at this tick.
    pub fn begin(now: u64) -> Self {
        Self { next: now + ticks(Self::STEP_MS), steps: Self::STEPS }
    }

    /// When to look again.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Still in vain at this tick: whether it is over. Then it stays so.
    pub fn spend(&mut self, now: u64) -> bool {
        if now < self.next {
            return false;
        }
        let Some(steps) = NonZeroU8::new(self.steps.get() - 1) else { return true };
        *self = Self { next: now + ticks(Self::STEP_MS), steps };
        false
    }
}

/// The timer's interrupt comes at this tick, at once if it has passed; `None`: never.
pub fn wake_at(deadline: Option<u64>) {
    match deadline {
        Some(deadline) => {
            CNTV_CVAL_EL0.set(deadline);
            CNTV_CTL_EL0.set(ENABLE);
        }
        None => CNTV_CTL_EL0.set(0),
    }
    isb();
}
