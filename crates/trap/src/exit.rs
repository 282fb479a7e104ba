//! [`Exit`]: the exception class of ESR_EL2 (Arm ARM, "ESR_EL2, EC").
//!
//! Lists what can reach EL2 from a guest at AArch64 EL1 or at EL0 of either width, under the HCR_EL2 this hypervisor
//! sets. Everything else is [`Exit::Unknown`] with its class.

use crate::{Abort, Coprocessor, CoprocessorKind, SystemRegister};
use core::fmt;

/// A decoded reason for entering EL2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// HVC from AArch64. ELR_EL2 already points behind it.
    Hvc {
        /// The instruction's immediate.
        immediate: u16,
    },
    /// SMC from AArch64. ELR_EL2 points at it: to be skipped.
    Smc {
        /// The instruction's immediate.
        immediate: u16,
    },
    /// A load, store or cache maintenance instruction that stage 2 refused, or an external abort on one.
    DataAbort(Abort),
    /// An instruction fetch that stage 2 refused, or an external abort on one.
    InstructionAbort(Abort),
    /// MSR, MRS or a system instruction from AArch64.
    SystemRegister(SystemRegister),
    /// A coprocessor access from AArch32 at EL0; its condition may have failed.
    Coprocessor(Coprocessor),
    /// WFI or WFE.
    Wfx(Wait),
    /// SVE.
    Sve,
    /// SME.
    Sme,
    /// An asynchronous external abort, from anything the core did before.
    SError {
        /// Implementation-defined or architectural details, for the record.
        iss: u32,
    },
    /// Any other exception class. No guest of ours gets here by floating point (0x07), pointer authentication (0x09) or an
    /// illegal execution state (0x0e): EL2 traps neither of the first two, and the third is EL1's own while HCR_EL2.TGE is 0.
    Unknown {
        /// ESR_EL2.EC.
        class: u8,
    },
}

/// Which wait instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// WFI, or WFIT with a deadline.
    Interrupt,
    /// WFE, or WFET with a deadline.
    Event,
}

/// ESR_EL2.IL: whether the instruction had 32 bits; 16-bit ones exist in T32 only.
pub const fn is_32_bit_instruction(esr: u64) -> bool {
    esr >> 25 & 1 != 0
}

impl Exit {
    /// The exit that `esr`, the value of ESR_EL2, describes. Any value decodes.
    #[inline]
    pub const fn decode(esr: u64) -> Self {
        let iss = esr as u32 & 0x01ff_ffff;
        let class = (esr >> 26 & 0x3f) as u8;
        match class {
            0x16 => Self::Hvc { immediate: iss as u16 },
            0x24 => Self::DataAbort(Abort::new(iss)),
            0x18 => Self::SystemRegister(SystemRegister::new(iss)),
            0x17 => Self::Smc { immediate: iss as u16 },
            0x20 => Self::InstructionAbort(Abort::new(iss)),
            0x01 => Self::Wfx(if iss & 1 == 0 { Wait::Interrupt } else { Wait::Event }),
            0x03 => Self::Coprocessor(Coprocessor::new(CoprocessorKind::Cp15, iss)),
            0x04 => Self::Coprocessor(Coprocessor::new(CoprocessorKind::Cp15Pair, iss)),
            0x05 => Self::Coprocessor(Coprocessor::new(CoprocessorKind::Cp14, iss)),
            0x06 => Self::Coprocessor(Coprocessor::new(CoprocessorKind::Cp14LoadStore, iss)),
            0x08 => Self::Coprocessor(Coprocessor::new(CoprocessorKind::Cp10, iss)),
            0x0c => Self::Coprocessor(Coprocessor::new(CoprocessorKind::Cp14Pair, iss)),
            0x19 => Self::Sve,
            0x1d => Self::Sme,
            0x2f => Self::SError { iss },
            class => Self::Unknown { class },
        }
    }
}

impl Exit {
    /// What it is, without its details: for lists of many.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hvc { .. } => "HVC",
            Self::Smc { .. } => "SMC",
            Self::DataAbort(_) => "data abort",
            Self::InstructionAbort(_) => "instruction abort",
            Self::SystemRegister(_) => "system register",
            Self::Coprocessor(_) => "AArch32 register",
            Self::Wfx(_) => "wait",
            Self::SError { .. } => "SError",
            Self::Sve | Self::Sme | Self::Unknown { .. } => "other",
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hvc { immediate } => write!(f, "HVC #{immediate}"),
            Self::Smc { immediate } => write!(f, "SMC #{immediate}"),
            Self::DataAbort(abort) => write!(f, "data abort, {abort}"),
            Self::InstructionAbort(abort) => write!(f, "instruction abort, {}", abort.fault()),
            Self::SystemRegister(register) => write!(f, "{register}"),
            Self::Coprocessor(coprocessor) => write!(f, "AArch32 {}", coprocessor.kind()),
            Self::Wfx(Wait::Interrupt) => f.write_str("WFI"),
            Self::Wfx(Wait::Event) => f.write_str("WFE"),
            Self::Sve => f.write_str("SVE instruction"),
            Self::Sme => f.write_str("SME instruction"),
            Self::SError { iss } => write!(f, "SError {iss:#x}"),
            Self::Unknown { class } => write!(f, "exception class {class:#04x}"),
        }
    }
}
