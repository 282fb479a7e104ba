//! What a vCPU finds in its registers when it starts, and which of its instructions trap.
//!
//! One table each: every EL1 register that a guest can write is set here before each life, so nothing of an earlier
//! life is left (general and FP registers are zeroed in vectors.s), and every EL2 trap control is written in full,
//! since reset leaves them unknown (Arm ARM D19.2). Features that a static partition cannot use safely are hidden:
//! SVE, SME, MTE, RAS, AMU, MPAM, statistical profiling, trace and nested virtualization.

use super::barrier;
use super::sysreg::{HCRX_EL2, HSTR_EL2, VPIDR_EL2};
use aarch64_cpu::registers::{
    CNTHCTL_EL2, CPTR_EL2, HCR_EL2, ID_AA64DFR0_EL1, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64PFR0_EL1, MDCR_EL2,
    MIDR_EL1, VMPIDR_EL2,
};
use core::arch::asm;
use tock_registers::interfaces::{Readable, Writeable};

/// A four-bit field of an ID register.
const fn field(register: u64, shift: u32) -> u64 {
    (register >> shift) & 0xf
}

macro_rules! set {
    ($($name:literal = $value:expr;)*) => {$(
        // SAFETY: a register of EL1 or EL0, which no code at EL2 depends on.
        unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) { let value: u64 = $value; value }, options(nostack, preserves_flags)) };
    )*};
}

macro_rules! id_registers {
    ($($crm:literal, $op2:literal, $name:literal, hide $mask:expr;)*) => {
        /// The ID register S3_0_C0_C`crm`_`op2` as it is, and the bits that are hidden from guests; 0 for those that are
        /// not listed, as the architecture has it for unallocated ones.
        #[inline(never)]
        fn raw_id_register(crm: u8, op2: u8) -> (u64, u64) {
            match (crm, op2) {
                $(($crm, $op2) => {
                    let value: u64;
                    // SAFETY: reading an ID register has no side effect.
                    unsafe { asm!(concat!("mrs {}, S3_0_C0_C", $crm, "_", $op2), out(reg) value, options(nomem, nostack, preserves_flags)) };
                    (value, const { $mask })
                })*
                _ => (0, 0),
            }
        }
    };
}

/// The ID register S3_0_C0_C`crm`_`op2` as a guest may see it.
pub fn id_register(crm: u8, op2: u8) -> u64 {
    let (value, hidden) = raw_id_register(crm, op2);
    value & !hidden
}

/// Whether any field that is hidden from guests is set on this core: only then do ID reads trap.
pub fn hides_anything() -> bool {
    (1..8 * 8).any(|n| {
        let (value, hidden) = raw_id_register(n / 8, n % 8);
        value & hidden != 0
    })
}

/// Mask of the four-bit fields at these bit positions.
const fn fields(shifts: &[u32]) -> u64 {
    let mut mask = 0;
    let mut i = 0;
    while i < shifts.len() {
        mask |= 0xf << shifts[i];
        i += 1;
    }
    mask
}

