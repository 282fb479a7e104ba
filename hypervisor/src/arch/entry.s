// Entry: arm64 Image header, boot translation tables, MMU on. Everything in .head runs at its physical address with
// the MMU and caches off, so it uses no stack, no absolute address before the MMU is on, and fits one page.
//
// In:  x0 = physical address of the firmware's device tree (arm64 boot protocol).
// Out: boot_primary(x0 = device tree, x1 = load address) on the boot stack, at the linked address.
// Why not Rust: Rust code may use the stack and absolute addresses, and the barriers below are order-critical.

.pushsection .head, "ax"
.global _start
_start:
    b       primary
    .word   0
    .quad   0                           // text_offset
    .quad   0                           // image_size: the tool writes the bundle's size
    .quad   0xa                         // little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
    // The bundle header of abi::bundle.
    .ascii  "BULKHEAD"
    .word   {FORMAT}, 0
    .quad   __image_size
    .quad   0

primary:
    msr     daifset, #0xf
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    wrong_exception_level
    mov     x19, x0
    adrp    x20, _start
    bl      build_tables
    bl      enable_mmu
    ldr     x8, =primary_high
    br      x8

// Secondary cores: PSCI's or the spin table's entry point. The tables exist already.
.global secondary
secondary:
    msr     daifset, #0xf
    bl      enable_mmu
    ldr     x8, =secondary_high
    br      x8

.macro map_until limit, attributes
    adrp    x4, \limit
    ldr     x5, =\attributes
1:  cmp     x3, x4
    b.hs    2f
    orr     x6, x3, x5
    str     x6, [x2], #8
    add     x3, x3, #4096
    b       1b
2:
.endm

// Level 1, level 2 and level 3 of the image, level 2 of the identity map, in this order at __boot_tables.
// The identity map is one read-only executable 2 MiB block around this page; boot_primary drops it.
// In: x20 = load address. Clobbers x2-x7.
build_tables:
    adrp    x7, __boot_tables
    add     x2, x7, #0x3000             // level 3
    mov     x3, x20
    map_until __rodata_start, {TEXT}
    map_until __data_start, {RODATA}
    map_until __image_end, {DATA}
    add     x2, x7, #0x3000
    orr     x2, x2, #3
    str     x2, [x7, #0x1000]           // level 2 of the image, entry 0
    add     x2, x7, #0x1000
    orr     x2, x2, #3
    str     x2, [x7, #({IMAGE_BASE} >> 30) * 8]
    add     x2, x7, #0x2000             // level 2 of the identity map
    ubfx    x3, x20, #30, #9
    orr     x4, x2, #3
    str     x4, [x7, x3, lsl #3]
    ubfx    x3, x20, #21, #9
    ldr     x5, =({TEXT} - 2)           // a block descriptor: bit 1 clear
    and     x4, x20, #~0x1fffff
    orr     x4, x4, x5
    str     x4, [x2, x3, lsl #3]
    // These stores went to memory with the caches off: drop what a cache may hold of the old contents
    // (Arm ARM, "Mismatched memory attributes").
    dmb     sy
    mov     x3, #0x4000
    add     x3, x3, x7
3:  dc      ivac, x7
    add     x7, x7, #64
    cmp     x7, x3
    b.lo    3b
    dsb     sy
    ret

// In: tables built. Clobbers x3, x4. Returns at the caller's physical address, now identity-mapped.
enable_mmu:
    mov     x3, #0x80000000             // HCR_EL2: RW only; E2H = 0 decides the layout of what follows
    msr     hcr_el2, x3
    isb
    ldr     x3, =0x33ff                 // CPTR_EL2: trap nothing
    msr     cptr_el2, x3
    ldr     x3, ={MAIR}
    msr     mair_el2, x3
    mrs     x3, id_aa64mmfr0_el1
    and     x3, x3, #0xf
    mov     x4, #5                      // 48 bits is what a 4 KiB granule without LPA2 can put out
    cmp     x3, x4
    csel    x3, x3, x4, lo
    ldr     x4, =0x80803519             // TCR_EL2: T0SZ = 25, write-back, inner shareable, 4 KiB, RES1
    bfi     x4, x3, #16, #3
    msr     tcr_el2, x4
    adrp    x3, __boot_tables
    msr     ttbr0_el2, x3
    isb
    tlbi    alle2
    dsb     nsh
    ic      iallu
    dsb     nsh
    isb
    ldr     x3, =0x30cd183d             // SCTLR_EL2: RES1, M, C, SA, I, WXN
    msr     sctlr_el2, x3
    isb
    ret

// At EL1 or EL3: say so on the board's UART, whose physical address the platform's binary holds.
wrong_exception_level:
    lsr     x1, x1, #2
    add     w4, w1, #'0'
    adrp    x2, BULKHEAD_UART
    ldr     x2, [x2, :lo12:BULKHEAD_UART]
    adr     x3, 5f
4:  ldrb    w0, [x3], #1
    cbz     w0, 6f
    cmp     w0, #'@'
    csel    w0, w4, w0, eq
    str     w0, [x2]
    b       4b
5:  .asciz "bulkhead: error: started at EL@, but a hypervisor needs EL2. QEMU: add virtualization=on to -M. A board: let the firmware start this file as a kernel Image.\r\n"
    .balign 4
6:  wfe
    b       6b
    .ltorg
.popsection

// In .text.hot like all other assembly: link.ld fills the gap before the vectors with it.
.pushsection .text.hot, "ax"
primary_high:
    adrp    x8, __boot_stack_top
    add     x8, x8, :lo12:__boot_stack_top
    mov     sp, x8
    mov     x29, xzr
    mov     x30, xzr
    msr     tpidr_el2, xzr
    mov     x0, x19
    mov     x1, x20
    b       boot_primary

secondary_high:
    adrp    x8, {HANDOFF}
    add     x8, x8, :lo12:{HANDOFF}
    ldp     x0, x9, [x8]                // Core, top of its stack
    mov     sp, x9
    mov     x29, xzr
    mov     x30, xzr
    msr     tpidr_el2, x0
    b       boot_secondary
.popsection
