//! What an exception injected into EL1 looks like (Arm ARM, AArch64.TakeException and AArch64.vector offsets in D1.3).
//!
//! The caller moves ELR_EL2 to ELR_EL1 and SPSR_EL2 to SPSR_EL1, writes ESR_EL1 (and FAR_EL1 for an abort, from
//! FAR_EL2), then ELR_EL2 = [`Injected::pc`] and SPSR_EL2 = [`Injected::spsr`].
//! Hidden from guests and so not handled: MTE (PSTATE.TCO stays 0), FEAT_NMI (ALLINT), FEAT_DoubleFault2 (SCTLR2.EASE).

use crate::Abort;

/// What the guest is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Injection {
    /// The instruction does not exist (EC 0, as hardware reports it).
    Undefined,
    /// The bus refused what this data abort was about; on the table walk where it came from one.
    DataAbort(Abort),
    /// The bus refused what this instruction abort was about; on the table walk where it came from one.
    InstructionAbort(Abort),
}

/// The state that EL1 starts its exception handler with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Injected {
    /// VBAR_EL1 and the offset of the vector.
    pub pc: u64,
    /// PSTATE in the form of SPSR_EL2.
    pub spsr: u64,
    /// ESR_EL1.
    pub esr: u64,
}

const EL1H: u64 = 0b0101;
const AARCH32: u64 = 1 << 4;
const DAIF: u64 = 0xf << 6;
const SSBS: u64 = 1 << 12;
const PAN: u64 = 1 << 22;
/// Taken over from the interrupted code: N, Z, C, V, DIT and PAN.
const KEPT: u64 = 0xf << 28 | 1 << 24 | PAN;
/// SCTLR_EL1.SPAN: 1 leaves PSTATE.PAN as it was.
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS: PSTATE.SSBS on exception entry.
const SCTLR_DSSBS: u64 = 1 << 44;

/// ESR_EL1.IL, 1 for each exception here: EC 0, aborts on fetch, and data aborts without ISV.
const IL: u64 = 1 << 25;
const EC_INSTRUCTION_ABORT: u64 = 0x20 << 26;
const EC_DATA_ABORT: u64 = 0x24 << 26;
/// Added to an abort's class when EL1 itself caused it.
const EC_SAME_LEVEL: u64 = 1 << 26;
const EXTERNAL: u64 = 0x10;
/// External abort on a table walk at level 0; the level is added.
const EXTERNAL_ON_WALK: u64 = 0x14;
/// CM and WnR, bits 8 and 6: a guest's handler may look at them.
const KEPT_ISS: u64 = 1 << 8 | 1 << 6;
/// FnV, bit 10: FAR is not valid. Exists for [`EXTERNAL`] only.
const FAR_NOT_VALID: u64 = 1 << 10;

/// The exception for code interrupted with `spsr` (SPSR_EL2), under the guest's VBAR_EL1 and SCTLR_EL1.
pub const fn inject(injection: Injection, spsr: u64, vbar_el1: u64, sctlr_el1: u64) -> Injected {
    let from_el1 = spsr & (AARCH32 | 0b1100) == 0b0100;
    let esr = match injection {
        Injection::Undefined => IL,
        Injection::DataAbort(abort) => {
            IL | class(EC_DATA_ABORT, from_el1) | abort.iss() as u64 & KEPT_ISS | status(abort)
        }
        Injection::InstructionAbort(abort) => IL | class(EC_INSTRUCTION_ABORT, from_el1) | status(abort),
    };
    let pc = (vbar_el1 & !0x7ff) + vector(spsr);
    Injected { pc, spsr: handler_state(spsr, sctlr_el1), esr }
}

const fn class(from_lower: u64, from_el1: bool) -> u64 {
    if from_el1 { from_lower + EC_SAME_LEVEL } else { from_lower }
}

/// The level of a stage-1 walk that stage 2 refused is not in the syndrome; that of stage 2 stands in for it.
const fn status(abort: Abort) -> u64 {
    match (abort.is_on_table_walk(), abort.far_is_valid()) {
        (true, _) => EXTERNAL_ON_WALK + (abort.iss() & 3) as u64,
        (false, true) => EXTERNAL,
        (false, false) => EXTERNAL | FAR_NOT_VALID,
    }
}

/// The offset in the vector table for a synchronous exception.
const fn vector(spsr: u64) -> u64 {
    if spsr & AARCH32 != 0 {
        return 0x600;
    }
    match spsr & 0xf {
        0b0100 => 0x000,
        0b0101 => 0x200,
        _ => 0x400,
    }
}

