//! AArch32 at EL0 under a 64-bit kernel: coprocessor traps, condition codes, and how to step over an instruction.
//!
//! Arm ARM, "ISS encoding for an exception from an MCR or MRC access" and its sisters, G1.6 (ITSTATE), F1.3 (condition
//! codes). AArch32 at EL1 does not occur: HCR_EL2.RW is 1.

use core::fmt;

/// Which instruction class was trapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoprocessorKind {
    /// MCR or MRC to coprocessor 15.
    Cp15,
    /// MCRR or MRRC to coprocessor 15.
    Cp15Pair,
    /// MCR or MRC to coprocessor 14.
    Cp14,
    /// MRRC to coprocessor 14.
    Cp14Pair,
    /// LDC or STC to coprocessor 14.
    Cp14LoadStore,
    /// VMRS of an ID register.
    Cp10,
}

impl fmt::Display for CoprocessorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cp15 => "MCR or MRC p15",
            Self::Cp15Pair => "MCRR or MRRC p15",
            Self::Cp14 => "MCR or MRC p14",
            Self::Cp14Pair => "MRRC p14",
            Self::Cp14LoadStore => "LDC or STC p14",
            Self::Cp10 => "VMRS",
        })
    }
}

/// One trapped coprocessor access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coprocessor {
    kind: CoprocessorKind,
    iss: u32,
}

impl Coprocessor {
    /// From the exception class and ESR_EL2.ISS.
    pub const fn new(kind: CoprocessorKind, iss: u32) -> Self {
        Self { kind, iss }
    }
    /// Which instruction class.
    pub const fn kind(self) -> CoprocessorKind {
        self.kind
    }
    /// Whether the guest reads (MRC, MRRC).
    pub const fn is_read(self) -> bool {
        self.iss & 1 != 0
    }
    /// The general register as AArch64 numbers it, 0 to 31 (Rt).
    pub const fn register(self) -> usize {
        (self.iss >> 5 & 31) as usize
    }
    /// Opc1, CRn, CRm, Opc2 of [`CoprocessorKind::Cp15`] and [`CoprocessorKind::Cp14`].
    pub const fn encoding(self) -> [u32; 4] {
        [self.iss >> 14 & 7, self.iss >> 10 & 15, self.iss >> 1 & 15, self.iss >> 17 & 7]
    }

    /// Whether the instruction was to execute at all, with the flags in `spsr`. Hardware may trap one whose condition
    /// failed: then it is skipped, and no exception injected.
    pub const fn condition_holds(self, spsr: u64) -> bool {
        let has_condition = self.iss >> 24 & 1 != 0;
        let condition = match (has_condition, it_state(spsr)) {
            (true, _) => self.iss >> 20 & 15,
            (false, 0) => ALWAYS,
            (false, it) => (it >> 4) as u32,
        };
        flags_satisfy(condition, spsr)
    }
}

const ALWAYS: u32 = 0b1110;

/// ConditionHolds() of the Arm ARM, over N, Z, C, V in bits 31:28 of `spsr`.
const fn flags_satisfy(condition: u32, spsr: u64) -> bool {
    let [n, z, c, v] = [spsr >> 31 & 1 != 0, spsr >> 30 & 1 != 0, spsr >> 29 & 1 != 0, spsr >> 28 & 1 != 0];
    let holds = match condition >> 1 {
        0b000 => z,
        0b001 => c,
        0b010 => n,
        0b011 => v,
        0b100 => c && !z,
        0b101 => n == v,
        0b110 => n == v && !z,
        _ => return true,
    };
    holds != (condition & 1 != 0)
}

/// PSTATE.IT of an AArch32 SPSR: bits 15:10 are IT\[7:2\], bits 26:25 are IT\[1:0\].
const fn it_state(spsr: u64) -> u64 {
    (spsr >> 10 & 0x3f) << 2 | spsr >> 25 & 3
}

const IT: u64 = 0x3f << 10 | 3 << 25;
const AARCH32: u64 = 1 << 4;
const SINGLE_STEP: u64 = 1 << 21;
const BTYPE: u64 = 3 << 10;

