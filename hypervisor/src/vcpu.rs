//! One vCPU on its core: entering the guest, leaving it, and waiting at EL2 while there is nothing to run.

use crate::arch::{barrier, el1, guest, tlb};
use crate::core_local::{self, Core};
use crate::gic::{Gic, V2, V3};
use crate::interrupt;
use aarch64_cpu::registers::{CNTVOFF_EL2, VTCR_EL2, VTTBR_EL2};
use abi::machine;
use core::sync::atomic::Ordering;
use psci::PowerState;
use tock_registers::interfaces::Writeable;
use vgic::Version;

/// Enters the guest at `pc` with every register at its reset value and `x0` in x0.
pub fn enter<G: Gic>(core: &'static Core, pc: u64, x0: u64) -> ! {
    let assignment = core.assignment.expect("only a core with a vCPU enters a guest");
    let partition = assignment.partition;
    VTCR_EL2.set(partition.vtcr);
    VTTBR_EL2.set(partition.vttbr);
    CNTVOFF_EL2.set(partition.counter_offset.load(Ordering::Relaxed));
    el1::set_traps(machine::mpidr(assignment.vcpu.number(), per_cluster(G::VERSION)));
    el1::reset();
    G::reset_vcpu();
    tlb::invalidate_guest();
    // What became pending before the vCPU ran: SGIs and SPIs sent while it was off.
    interrupt::refill::<G>(core);
    core.abort_loops.store(0, Ordering::Relaxed);
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

/// Takes everything of the vCPU out of this core's hardware: timers, list registers, private interrupts.
pub fn quiet<G: Gic>(core: &'static Core) {
    el1::reset();
    interrupt::release::<G>(core);
    G::reset_vcpu();
    // Timers and counters are off since reset(): their interrupts stay enabled as the model has them.
    for intid in [machine::VIRTUAL_TIMER, machine::PHYSICAL_TIMER, machine::PMU] {
        G::forget(core, intid);
    }
    core.power.reset(PowerState::Off);
}

/// Forgets this core's stack and waits at EL2.
pub fn leave<G: Gic>(core: &'static Core) -> ! {
    let next = match G::VERSION {
        Version::V2 => idle_v2,
        Version::V3 => idle_v3,
    };
    // SAFETY: this core's own stack; the callers hold no lock.
    unsafe { guest::restart(core.stack_top, next) }
}

extern "C" fn idle_v2() -> ! {
    idle::<V2>()
}
extern "C" fn idle_v3() -> ! {
    idle::<V3>()
}

/// Sleeps at EL2 until a doorbell gives this core something to do. Interrupts stay masked: WFI wakes anyway, and
/// they are taken here, one at a time.
pub fn idle<G: Gic>() -> ! {
    let core = core_local::this();
    loop {
        interrupt::handle_doorbells::<G>(core);
        barrier::dsb_sy();
        barrier::wait_for_interrupt();
        interrupt::poll::<G>(core);
    }
}
