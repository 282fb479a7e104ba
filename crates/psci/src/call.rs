//! [`Call`]: what a guest asks for by HVC or SMC.

use crate::function::*;
use crate::{Error, NO_MIGRATION, SUCCESS};
use addr::Ipa;

/// A decoded call. Arguments are as the guest gave them: allegations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// PSCI_VERSION.
    Version,
    /// PSCI_FEATURES of a function id.
    Features(u32),
    /// CPU_SUSPEND: after [`check_power_state`] the vCPU waits for an interrupt, then the call succeeds.
    ///
    /// A power-down request is treated like standby, as DEN0022 section 5.4.2 allows: a caller must cope with a
    /// power-down that returns, since an interrupt may come first. So `entry` and `context` are never used.
    CpuSuspend {
        /// Power state in the original format.
        power_state: u32,
        /// Where a power-down would resume.
        entry: Ipa,
        /// X0 for a resume from power-down.
        context: u64,
    },
    /// CPU_OFF of the calling vCPU.
    CpuOff,
    /// CPU_ON.
    CpuOn {
        /// MPIDR affinity of the vCPU to start.
        target: u64,
        /// Where it starts.
        entry: Ipa,
        /// Its X0.
        context: u64,
    },
    /// AFFINITY_INFO.
    AffinityInfo {
        /// MPIDR affinity of the vCPU asked about.
        target: u64,
        /// Lowest affinity level.
        level: u32,
    },
    /// MIGRATE_INFO_TYPE.
    MigrateInfoType,
    /// SYSTEM_OFF.
    SystemOff,
    /// SYSTEM_RESET, or SYSTEM_RESET2 of type SYSTEM_WARM_RESET, which may be done in the same way.
    SystemReset,
    /// A call that exists, with arguments that are refused whatever the state.
    Refused(Error),
    /// SMCCC_VERSION.
    SmcccVersion,
    /// SMCCC_ARCH_FEATURES of a function id.
    ArchFeatures(u32),
    /// SMCCC_ARCH_WORKAROUND_1 to 3.
    Workaround(Workaround),
    /// Any other function id.
    Unknown {
        /// The id.
        function: u32,
    },
}

/// A firmware mitigation that a guest may ask for. EL2 issues [`Workaround::function`] itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workaround {
    /// Invalidate the branch predictor.
    BranchPredictor,
    /// Switch the mitigation of speculative store bypass.
    StoreBypass {
        /// Whether to switch it on.
        enable: bool,
    },
    /// Clear the branch history.
    BranchHistory,
}

impl Workaround {
    /// The function id to issue.
    pub const fn function(self) -> u32 {
        match self {
            Self::BranchPredictor => SMCCC_ARCH_WORKAROUND_1,
            Self::StoreBypass { .. } => SMCCC_ARCH_WORKAROUND_2,
            Self::BranchHistory => SMCCC_ARCH_WORKAROUND_3,
        }
    }
    /// W1 of that call.
    pub const fn argument(self) -> u32 {
        matches!(self, Self::StoreBypass { enable: true }) as u32
    }
}

/// What the board's firmware answered to SMCCC_ARCH_FEATURES of each workaround: 0 needed here, positive not needed,
/// negative absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workarounds {
    /// Of SMCCC_ARCH_WORKAROUND_1.
    pub branch_predictor: i32,
    /// Of SMCCC_ARCH_WORKAROUND_2.
    pub store_bypass: i32,
    /// Of SMCCC_ARCH_WORKAROUND_3.
    pub branch_history: i32,
}

impl Workarounds {
    /// A board whose firmware has none, or has no SMCCC.
    pub const NONE: Self = Self { branch_predictor: -1, store_bypass: -1, branch_history: -1 };

    /// What the firmware said about `workaround`.
    const fn answer(&self, workaround: Workaround) -> i32 {
        match workaround {
            Workaround::BranchPredictor => self.branch_predictor,
            Workaround::StoreBypass { .. } => self.store_bypass,
            Workaround::BranchHistory => self.branch_history,
        }
    }
    /// Whether the firmware has it, so that EL2 may issue it.
    pub const fn has(&self, workaround: Workaround) -> bool {
        self.answer(workaround) >= 0
    }
    /// What EL2 issues on a core before a vCPU starts there: the firmware keeps what was switched off on that core last, by
    /// an earlier life too, and a guest may expect it on.
    pub const fn at_start(&self) -> Option<Workaround> {
        if self.store_bypass >= 0 { Some(Workaround::StoreBypass { enable: true }) } else { None }
    }
    /// X0 of SMCCC_ARCH_FEATURES of `function`.
    pub const fn arch_features(&self, function: u32) -> u64 {
        let answer = match Call::decode(function, [0; 3]) {
            Call::SmcccVersion | Call::ArchFeatures(_) => return SUCCESS,
            Call::Workaround(workaround) => self.answer(workaround),
            _ => -1,
        };
        if answer < 0 { Error::NotSupported.code() } else { answer as u64 }
    }
}

