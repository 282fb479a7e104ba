//! SD memory cards behind a standard host controller (SD Association: "SD Host Controller Simplified Specification"
//! version 3, "Physical Layer Simplified Specification").
//!
//! ```text
//! Host::reset -> Host::start -> Slot::begin -> Slot::poll ... -> Progress::Done
//! ```
//!
//! Registers and time are the caller's: [`Registers`] is one controller, and nothing waits longer than a bounded time.
//! All accesses have 32 bits, since the BCM2711's controllers take no others, and block size and count go with one store, as
//! do transfer mode and command: while the bus is slow a second store to one register would be lost there. Data moves
//! through the buffer port. Deliberately absent: DMA, voltages below 3.3 V and the speeds that need them, eMMC, SDIO, erasing.
#![no_std]
#![forbid(unsafe_code)]

mod card;
mod command;
mod fault;
mod host;
mod register;
mod slot;
mod start;

pub use card::Card;
pub use fault::Fault;
pub use host::Host;
pub use register::Registers;
pub use slot::{Blocks, Order, Progress, Slot};

/// Bytes of a block, which a sector is on every card.
pub const BLOCK: usize = 512;
