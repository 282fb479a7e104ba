//! The EL2 library: a static-partitioning Type-1 hypervisor for AArch64.
//!
//! Principles, in order of weight:
//! - A core runs one vCPU for life; what a guest does ends in one `exit::Verdict` and touches its own partition only.
//! - Decisions live in the pure crates (`stage2`, `trap`, `vgic`, `psci`, `life`, `vuart`, `vgpio`, `watchdog`, `console`,
//!   `manifest`); this crate
//!   reads registers before and writes them after.
//! - Memory is allocated at boot from one frame pool, which freezes before the first guest starts.
//! - A forwarded interrupt, an SGI and a version call take no lock and call through no table; no exit logs.
//!
//! The library names no board: a platform crate hands it a `manifest::Board` with `entry!`.
#![cfg_attr(target_os = "none", no_std)]
#![cfg(target_os = "none")]

#[macro_use]
mod say;

pub mod arch;
mod board_watchdog;
mod boot;
mod channel;
mod console;
mod core_local;
mod counters;
mod devices;
mod exit;
mod fault;
mod firmware;
mod flight;
mod gic;
mod hooks;
mod interrupt;
mod load;
mod lock;
mod memory;
mod panic;
mod partition;
mod service;
mod step;
mod timer;
mod uart;
mod vcpu;
mod virtio;

pub use hooks::{Change, Hooks, Lamp, Registers, Watchdog, change};

/// What a platform's binary instantiates: the frequent exits, once for each GIC. For [`entry!`] only.
///
/// This library is built for size, the binary for speed: generic code is compiled where it is used.
#[doc(hidden)]
pub mod hot {
    pub use crate::arch::guest::GuestFrame;
    pub use crate::exit::synchronous;
    pub use crate::gic::{V2, V3};
    pub use crate::interrupt::forward;
}

/// Makes a platform's binary: hands its board facts and hooks to the entry code and to its boot code, and compiles the exit
/// path.
#[macro_export]
macro_rules! entry {
    ($board:expr) => {
        $crate::entry!($board, $crate::Hooks::NONE);
    };
    ($board:expr, $hooks:expr) => {
        // SAFETY: vectors.s branches to these four by name, and nothing else has the names.
        #[unsafe(no_mangle)]
        extern "C" fn exit_sync_v3(frame: &mut $crate::hot::GuestFrame) {
            $crate::hot::synchronous::<$crate::hot::V3>(frame);
        }
        // SAFETY: as above.
        #[unsafe(no_mangle)]
        extern "C" fn exit_sync_v2(frame: &mut $crate::hot::GuestFrame) {
            $crate::hot::synchronous::<$crate::hot::V2>(frame);
        }
        // SAFETY: as above.
        #[unsafe(no_mangle)]
        extern "C" fn exit_irq_v3() {
            $crate::hot::forward::<$crate::hot::V3>();
        }
        // SAFETY: as above.
        #[unsafe(no_mangle)]
        extern "C" fn exit_irq_v2() {
            $crate::hot::forward::<$crate::hot::V2>();
        }
        // SAFETY: the entry code reads this symbol by name, with the MMU off, and nothing else has the name.
        #[unsafe(no_mangle)]
        static BULKHEAD_UART: u64 = $board.uart.as_u64();
        // SAFETY: `boot_primary` reads this symbol by name, and nothing else has the name.
        #[unsafe(no_mangle)]
        static BULKHEAD_BOARD: &manifest::Board = &$board;
        // SAFETY: as above.
        #[unsafe(no_mangle)]
        static BULKHEAD_HOOKS: &$crate::Hooks = &$hooks;
    };
}
