//! What one version of the hardware does for EL2, and the numbers that both versions share.

use crate::core_local::Core;
use abi::IntId;
use vgic::{ListRegister, Maintenance, Version};

/// The physical SGI that EL2's cores ring one another with.
pub const DOORBELL: IntId = IntId::sgi(0);
/// Most list registers that any GIC has.
pub const MAX_LIST_REGISTERS: usize = 16;
/// Priority of every physical interrupt. One for all: EL2 runs with interrupts masked, nothing preempts.
pub(super) const PRIORITY: u32 = 0xa0;

/// One version of the hardware.
pub trait Gic: 'static {
    /// Which one.
    const VERSION: Version;
    /// Maps and quiets the distributor. Once, on the boot core.
    fn init_distributor(facts: &manifest::Gic);
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
