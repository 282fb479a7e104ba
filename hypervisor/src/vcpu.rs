//! One vCPU on its core: entering the guest, leaving it, and waiting at EL2 while there is nothing to run.

use crate::arch::{barrier, el1, guest, tlb};
use crate::core_local::{self, Core};
use crate::exit::power;
use crate::timer::{self, Slot};
use crate::{gic, interrupt, load};
use aarch64_cpu::registers::{CNTVOFF_EL2, VTCR_EL2, VTTBR_EL2};
use abi::machine;
use core::sync::atomic::Ordering;
use tock_registers::interfaces::Writeable;
use vgic::Version;

/// Private interrupts that the guest owns, a bit each.
const OWNED: u32 =
    1 << machine::VIRTUAL_TIMER.number() | 1 << machine::PHYSICAL_TIMER.number() | 1 << machine::PMU.number();

/// Enters the guest at `pc` with every register at its reset value and `x0` in x0.
pub fn enter(core: &'static Core, pc: u64, x0: u64) -> ! {
    let assignment = core.assignment.expect("only a core with a vCPU enters a guest");
    let partition = assignment.partition;
    VTCR_EL2.set(partition.vtcr);
    VTTBR_EL2.set(partition.vttbr);
    CNTVOFF_EL2.set(partition.counter_offset.load(Ordering::Relaxed));
    let hides = *core.hides_features.call_once(el1::hides_anything);
    el1::set_traps(machine::mpidr(assignment.vcpu.number(), per_cluster(gic::version())), hides);
    el1::reset();
    power::reset_workarounds();
    gic::reset_vcpu();
    tlb::invalidate_guest();
    // What became pending before the vCPU ran: SGIs and SPIs sent while it was off.
    interrupt::refill_any(core);
    core.abort_loops.store(0, Ordering::Relaxed);
    core.recorder.clear();
    timer::clear(core, Slot::Life);
    // SAFETY: every EL1 and EL2 register of the guest is set just above, and this is this core's stack.
    unsafe { guest::enter(pc, x0, core.stack_top) }
}

/// vCPUs in one cluster of the guest's MPIDR: a GICv2 target list has 8 bits, a GICv3 one 16.
pub const fn per_cluster(version: Version) -> u16 {
    match version {
        Version::V2 => 8,
        Version::V3 => 16,
    }
}

/// CPU_OFF: takes the vCPU out of this core's hardware; what its list registers hold goes back to the model.
pub fn quiet(core: &'static Core) {
    drain(core);
    el1::reset();
    interrupt::release_any(core);
    gic::reset_vcpu();
    // Timers and counters are off since reset(): their interrupts stay enabled as the model has them.
    for intid in [machine::VIRTUAL_TIMER, machine::PHYSICAL_TIMER, machine::PMU] {
        gic::forget(core, intid);
    }
    core.power.turn_off();
}

/// The end of a life: takes everything of the vCPU out of this core's hardware. Only this core can (GIC architecture:
/// private interrupts are banked). What list registers hold goes with the life; a physical interrupt that one of them
/// keeps active is deactivated here if it is private, and when the next life begins if it is shared.
pub fn wipe(core: &'static Core) {
    drain(core);
    el1::reset();
    gic::reset_vcpu();
    gic::clear_private(core, OWNED);
    // A core whose stage 2 was taken away since its doorbell was silent hears it again.
    gic::set_enabled(core, gic::DOORBELL, true);
    timer::clear(core, Slot::Watchdog);
    core.power.turn_off();
}

/// Takes the SError that the vCPU which leaves this core has brought about, if there is one: pending and masked it would end
/// every WFI of [`idle`] at once. QEMU raises none.
#[inline(never)]
fn drain(core: &'static Core) {
    // SAFETY: the vCPU is off from here on, nothing enters the guest where it was.
    if unsafe { guest::drain_serror(&core.draining) } {
        warn!("{}: an SError of the vCPU that leaves", core.id);
    }
}

/// Forgets this core's stack and waits at EL2.
pub fn leave(core: &'static Core) -> ! {
    // SAFETY: this core's own stack; the callers hold no lock.
    unsafe { guest::restart(core.stack_top, idle) }
}

/// Works or sleeps at EL2 until a doorbell makes this core enter a guest. Interrupts stay masked: WFI wakes anyway, and
/// they are taken here, one at a time, between two blocks of work.
pub extern "C" fn idle() -> ! {
    let core = core_local::this();
    loop {
        if core.is_asked() {
            interrupt::handle_doorbells(core);
        }
        if !load::step(core) {
            barrier::dsb_sy();
            barrier::wait_for_interrupt();
        }
        interrupt::poll(core);
    }
}
