//! SMCCC function ids, PSCI 1.1 calls and the power state of each vCPU.
//!
//! Follows "Arm Power State Coordination Interface" (DEN0022, PSCI 1.1) and "SMC Calling Convention" (DEN0028, 1.1).
//! [`Call::decode`] turns registers into a call, [`Call::fixed_answer`] answers those that need no state, [`Topology`]
//! and [`entry_point`] check the arguments of the others, [`Power`] holds what they change.
//!
//! This crate stops and starts nothing: the hypervisor acts on what it returns. An HVC path that counts instructions
//! compares with [`function::PSCI_VERSION`] and answers [`VERSION`] before it decodes anything.
//! PSCI_FEATURES says which functions exist; every other id is NOT_SUPPORTED, among them the other optional
//! functions of PSCI 1.1, and 64-bit forms of functions that have none.
#![no_std]
#![forbid(unsafe_code)]

mod call;
mod error;
pub mod function;
mod power;
mod target;

pub use call::{Call, Workaround, Workarounds, check_power_state};
pub use error::Error;
pub use power::{Power, PowerState};
pub use target::{Topology, affinity_level, entry_point};

/// PSCI 1.1, as PSCI_VERSION returns it.
pub const VERSION: u64 = 0x1_0001;
/// SMCCC 1.1, as SMCCC_VERSION returns it.
pub const SMCCC_VERSION: u64 = 0x1_0001;
/// What a call that succeeded returns.
pub const SUCCESS: u64 = 0;
/// MIGRATE_INFO_TYPE: no trusted OS that would need migration.
pub const NO_MIGRATION: u64 = 2;
