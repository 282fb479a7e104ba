//! PSCI 1.1 by HVC (Arm DEN 0022), the calls that guests use.

use crate::arch::insn::{hvc, wfi};

/// Function identifiers, DEN 0022 section 5; the 64-bit form where one exists.
pub mod function {
    /// PSCI_VERSION.
    pub const VERSION: u64 = 0x8400_0000;
    /// CPU_OFF.
    pub const CPU_OFF: u64 = 0x8400_0002;
    /// CPU_ON.
    pub const CPU_ON: u64 = 0xc400_0003;
    /// AFFINITY_INFO.
    pub const AFFINITY_INFO: u64 = 0xc400_0004;
    /// SYSTEM_OFF.
    pub const SYSTEM_OFF: u64 = 0x8400_0008;
    /// SYSTEM_RESET.
    pub const SYSTEM_RESET: u64 = 0x8400_0009;
}

/// Error codes, DEN 0022 section 5.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsciError {
    /// -2.
    InvalidParameters,
    /// -4.
    AlreadyOn,
    /// Any other.
    Other(i32),
}

/// PSCI_VERSION: major in bits 31:16, minor below.
pub fn version() -> u32 {
    hvc(function::VERSION, [0; 3])[0] as u32
}

/// CPU_ON: starts the vCPU with this MPIDR affinity at `entry` with `context` in x0.
pub fn cpu_on(mpidr: u64, entry: u64, context: u64) -> Result<(), PsciError> {
    match hvc(function::CPU_ON, [mpidr, entry, context])[0] as i32 {
        0 => Ok(()),
        -2 => Err(PsciError::InvalidParameters),
        -4 => Err(PsciError::AlreadyOn),
        other => Err(PsciError::Other(other)),
    }
}

/// AFFINITY_INFO at level 0: 0 on, 1 off, 2 on pending, negative errors.
pub fn affinity(mpidr: u64) -> i32 {
    hvc(function::AFFINITY_INFO, [mpidr, 0, 0])[0] as i32
}

/// CPU_OFF: this vCPU ends.
pub fn cpu_off() -> ! {
    never_returns(function::CPU_OFF)
}

/// SYSTEM_OFF: the partition stops.
pub fn system_off() -> ! {
    never_returns(function::SYSTEM_OFF)
}

/// SYSTEM_RESET: the partition restarts.
pub fn system_reset() -> ! {
    never_returns(function::SYSTEM_RESET)
}

/// The specification says that these do not return; a firmware that does finds the vCPU asleep.
fn never_returns(function: u64) -> ! {
    hvc(function, [0; 3]);
    loop {
        wfi();
    }
}