impl Call {
    /// The call with id `function` (W0) and `arguments` (X1 to X3). Upper halves do not exist for 32-bit calls.
    pub const fn decode(function: u32, arguments: [u64; 3]) -> Self {
        let [first, second, third] = arguments;
        match function {
            PSCI_VERSION => Self::Version,
            CPU_ON_64 => Self::CpuOn { target: first, entry: Ipa::new(second), context: third },
            CPU_ON => Self::CpuOn { target: low(first), entry: Ipa::new(low(second)), context: low(third) },
            CPU_OFF => Self::CpuOff,
            AFFINITY_INFO_64 => Self::AffinityInfo { target: first, level: second as u32 },
            AFFINITY_INFO => Self::AffinityInfo { target: low(first), level: second as u32 },
            CPU_SUSPEND_64 => Self::CpuSuspend { power_state: first as u32, entry: Ipa::new(second), context: third },
            CPU_SUSPEND => {
                Self::CpuSuspend { power_state: first as u32, entry: Ipa::new(low(second)), context: low(third) }
            }
            MIGRATE_INFO_TYPE => Self::MigrateInfoType,
            SYSTEM_OFF => Self::SystemOff,
            SYSTEM_RESET => Self::SystemReset,
            SYSTEM_RESET2 | SYSTEM_RESET2_64 => system_reset2(first as u32),
            PSCI_FEATURES => Self::Features(first as u32),
            SMCCC_VERSION => Self::SmcccVersion,
            SMCCC_ARCH_FEATURES => Self::ArchFeatures(first as u32),
            SMCCC_ARCH_WORKAROUND_1 => Self::Workaround(Workaround::BranchPredictor),
            SMCCC_ARCH_WORKAROUND_2 => Self::Workaround(Workaround::StoreBypass { enable: first as u32 != 0 }),
            SMCCC_ARCH_WORKAROUND_3 => Self::Workaround(Workaround::BranchHistory),
            function => Self::Unknown { function },
        }
    }

    /// X0 of a call that needs no state and changes none; `None` for all others.
    pub const fn fixed_answer(self) -> Option<u64> {
        match self {
            Self::Version => Some(crate::VERSION),
            Self::SmcccVersion => Some(crate::SMCCC_VERSION),
            Self::MigrateInfoType => Some(NO_MIGRATION),
            Self::Features(function) => Some(features(function)),
            Self::Refused(error) => Some(error.code()),
            Self::Unknown { .. } => Some(Error::NotSupported.code()),
            _ => None,
        }
    }
}

/// SYSTEM_RESET2 (DEN0022, since PSCI 1.1). The type is W1 in both forms; the cookie has a meaning for vendors' types only,
/// of which (bit 31 set) there are none. Architectural types other than SYSTEM_WARM_RESET are reserved.
const fn system_reset2(reset_type: u32) -> Call {
    if reset_type == SYSTEM_WARM_RESET { Call::SystemReset } else { Call::Refused(Error::InvalidParameters) }
}

const fn low(value: u64) -> u64 {
    value & 0xffff_ffff
}

/// PSCI_FEATURES. For CPU_SUSPEND the 0 means: original power state format, no OS-initiated mode.
const fn features(function: u32) -> u64 {
    match Call::decode(function, [0; 3]) {
        // SMCCC_VERSION is the one id outside PSCI: callers ask for it to find out whether SMCCC 1.1 exists.
        Call::ArchFeatures(_) | Call::Workaround(_) | Call::Unknown { .. } => Error::NotSupported.code(),
        _ => SUCCESS,
    }
}

/// Bits of `power_state` above StateID and StateType: power level and reserved. No level above the core exists.
const UNSUPPORTED_POWER_STATE: u32 = 0xfffe_0000;

/// Whether CPU_SUSPEND knows this power state: a core's standby or power-down, with any StateID.
///
/// # Errors
/// [`Error::InvalidParameters`] for a higher power level or reserved bits.
pub const fn check_power_state(power_state: u32) -> Result<(), Error> {
    if power_state & UNSUPPORTED_POWER_STATE == 0 { Ok(()) } else { Err(Error::InvalidParameters) }
}
