//! The measured instruction sequences and the vectors that read the clock first.
//!
//! Each `time_*` reads the counter as `isb; mrs`, runs the operation and reads it again, so 2 of every result are the
//! second reading. All of it is assembly so that the compiler can neither move nor pad what is counted.

use aarch64_cpu::registers::{VBAR_EL1, Writeable as _};
use core::arch::{asm, global_asm};

unsafe extern "C" {
    static bench_vectors: u8;
}

// `bench_vectors`: In: IRQ to EL1. Out: `bench_irq(CNTVCT_EL0)` called with the counter as read by the third
// instruction, then ERET. The caller-saved registers, ELR and SPSR are kept. Everything else goes to the runtime's
// vectors. `bench_hvc`, `bench_load`: leaves, so that an operation is a call as in any guest.
global_asm!(
    r#"
    .section .text.bench_vectors, "ax"
    .balign 2048
bench_vectors:
    .rept 4
    .balign 128
    b       rt_vectors + 0x000
    .endr
    .balign 128
    b       rt_vectors + 0x200
    .balign 128
    stp     x0, x1, [sp, #-192]!
    isb
    mrs     x0, cntvct_el0
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x30, [sp, #144]
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     x1, x2, [sp, #160]
    bl      bench_irq
    ldp     x1, x2, [sp, #160]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    ldp     x18, x30, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp], #192
    eret
    .balign 128
    b       rt_vectors + 0x300
    .balign 128
    b       rt_vectors + 0x380
    .rept 8
    .balign 128
    b       rt_vectors + 0x400
    .endr
    .balign 128

    .section .text.bench_leaves, "ax"
bench_hvc:
    hvc     #0
    ret
bench_load:
    ldr     w0, [x0]
    ret
"#
);

/// Makes this vCPU take interrupts to `bench_irq`.
pub fn install_vectors() {
    VBAR_EL1.set((&raw const bench_vectors) as u64);
    rt::arch::insn::isb();
}

/// The body between two readings of the clock, and their difference.
macro_rules! timed {
    ([$($body:literal),*] $($operand:tt)*) => {{
        let (start, end): (u64, u64);
        // SAFETY: the bodies below read registers, call PSCI_VERSION or load a device register; what the C calling
        // convention lets a callee change is declared lost, and the stack is not used.
        unsafe {
            asm!("isb", "mrs x20, cntvct_el0", $($body,)* "isb", "mrs x21, cntvct_el0",
                out("x20") start, out("x21") end, $($operand)* clobber_abi("C"), options(nostack))
        }
        end - start
    }};
}

/// Two readings and nothing between.
#[inline(always)]
pub fn time_nothing() -> u64 {
    timed!([])
}

/// A call of PSCI_VERSION by HVC.
#[inline(always)]
pub fn time_hvc() -> u64 {
    timed!(["mov w0, #0x84000000", "mov x1, #0", "mov x2, #0", "mov x3, #0", "bl bench_hvc"])
}

/// A call that loads one 32-bit device register.
#[inline(always)]
pub fn time_load(address: u64) -> u64 {
    timed!(["mov x0, x9", "bl bench_load"] inout("x9") address => _,)
}

/// One read of an ID register.
#[inline(always)]
pub fn time_id_register() -> u64 {
    timed!(["mrs x0, id_aa64mmfr0_el1"])
}

/// A million instructions of pure computation, and four around them.
#[inline(always)]
pub fn time_loop() -> u64 {
    timed!(["mov x0, #0xa120", "movk x0, #0x7, lsl #16", "1: subs x0, x0, #1", "b.ne 1b"])
}

/// Sends an SGI by ICC_SGI1R_EL1 (`to` = 0) or by storing to GICD_SGIR at `to`; the clock before it.
#[inline(always)]
pub fn send_sgi(to: u64, value: u64) -> u64 {
    let start: u64;
    // SAFETY: both forms only make an interrupt pending; `cross::Sgi` chooses the one that this GIC has.
    unsafe {
        asm!("isb", "mrs {start}, cntvct_el0", "dsb ishst", "cbz {to}, 1f", "str {value:w}, [{to}]", "dsb sy", "b 2f",
            "1: msr S3_0_C12_C11_5, {value}", "2: isb",
            start = out(reg) start, to = in(reg) to, value = in(reg) value, options(nostack))
    }
    start
}
