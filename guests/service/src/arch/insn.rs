//! Single instructions that Rust has no name for.

use core::arch::asm;

/// Registers of a hypercall: the function id and ten arguments or results.
pub type Registers = [u64; 11];

/// HVC with up to ten arguments in x1 to x10; the answer is the status in the first place and ten results.
#[inline(always)]
pub fn hvc(mut x: Registers) -> Registers {
    // SAFETY: SMCCC 1.2: the callee changes x0 to x17 at most, and what memory it writes is its own event pages, which
    // are atomics here.
    unsafe {
        asm!("hvc #0",
            inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3], inout("x4") x[4],
            inout("x5") x[5], inout("x6") x[6], inout("x7") x[7], inout("x8") x[8], inout("x9") x[9],
            inout("x10") x[10], out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _,
            out("x16") _, out("x17") _, options(nostack));
    }
    x
}

/// `wfi`: waits until an interrupt is pending, masked or not.
#[inline(always)]
pub fn wfi() {
    // SAFETY: no architectural effect but the wait. A compiler barrier, so that what others wrote is read anew.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) }
}

/// `hint #N`, a NOP.
#[inline(always)]
pub fn hint<const N: u8>() {
    // SAFETY: hints 96 to 127 are unallocated and execute as NOP (Arm ARM, "HINT").
    unsafe { asm!("hint #{n}", n = const N, options(nostack, preserves_flags)) }
}

/// All earlier accesses are seen by the other cores and by devices of the inner shareable domain before any later
/// (DMB ISH): the sleeper's and the ringer's barrier.
#[inline(always)]
pub fn dmb_ish() {
    // SAFETY: a barrier.
    unsafe { asm!("dmb ish", options(nostack, preserves_flags)) }
}

/// All earlier accesses are complete (DSB SY).
#[inline(always)]
pub fn dsb() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
}

/// Cleans and invalidates the cache lines of a range to the point of coherency (DC CIVAC), for a device that does not see
/// caches: before it is told of what was written there, and before what it wrote is read.
pub fn clean_invalidate(address: u64, bytes: u64) {
    /// Bytes of the smallest line that there is on any core.
    const LINE: u64 = 16;
    dsb();
    for line in (address & !(LINE - 1)..address.saturating_add(bytes)).step_by(LINE as usize) {
        // SAFETY: what is in memory stays the same for everybody who sees caches; others see what was written.
        unsafe { asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags)) }
    }
    dsb();
}

/// Copies bytes that others may change meanwhile: what was changed is another value and nothing worse. It is `memcpy`
/// (bytes.rs), hidden from a compiler that would believe that nobody else writes there.
///
/// # Safety
/// Both ranges are mapped as Normal memory, the first one can be read and the second one written, they do not overlap,
/// and Rust believes in neither while this runs: no reference to them is used.
#[inline(always)]
pub unsafe fn copy(from: u64, to: u64, bytes: u64) {
    // SAFETY: the caller's promise; the registers are those that bytes.rs names.
    unsafe {
        asm!(
            "bl memcpy",
            inout("x0") to => _, inout("x1") from => _, inout("x2") bytes => _,
            out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
            out("x14") _, out("x15") _, out("x16") _, out("x30") _,
            options(nostack),
        );
    }
}

/// Later instructions see earlier changes of system registers (ISB).
#[inline(always)]
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) }
}

macro_rules! icc {
    (read $(#[$doc:meta])* $name:ident, $encoding:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: called where ID_AA64PFR0_EL1.GIC says that the register exists (`gic.rs`).
            unsafe { asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nostack, preserves_flags)) }
            value
        }
    };
    (write $(#[$doc:meta])* $name:ident, $encoding:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(value: u64) {
            // SAFETY: as for the reads; these registers route interrupts and change no memory.
            unsafe { asm!(concat!("msr ", $encoding, ", {}"), in(reg) value, options(nostack, preserves_flags)) }
        }
    };
}

icc!(read
    /// ICC_IAR1_EL1: acknowledges the highest-priority pending Group 1 interrupt.
    read_icc_iar1, "S3_0_C12_C12_0");
icc!(read
    /// ICC_SRE_EL1.
    read_icc_sre, "S3_0_C12_C12_5");
icc!(write
    /// ICC_EOIR1_EL1: ends the interrupt.
    write_icc_eoir1, "S3_0_C12_C12_1");
icc!(write
    /// ICC_SRE_EL1: bit 0 selects the system register interface.
    write_icc_sre, "S3_0_C12_C12_5");
icc!(write
    /// ICC_PMR_EL1: priority mask.
    write_icc_pmr, "S3_0_C4_C6_0");
icc!(write
    /// ICC_BPR1_EL1: binary point of Group 1.
    write_icc_bpr1, "S3_0_C12_C12_3");
icc!(write
    /// ICC_CTLR_EL1: EOImode.
    write_icc_ctlr, "S3_0_C12_C12_4");
icc!(write
    /// ICC_IGRPEN1_EL1: enables Group 1.
    write_icc_igrpen1, "S3_0_C12_C12_7");
