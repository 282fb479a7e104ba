//! First instructions of every vCPU: stack, vectors, MMU and caches, then Rust.
//!
//! Boot protocol of arm64 Linux (x0 = device tree, MMU off, interrupts masked) and PSCI CPU_ON (x0 = context).
//! The translation table is constant, so nothing is written to memory before the caches are on except the
//! registers found at entry, which lie on lines that nobody has read yet.

use core::arch::global_asm;

/// Words of [`entry_state`]: x0 to x28 as found, SP, the physical counter at the first instruction, and padding.
pub const ENTRY_STATE_WORDS: usize = 32;
/// Bytes of stack of each vCPU.
const STACK: usize = 0x1_0000;

const _: () = {
    use abi::{channel, machine};
    let [start, bytes] = [machine::CHANNELS.as_u64(), channel::MAX_CHANNELS as u64 * channel::MAX_SIZE];
    assert!(start == 89 << 21 && start + bytes == 93 << 21, "the table below maps other blocks");
};

unsafe extern "C" {
    static rt_entry_state: [u64; ENTRY_STATE_WORDS];
    fn rt_secondary();
    static rt_stacks: u8;
    static rt_free: u8;
}

/// What vCPU 0 found at its first instruction: x0 to x28, SP (word 29), CNTPCT_EL0 (word 30). x29 and x30 are lost.
pub fn entry_state() -> &'static [u64; ENTRY_STATE_WORDS] {
    // SAFETY: written once by `rt_entry` before Rust runs, never again.
    unsafe { &rt_entry_state }
}

/// Address for PSCI CPU_ON; its context argument is the vCPU's index.
pub fn secondary_entry() -> u64 {
    rt_secondary as *const () as u64
}

/// First address above the stack of vCPU `index`.
pub fn stack_top(index: usize) -> u64 {
    (&raw const rt_stacks) as u64 + ((index + 1) * STACK) as u64
}

/// First address of RAM that neither the image nor the stacks use; the device tree lies above it, near the end.
pub fn free_ram() -> u64 {
    (&raw const rt_free) as u64
}

// In: boot protocol. Out: a call of `rt_primary(device_tree)` or `rt_secondary_main(index)`. Not Rust: no stack yet.
//
// x30 takes the counter with the very first instruction: `boot_cntpct_at_entry` of the bench guest.
// TCR: 4 GiB from TTBR0 (T0SZ = 32, so the walk starts at level 1 with four entries), write-back inner-shareable
// walks, TTBR1 off, IPS as the CPU has it. MAIR: 0 Device-nGnRE, 1 Normal write-back, 2 Normal non-cacheable.
global_asm!(
    r#"
    .section .text.entry, "ax"
    .global rt_entry
rt_entry:
    mrs     x30, cntpct_el0
    adrp    x29, rt_entry_state
    add     x29, x29, :lo12:rt_entry_state
    stp     x0, x1, [x29, #0]
    stp     x2, x3, [x29, #16]
    stp     x4, x5, [x29, #32]
    stp     x6, x7, [x29, #48]
    stp     x8, x9, [x29, #64]
    stp     x10, x11, [x29, #80]
    stp     x12, x13, [x29, #96]
    stp     x14, x15, [x29, #112]
    stp     x16, x17, [x29, #128]
    stp     x18, x19, [x29, #144]
    stp     x20, x21, [x29, #160]
    stp     x22, x23, [x29, #176]
    stp     x24, x25, [x29, #192]
    stp     x26, x27, [x29, #208]
    mov     x27, sp
    stp     x28, x27, [x29, #224]
    str     x30, [x29, #240]
    mov     x20, x0
    mov     x19, #0
    bl      rt_cpu_setup
    mov     x0, x20
    bl      rt_primary

    .global rt_secondary
rt_secondary:
    mov     x19, x0
    bl      rt_cpu_setup
    mov     x0, x19
    bl      rt_secondary_main

    // x19 = index of this vCPU
rt_cpu_setup:
    msr     daifset, #15
    msr     spsel, #1
    adrp    x1, rt_stacks
    add     x1, x1, :lo12:rt_stacks
    add     x2, x19, #1
    add     x1, x1, x2, lsl #16
    mov     sp, x1
    adrp    x1, rt_vectors
    add     x1, x1, :lo12:rt_vectors
    msr     vbar_el1, x1
    mov     x1, #0xff04
    movk    x1, #0x44, lsl #16
    msr     mair_el1, x1
    mrs     x2, id_aa64mmfr0_el1
    and     x2, x2, #7
    mov     x1, #0x3520
    movk    x1, #0x0080, lsl #16
    bfi     x1, x2, #32, #3
    msr     tcr_el1, x1
    adrp    x1, rt_table
    add     x1, x1, :lo12:rt_table
    msr     ttbr0_el1, x1
    ic      iallu
    tlbi    vmalle1
    dsb     nsh
    isb
    mov     x1, #0x180d
    movk    x1, #0x30d0, lsl #16
    msr     sctlr_el1, x1
    isb
    mov     x29, #0
    ret

    .section .rodata.table, "a"
    .balign 64
    // A level-2 table, then level-1 blocks: AF, inner shareable; Device is execute-never.
rt_table:
    .quad   rt_first_gib + 3
    .quad   0x0000000040000705
    .quad   0x0000000080000705
    .quad   0x00000000c0000705

    // 512 blocks of 2 MiB: Device, but for the four where channels are (`abi::machine::CHANNELS`): Normal write-back,
    // execute-never.
    .balign 4096
rt_first_gib:
    .set    rt_block, 0
    .rept   512
    .if     rt_block >= 89 && rt_block < 93
    .quad   0x0060000000000705 + (rt_block << 21)
    .else
    .quad   0x0060000000000701 + (rt_block << 21)
    .endif
    .set    rt_block, rt_block + 1
    .endr

    .section .bss.entry, "aw", %nobits
    .balign 64
    .global rt_entry_state
rt_entry_state:
    .skip   256
"#
);
