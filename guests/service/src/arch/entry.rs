//! The first instructions: relocations, a first MMU, the stack, then Rust; and the change to the final tables.
//!
//! Boot protocol: EL2 has loaded the segments anywhere on a 4 KiB boundary, x0 is the plan's address, MMU and caches are
//! off, interrupts masked. The final tables need the heap, and the heap's lock needs caches (exclusive accesses to
//! Device memory are not promised to work), so the entry makes two first-level blocks of 1 GiB around the image and
//! Rust builds the rest.

use core::arch::global_asm;

unsafe extern "C" {
    static service_text: u8;
    static service_rodata: u8;
    static service_data: u8;
    static service_guard: u8;
    static service_stack: u8;
    static service_image_end: u8;
    fn service_switch(table: u64, control: u64);
}

/// SCTLR_EL1 with the final tables: RES1 bits, I, SA, C, M, and WXN: what can be written is never executed.
const SCTLR_FINAL: u64 = 0x30d8_180d;

/// Where the linker put the image's parts; each starts on a page of its own.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Code.
    pub text: u64,
    /// Constants, relocated.
    pub rodata: u64,
    /// Variables.
    pub data: u64,
    /// The page that nothing is mapped at.
    pub guard: u64,
    /// The stack.
    pub stack: u64,
    /// First byte behind everything.
    pub end: u64,
}

/// Where this image lies.
pub fn image() -> Image {
    Image {
        text: (&raw const service_text) as u64,
        rodata: (&raw const service_rodata) as u64,
        data: (&raw const service_data) as u64,
        guard: (&raw const service_guard) as u64,
        stack: (&raw const service_stack) as u64,
        end: (&raw const service_image_end) as u64,
    }
}

/// Goes on with the tables at `root` (level 0, 48 bits), with WXN.
///
/// # Safety
/// They map everything that the service uses, at the addresses and with the rights that it uses it with, and are never
/// changed or freed.
pub unsafe fn switch_tables(root: u64) {
    // SAFETY: the caller's promise. The routine touches registers only.
    unsafe { service_switch(root, SCTLR_FINAL) }
}

// `service_entry`. In: the boot protocol. Out: a call of `service_main(plan)` on the service's stack. Not Rust: there is
// no stack, and no constant that holds an address is right yet. R_AARCH64_RELATIVE (1027) is the only relocation that
// a static executable of this kind has; another one ends the boot in `service_crash`.
// First tables: level 0 and 1, identity, blocks of Normal memory, writable and executable.
// TCR: 48 bits from TTBR0 (T0SZ = 16), write-back inner-shareable walks, TTBR1 off, IPS as the CPU has it, at most 48
// bits. MAIR: 0 Device-nGnRE, 1 Normal write-back.
//
// `service_switch`. In: x0 = TTBR0_EL1, x1 = SCTLR_EL1. Clobbers x2. The MMU is off while the root changes, so no
// translation of the old tables meets one of the new (break-before-make); the code is at the same address either way,
// and no memory is touched meanwhile. Not Rust: no access to the stack may happen while the MMU is off.
global_asm!(
    r#"
    .section .text.entry, "ax"
    .global service_entry
service_entry:
    msr     daifset, #15
    msr     spsel, #1
    mov     x19, x0
    adrp    x20, service_text
    add     x20, x20, :lo12:service_text
    adrp    x0, service_vectors
    add     x0, x0, :lo12:service_vectors
    msr     vbar_el1, x0

    adrp    x1, service_rela
    add     x1, x1, :lo12:service_rela
    adrp    x2, service_rela_end
    add     x2, x2, :lo12:service_rela_end
1:  cmp     x1, x2
    b.hs    2f
    ldp     x3, x4, [x1], #16
    ldr     x5, [x1], #8
    cmp     x4, #1027
    b.ne    service_crash
    add     x5, x5, x20
    str     x5, [x20, x3]
    b       1b

2:  adrp    x1, service_tables
    add     x1, x1, :lo12:service_tables
    add     x2, x1, #4096
    orr     x3, x2, #3
    ubfx    x4, x20, #39, #9
    str     x3, [x1, x4, lsl #3]
    mov     x3, #0x705
    and     x5, x20, #0xffffffffc0000000
    orr     x3, x3, x5
    ubfx    x4, x20, #30, #9
    str     x3, [x2, x4, lsl #3]
    add     x4, x4, #1
    tbnz    x4, #9, 3f
    mov     x5, #0x40000000
    add     x3, x3, x5
    str     x3, [x2, x4, lsl #3]
3:  mov     x3, #0xff04
    msr     mair_el1, x3
    mrs     x4, id_aa64mmfr0_el1
    and     x4, x4, #15
    mov     x5, #5
    cmp     x4, x5
    csel    x4, x5, x4, hi
    mov     x3, #0x3510
    movk    x3, #0x0080, lsl #16
    bfi     x3, x4, #32, #3
    msr     tcr_el1, x3
    msr     ttbr0_el1, x1
    ic      iallu
    tlbi    vmalle1
    dsb     sy
    isb
    mov     x3, #0x180d
    movk    x3, #0x30d0, lsl #16
    msr     sctlr_el1, x3
    isb
    adrp    x3, service_stack_top
    add     x3, x3, :lo12:service_stack_top
    mov     sp, x3
    mov     x29, #0
    mov     x30, #0
    mov     x0, x19
    bl      service_main
    b       service_crash

    .global service_switch
service_switch:
    dsb     ish
    mrs     x2, sctlr_el1
    bic     x2, x2, #1
    msr     sctlr_el1, x2
    isb
    msr     ttbr0_el1, x0
    tlbi    vmalle1
    dsb     nsh
    isb
    msr     sctlr_el1, x1
    isb
    ret

    .section .bss.tables, "aw", %nobits
    .balign 4096
service_tables:
    .skip   8192
"#
);
