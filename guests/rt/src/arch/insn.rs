//! Single instructions that Rust has no name for.

use aarch64_cpu::registers::{DAIF, ID_AA64PFR0_EL1, Readable as _};
use core::arch::asm;

/// Four results of an SMCCC call.
pub type SmcccResult = [u64; 4];

macro_rules! conduit {
    ($(#[$doc:meta])* $name:ident, $insn:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(function: u64, arguments: [u64; 3]) -> SmcccResult {
            let [mut x1, mut x2, mut x3] = arguments;
            let mut x0 = function;
            // SAFETY: SMCCC 1.1: x4 to x17 may be changed, the rest is preserved; memory may be read by the callee.
            unsafe {
                asm!($insn,
                    inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
                    out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
                    out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _,
                    out("x17") _, options(nostack));
            }
            [x0, x1, x2, x3]
        }
    };
}

conduit!(
    /// SMCCC call by HVC.
    hvc,
    "hvc #0"
);
conduit!(
    /// SMCCC call by SMC.
    smc,
    "smc #0"
);

/// `hint #N`, a NOP on hardware: 100 to 126 open a phase for the instruction-counting plugin, 127 ends it.
#[inline(always)]
pub fn hint<const N: u8>() {
    // SAFETY: hints 100 to 127 are unallocated and execute as NOP (Arm ARM, "HINT").
    unsafe { asm!("hint #{n}", n = const N, options(nostack, preserves_flags)) }
}

/// `yield`: lets another vCPU run where several share one thread of an emulator.
#[inline(always)]
pub fn yield_now() {
    // SAFETY: a hint without architectural effect.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

/// `wfi`: waits until an interrupt is pending, masked or not.
#[inline(always)]
pub fn wfi() {
    // SAFETY: no architectural effect but the wait. A compiler barrier, so that what the handler wrote is read anew.
    unsafe { asm!("wfi", options(nostack, preserves_flags)) }
}

/// Unmasks IRQ.
#[inline(always)]
pub fn unmask_irq() {
    // SAFETY: the vectors are installed before any Rust runs (entry.rs).
    unsafe { asm!("msr daifclr, #2", options(nostack, preserves_flags)) }
}

/// Masks IRQ.
#[inline(always)]
pub fn mask_irq() {
    // SAFETY: masking is always allowed.
    unsafe { asm!("msr daifset, #2", options(nostack, preserves_flags)) }
}

/// Unmasks SError.
#[inline(always)]
pub fn unmask_serror() {
    // SAFETY: the vectors are installed before any Rust runs (entry.rs).
    unsafe { asm!("msr daifclr, #4", options(nostack, preserves_flags)) }
}

/// All earlier accesses are complete before anything later executes (DSB SY, then ISB).
#[inline(always)]
pub fn synchronise() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", "isb", options(nostack, preserves_flags)) }
}

/// Later instructions see earlier changes of system registers (ISB).
#[inline(always)]
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) }
}

/// Whether IRQ is masked.
#[inline(always)]
pub fn irq_is_masked() -> bool {
    DAIF.is_set(DAIF::I)
}

/// ID_AA64PFR0_EL1.GIC: whether the CPU has the GICv3 system registers.
pub fn has_gic_system_registers() -> bool {
    ID_AA64PFR0_EL1.get() >> 24 & 0xf != 0
}

/// `udf #0`: an undefined instruction.
pub fn undefined() {
    // SAFETY: it only takes an exception; nothing is touched.
    unsafe { asm!("udf #0", options(nomem, nostack, preserves_flags)) }
}
