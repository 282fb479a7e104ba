// Exception vectors of EL2, once for each GIC version and once for boot.
//
// A guest's exit finds SP_EL2 at the top of its core's stack: exits do not nest. A synchronous exit saves all
// general registers as a GuestFrame, since an emulated access may name any of them; an interrupt saves only what
// the Rust calling convention lets the handler change. ELR_EL2 and SPSR_EL2 stay in their registers: nothing at
// EL2 takes an exception and returns, but for the two cases below that put them back or do not need them.
// Why not Rust: naked entry, and the registers are the guest's.

.macro store_x0_to_x29
    stp     x0, x1, [sp]
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

.macro save_all
    sub     sp, sp, #256
    store_x0_to_x29
    str     x30, [sp, #240]
.endm

.macro exit_sync handler
    save_all
    mov     x0, sp
    bl      \handler
    b       restore_all
.endm

.macro exit_irq handler
    stp     x0, x1, [sp, #-160]!
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x30, [sp, #144]
    bl      \handler
    ldp     x18, x30, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp], #160
    eret
    dsb     nsh                         // never executed: stops speculation past eret
    isb
.endm

// From EL2 itself: a bug. The stack may be what is broken, so x0 moves to SP_EL0 and SP to TPIDR_EL1 (the guest is lost
// anyway) and the core's emergency stack takes over; before cores have one, the boot stack's bottom half does.
.macro own_exception kind
    .balign 0x80
    own_exception_here \kind
.endm
.macro own_exception_here kind
    msr     sp_el0, x0
    mov     x0, sp
    msr     tpidr_el1, x0
    mrs     x0, tpidr_el2
    cbz     x0, 7f
    ldr     x0, [x0]
    b       8f
7:  adrp    x0, __boot_stack_bottom
    add     x0, x0, #0x4000
8:  mov     sp, x0
    mrs     x0, sp_el0
    save_all_far
    mov     x1, #\kind
    b       own_exception_saved
.endm
// Synchronous from EL2 itself: a bug, unless it is translate_stage1's AT, whose walk of a guest's tables may meet a bus
// error or memory that takes no update of an access flag: the walk ends without a result. A real bug loses X16 and X17.
.macro own_sync kind
    .balign 0x80
    mrs     x16, elr_el2
    adr     x17, translate_at
    sub     x16, x16, x17
    cbnz    x16, 6f
    adr     x16, translate_failed
    msr     elr_el2, x16
    eret
    dsb     nsh
    isb
6:  own_exception_here \kind
.endm
// SError from EL2 itself: a bug, unless the core drains what a life that ended left behind (Core::draining, offset 16):
// then it is noted by clearing the word. Only SP_EL0, ELR_EL2 and SPSR_EL2 change, which the ended life does not need.
.macro own_serror kind
    .balign 0x80
    msr     sp_el0, x0
    mrs     x0, tpidr_el2
    cbz     x0, 6f
    ldr     x0, [x0, #16]
    cbz     x0, 6f
    mrs     x0, tpidr_el2
    str     xzr, [x0, #16]
    mrs     x0, sp_el0
    eret
    dsb     nsh
    isb
6:  mrs     x0, sp_el0
    own_exception_here \kind
.endm
.macro save_all_far
    sub     sp, sp, #256
    str     x30, [sp, #240]
    bl      own_exception_save
.endm

.macro vector_table name, sync, irq, serror
    .balign 0x800
    .global \name
\name:
    own_exception 0
    own_exception 1
    own_exception 2
    own_exception 3
    own_sync 4
    own_exception 5
    own_exception 6
    own_serror 7
    .balign 0x80
    exit_sync \sync
    .balign 0x80
\name\()_irq:
    exit_irq \irq
    .balign 0x80
    b       \name\()_irq
    .balign 0x80
    exit_sync \serror
    .balign 0x80
    exit_sync \sync
    .balign 0x80
    b       \name\()_irq
    .balign 0x80
    b       \name\()_irq
    .balign 0x80
    exit_sync \serror
    .balign 0x80
.endm

.pushsection .text.hot, "ax"
.global restore_all
restore_all:
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    ldp     x0, x1, [sp], #256
    eret
    dsb     nsh
    isb

// translate_stage1(x0 = va): PAR_EL1 of AT S1E1R (Arm ARM D8.15); 1, "failed", where the walk itself took an exception. All
// system registers are preserved: that exception overwrites those which describe the guest's exit. Why not Rust: the
// address of the AT must be known, and nothing may be on the stack.
.global translate_stage1
translate_stage1:
    mrs     x9, elr_el2
    mrs     x10, spsr_el2
    mrs     x11, esr_el2
    mrs     x12, far_el2
    mrs     x13, par_el1
translate_at:
    at      s1e1r, x0
    isb
    mrs     x0, par_el1
    msr     par_el1, x13
    ret
translate_failed:
    msr     elr_el2, x9
    msr     spsr_el2, x10
    msr     esr_el2, x11
    msr     far_el2, x12
    msr     par_el1, x13
    mov     x0, #1
    ret

own_exception_save:
    store_x0_to_x29
    ret
own_exception_saved:
    mov     x0, sp
    b       own_exception_rust

// enter_guest(x0 = pc, x1 = the guest's x0, x2 = top of this core's stack): never returns.
// Every register that EL2, being softfloat, cannot name is zeroed here.
.arch_extension fp
.arch_extension simd
.global enter_guest
enter_guest:
    mov     sp, x2
    msr     elr_el2, x0
    mov     x3, #0x3c5                  // EL1h, D A I F masked
    msr     spsr_el2, x3
    mov     x0, x1
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    movi    v\n\().2d, #0
    .endr
    msr     fpcr, xzr
    msr     fpsr, xzr
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    mov     x\n, xzr
    .endr
    clrex
    isb
    eret
    dsb     nsh
    isb

.arch_extension nosimd
.arch_extension nofp

// restart_stack(x0 = top of this core's stack, x1 = fn() -> !): leaves whatever was on the stack.
.global restart_stack
restart_stack:
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    br      x1
.popsection

.pushsection .text.vectors, "ax"
    vector_table vectors_v2, exit_sync_v2, exit_irq_v2, exit_serror_v2
    vector_table vectors_v3, exit_sync_v3, exit_irq_v3, exit_serror_v3
.popsection
