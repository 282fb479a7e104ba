//! The service's own watchdog: the SBSA generic watchdog of the guest machine (Arm BSA, "Generic watchdog").
//!
//! A service that spins or sleeps for ever does not feed it, and EL2 starts the next life.

use crate::arch::mmio::Registers;
use crate::timer;
use abi::machine;

/// Refresh frame: any store refreshes.
const WRR: u64 = 0;
/// Control frame: control and status, and its enable bit.
const WCS: u64 = 0;
const WCS_EN: u32 = 1;

// SAFETY: the guest machine's watchdog, which map.rs maps where the plan says that there is one.
const CONTROL: Registers = unsafe { Registers::new(machine::WATCHDOG.as_u64()) };
// SAFETY: as above.
const REFRESH: Registers = unsafe { Registers::new(machine::WATCHDOG_REFRESH.as_u64()) };

/// The watchdog, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    /// Ticks between two refreshes; 0: there is none.
    period: u64,
    next: u64,
}

impl Watchdog {
    /// Starts it, for a time of `milliseconds`; EL2 has set the time already.
    pub fn start(milliseconds: u32) -> Self {
        if milliseconds == 0 {
            return Self { period: 0, next: 0 };
        }
        CONTROL.write32(WCS, WCS_EN);
        let period = timer::ticks(u64::from(milliseconds) / 4).max(1);
        Self { period, next: timer::now() + period }
    }

    /// Feeds it when a quarter of its time has passed.
    pub fn feed(&mut self, now: u64) {
        if self.period != 0 && now >= self.next {
            REFRESH.write32(WRR, 1);
            self.next = now + self.period;
        }
    }

    /// Until when the service may sleep.
    pub fn deadline(&self) -> Option<u64> {
        (self.period != 0).then_some(self.next)
    }
}
