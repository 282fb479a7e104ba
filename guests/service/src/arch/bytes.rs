//! `memcpy` and `memset` as the compiler calls them, in place of those that come with Rust for this target.
//!
//! Those never make an unaligned access, since they may run with the MMU off: where source and destination are not
//! aligned alike, `memcpy` puts each word together from eight bytes, 24 instructions for eight bytes, and `memset` stores
//! eight bytes a turn. Here Rust runs with the MMU on, on Normal memory and with SCTLR_EL1.A = 0 only (entry.rs), and
//! frames are seldom aligned alike.

use core::arch::global_asm;

// memcpy: in: x0 = destination, x1 = source, x2 = bytes. Out: x0 as it was. Clobbers x1, x2 and x8 to x16, flags.
// memset: in: x0 = destination, w1 = byte, x2 = bytes. Out: x0 as it was. Clobbers x1, x2, x8, flags.
// Not Rust: whatever copies or fills in Rust calls these.
global_asm!(
    r#"
    .section .text.memcpy, "ax"
    .global memcpy
    .type   memcpy, %function
memcpy:
    mov     x8, x0
    subs    x2, x2, #64
    b.lo    2f
1:  ldp     x9, x10, [x1], #64
    ldp     x11, x12, [x1, #-48]
    ldp     x13, x14, [x1, #-32]
    ldp     x15, x16, [x1, #-16]
    subs    x2, x2, #64
    stp     x9, x10, [x8], #64
    stp     x11, x12, [x8, #-48]
    stp     x13, x14, [x8, #-32]
    stp     x15, x16, [x8, #-16]
    b.hs    1b
    // Behind the last 64 the low bits of what is below zero are those of the rest.
2:  tbz     x2, #5, 3f
    ldp     x9, x10, [x1], #32
    ldp     x11, x12, [x1, #-16]
    stp     x9, x10, [x8], #32
    stp     x11, x12, [x8, #-16]
3:  tbz     x2, #4, 4f
    ldp     x9, x10, [x1], #16
    stp     x9, x10, [x8], #16
4:  tbz     x2, #3, 5f
    ldr     x9, [x1], #8
    str     x9, [x8], #8
5:  tbz     x2, #2, 6f
    ldr     w9, [x1], #4
    str     w9, [x8], #4
6:  tbz     x2, #1, 7f
    ldrh    w9, [x1], #2
    strh    w9, [x8], #2
7:  tbz     x2, #0, 8f
    ldrb    w9, [x1]
    strb    w9, [x8]
8:  ret
    .size   memcpy, . - memcpy

    .section .text.memset, "ax"
    .global memset
    .type   memset, %function
memset:
    mov     x8, x0
    and     x1, x1, #0xff
    orr     x1, x1, x1, lsl #8
    orr     x1, x1, x1, lsl #16
    orr     x1, x1, x1, lsl #32
    subs    x2, x2, #32
    b.lo    2f
1:  stp     x1, x1, [x8], #32
    subs    x2, x2, #32
    stp     x1, x1, [x8, #-16]
    b.hs    1b
    // As above.
2:  tbz     x2, #4, 3f
    stp     x1, x1, [x8], #16
3:  tbz     x2, #3, 4f
    str     x1, [x8], #8
4:  tbz     x2, #2, 5f
    str     w1, [x8], #4
5:  tbz     x2, #1, 6f
    strh    w1, [x8], #2
6:  tbz     x2, #0, 7f
    strb    w1, [x8]
7:  ret
    .size   memset, . - memset
"#
);
