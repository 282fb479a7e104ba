//! A load that only stage 2 can refuse. In no ordinary build.

use core::arch::global_asm;

unsafe extern "C" {
    fn service_reach(address: u64) -> u64;
}

/// The 64-bit word at a physical address. Where stage 2 has nothing for the service, its life ends at that address.
///
/// # Safety
/// A load from there changes nothing. It does not see what is in caches only.
pub unsafe fn load(address: u64) -> u64 {
    // SAFETY: the caller's promise; the routine restores what it changes.
    unsafe { service_reach(address) }
}

// In: x0 = address, a multiple of eight. Out: x0 = the word. Clobbers x1 to x4. Stage 1 is off for the load and nothing
// else, so no table of the service's own can refuse it. The vectors meanwhile are those of `service_crash`, which load
// from x1 again: EL2 takes that for the end of this life, and its record has the load's address. Not Rust: no access to
// the stack may happen while the MMU is off.
global_asm!(
    r#"
    .section .text.reach, "ax"
    .global service_reach
service_reach:
    mrs     x2, vbar_el1
    adrp    x3, service_ending
    add     x3, x3, :lo12:service_ending
    msr     vbar_el1, x3
    mrs     x3, sctlr_el1
    bic     x4, x3, #1
    mov     x1, x0
    dsb     sy
    msr     sctlr_el1, x4
    isb
    ldr     x0, [x1]
    msr     sctlr_el1, x3
    isb
    msr     vbar_el1, x2
    isb
    ret
"#
);
