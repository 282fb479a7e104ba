//! The hardware GIC: GICv2 and GICv3 behind one trait.
//!
//! Which one the board has is found at boot. The exit path is compiled once for each ([`Gic`] is a type parameter and
//! the vectors differ), so no exit asks or calls through a table; everything else asks [`version`]. EL2 takes all
//! physical interrupts in group 1 with EOImode = 1: it drops the priority, and a forwarded interrupt is deactivated by
//! the guest's own end of interrupt through a list register with HW = 1.

mod v2;
mod v3;

pub use v2::V2;
pub use v3::V3;

use crate::core_local::Core;
use abi::{IntId, machine};
use core::sync::atomic::{AtomicU8, Ordering};
use manifest::Board;
use vgic::{ListRegister, Maintenance, Version};

/// The physical SGI that EL2's cores ring one another with.
pub const DOORBELL: IntId = IntId::sgi(0);
/// Most list registers that any GIC has.
pub const MAX_LIST_REGISTERS: usize = 16;
/// Priority of every physical interrupt. One for all: EL2 runs with interrupts masked, nothing preempts.
const PRIORITY: u32 = 0xa0;

/// One version of the hardware.
pub trait Gic: 'static {
    /// Which one.
    const VERSION: Version;
    /// Maps and quiets the distributor. Once, on the boot core.
    fn init_distributor(board: &Board);
    /// Makes this core's interface ready and enables EL2's own private interrupts. On each core.
    fn init_core(core: &'static Core, maintenance: IntId);
    /// Whether EL2 must touch the GIC now and then, or a level that stays high across a guest's end of interrupt is
    /// lost: a defect of QEMU's GICv2, found by trial.
    fn needs_nudges() -> bool {
        false
    }
    /// Acknowledges the highest pending interrupt; the value goes back into the two below.
    fn acknowledge() -> u32;
    /// The INTID of an acknowledged value.
    fn intid(acknowledged: u32) -> u32;
    /// Ends the interrupt's priority; it stays active.
    fn drop_priority(acknowledged: u32);
    /// Deactivates a physical interrupt: of EL2's own, or one that its guest gave up.
    fn deactivate(acknowledged: u32);
    /// Rings `core`. Earlier stores are visible to it.
    fn ring(core: &'static Core);
    /// How many list registers there are.
    fn list_registers() -> usize;
    /// A bit for each empty list register.
    fn empty_list_registers() -> u32;
    /// Reads list register `n`.
    fn list_register(n: usize) -> u64;
    /// Writes list register `n`.
    fn set_list_register(n: usize, word: u64);
    /// The hardware's form of a list register.
    fn encode(register: ListRegister) -> u64;
    /// The model's form of a hardware word.
    fn decode(word: u64) -> ListRegister;
    /// Ends of interrupt that found no list register since the last call.
    fn take_eoi_count() -> u8;
    /// Chooses what raises the maintenance interrupt.
    fn set_maintenance(wanted: Maintenance);
    /// Virtual interface as at reset: list registers and active priorities 0, guest's CPU interface off.
    fn reset_vcpu();
    /// Enables or disables a physical interrupt; a private one on `core`.
    fn set_enabled(core: &'static Core, intid: IntId, enabled: bool);
    /// Forgets that a private interrupt of this core, or an SPI, was pending or active.
    fn forget(core: &'static Core, intid: IntId);
    /// Disables these private interrupts of this core, a bit each, waits until that has taken effect, and forgets that
    /// they were pending or active.
    fn clear_private(core: &'static Core, intids: u32);
    /// This core's pending private interrupts, a bit each.
    fn pending_private(core: &'static Core) -> u32;
    /// Sends an SPI to `core`.
    fn route(core: &'static Core, intid: IntId);
    /// Makes an SPI level-sensitive (false: edge).
    fn set_level_sensitive(intid: IntId, level: bool);
}

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
    of_board!(init_distributor(board));
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
