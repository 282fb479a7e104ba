// Copying and zeroing. memcpy and memset by pairs of registers: compiler-builtins copies a byte or a word at a time on this target, which
// made the copies of one manifest a fifth of the boot. Normal memory only, as everywhere in Rust code.
// In: x0 = to, x1 = from (memset: byte), x2 = bytes. Out: x0 = to. Clobbers x3-x5.

.pushsection .text.hot, "ax"
.global memcpy
memcpy:
    mov     x3, x0
    subs    x2, x2, #16
    b.lo    2f
1:  ldp     x4, x5, [x1], #16
    stp     x4, x5, [x3], #16
    subs    x2, x2, #16
    b.hs    1b
2:  tbz     x2, #3, 3f
    ldr     x4, [x1], #8
    str     x4, [x3], #8
3:  ands    x2, x2, #7
    b.eq    5f
4:  ldrb    w4, [x1], #1
    strb    w4, [x3], #1
    subs    x2, x2, #1
    b.ne    4b
5:  ret

// memmove(x0 = to, x1 = from, x2 = bytes) -> x0: forwards where that does no harm, else from the end, by bytes (rare).
.global memmove
memmove:
    sub     x3, x0, x1
    cmp     x3, x2
    b.hs    memcpy                      // to < from, or no overlap
    add     x3, x0, x2
    add     x4, x1, x2
    cbz     x2, 7f
6:  ldrb    w5, [x4, #-1]!
    strb    w5, [x3, #-1]!
    subs    x2, x2, #1
    b.ne    6b
7:  ret

.global memset
memset:
    mov     x3, x0
    and     x1, x1, #0xff
    orr     x1, x1, x1, lsl #8
    orr     x1, x1, x1, lsl #16
    orr     x1, x1, x1, lsl #32
    subs    x2, x2, #16
    b.lo    2f
1:  stp     x1, x1, [x3], #16
    subs    x2, x2, #16
    b.hs    1b
2:  tbz     x2, #3, 3f
    str     x1, [x3], #8
3:  ands    x2, x2, #7
    b.eq    5f
4:  strb    w1, [x3], #1
    subs    x2, x2, #1
    b.ne    4b
5:  ret

// zero_lines(x0 = first byte of a line of 64 bytes, x1 = lines): zeroes them by DC ZVA and cleans each to the point of
// coherency. Why not Rust: three instructions for a line, whatever the compiler thinks. Clobbers x2.
.global zero_lines
zero_lines:
    ands    x2, x1, #15
    sub     x1, x1, x2
    b.eq    2f
1:  dc      zva, x0
    dc      civac, x0
    add     x0, x0, #64
    subs    x2, x2, #1
    b.ne    1b
2:  cbz     x1, 4f
3:  .rept 16
    dc      zva, x0
    dc      civac, x0
    add     x0, x0, #64
    .endr
    subs    x1, x1, #16
    b.ne    3b
4:  ret

// copy_lines(x0 = to, first byte of a line of 64 bytes, x1 = from, x2 = lines, w3 = CRC-32C register) -> w0 = the
// register after them: copies by pairs and cleans each line to the point of coherency. Clobbers x4-x11.
.arch_extension crc
.macro copy_line
    ldp     x4, x5, [x1, #64]!
    ldp     x6, x7, [x1, #16]
    ldp     x8, x9, [x1, #32]
    ldp     x10, x11, [x1, #48]
    crc32cx w3, w3, x4
    crc32cx w3, w3, x5
    stp     x4, x5, [x0, #64]!
    crc32cx w3, w3, x6
    crc32cx w3, w3, x7
    stp     x6, x7, [x0, #16]
    crc32cx w3, w3, x8
    crc32cx w3, w3, x9
    stp     x8, x9, [x0, #32]
    crc32cx w3, w3, x10
    crc32cx w3, w3, x11
    stp     x10, x11, [x0, #48]
    dc      civac, x0
.endm
.global copy_lines
copy_lines:
    sub     x0, x0, #64
    sub     x1, x1, #64
    tbz     x2, #0, 1f
    copy_line
1:  lsr     x2, x2, #1
    cbz     x2, 3f
2:  copy_line
    copy_line
    subs    x2, x2, #1
    b.ne    2b
3:  mov     w0, w3
    ret
.popsection