id_registers! {
    1, 0, "ID_PFR0_EL1", hide 0xf << 28 | 0xf << 20;
    1, 1, "ID_PFR1_EL1", hide 0;
    1, 2, "ID_DFR0_EL1", hide 0;
    1, 3, "ID_AFR0_EL1", hide 0;
    1, 4, "ID_MMFR0_EL1", hide 0;
    1, 5, "ID_MMFR1_EL1", hide 0;
    1, 6, "ID_MMFR2_EL1", hide 0;
    1, 7, "ID_MMFR3_EL1", hide 0;
    2, 0, "ID_ISAR0_EL1", hide 0;
    2, 1, "ID_ISAR1_EL1", hide 0;
    2, 2, "ID_ISAR2_EL1", hide 0;
    2, 3, "ID_ISAR3_EL1", hide 0;
    2, 4, "ID_ISAR4_EL1", hide 0;
    2, 5, "ID_ISAR5_EL1", hide 0;
    2, 6, "ID_MMFR4_EL1", hide 0;
    2, 7, "ID_ISAR6_EL1", hide 0;
    3, 0, "MVFR0_EL1", hide 0;
    3, 1, "MVFR1_EL1", hide 0;
    3, 2, "MVFR2_EL1", hide 0;
    // RAS, SVE, MPAM, AMU, RME.
    4, 0, "ID_AA64PFR0_EL1", hide fields(&[28, 32, 40, 44, 52]);
    // MTE, RAS_frac, MPAM_frac, SME, RNDR_trap, NMI, MTE_frac, GCS, THE, MTEX.
    4, 1, "ID_AA64PFR1_EL1", hide fields(&[8, 12, 16, 24, 28, 36, 40, 44, 48, 52]);
    // SVE and SME features.
    4, 4, "ID_AA64ZFR0_EL1", hide u64::MAX;
    4, 5, "ID_AA64SMFR0_EL1", hide u64::MAX;
    // TraceVer, PMSVer, TraceFilt, TraceBuffer, BRBE.
    5, 0, "ID_AA64DFR0_EL1", hide fields(&[4, 32, 40, 44, 52]);
    6, 0, "ID_AA64ISAR0_EL1", hide fields(&[24]);
    // LS64.
    6, 1, "ID_AA64ISAR1_EL1", hide fields(&[60]);
    // MOPS, SYSREG_128, SYSINSTR_128: behind HCRX_EL2, which EL2 keeps at 0.
    6, 2, "ID_AA64ISAR2_EL1", hide fields(&[16, 32, 36]);
    // FGT and ECV offsets are EL2's.
    7, 0, "ID_AA64MMFR0_EL1", hide fields(&[56]);
    // HCX. VH and LO stay: no guest at EL1 can use them, and every core since Armv8.1 would trap for them. The registers
    // of LO read as zero.
    7, 1, "ID_AA64MMFR1_EL1", hide fields(&[40]);
    // NV.
    7, 2, "ID_AA64MMFR2_EL1", hide fields(&[24]);
    // TCRX, SCTLRX, S1PIE and the rest of HCRX_EL2's features.
    7, 3, "ID_AA64MMFR3_EL1", hide u64::MAX;
}

