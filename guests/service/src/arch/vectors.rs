//! Exception vectors, and the end of this life.
//!
//! The service runs with interrupts masked for ever, so every exception is a defect of its own: it is said once, on a
//! stack of its own since the stack may be what overflowed, and then the life ends as a crash.

use core::arch::global_asm;

unsafe extern "C" {
    fn service_crash() -> !;
}

/// Ends this life so that EL2 records a crash.
pub fn crash() -> ! {
    // SAFETY: it never returns, and touches registers and unowned addresses only.
    unsafe { service_crash() }
}

// Vectors. In: an exception to EL1. Out: a call of `service_exception(vector, ESR, ELR, FAR, SP, x30)` on the emergency
// stack. Clobbers everything: nothing returns, but for the load of probe.rs, behind which x1 = 0 and x2 and x3 are lost.
// Not Rust: SP may be anywhere.
//
// `service_probe` (probe.rs). In: x0 = address. Out: w0 = the word, and x1 = 1; or x1 = 0 where its load took an exception.
// Clobbers x2, x3 and the flags then. Not Rust: the exception must be at an instruction that the vectors know, with registers
// that they may change.
//
// `service_crash`: what the architecture gives a guest to end itself (PSCI) is no crash, so the service does what EL2
// takes for one: its vector faults each time it is entered. Stage 1 off, so that the load reaches stage 2: the last page
// below 2^39 is no RAM and no device on any board. Clobbers everything, never returns. Not Rust: the faulting load must
// be the vector itself, at one address.
global_asm!(
    r#"
    .macro service_vector index
    .balign 128
    mov     x0, #\index
    b       service_report
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global service_vectors
service_vectors:
    .irp    index, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    service_vector \index
    .endr
service_report:
    mrs     x2, elr_el1
    adrp    x3, service_probe_load
    add     x3, x3, :lo12:service_probe_load
    cmp     x2, x3
    b.eq    service_absent
    mrs     x1, esr_el1
    mrs     x3, far_el1
    mov     x4, sp
    mov     x5, x30
    adrp    x6, service_emergency_top
    add     x6, x6, :lo12:service_emergency_top
    mov     sp, x6
    mov     x29, #0
    bl      service_exception
    .global service_probe
service_probe:
    mov     x1, #1
service_probe_load:
    ldr     w0, [x0]
    ret
service_absent:
    add     x2, x2, #4
    msr     elr_el1, x2
    mov     x1, #0
    eret

    .balign 2048
    .global service_ending
service_ending:
    .rept   16
    .balign 128
    ldr     x2, [x1]
    b       .
    .endr

    .global service_crash
service_crash:
    msr     daifset, #15
    adrp    x0, service_ending
    add     x0, x0, :lo12:service_ending
    msr     vbar_el1, x0
    mrs     x0, sctlr_el1
    bic     x0, x0, #1
    msr     sctlr_el1, x0
    isb
    mov     x1, #0x7ffffff000
    ldr     x2, [x1]
    b       .

    .section .bss.emergency, "aw", %nobits
    .balign 16
    .skip   8192
service_emergency_top:
"#
);
