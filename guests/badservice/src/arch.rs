//! The service's own entry, vectors and hypercall instruction.

#[path = "../../service/src/arch/entry.rs"]
#[expect(dead_code, reason = "the rest is for tables that this guest does not make")]
pub mod entry;
#[path = "../../service/src/arch/insn.rs"]
#[expect(dead_code, reason = "one instruction of many")]
pub mod insn;
#[path = "../../service/src/arch/vectors.rs"]
mod vectors;

pub use vectors::crash;
