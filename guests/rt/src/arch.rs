//! The only folder of the runtime with assembly; nothing here decides anything.

pub mod access;
mod entry;
pub mod insn;
pub mod memory;
pub mod mmio;
pub mod sysreg;
mod vectors;

pub use entry::{ENTRY_STATE_WORDS, entry_state, free_ram, secondary_entry, stack_top};
