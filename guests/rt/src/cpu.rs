//! vCPUs: who runs this code, and starting the others.
//!
//! TPIDR_EL1 holds the vCPU's index, its place among the device tree's `/cpus` nodes.

use crate::arch::{self, insn};
use crate::board::{MAX_VCPUS, board, discover};
use crate::psci::{self, PsciError};
use crate::{console, gic};
use aarch64_cpu::registers::{Readable as _, TPIDR_EL1, Writeable as _};
use core::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "Rust" {
    fn guest_main() -> !;
}

/// Entry functions (`fn()`) that `start` leaves for the vCPUs; 0 = none.
static ENTRIES: [AtomicUsize; MAX_VCPUS] = [const { AtomicUsize::new(0) }; MAX_VCPUS];

/// Index of the vCPU that runs this code.
#[inline(always)]
pub fn index() -> usize {
    TPIDR_EL1.get() as usize % MAX_VCPUS
}

/// Starts vCPU `index` in `entry`, on its own stack, interrupts masked, GIC CPU interface on. When `entry` returns
/// the vCPU calls CPU_OFF.
pub fn start(index: usize, entry: fn()) -> Result<(), PsciError> {
    prepare(index, entry);
    let mpidr = *board().mpidr.get(index).ok_or(PsciError::InvalidParameters)?;
    psci::cpu_on(mpidr, arch::secondary_entry(), index as u64)
}

/// Puts `entry` where a vCPU that starts at [`arch::secondary_entry`] with its index as context finds it: for guests
/// that make the CPU_ON call themselves.
pub fn prepare(index: usize, entry: fn()) {
    if let Some(slot) = ENTRIES.get(index) {
        slot.store(entry as usize, Ordering::Release);
        insn::synchronise();
    }
}

/// Masks IRQ while `body` runs and restores the mask after it.
pub fn without_interrupts<T>(body: impl FnOnce() -> T) -> T {
    let was_masked = insn::irq_is_masked();
    insn::mask_irq();
    let result = body();
    if !was_masked {
        insn::unmask_irq();
    }
    result
}

#[unsafe(no_mangle)]
extern "C" fn rt_primary(device_tree: u64) -> ! {
    TPIDR_EL1.set(0);
    discover(device_tree);
    console::init();
    insn::unmask_serror();
    gic::init_distributor();
    gic::init_vcpu();
    // SAFETY: `guest!` defines it with this signature.
    unsafe { guest_main() }
}

#[unsafe(no_mangle)]
extern "C" fn rt_secondary_main(index: usize) -> ! {
    TPIDR_EL1.set(index as u64);
    insn::unmask_serror();
    gic::init_vcpu();
    let entry = ENTRIES[self::index()].load(Ordering::Acquire);
    if entry != 0 {
        // SAFETY: only `start` stores there, and only a `fn()`.
        let entry = unsafe { core::mem::transmute::<usize, fn()>(entry) };
        entry();
    }
    psci::cpu_off()
}