/// Writes every trap control of EL2 for the guest of this core; `mpidr` is the vCPU's affinity, `hides` what
/// [`hides_anything`] says.
pub fn set_traps(mpidr: u64, hides: bool) {
    let pfr0 = ID_AA64PFR0_EL1.get();
    let mmfr1 = ID_AA64MMFR1_EL1.get();
    let mut hcr = (HCR_EL2::VM::Enable
        + HCR_EL2::SWIO::SET
        + HCR_EL2::PTW::SET
        + HCR_EL2::FMO::EnableVirtualFIQ
        + HCR_EL2::IMO::EnableVirtualIRQ
        + HCR_EL2::AMO::SET
        + HCR_EL2::TSC::EnableTrapEl1SmcToEl2
        + HCR_EL2::TIDCP::SET
        + HCR_EL2::TACR::SET
        + HCR_EL2::RW::EL1IsAarch64)
        .value;
    if field(mmfr1, 16) != 0 {
        hcr |= HCR_EL2::TLOR::SET.value;
    }
    if field(pfr0, 28) != 0 {
        hcr |= HCR_EL2::TERR::SET.value | HCR_EL2::TEA.val(1).value;
    }
    if has_pointer_authentication() {
        hcr |= HCR_EL2::API.val(1).value | HCR_EL2::APK.val(1).value;
    }
    if field(pfr0, 56) >= 2 {
        hcr |= HCR_EL2::EnSCXT::SET.value;
    }
    // Only a core with something to hide pays for ID register reads.
    if hides {
        hcr |= HCR_EL2::TID3::SET.value;
    }
    HCR_EL2.set(hcr);

    // RES1 bits include TZ and TSM, so SVE and SME trap; TTA traps trace; TAM, where it exists, activity monitors.
    let tam = if field(pfr0, 44) != 0 { 1 << 30 } else { 0 };
    CPTR_EL2.set(0x33ff | 1 << 20 | tam);
    // Counters to the guest (HPMN), statistical profiling and trace filter registers trap.
    let pmu_counters = if has_pmu() { (pmcr() >> 11) & 0x1f } else { 0 };
    MDCR_EL2.set(pmu_counters | 1 << 14 | if field(ID_AA64DFR0_EL1.get(), 40) != 0 { 1 << 19 } else { 0 });
    // EL1PCTEN, EL1PCEN: physical counter and timer are the guest's.
    CNTHCTL_EL2.set(3);
    HSTR_EL2.set(0);
    VPIDR_EL2.set(MIDR_EL1.get());
    VMPIDR_EL2.set(1 << 31 | mpidr);
    if field(pfr0, 40) != 0 || field(id_raw_pfr1(), 16) != 0 {
        // MPAM2_EL2: TRAPMPAM0EL1 and TRAPMPAM1EL1, so that no guest picks another's partition id.
        set! { "S3_4_C10_C5_0" = 3 << 48; }
    }
    // SAFETY: ACTLR_EL2 = 0 denies EL1 the implementation's power and L2 controls; EL2 does not use them.
    unsafe { asm!("msr actlr_el2, xzr", options(nostack, preserves_flags)) };
    if field(mmfr1, 40) != 0 {
        HCRX_EL2.set(0);
    }
    if field(ID_AA64MMFR0_EL1.get(), 56) != 0 {
        set! {
            "S3_4_C1_C1_4" = 0; // HFGRTR_EL2
            "S3_4_C1_C1_5" = 0; // HFGWTR_EL2
            "S3_4_C1_C1_6" = 0; // HFGITR_EL2
            "S3_4_C3_C1_4" = 0; // HDFGRTR_EL2
            "S3_4_C3_C1_5" = 0; // HDFGWTR_EL2
        }
    }
    barrier::isb();
}

