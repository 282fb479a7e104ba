//! Calls to the firmware at EL3 (SMCCC, Arm DEN0028) with fixed function ids: no guest register ever reaches it.

use core::arch::asm;

/// Calls `function` and returns x0.
pub fn smc(function: u32, arguments: [u64; 3]) -> i64 {
    let result: i64;
    // SAFETY: SMCCC 1.1 lets the callee change x0-x17 only; the callers pass PSCI functions, which touch no memory
    // of EL2 except by starting a core at the entry point they are given.
    unsafe {
        asm!(
            "smc #0",
            inout("x0") u64::from(function) => result,
            inout("x1") arguments[0] => _,
            inout("x2") arguments[1] => _,
            inout("x3") arguments[2] => _,
            out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
            out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nostack)
        );
    }
    result
}
