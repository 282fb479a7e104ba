//! The watchdog of the whole board, where it has one and the system file wants it (`on_hypervisor_panic = "reset"`): an EL2
//! that is dead, or that stands still on the console's core, lets it starve.
//!
//! The console's core feeds it by EL2's own timer: the service partition's, where there is one, so that no guest's core is
//! entered for it. The service's own life is no matter: it has a watchdog of its own.

use crate::console;
use crate::core_local::{Core, Doorbell};
use crate::gic;
use crate::hooks::{Hooks, Registers, Watchdog};
use crate::timer::{self, Slot};
use manifest::{OnPanic, System};
use spin::Once;

unsafe extern "Rust" {
    safe static BULKHEAD_HOOKS: &'static Hooks;
}

/// How often it is fed while it could starve once.
const FEEDS: u32 = 3;

/// Mapped, if the system file wants it.
static REGISTERS: Once<(Registers, &'static Watchdog)> = Once::new();

/// Maps it, if it is wanted. At boot, before the memory is frozen.
pub fn open(system: &System) {
    if let Some(watchdog) = &BULKHEAD_HOOKS.watchdog
        && system.on_hypervisor_panic == OnPanic::Reset
    {
        REGISTERS.call_once(|| (Registers::map(watchdog.page), watchdog));
    }
}

/// Has the console's core start it and feed it from here on.
pub fn start() {
    let Some((registers, watchdog)) = REGISTERS.get() else { return };
    if (watchdog.counts)(registers) {
        info!("the board resets when EL2 is silent for {} s", watchdog.seconds);
        console::core().into_iter().for_each(|core| core.ask(Doorbell::Feed, gic::ring));
    } else {
        info!("the board's watchdog resets at once (as QEMU's): not started");
    }
}

/// Feeds it, and comes back. On the console's core only.
#[cold]
pub fn feed(core: &'static Core) {
    if let Some((registers, watchdog)) = REGISTERS.get() {
        (watchdog.feed)(registers);
        timer::set_in(core, Slot::Board, watchdog.seconds * 1000 / FEEDS);
    }
}

/// EL2's timer, on whichever core.
pub fn timer_interrupt(core: &'static Core) {
    if BULKHEAD_HOOKS.watchdog.is_some() && timer::take_due(core, Slot::Board) {
        feed(core);
    }
}

/// Resets the board now. Returns if this board has no such thing, or nobody wanted it.
pub fn reset() {
    if let Some((registers, watchdog)) = REGISTERS.get() {
        (watchdog.reset)(registers);
        // It takes some ticks, and the caller would go on.
        let end = timer::now() + timer::ticks(1000);
        while timer::now() < end {
            core::hint::spin_loop();
        }
    }
}
