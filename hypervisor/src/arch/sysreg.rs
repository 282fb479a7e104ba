//! System registers that `aarch64-cpu` 11.2 lacks, with the same `get`/`set` interface.

/// Timer of EL2: control.
pub use aarch64_cpu::registers::CNTHP_CTL_EL2;
use core::arch::asm;
use tock_registers::interfaces::{Readable, Writeable};

macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = $spelling:literal $(, $value:ident)?;)*) => {$(
        $(#[$doc])*
        #[allow(non_camel_case_types, reason = "the specification's spelling")]
        pub struct $name;

        impl Readable for $name {
            type T = u64;
            type R = ();
            #[inline(always)]
            fn get(&self) -> u64 {
                let value;
                // SAFETY: reading it has no side effect on memory; acknowledge registers are read only by the GIC driver.
                unsafe { asm!(concat!("mrs {}, ", $spelling), out(reg) value, options(nostack, preserves_flags)) };
                value
            }
        }
        impl Writeable for $name {
            type T = u64;
            type R = ();
            #[inline(always)]
            fn set(&self, value: u64) {
                // SAFETY: these registers configure the guest or the GIC; none changes EL2's own translation or stack.
                unsafe { asm!(concat!("msr ", $spelling, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
            }
        }
    )*};
}

registers! {
    /// Cache type.
    CTR_EL0 = "ctr_el0";
    /// Block that DC ZVA zeroes.
    DCZID_EL0 = "dczid_el0";
    /// Hypervisor debug: fine-grained AArch32 traps.
    HSTR_EL2 = "hstr_el2";
    /// MIDR_EL1 as the guest reads it.
    VPIDR_EL2 = "vpidr_el2";
    /// Timer of EL2: compare value.
    CNTHP_CVAL_EL2 = "cnthp_cval_el2";
    /// Interrupt acknowledge, group 1.
    ICC_IAR1_EL1 = "S3_0_C12_C12_0";
    /// End of interrupt, group 1: priority drop, since EOImode is 1.
    ICC_EOIR1_EL1 = "S3_0_C12_C12_1";
    /// Deactivate interrupt.
    ICC_DIR_EL1 = "S3_0_C12_C11_1";
    /// Priority mask.
    ICC_PMR_EL1 = "S3_0_C4_C6_0";
    /// Group 1 enable.
    ICC_IGRPEN1_EL1 = "S3_0_C12_C12_7";
    /// CPU interface control of EL1 and EL2.
    ICC_CTLR1_EL1 = "S3_0_C12_C12_4";
    /// System register enable of EL1.
    ICC_SRE_EL1 = "S3_0_C12_C12_5";
    /// Generate a group 1 SGI.
    ICC_SGI1R_EL1 = "S3_0_C12_C11_5";
    /// Binary point, group 1.
    ICC_BPR1_EL1 = "S3_0_C12_C12_3";
    /// Which list registers are empty.
    ICH_ELRSR_EL2 = "S3_4_C12_C11_5";
    /// Extended hypervisor configuration.
    HCRX_EL2 = "S3_4_C1_C2_2";
    /// Memory model features 3.
    ID_AA64MMFR3_EL1 = "S3_0_C0_C7_3";
    /// SVE features.
    ID_AA64ZFR0_EL1 = "S3_0_C0_C4_4";
    /// Instruction set attributes 2.
    ID_AA64ISAR2_EL1 = "S3_0_C0_C6_2";
}

/// Makes HPFAR_EL2 useless.
#[cfg(feature = "poison-hpfar")]
pub fn poison_hpfar() {
    // SAFETY: it holds the IPA of the last fault and nothing else.
    unsafe { asm!("msr hpfar_el2, {}", in(reg) !0_u64, options(nostack, preserves_flags)) };
}
