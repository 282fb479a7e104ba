//! The hardware GIC: GICv2 and GICv3 behind one trait.
//!
//! Which one the board has is found at boot. The exit path is compiled once for each ([`Gic`] is a type parameter and
//! the vectors differ), so no exit asks or calls through a table; everything else asks [`version`]. EL2 takes all
//! physical interrupts in group 1 with EOImode = 1: it drops the priority, and a forwarded interrupt is deactivated by
//! the guest's own end of interrupt through a list register with HW = 1.

mod interface;
mod v2;
mod v3;

pub use interface::{DOORBELL, Gic, MAX_LIST_REGISTERS};
pub use v2::V2;
pub use v3::V3;

use crate::core_local::Core;
use abi::{IntId, machine};
use core::sync::atomic::{AtomicU8, Ordering};
use interface::PRIORITY;
use manifest::Board;
// What the drivers' registers are. The host test of the GICv2 driver has others, with a model of the hardware behind them.
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use vgic::{ListRegister, Version};

static FOUND: AtomicU8 = AtomicU8::new(3);

/// Notes which version the board has.
pub fn found(version: Version) {
    FOUND.store(if version == Version::V2 { 2 } else { 3 }, Ordering::Relaxed);
}

/// Which version the board has.
pub fn version() -> Version {
    if FOUND.load(Ordering::Relaxed) == 2 { Version::V2 } else { Version::V3 }
}

/// Calls a function of [`Gic`] of whichever version the board has: for everything off the exit path.
macro_rules! of_board {
    ($name:ident($($argument:expr),*)) => {
        match version() {
            Version::V2 => V2::$name($($argument),*),
            Version::V3 => V3::$name($($argument),*),
        }
    };
}

/// [`Gic::ring`].
pub fn ring(core: &'static Core) {
    of_board!(ring(core));
}
/// [`Gic::init_distributor`].
pub fn init_distributor(board: &Board) {
    of_board!(init_distributor(&board.gic));
}
/// [`Gic::init_core`].
pub fn init_core(core: &'static Core, maintenance: IntId) {
    of_board!(init_core(core, maintenance));
    set_enabled(core, machine::HYPERVISOR_TIMER, true);
}
/// [`Gic::needs_nudges`].
pub fn needs_nudges() -> bool {
    of_board!(needs_nudges())
}
/// [`Gic::encode`].
pub fn encode(register: ListRegister) -> u64 {
    of_board!(encode(register))
}
/// Whether any list register holds something.
pub fn holds_interrupts() -> bool {
    let all = (1u32 << of_board!(list_registers())) - 1;
    !of_board!(empty_list_registers()) & all != 0
}
/// [`Gic::pending_private`].
pub fn pending_private(core: &'static Core) -> u32 {
    of_board!(pending_private(core))
}
/// [`Gic::deactivate`].
pub fn deactivate(acknowledged: u32) {
    of_board!(deactivate(acknowledged));
}
/// [`Gic::reset_vcpu`].
pub fn reset_vcpu() {
    of_board!(reset_vcpu());
}
/// [`Gic::set_enabled`].
pub fn set_enabled(core: &'static Core, intid: IntId, enabled: bool) {
    of_board!(set_enabled(core, intid, enabled));
}
/// [`Gic::forget`].
pub fn forget(core: &'static Core, intid: IntId) {
    of_board!(forget(core, intid));
}
/// [`Gic::clear_private`].
pub fn clear_private(core: &'static Core, intids: u32) {
    of_board!(clear_private(core, intids));
}
/// [`Gic::route`].
pub fn route(core: &'static Core, intid: IntId) {
    of_board!(route(core, intid));
}
/// Gives an SPI of EL2's own to `core`: level-sensitive and enabled.
pub fn own_spi(core: &'static Core, intid: IntId) {
    of_board!(route(core, intid));
    of_board!(set_level_sensitive(intid, true));
    of_board!(set_enabled(core, intid, true));
}