/// PSTATE at EL1h with everything masked. SS, IL, BTYPE and UAO become 0 as on any exception entry.
const fn handler_state(spsr: u64, sctlr_el1: u64) -> u64 {
    let pan = if sctlr_el1 & SCTLR_SPAN == 0 { PAN } else { 0 };
    let ssbs = if sctlr_el1 & SCTLR_DSSBS != 0 { SSBS } else { 0 };
    spsr & KEPT | DAIF | EL1H | pan | ssbs
}

#[cfg(test)]
mod tests {
    use super::*;

    const VBAR: u64 = 0xffff_8000_0801_0800;
    const EL0: u64 = 0;
    const EL1T: u64 = 0b0100;
    const TRANSLATION_LEVEL_2: u32 = 0x06;
    const WRITE: u32 = 1 << 6;
    const S1PTW: u32 = 1 << 7;

    fn data(iss: u32, spsr: u64) -> Injected {
        inject(Injection::DataAbort(Abort::new(iss)), spsr, VBAR, SCTLR_SPAN)
    }

    #[test]
    fn each_origin_has_its_vector() {
        for (spsr, offset) in [(EL1T, 0x000), (EL1H, 0x200), (EL0, 0x400), (AARCH32, 0x600), (AARCH32 | 1 << 5, 0x600)]
        {
            assert_eq!(data(TRANSLATION_LEVEL_2, spsr).pc, VBAR + offset, "spsr {spsr:#x}");
        }
    }

    #[test]
    fn the_reserved_bits_of_vbar_do_not_move_the_vector() {
        assert_eq!(inject(Injection::Undefined, EL1H, 0x8_0000 | 0x7ff, 0).pc, 0x8_0200);
    }

    #[test]
    fn a_stray_access_is_an_external_abort_of_the_right_level() {
        assert_eq!(data(TRANSLATION_LEVEL_2 | WRITE, EL1H).esr, 0x9600_0050);
        assert_eq!(data(TRANSLATION_LEVEL_2, EL0).esr, 0x9200_0010);
        assert_eq!(data(TRANSLATION_LEVEL_2, AARCH32).esr, 0x9200_0010);
        let fetch = |spsr| inject(Injection::InstructionAbort(Abort::new(TRANSLATION_LEVEL_2)), spsr, VBAR, 0).esr;
        assert_eq!((fetch(EL1H), fetch(EL0)), (0x8600_0010, 0x8200_0010));
    }

    #[test]
    fn a_fault_on_the_guests_tables_is_an_abort_on_a_table_walk() {
        assert_eq!(data(TRANSLATION_LEVEL_2 | S1PTW, EL1H).esr, 0x9600_0016);
        let fetch = inject(Injection::InstructionAbort(Abort::new(0x0f | S1PTW)), EL1H, VBAR, 0);
        assert_eq!(fetch.esr, 0x8600_0017);
    }

    #[test]
    fn an_invalid_far_is_reported_as_such() {
        assert_eq!(data(0x10 | 1 << 10, EL1H).esr, 0x9600_0410);
    }

    #[test]
    fn the_access_is_not_described_to_the_guest() {
        // ISV and its fields exist at EL2 only.
        assert_eq!(data(0x0193_8006, EL1H).esr, 0x9600_0010);
    }

    #[test]
    fn undefined_has_class_0() {
        assert_eq!(inject(Injection::Undefined, EL0, VBAR, 0).esr, 0x0200_0000);
    }

    #[test]
    fn the_handler_starts_at_el1h_with_all_masked_and_flags_kept() {
        let flags = 0xa << 28 | 1 << 24;
        let dirty = 1 << 23 | 1 << 21 | 1 << 20 | 3 << 10 | SSBS;
        assert_eq!(data(TRANSLATION_LEVEL_2, flags | dirty | EL1T).spsr, flags | 0x3c5);
        assert_eq!(data(TRANSLATION_LEVEL_2, AARCH32 | 0xf << 16).spsr, 0x3c5);
    }

    #[test]
    fn pan_and_ssbs_follow_sctlr() {
        let spsr = |spsr, sctlr| inject(Injection::Undefined, spsr, VBAR, sctlr).spsr;
        assert_eq!(spsr(EL0, 0), 0x3c5 | PAN, "SPAN = 0 sets PAN");
        assert_eq!(spsr(EL0, SCTLR_SPAN), 0x3c5);
        assert_eq!(spsr(EL1H | PAN, SCTLR_SPAN), 0x3c5 | PAN, "SPAN = 1 keeps PAN");
        assert_eq!(spsr(EL0, SCTLR_SPAN | SCTLR_DSSBS), 0x3c5 | SSBS);
    }
}
