//! Exception vectors: each saves the whole general-purpose state as a `Frame` and calls Rust.

use core::arch::global_asm;

// In: an exception to EL1 with SP_EL1. Out: `rt_sync`, `rt_irq` or `rt_unexpected` called with x0 = the frame
// (layout: `trap::Frame`), then ERET. Clobbers nothing that the frame does not restore. Not Rust: no prologue may
// touch a register first. Vectors for SP_EL0 and for lower levels are never used by a guest: they report.
global_asm!(
    r#"
    .macro rt_save
    sub     sp, sp, #288
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    .endm

    .macro rt_vector name, index
    .balign 128
    rt_save
    mov     x1, #\index
    adr     x2, \name
    b       rt_call
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global rt_vectors
rt_vectors:
    rt_vector rt_unexpected, 0
    rt_vector rt_unexpected, 1
    rt_vector rt_unexpected, 2
    rt_vector rt_unexpected, 3
    rt_vector rt_sync, 4
    rt_vector rt_irq, 5
    rt_vector rt_unexpected, 6
    rt_vector rt_serror, 7
    rt_vector rt_unexpected, 8
    rt_vector rt_unexpected, 9
    rt_vector rt_unexpected, 10
    rt_vector rt_unexpected, 11
    rt_vector rt_unexpected, 12
    rt_vector rt_unexpected, 13
    rt_vector rt_unexpected, 14
    rt_vector rt_unexpected, 15

rt_call:
    mrs     x3, elr_el1
    mrs     x4, spsr_el1
    mrs     x5, esr_el1
    mrs     x6, far_el1
    stp     x30, x3, [sp, #240]
    stp     x4, x5, [sp, #256]
    str     x6, [sp, #272]
    mov     x0, sp
    blr     x2
    ldp     x30, x3, [sp, #240]
    ldr     x4, [sp, #256]
    msr     elr_el1, x3
    msr     spsr_el1, x4
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp, #0]
    add     sp, sp, #288
    eret
"#
);
