//! The program's assembly: its first instructions, and the system call.

use core::arch::{asm, global_asm};

// In: the kernel's entry: SP = the number of arguments, their addresses behind it. Out: `iocheck_main(SP)`. Not Rust: a
// prologue would lose SP.
global_asm!(
    r#"
    .section .text.iocheck_entry, "ax"
    .global iocheck_entry
iocheck_entry:
    mov     x29, #0
    mov     x30, #0
    mov     x0, sp
    bl      iocheck_main
    brk     #0
"#
);

#[unsafe(no_mangle)]
extern "C" fn iocheck_main(stack: *const u64) -> ! {
    // SAFETY: the entry code passes the stack as the kernel left it, and nobody writes there.
    let arguments = unsafe { crate::linux::Arguments::at(stack) };
    crate::start(&arguments)
}

/// A system call of Linux: its number in X8, arguments from X0 on, the result in X0.
///
/// # Safety
/// The arguments are what this call takes, and memory that the kernel reads or writes for it is there and no Rust object's.
pub unsafe fn system_call(number: u64, arguments: [u64; 6]) -> i64 {
    let [x0, x1, x2, x3, x4, x5] = arguments;
    let result: i64;
    // SAFETY: the caller's promise; the kernel preserves every register but X0.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") x0 => result, in("x1") x1, in("x2") x2, in("x3") x3,
            in("x4") x4, in("x5") x5, options(nostack));
    }
    result
}

/// Loads a word of memory that the kernel writes too.
pub fn get(address: u64) -> u64 {
    // SAFETY: callers pass addresses of the mappings that `linux::map` gave them, multiples of eight: no Rust object.
    unsafe { (address as *const u64).read_volatile() }
}

/// Stores a word of memory that the kernel reads too.
pub fn put(address: u64, value: u64) {
    // SAFETY: as for `get`.
    unsafe { (address as *mut u64).write_volatile(value) }
}
