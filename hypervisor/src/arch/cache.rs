//! Cache maintenance by address (Arm ARM D7.5; rule: what EL2 wrote through its caches, a guest with its MMU off
//! reads from memory).

use super::barrier;
use super::sysreg::CTR_EL0;
use core::arch::asm;
use tock_registers::interfaces::Readable;

/// Bytes of the smallest data cache line of any cache: CTR_EL0.DminLine.
fn line_bytes() -> usize {
    4 << ((CTR_EL0.get() >> 16) & 0xf)
}

/// Cleans and invalidates `[start, start + bytes)` to the point of coherency and waits for it.
///
/// # Safety
/// The range is mapped at EL2.
pub unsafe fn clean_invalidate(start: usize, bytes: usize) {
    let line = line_bytes();
    let mut at = start & !(line - 1);
    while at < start + bytes {
        // SAFETY: the caller maps the range; cleaning changes no value that a program can read.
        unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
        at += line;
    }
    barrier::dsb_sy();
}

/// Forgets every prefetched instruction, on every core: new code was written.
pub fn invalidate_instructions() {
    // SAFETY: dropping cached instructions changes no value.
    unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
    barrier::dsb_ish();
    barrier::isb();
}
