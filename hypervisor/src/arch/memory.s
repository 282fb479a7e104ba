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

// copy_lines(x0 = to, first byte of a line of 64 bytes, x1 = from, x2 = lines, x3 = checksum, w4 = MULTIPLIER): copies lines,
// cleans each to the point of coherency and adds it to the checksum (manifest::checksum, whose vectors are q0 to q3 one
// after the other: each becomes the sum up to itself). Why not Rust: one instruction for 16 bytes summed, and EL2 is
// softfloat. Clobbers x2 and V0 to V5: no guest's, since between two lives nobody has any, and enter_guest zeroes them.
.arch_extension fp
.arch_extension simd
.macro copy_line
    ldp     q0, q1, [x1, #64]!
    ldp     q2, q3, [x1, #32]
    stp     q0, q1, [x0, #64]!
    mla     v0.4s, v4.4s, v5.4s
    stp     q2, q3, [x0, #32]
    mla     v1.4s, v0.4s, v5.4s
    mla     v2.4s, v1.4s, v5.4s
    mla     v3.4s, v2.4s, v5.4s
    rev32   v4.16b, v3.16b
    dc      civac, x0
.endm
.global copy_lines
copy_lines:
    sub     x0, x0, #64
    sub     x1, x1, #64
    ldr     q4, [x3]
    dup     v5.4s, w4
    subs    x2, x2, #4
    b.lo    2f
1:  .rept 4
    copy_line
    .endr
    subs    x2, x2, #4
    b.hs    1b
2:  adds    x2, x2, #4
    b.eq    4f
3:  copy_line
    subs    x2, x2, #1
    b.ne    3b
4:  str     q4, [x3]
    ret
.arch_extension nosimd
.arch_extension nofp
.popsection
