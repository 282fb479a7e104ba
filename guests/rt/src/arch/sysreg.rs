//! System registers that the crate `aarch64-cpu` does not have: the GICv3 CPU interface.
//!
//! Names and encodings: GIC architecture specification, "AArch64 System register descriptions".

use core::arch::asm;

macro_rules! read {
    ($(#[$doc:meta])* $name:ident, $encoding:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: called on a CPU with the GICv3 system register interface only (`gic::v3`).
            unsafe { asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nostack, preserves_flags)) }
            value
        }
    };
}
macro_rules! write {
    ($(#[$doc:meta])* $name:ident, $encoding:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(value: u64) {
            // SAFETY: as for the reads; these registers route interrupts and change no memory.
            unsafe { asm!(concat!("msr ", $encoding, ", {}"), in(reg) value, options(nostack, preserves_flags)) }
        }
    };
}

read!(
    /// ICC_IAR1_EL1: acknowledges the highest-priority pending Group 1 interrupt.
    read_icc_iar1,
    "S3_0_C12_C12_0"
);
read!(
    /// ICC_SRE_EL1.
    read_icc_sre,
    "S3_0_C12_C12_5"
);
write!(
    /// ICC_EOIR1_EL1: ends the interrupt.
    write_icc_eoir1,
    "S3_0_C12_C12_1"
);
write!(
    /// ICC_DIR_EL1: deactivates the interrupt, EOImode 1.
    write_icc_dir,
    "S3_0_C12_C11_1"
);
write!(
    /// ICC_SGI1R_EL1: sends a Group 1 SGI.
    write_icc_sgi1r,
    "S3_0_C12_C11_5"
);
write!(
    /// ICC_SRE_EL1: bit 0 selects the system register interface.
    write_icc_sre,
    "S3_0_C12_C12_5"
);
write!(
    /// ICC_PMR_EL1: priority mask.
    write_icc_pmr,
    "S3_0_C4_C6_0"
);
write!(
    /// ICC_BPR1_EL1: binary point of Group 1.
    write_icc_bpr1,
    "S3_0_C12_C12_3"
);
write!(
    /// ICC_CTLR_EL1: EOImode.
    write_icc_ctlr,
    "S3_0_C12_C12_4"
);
write!(
    /// ICC_IGRPEN1_EL1: enables Group 1.
    write_icc_igrpen1,
    "S3_0_C12_C12_7"
);
