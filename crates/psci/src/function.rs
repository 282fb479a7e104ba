//! Function ids, as a caller puts them into W0 (DEN0022 chapter 5, DEN0028 chapter 7).

/// Set in the id of a call whose arguments are 64 bits wide (SMC64, HVC64).
pub const SMC64: u32 = 1 << 30;

/// PSCI_VERSION.
pub const PSCI_VERSION: u32 = 0x8400_0000;
/// CPU_SUSPEND, also in 64 bits.
pub const CPU_SUSPEND: u32 = 0x8400_0001;
/// CPU_OFF.
pub const CPU_OFF: u32 = 0x8400_0002;
/// CPU_ON, also in 64 bits.
pub const CPU_ON: u32 = 0x8400_0003;
/// AFFINITY_INFO, also in 64 bits.
pub const AFFINITY_INFO: u32 = 0x8400_0004;
/// MIGRATE_INFO_TYPE.
pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
/// SYSTEM_OFF.
pub const SYSTEM_OFF: u32 = 0x8400_0008;
/// SYSTEM_RESET.
pub const SYSTEM_RESET: u32 = 0x8400_0009;
/// SYSTEM_RESET2, also in 64 bits.
pub const SYSTEM_RESET2: u32 = 0x8400_0012;
/// SYSTEM_RESET2's reset type that may keep memory, and may be done as SYSTEM_RESET instead.
pub const SYSTEM_WARM_RESET: u32 = 0;
/// PSCI_FEATURES.
pub const PSCI_FEATURES: u32 = 0x8400_000a;

/// CPU_SUSPEND with 64-bit arguments.
pub const CPU_SUSPEND_64: u32 = CPU_SUSPEND | SMC64;
/// CPU_ON with 64-bit arguments.
pub const CPU_ON_64: u32 = CPU_ON | SMC64;
/// AFFINITY_INFO with 64-bit arguments.
pub const AFFINITY_INFO_64: u32 = AFFINITY_INFO | SMC64;
/// SYSTEM_RESET2 with a 64-bit cookie.
pub const SYSTEM_RESET2_64: u32 = SYSTEM_RESET2 | SMC64;

/// SMCCC_VERSION.
pub const SMCCC_VERSION: u32 = 0x8000_0000;
/// SMCCC_ARCH_FEATURES.
pub const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
/// SMCCC_ARCH_WORKAROUND_1: branch predictor invalidation (CVE-2017-5715).
pub const SMCCC_ARCH_WORKAROUND_1: u32 = 0x8000_8000;
/// SMCCC_ARCH_WORKAROUND_2: speculative store bypass (CVE-2018-3639).
pub const SMCCC_ARCH_WORKAROUND_2: u32 = 0x8000_7fff;
/// SMCCC_ARCH_WORKAROUND_3: branch history (CVE-2022-23960).
pub const SMCCC_ARCH_WORKAROUND_3: u32 = 0x8000_3fff;
