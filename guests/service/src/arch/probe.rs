//! A load that may find nobody: the one instruction at which an exception does not end this life.

use core::arch::asm;

/// The word at `address`; `None` where the load ends in an exception, as on a board without the device that is looked for.
///
/// # Safety
/// A device's registers are mapped there or nothing is, no Rust object is there, and a load changes nothing.
pub unsafe fn load32(address: u64) -> Option<u32> {
    let (word, has_answered): (u64, u64);
    // SAFETY: the caller's promise. The routine changes x0 to x3 and the flags; an exception at its load comes back behind
    // it (vectors.rs), with interrupts masked as they always are.
    unsafe {
        asm!(
            "bl service_probe",
            inout("x0") address => word, out("x1") has_answered, out("x2") _, out("x3") _, out("x30") _,
            options(nostack),
        );
    }
    (has_answered != 0).then_some(word as u32)
}
