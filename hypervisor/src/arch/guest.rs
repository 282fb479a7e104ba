//! Entering a guest, and the registers an exit saves.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// The guest's x0 to x30 as vectors.s saved them.
#[repr(C)]
pub struct GuestFrame {
    x: [u64; 31],
    _pad: u64,
}

impl GuestFrame {
    /// Register `n`; 31 is XZR.
    #[inline(always)]
    pub fn register(&self, n: u8) -> u64 {
        self.x.get(usize::from(n)).copied().unwrap_or(0)
    }
    /// Sets register `n`; writes to 31, XZR, vanish.
    #[inline(always)]
    pub fn set_register(&mut self, n: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(n)) {
            *x = value;
        }
    }
}

unsafe extern "C" {
    fn enter_guest(pc: u64, x0: u64, stack_top: usize) -> !;
    fn restart_stack(stack_top: usize, next: extern "C" fn() -> !) -> !;
    static vectors_v2: u8;
    static vectors_v3: u8;
}

/// Starts the vCPU of this core at `pc`, EL1h, interrupts masked, `x0` in x0 and every other register 0.
///
/// # Safety
/// The EL1 and EL2 registers of the guest are set; `stack_top` is the top of this core's stack.
pub unsafe fn enter(pc: u64, x0: u64, stack_top: usize) -> ! {
    // SAFETY: the caller's promise is the assembly's.
    unsafe { enter_guest(pc, x0, stack_top) }
}

/// Drops everything on this core's stack and continues in `next`.
///
/// # Safety
/// `stack_top` is the top of this core's stack and nothing on it is needed or locked any more.
pub unsafe fn restart(stack_top: usize, next: extern "C" fn() -> !) -> ! {
    // SAFETY: the caller's promise is the assembly's.
    unsafe { restart_stack(stack_top, next) }
}

/// The guest's x30 while its core handles an interrupt from it: vectors.s saved it at the top of the core's stack.
///
/// # Safety
/// This core took its last exit as an interrupt from the guest, and `stack_top` is the top of its stack.
pub unsafe fn interrupted_lr(stack_top: usize) -> u64 {
    // SAFETY: the frame of `exit_irq` is 160 bytes and ends with x30.
    unsafe { ((stack_top - 8) as *const u64).read() }
}

/// Waits until everything that this core's guest did has ended, and takes the SError that comes of it, if one does: it
/// belongs to the vCPU that leaves, not to what runs here next (Arm ARM, "SError interrupt exceptions"). Whether one came.
///
/// # Safety
/// `draining` is at offset 16 of this core's block (vectors.s), and the guest on this core is not entered again where it
/// was: SP_EL0, ELR_EL2 and SPSR_EL2 are lost.
pub unsafe fn drain_serror(draining: &AtomicU64) -> bool {
    draining.store(1, Ordering::Relaxed);
    // SAFETY: unmasks SError only while vectors.s knows what to do with one.
    unsafe { asm!("dsb sy", "msr daifclr, #4", "isb", "msr daifset, #4", "isb", options(nostack)) };
    draining.swap(0, Ordering::Relaxed) == 0
}

/// SP.
#[inline(always)]
pub fn stack_pointer() -> u64 {
    let value;
    // SAFETY: reading a register.
    unsafe { asm!("mov {}, sp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// SP as it was when EL2 took an exception of its own: vectors.s keeps it in TPIDR_EL1, the guest being lost.
pub fn lost_stack_pointer() -> u64 {
    let value;
    // SAFETY: reading a register.
    unsafe { asm!("mrs {}, tpidr_el1", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Address of the vectors for a GIC version.
pub fn vectors(version: vgic::Version) -> u64 {
    match version {
        vgic::Version::V2 => &raw const vectors_v2 as u64,
        vgic::Version::V3 => &raw const vectors_v3 as u64,
    }
}

/// TPIDR_EL2: this core's `Core`, 0 on the boot core before it has one.
#[inline(always)]
pub fn core_pointer() -> usize {
    let value;
    // SAFETY: reading a register; `nomem` and `pure` hold since it is written once, before Rust reads it.
    unsafe { asm!("mrs {}, tpidr_el2", out(reg) value, options(nomem, pure, nostack, preserves_flags)) };
    value
}

/// Sets TPIDR_EL2: once on the boot core; entry.s does it on the others.
pub fn set_core_pointer(address: usize) {
    // SAFETY: the caller passes a registered Core, which is never freed.
    unsafe { asm!("msr tpidr_el2, {}", in(reg) address, options(nostack, preserves_flags)) };
}
