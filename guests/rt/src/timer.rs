//! The generic timer's two EL1 timers, by absolute deadline (CVAL).
//!
//! A deadline that already passed is pending at once; nothing here uses the relative TVAL, which drifts.

use crate::IntId;
use crate::arch::insn::isb;
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTP_CTL_EL0, CNTP_CVAL_EL0, CNTPCT_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable as _,
    Writeable as _,
};
use abi::machine;

/// CNTx_CTL: ENABLE and not IMASK.
const ENABLE: u64 = 1;
/// CNTx_CTL: ISTATUS.
const CONDITION: u64 = 1 << 2;

/// One of the two timers that belong to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// CNTV: starts near 0 with the partition, equal on its vCPUs.
    Virtual,
    /// CNTP: shows the board's uptime.
    Physical,
}

/// Counter ticks per second (CNTFRQ_EL0).
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// The virtual counter, not read before earlier instructions (ISB).
#[inline(always)]
pub fn now() -> u64 {
    Timer::Virtual.count()
}

impl Timer {
    /// The counter, not read before earlier instructions (ISB).
    #[inline(always)]
    pub fn count(self) -> u64 {
        isb();
        match self {
            Self::Virtual => CNTVCT_EL0.get(),
            Self::Physical => CNTPCT_EL0.get(),
        }
    }

    /// The timer's interrupt.
    pub const fn intid(self) -> IntId {
        match self {
            Self::Virtual => machine::VIRTUAL_TIMER,
            Self::Physical => machine::PHYSICAL_TIMER,
        }
    }

    /// Moves the deadline to `at`, in counter ticks.
    #[inline(always)]
    pub fn set_deadline(self, at: u64) {
        match self {
            Self::Virtual => CNTV_CVAL_EL0.set(at),
            Self::Physical => CNTP_CVAL_EL0.set(at),
        }
        isb();
    }

    /// The deadline, in counter ticks.
    #[inline(always)]
    pub fn deadline(self) -> u64 {
        match self {
            Self::Virtual => CNTV_CVAL_EL0.get(),
            Self::Physical => CNTP_CVAL_EL0.get(),
        }
    }

    /// Lets the timer interrupt.
    pub fn enable(self) {
        self.control(ENABLE);
    }

    /// Turns the timer off: its interrupt goes away.
    pub fn stop(self) {
        self.control(0);
    }

    /// Whether the deadline has passed while the timer is enabled (ISTATUS).
    pub fn has_passed(self) -> bool {
        let control = match self {
            Self::Virtual => CNTV_CTL_EL0.get(),
            Self::Physical => CNTP_CTL_EL0.get(),
        };
        control & (ENABLE | CONDITION) == ENABLE | CONDITION
    }

    fn control(self, value: u64) {
        match self {
            Self::Virtual => CNTV_CTL_EL0.set(value),
            Self::Physical => CNTP_CTL_EL0.set(value),
        }
        isb();
    }
}
