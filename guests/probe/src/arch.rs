//! The probe's assembly: the access window, SMCCC calls that may fault, the instruction buffer, vector registers.
//! How a life begins and ends in assembly is in [`life`].

mod life;

pub use life::*;
pub use rt::arch::memory::{get, order, put};

use aarch64_cpu::registers::{CPACR_EL1, ReadWriteable as _, Readable as _, TCR_EL1, TTBR1_EL1, Writeable as _};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, AtomicU64};
use rt::arch::access::Leaf;
use rt::arch::insn;

unsafe extern "C" {
    /// A leaf: SMCCC call by HVC of the four words at x0, results there.
    pub fn probe_hvc(words: u64, unused: u64) -> u64;
    /// A leaf: SMCCC call by SMC.
    pub fn probe_smc(words: u64, unused: u64) -> u64;
    /// A leaf with nothing in it, to put a breakpoint on.
    pub fn probe_target(unused: u64, unused_too: u64) -> u64;
    fn probe_fill_vectors(value: u64);
    fn probe_store_vectors(to: *mut [[u64; 2]; 32]);
    static probe_window: [AtomicU64; 512];
    static probe_code: [AtomicU32; 2];
}

// `probe_hvc`, `probe_smc`: leaves for `rt::trap::attempt`. x18 holds the words: SMCCC preserves it, and the calling
// convention lets a callee lose it. `probe_store_vectors`: out = V0 to V31; the rest of the guest is built without
// them; `probe_fill_vectors`: in = x0 for every lane. `probe_window`: level-1 table of TTBR1. `probe_code`: where `run` puts one instruction and a return.
global_asm!(
    r#"
    .macro probe_smccc name, insn
    .global \name
\name:
    mov     x18, x0
    ldp     x0, x1, [x18]
    ldp     x2, x3, [x18, #16]
    \insn   #0
    stp     x0, x1, [x18]
    stp     x2, x3, [x18, #16]
    ret
    .endm

    .section .text.probe, "ax"
    probe_smccc probe_hvc, hvc
    probe_smccc probe_smc, smc
    .global probe_target
probe_target:
    nop
    ret

    .arch_extension fp
    .arch_extension simd
    .global probe_store_vectors
probe_store_vectors:
    stp     q0, q1, [x0], #32
    stp     q2, q3, [x0], #32
    stp     q4, q5, [x0], #32
    stp     q6, q7, [x0], #32
    stp     q8, q9, [x0], #32
    stp     q10, q11, [x0], #32
    stp     q12, q13, [x0], #32
    stp     q14, q15, [x0], #32
    stp     q16, q17, [x0], #32
    stp     q18, q19, [x0], #32
    stp     q20, q21, [x0], #32
    stp     q22, q23, [x0], #32
    stp     q24, q25, [x0], #32
    stp     q26, q27, [x0], #32
    stp     q28, q29, [x0], #32
    stp     q30, q31, [x0], #32
    ret

    .global probe_fill_vectors
probe_fill_vectors:
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    dup     v\n\().2d, x0
    .endr
    ret
    .arch_extension nosimd
    .arch_extension nofp

    .section .bss.probe, "aw", %nobits
    .balign 4096
    .global probe_window
probe_window:
    .skip   4096
    .balign 64
    .global probe_code
probe_code:
    .skip   64
"#
);

/// First address of TTBR1 with T1SZ = 25.
pub const WINDOW: u64 = 0xffff_ff80_0000_0000;

/// Turns TTBR1 on for a window of level-1 blocks, all invalid: T1SZ = 25, write-back inner-shareable walks, 4 KiB.
pub fn enable_window() {
    TTBR1_EL1.set((&raw const probe_window) as u64);
    let high = 25 << 16 | 0b01 << 24 | 0b01 << 26 | 0b11 << 28 | 0b10 << 30;
    TCR_EL1.set(TCR_EL1.get() & !(0xffff << 16) | high);
    invalidate_tlb();
}

/// Makes block `index` of the window this descriptor: break, invalidate, make (Arm ARM, "break-before-make").
pub fn set_window(index: usize, descriptor: u64) {
    let table = (&raw const probe_window).cast_mut().cast::<u64>();
    // SAFETY: `access` calls with 0 or 1, and the table has 512 entries.
    let entry = unsafe { table.add(index) };
    // SAFETY: vCPU 0 only; nobody else but the hardware walk reads the table.
    unsafe { entry.write_volatile(0) };
    invalidate_tlb();
    // SAFETY: as above.
    unsafe { entry.write_volatile(descriptor) };
    insn::synchronise();
}

fn invalidate_tlb() {
    // SAFETY: only makes the hardware walk the tables again.
    unsafe { asm!("dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", options(nostack, preserves_flags)) }
}

/// Where the instruction and a return are, ready to be called.
pub fn load_code(instruction: u32) -> u64 {
    const RET: u32 = 0xd65f_03c0;
    let code = (&raw const probe_code).cast_mut().cast::<[u32; 2]>();
    // SAFETY: one vCPU at a time (`lives::second` waits for vCPU 1), and nobody executes the buffer now.
    unsafe { code.write_volatile([instruction, RET]) };
    // SAFETY: makes the two words, which share a line, visible to instruction fetch (Arm ARM, "Cache maintenance").
    unsafe {
        asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) code, options(nostack, preserves_flags))
    }
    code as u64
}

/// Writes V0 to V31.
pub fn fill_vectors(value: u64) {
    CPACR_EL1.modify(CPACR_EL1::FPEN::TrapNothing);
    insn::isb();
    // SAFETY: FP access is enabled above, and the guest is built without these registers.
    unsafe { probe_fill_vectors(value) }
}

/// V0 to V31.
pub fn vectors() -> [[u64; 2]; 32] {
    let mut values = [[0; 2]; 32];
    CPACR_EL1.modify(CPACR_EL1::FPEN::TrapNothing);
    insn::isb();
    // SAFETY: FP access is enabled above, the array has 32 entries of 16 bytes.
    unsafe { probe_store_vectors(&raw mut values) };
    values
}

/// Unmasks or masks debug exceptions (PSTATE.D).
pub fn mask_debug(is_masked: bool) {
    if is_masked {
        // SAFETY: masking is always allowed.
        unsafe { asm!("msr daifset, #8", options(nostack, preserves_flags)) }
    } else {
        // SAFETY: a debug exception goes to the runtime's vectors.
        unsafe { asm!("msr daifclr, #8", options(nostack, preserves_flags)) }
    }
}

/// DC CISW of one set and way.
pub fn clean_invalidate_set_way(operand: u64) {
    // SAFETY: writes back before it invalidates: memory as seen by the program does not change.
    unsafe { asm!("dc cisw, {}", in(reg) operand, options(nostack, preserves_flags)) }
}

/// The code as a leaf: it finds the two arguments in x0 and x1.
pub fn leaf(code: u64) -> Leaf {
    // SAFETY: `code` comes from `load_code` and is two instructions, the second a return.
    unsafe { core::mem::transmute::<u64, Leaf>(code) }
}
