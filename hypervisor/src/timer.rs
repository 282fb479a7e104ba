//! EL2's own timer on each core (CNTHP, Arm ARM D11): one hardware comparator shared by a few fixed purposes.
//!
//! A core's deadlines are set and taken by that core only. What should happen at a deadline is decided by whoever asks
//! [`take_due`]; this module knows times, not reasons.

use crate::arch::sysreg::CNTHP_CVAL_EL2;
use crate::core_local::Core;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTHP_CTL_EL2, CNTPCT_EL0};
use core::sync::atomic::{AtomicU64, Ordering};
use tock_registers::interfaces::{Readable, Writeable};

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Slot {
    /// Console core: a held line, a paced keyboard, a nudge.
    Console,
    /// Console core: the power key is let go.
    Button,
    /// Console core: an end that a key wanted should have come.
    Silence,
    /// Console core: the board's watchdog wants to be fed.
    Board,
    /// vCPU 0's core: a restart's back-off. The first core that left: a sibling that does not answer.
    Life,
    /// vCPU 0's core: the partition's watchdog.
    Watchdog,
}
const SLOTS: usize = 6;
const NEVER: u64 = u64::MAX;

/// The deadlines of one core, in ticks of CNTPCT.
pub struct Deadlines([AtomicU64; SLOTS]);

impl Deadlines {
    /// None.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(NEVER) }; SLOTS])
    }

    fn program(&self) {
        let next = self.0.iter().map(|at| at.load(Ordering::Relaxed)).min().unwrap_or(NEVER);
        CNTHP_CVAL_EL2.set(next);
        CNTHP_CTL_EL2.set(u64::from(next != NEVER));
    }
}

/// Ticks of CNTPCT now.
pub fn now() -> u64 {
    CNTPCT_EL0.get()
}

/// Milliseconds since the counter was 0.
pub fn now_ms() -> u64 {
    now() / ticks(1).max(1)
}

/// This many milliseconds in ticks.
pub fn ticks(milliseconds: u32) -> u64 {
    u64::from(milliseconds) * CNTFRQ_EL0.get() / 1000
}

/// Sets `slot` of `core`, which is this core, to tick `at`.
pub fn set(core: &Core, slot: Slot, at: u64) {
    core.deadlines.0[slot as usize].store(at, Ordering::Relaxed);
    core.deadlines.program();
}

/// Sets `slot` to so many milliseconds from now.
pub fn set_in(core: &Core, slot: Slot, milliseconds: u32) {
    set(core, slot, now() + ticks(milliseconds));
}

/// Forgets `slot`.
pub fn clear(core: &Core, slot: Slot) {
    set(core, slot, NEVER);
}

/// The tick that `slot` is set to, the last of all where it is not set.
pub fn deadline(core: &Core, slot: Slot) -> u64 {
    core.deadlines.0[slot as usize].load(Ordering::Relaxed)
}

/// Forgets `slot` if its time has come, and says whether it had. The timer's interrupt is level: the handler asks for
/// every slot that it knows.
pub fn take_due(core: &Core, slot: Slot) -> bool {
    let is_due = core.deadlines.0[slot as usize].load(Ordering::Relaxed) <= now();
    if is_due {
        clear(core, slot);
    }
    is_due
}