/// Program counter and SPSR behind the instruction at `pc`, as if it had executed.
///
/// `is_32_bit` is [`crate::is_32_bit_instruction`]. AArch64 clears BTYPE; T32 advances the IT block; both clear SS, as
/// completing an instruction does.
pub const fn skip(pc: u64, spsr: u64, is_32_bit: bool) -> (u64, u64) {
    let spsr = spsr & !SINGLE_STEP;
    if spsr & AARCH32 == 0 {
        return (pc.wrapping_add(4), spsr & !BTYPE);
    }
    let next = pc.wrapping_add(if is_32_bit { 4 } else { 2 }) & 0xffff_ffff;
    (next, advance_it(spsr))
}

/// ITAdvance() of the Arm ARM.
const fn advance_it(spsr: u64) -> u64 {
    let it = it_state(spsr);
    let next = if it & 7 == 0 { 0 } else { it & 0xe0 | it << 1 & 0x1f };
    spsr & !IT | (next >> 2) << 10 | (next & 3) << 25
}

#[cfg(test)]
mod tests {
    use super::*;

    const Z: u64 = 1 << 30;
    const C: u64 = 1 << 29;
    const N: u64 = 1 << 31;
    const V: u64 = 1 << 28;

    fn conditional(condition: u32) -> Coprocessor {
        Coprocessor::new(CoprocessorKind::Cp15, 1 << 24 | condition << 20)
    }
    fn with_it(it: u64) -> u64 {
        AARCH32 | (it >> 2) << 10 | (it & 3) << 25
    }

    #[test]
    fn each_condition_follows_its_flags() {
        // Flags that satisfy the even condition of each pair, and flags that do not.
        let pairs = [(Z, 0), (C, 0), (N, 0), (V, 0), (C, C | Z), (N | V, N), (0, Z)];
        for (pair, (yes, no)) in pairs.into_iter().enumerate() {
            let condition = 2 * pair as u32;
            assert!(conditional(condition).condition_holds(yes), "condition {condition}");
            assert!(!conditional(condition).condition_holds(no), "condition {condition}");
            assert!(!conditional(condition + 1).condition_holds(yes), "condition {}", condition + 1);
            assert!(conditional(condition + 1).condition_holds(no), "condition {}", condition + 1);
        }
        for flags in [0, N | Z | C | V] {
            assert!(conditional(14).condition_holds(flags));
            assert!(conditional(15).condition_holds(flags));
        }
    }

    #[test]
    fn a_thumb_instruction_without_cond_takes_it_from_the_it_block() {
        let unknown = Coprocessor::new(CoprocessorKind::Cp14, 0);
        assert!(unknown.condition_holds(with_it(0)));
        assert!(unknown.condition_holds(with_it(0x08) | Z), "EQ with Z");
        assert!(!unknown.condition_holds(with_it(0x08)), "EQ without Z");
    }

    #[test]
    fn skipping_thumb_advances_by_its_length_and_through_the_it_block() {
        assert_eq!(skip(0x1000, with_it(0), false), (0x1002, with_it(0)));
        assert_eq!(skip(0x1000, with_it(0), true), (0x1004, with_it(0)));
        // ITTEE EQ: 0000 0111, then 0000 1110, 0001 1100, 0001 1000, none.
        let mut spsr = with_it(0b0000_0111);
        for next in [0b0000_1110, 0b0001_1100, 0b0001_1000, 0] {
            spsr = skip(0, spsr, false).1;
            assert_eq!(it_state(spsr), next);
        }
    }

    #[test]
    fn skipping_in_aarch64_clears_btype_and_single_step() {
        assert_eq!(skip(0xffff_8000_0000_0000, 0x3c5 | BTYPE | SINGLE_STEP, true), (0xffff_8000_0000_0004, 0x3c5));
    }

    #[test]
    fn an_aarch32_program_counter_wraps_at_32_bits() {
        assert_eq!(skip(0xffff_fffc, AARCH32, true).0, 0);
    }
}
