//! The EL2 library: a static-partitioning Type-1 hypervisor for AArch64.
//!
//! Principles, in order of weight:
//! - A core runs one vCPU for life; what a guest does ends in one `exit::Verdict` and touches its own partition only.
//! - Decisions live in the pure crates (`stage2`, `trap`, `vgic`, `psci`, `vuart`, `console`, `manifest`); this crate
//!   reads registers before and writes them after.
//! - Memory is allocated at boot from one frame pool, which freezes before the first guest starts.
//! - A forwarded interrupt, an SGI and a version call take no lock and call through no table; no exit logs.
//!
//! The library names no board: a platform crate hands it a [`manifest::Board`] with [`entry!`].
#![cfg_attr(target_os = "none", no_std)]
#![cfg(target_os = "none")]

pub mod arch;
mod boot;
mod console;
mod core_local;
mod counters;
mod exit;
mod fault;
mod firmware;
mod gic;
mod interrupt;
mod load;
mod memory;
mod partition;
mod vcpu;

/// Makes a platform's binary: hands its board facts to the entry code and to its boot code.
#[macro_export]
macro_rules! entry {
    ($board:expr) => {
        // SAFETY: the entry code reads this symbol by name, with the MMU off, and nothing else has the name.
        #[unsafe(no_mangle)]
        static BULKHEAD_UART: u64 = $board.uart.as_u64();
        // SAFETY: `boot_primary` reads this symbol by name, and nothing else has the name.
        #[unsafe(no_mangle)]
        static BULKHEAD_BOARD: &manifest::Board = &$board;
    };
}
