//! Trapped MSR, MRS and system instructions from AArch64 (Arm ARM, "ISS encoding for an exception from MSR, MRS, or
//! System instruction execution in AArch64 state").

use core::fmt;

/// Which system register: op0, op1, CRn, CRm, op2, kept in the syndrome's own places so that a comparison is one
/// masked compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoding(u32);

/// Everything but the general register and the direction.
const ENCODING: u32 = 0x003f_fc1e;

impl Encoding {
    /// As an assembler writes it: `S<op0>_<op1>_C<crn>_C<crm>_<op2>`.
    pub const fn new(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> Self {
        assert!(op0 < 4 && op1 < 8 && crn < 16 && crm < 16 && op2 < 8);
        Self(op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1)
    }
    /// op0, 0 to 3.
    pub const fn op0(self) -> u32 {
        self.0 >> 20 & 3
    }
    /// op1, 0 to 7.
    pub const fn op1(self) -> u32 {
        self.0 >> 14 & 7
    }
    /// CRn, 0 to 15.
    pub const fn crn(self) -> u32 {
        self.0 >> 10 & 15
    }
    /// CRm, 0 to 15.
    pub const fn crm(self) -> u32 {
        self.0 >> 1 & 15
    }
    /// op2, 0 to 7.
    pub const fn op2(self) -> u32 {
        self.0 >> 17 & 7
    }
    /// Whether the register is IMPLEMENTATION DEFINED (Arm ARM, "Reserved encodings for IMPLEMENTATION DEFINED
    /// registers"): CPUECTLR_EL1 and its like.
    pub const fn is_implementation_defined(self) -> bool {
        self.op0() == 3 && (self.crn() == 11 || self.crn() == 15)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S{}_{}_C{}_C{}_{}", self.op0(), self.op1(), self.crn(), self.crm(), self.op2())
    }
}

/// One trapped access to a system register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemRegister(u32);

impl SystemRegister {
    /// From ESR_EL2.ISS.
    pub const fn new(iss: u32) -> Self {
        Self(iss)
    }
    /// Which system register.
    #[inline(always)]
    pub const fn encoding(self) -> Encoding {
        Encoding(self.0 & ENCODING)
    }
    /// The general register, 0 to 31; 31 is the zero register.
    #[inline(always)]
    pub const fn register(self) -> usize {
        (self.0 >> 5 & 31) as usize
    }
    /// Whether it is MRS.
    #[inline(always)]
    pub const fn is_read(self) -> bool {
        self.0 & 1 != 0
    }
}

impl fmt::Display for SystemRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.is_read() { "MRS" } else { "MSR" }, self.encoding())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_register_is_recognised_whatever_register_and_direction() {
        const ICC_SGI1R_EL1: Encoding = Encoding::new(3, 0, 12, 11, 5);
        // MSR ICC_SGI1R_EL1, x3 as QEMU and hardware report it.
        let write = SystemRegister::new(0x003a_3076);
        assert_eq!((write.encoding(), write.register(), write.is_read()), (ICC_SGI1R_EL1, 3, false));
        let read = SystemRegister::new(0x003a_3076 | 31 << 5 | 1);
        assert_eq!((read.encoding(), read.register(), read.is_read()), (ICC_SGI1R_EL1, 31, true));
        assert_eq!(write.to_string(), "MSR S3_0_C12_C11_5");
    }

    #[test]
    fn implementation_defined_registers_are_told_from_others() {
        // CPUECTLR_EL1 of a Cortex-A72 and of a Cortex-A76, L2CTLR_EL1.
        for (op1, crn, crm, op2) in [(1, 15, 2, 1), (0, 15, 1, 4), (1, 11, 0, 2)] {
            assert!(Encoding::new(3, op1, crn, crm, op2).is_implementation_defined());
        }
        // ICC_SGI1R_EL1, CNTV_CTL_EL0, ACTLR_EL1, and a system instruction.
        for (op0, op1, crn, crm, op2) in [(3, 0, 12, 11, 5), (3, 3, 14, 3, 1), (3, 0, 1, 0, 1), (1, 0, 15, 0, 0)] {
            assert!(!Encoding::new(op0, op1, crn, crm, op2).is_implementation_defined());
        }
    }

    #[test]
    fn every_field_keeps_its_place() {
        let encoding = Encoding::new(2, 7, 9, 13, 5);
        let fields = [encoding.op0(), encoding.op1(), encoding.crn(), encoding.crm(), encoding.op2()];
        assert_eq!(fields, [2, 7, 9, 13, 5]);
        assert_eq!(Encoding::new(3, 7, 15, 15, 7), Encoding(ENCODING));
    }
}
