//! What a board needs done that its table of facts cannot say: a few stores to its registers at fixed points of boot.
//!
//! A platform's binary names its hooks in [`entry!`](crate::entry). One that a board does not have is not even called. A
//! hook drives no device: it puts registers where the driver behind it expects them.

use crate::arch::barrier;
use crate::memory;
use addr::Pa;

/// What a platform does beside handing over its table.
pub struct Hooks {
    /// Before the first byte goes to the UART, on the boot core, no lock held. Not where the firmware's tree is of another
    /// board.
    pub before_console: Option<fn()>,
}

impl Hooks {
    /// Of a board that needs nothing.
    pub const NONE: Self = Self { before_console: None };
}

/// A register of 32 bits that gets new bits where `mask` has ones and keeps the others.
pub struct Change {
    /// Where it is.
    pub register: Pa,
    /// The bits that change.
    pub mask: u32,
    /// What they become.
    pub value: u32,
}

/// Makes the changes in order. At boot only: the registers get mapped.
pub fn change(changes: &[Change]) {
    for Change { register, mask, value } in changes {
        let address = memory::map_device(*register, 4) as *mut u32;
        // SAFETY: the platform names registers of its board, as in its table, and this one was mapped just above. No other
        // core runs yet.
        let old = unsafe { address.read_volatile() };
        // SAFETY: as above.
        unsafe { address.write_volatile(old & !mask | value) };
    }
    // Different devices may see stores of device memory in another order.
    barrier::dsb_sy();
}
