//! Why a core entered EL2, and what an exception given back to EL1 looks like: pure functions of register values.
//!
//! Follows the Arm ARM (DDI 0487): ESR_EL2 in D24.2, exception entry in D1.3. [`Exit::decode`] only names the exception
//! class; each payload ([`Abort`], [`SystemRegister`], [`Coprocessor`]) is the syndrome word with accessors, so a hot
//! path pays for the fields that it reads and for nothing else.
//!
//! [`WriteBack`] stands in where an abort has no syndrome.
//!
//! This crate reads no register and decides nothing: which verdict an exit leads to is the hypervisor's.
#![no_std]
#![forbid(unsafe_code)]

mod aarch32;
mod abort;
mod exit;
mod inject;
mod register;
mod write_back;

pub use aarch32::{Coprocessor, CoprocessorKind, skip};
pub use abort::{Abort, Access, Fault};
pub use exit::{Exit, Wait, is_32_bit_instruction};
pub use inject::{Injected, Injection, inject};
pub use register::{Encoding, SystemRegister};
pub use write_back::WriteBack;
