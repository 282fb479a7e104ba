//! `memcpy` as the compiler calls it, in place of the one that comes with Rust for this target.
//!
//! That one never makes an unaligned access, since it may run with the MMU off: where source and destination are not
//! aligned alike it puts each word together from eight bytes, 24 instructions for eight bytes. Here Rust runs with the
//! MMU on, on Normal memory and with SCTLR_EL1.A = 0 only (entry.rs), and frames are seldom aligned alike.

use core::arch::global_asm;

// In: x0 = destination, x1 = source, x2 = bytes. Out: x0 as it was. Clobbers x1, x2 and x8 to x12, flags. Not Rust:
// whatever copies in Rust calls `memcpy`.
global_asm!(
    r#"
    .section .text.memcpy, "ax"
    .global memcpy
    .type   memcpy, %function
memcpy:
    mov     x8, x0
    subs    x2, x2, #32
    b.lo    2f
1:  ldp     x9, x10, [x1], #16
    ldp     x11, x12, [x1], #16
    subs    x2, x2, #32
    stp     x9, x10, [x8], #16
    stp     x11, x12, [x8], #16
    b.hs    1b
    // Behind the last 32 the low bits of what is below zero are those of the rest.
2:  tbz     x2, #4, 3f
    ldp     x9, x10, [x1], #16
    stp     x9, x10, [x8], #16
3:  tbz     x2, #3, 4f
    ldr     x9, [x1], #8
    str     x9, [x8], #8
4:  tbz     x2, #2, 5f
    ldr     w9, [x1], #4
    str     w9, [x8], #4
5:  tbz     x2, #1, 6f
    ldrh    w9, [x1], #2
    strh    w9, [x8], #2
6:  tbz     x2, #0, 7f
    ldrb    w9, [x1]
    strb    w9, [x8]
7:  ret
    .size   memcpy, . - memcpy
"#
);
