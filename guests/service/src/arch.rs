//! The only folder of the service with assembly; nothing here decides anything.

mod bytes;
pub mod entry;
pub mod insn;
pub mod mmio;
pub mod probe;
#[cfg(feature = "crash-hooks")]
pub mod reach;
mod vectors;

pub use vectors::crash;
