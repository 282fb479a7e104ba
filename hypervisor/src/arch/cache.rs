//! Cache maintenance by address (Arm ARM D7.5; rule: what EL2 wrote through its caches, a guest with its MMU off
//! reads from memory).

use super::barrier;
use super::sysreg::{CTR_EL0, DCZID_EL0};
use core::arch::asm;
use manifest::checksum::{self, Checksum, LINE, MULTIPLIER};
use tock_registers::interfaces::Readable;

/// Bytes of the smallest data cache line of any cache: CTR_EL0.DminLine.
fn line_bytes() -> usize {
    4 << ((CTR_EL0.get() >> 16) & 0xf)
}

/// Bytes that DC ZVA zeroes; 0 where it is prohibited.
fn zva_bytes() -> usize {
    let dczid = DCZID_EL0.get();
    if dczid & 0x10 != 0 { 0 } else { 4 << (dczid & 0xf) }
}

unsafe extern "C" {
    /// memory.s
    fn zero_lines(start: *mut u8, lines: usize);
    /// memory.s
    fn copy_lines(to: *mut u8, from: *const u8, lines: usize, sum: &mut Checksum, multiplier: u32);
}

/// Cleans and invalidates `[start, start + bytes)` to the point of coherency. A DSB must follow.
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
}

/// Bytes from `address` to the next line.
fn to_line(address: usize, bytes: usize) -> usize {
    (address.wrapping_neg() & (LINE - 1)).min(bytes)
}

/// Zeroes `[start, start + bytes)` and cleans it to the point of coherency. [`barrier::dsb_sy`] must follow.
///
/// # Safety
/// The range is mapped at EL2 as normal memory, and no Rust object but atomics is there. A guest may store there at the same time:
/// then it has what either wrote last, word by word.
pub unsafe fn zero(start: *mut u8, bytes: usize) {
    let head = to_line(start as usize, bytes);
    let lines = if zva_bytes() == LINE && line_bytes() == LINE { (bytes - head) / LINE } else { 0 };
    let (middle, tail) = (start.wrapping_add(head), start.wrapping_add(head + lines * LINE));
    for (at, count) in [(start, head), (tail, bytes - head - lines * LINE)] {
        // SAFETY: within the caller's range.
        unsafe { at.write_bytes(0, count) };
        // SAFETY: as above.
        unsafe { clean_invalidate(at as usize, count) };
    }
    // SAFETY: as above, in whole lines.
    unsafe { zero_lines(middle, lines) };
}

/// Copies `bytes` from `from` to `to`, cleans them to the point of coherency, and adds their lines to `sum`.
/// [`barrier::dsb_sy`] must follow.
///
/// # Safety
/// Both ranges are mapped as normal memory and do not overlap, nobody else uses `to`, and no guest has anything in V0 to
/// V5 of this core (see memory.s).
pub unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize, mut sum: Checksum) -> Checksum {
    let head = to_line(to as usize, bytes);
    let lines = if line_bytes() == LINE { (bytes - head) / LINE } else { 0 };
    let done = head + lines * LINE;
    // SAFETY: within the caller's ranges.
    sum = unsafe { copy_part(to, from, head, sum) };
    // SAFETY: as above, in whole lines.
    unsafe { copy_lines(to.wrapping_add(head), from.wrapping_add(head), lines, &mut sum, MULTIPLIER) };
    // SAFETY: as above.
    unsafe { copy_part(to.wrapping_add(done), from.wrapping_add(done), bytes - done, sum) }
}

/// [`copy`] of what is no whole line, or of everything on a core whose lines are others.
///
/// # Safety
/// As for [`copy`].
unsafe fn copy_part(to: *mut u8, from: *const u8, bytes: usize, sum: Checksum) -> Checksum {
    // SAFETY: the caller maps the range, and nobody writes to the image.
    let part = unsafe { core::slice::from_raw_parts(from, bytes) };
    // SAFETY: within the caller's ranges, which do not overlap.
    unsafe { to.copy_from_nonoverlapping(from, bytes) };
    // SAFETY: the caller maps the range.
    unsafe { clean_invalidate(to as usize, bytes) };
    checksum::add_piece(sum, to as usize, part)
}

/// Forgets every prefetched instruction, on every core: new code was written.
pub fn invalidate_instructions() {
    // SAFETY: dropping cached instructions changes no value.
    unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
    barrier::dsb_ish();
    barrier::isb();
}
