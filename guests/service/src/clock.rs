//! The time of day: the board's PL031 (Arm DDI 0224) is read once, EL2 counts on from there.

use crate::arch::mmio::Registers;
use crate::{hypercall, say};
use addr::Pa;

/// RTCDR: seconds.
const DR: u64 = 0;

/// Tells EL2 the time of day.
pub fn set(rtc: Option<Pa>) {
    let Some(rtc) = rtc else { return };
    // SAFETY: the plan says that the board's clock is there, and map.rs maps it; it starts no DMA.
    let seconds = unsafe { Registers::new(rtc.as_u64()) }.read32(DR);
    if let Err(status) = hypercall::set_clock(seconds.into()) {
        say!("error: EL2 does not take the time of day: {status:?}");
    }
}