/// ID_AA64PFR1_EL1 with nothing hidden.
fn id_raw_pfr1() -> u64 {
    let value;
    // SAFETY: reading an ID register has no side effect.
    unsafe { asm!("mrs {}, id_aa64pfr1_el1", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

fn has_pointer_authentication() -> bool {
    let isar1 = id_register(6, 1);
    let isar2 = id_register(6, 2);
    field(isar1, 4) != 0 || field(isar1, 8) != 0 || field(isar2, 12) != 0
}

fn has_pmu() -> bool {
    !matches!(field(ID_AA64DFR0_EL1.get(), 8), 0 | 0xf)
}

fn pmcr() -> u64 {
    let value;
    // SAFETY: reading PMCR_EL0, which exists (has_pmu), has no side effect.
    unsafe { asm!("mrs {}, pmcr_el0", out(reg) value, options(nostack, preserves_flags)) };
    value
}

/// Writes the guest's reset values to every EL1 and EL0 register that it can write (el1 of the Arm ARM's reset
/// values where they are known, 0 elsewhere). EL1's MMU and caches are off afterwards.
pub fn reset() {
    // First, and in effect before MDSCR_EL1 and OSECCR_EL1 are written: the transfer bits of the one are read-only while the
    // OS lock is open, the other is then no register at all.
    set! { "oslar_el1" = 1; }
    barrier::isb();
    set! {
        // RES1 bits and what a Cortex-A72 comes out of reset with.
        "sctlr_el1" = 0x00c5_0838;
        "actlr_el1" = 0;
        "cpacr_el1" = 0;
        "ttbr0_el1" = 0;
        "ttbr1_el1" = 0;
        "tcr_el1" = 0;
        "mair_el1" = 0;
        "amair_el1" = 0;
        "vbar_el1" = 0;
        "esr_el1" = 0;
        "far_el1" = 0;
        "elr_el1" = 0;
        "spsr_el1" = 0;
        "sp_el0" = 0;
        "sp_el1" = 0;
        "tpidr_el0" = 0;
        "tpidrro_el0" = 0;
        "tpidr_el1" = 0;
        "contextidr_el1" = 0;
        "par_el1" = 0;
        "afsr0_el1" = 0;
        "afsr1_el1" = 0;
        "csselr_el1" = 0;
        "cntkctl_el1" = 0;
        "cntv_ctl_el0" = 0;
        "cntv_cval_el0" = 0;
        "cntp_ctl_el0" = 0;
        "cntp_cval_el0" = 0;
        "mdscr_el1" = 0;
        "mdccint_el1" = 0;
        "osdtrrx_el1" = 0;
        "osdtrtx_el1" = 0;
        "oseccr_el1" = 0;
        // The claim tags have no other reset than a cold one.
        "dbgclaimclr_el1" = 0xff;
        "osdlr_el1" = 0;
    }
    if field(ID_AA64PFR0_EL1.get(), 56) >= 2 {
        set! {
            "S3_0_C13_C0_7" = 0; // SCXTNUM_EL1
            "S3_3_C13_C0_7" = 0; // SCXTNUM_EL0
        }
    }
    if field(ID_AA64PFR0_EL1.get(), 28) != 0 {
        // VDISR_EL2, which a guest reaches as DISR_EL1 (HCR_EL2.AMO) although RAS is hidden: no trap covers it.
        set! { "S3_4_C12_C1_1" = 0; }
    }
    if has_pointer_authentication() {
        set! {
            "S3_0_C2_C1_0" = 0; "S3_0_C2_C1_1" = 0; // APIAKey
            "S3_0_C2_C1_2" = 0; "S3_0_C2_C1_3" = 0; // APIBKey
            "S3_0_C2_C2_0" = 0; "S3_0_C2_C2_1" = 0; // APDAKey
            "S3_0_C2_C2_2" = 0; "S3_0_C2_C2_3" = 0; // APDBKey
            "S3_0_C2_C3_0" = 0; "S3_0_C2_C3_1" = 0; // APGAKey
        }
    }
    reset_debug();
    reset_pmu();
    barrier::isb();
}

/// Breakpoints and watchpoints off and forgotten.
fn reset_debug() {
    let dfr0 = ID_AA64DFR0_EL1.get();
    let (breakpoints, watchpoints) = (field(dfr0, 12), field(dfr0, 20));
    macro_rules! clear {
        ($count:expr, $value:literal, $control:literal: $($n:literal)*) => {$(
            if $n < $count + 1 {
                // SAFETY: DBGBCR/DBGWCR `n` and its value register exist (ID_AA64DFR0_EL1) and act on EL1 and EL0 only.
                unsafe { asm!(concat!("msr S2_0_C0_C", $n, "_", $control, ", xzr"), options(nostack, preserves_flags)) };
                // SAFETY: as above.
                unsafe { asm!(concat!("msr S2_0_C0_C", $n, "_", $value, ", xzr"), options(nostack, preserves_flags)) };
            }
        )*};
    }
    clear!(breakpoints, 4, 5: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    clear!(watchpoints, 6, 7: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// Counters stopped, cleared, their interrupts and user access off.
fn reset_pmu() {
    if !has_pmu() {
        return;
    }
    set! {
        "pmcntenclr_el0" = 0xffff_ffff;
        "pmintenclr_el1" = 0xffff_ffff;
        "pmovsclr_el0" = 0xffff_ffff;
        "pmuserenr_el0" = 0;
        "pmselr_el0" = 0;
        "pmccfiltr_el0" = 0;
        "pmccntr_el0" = 0;
        // P and C: event and cycle counters to 0; E clear, and LC as on QEMU: the cycle counter overflows at 32 bits.
        "pmcr_el0" = 6;
    }
    for counter in 0..(pmcr() >> 11) & 0x1f {
        set! { "pmselr_el0" = counter; }
        barrier::isb();
        set! { "pmxevtyper_el0" = 0; }
    }
    set! { "pmselr_el0" = 0; }
}

/// Advanced SIMD: the loader copies with it, and a guest's registers are zeroed before it starts.
pub fn has_simd() -> bool {
    field(id_register(4, 0), 20) != 0xf
}
