//! CRC-32C with the CPU's instructions, while copying: reading guest payloads twice would double the boot's cost.

use core::arch::asm;

/// Copies `count` bytes and returns the CRC-32C register (reflected, no inversion) after them.
///
/// # Safety
/// Both ranges are mapped and do not overlap; the core has FEAT_CRC32 (checked at boot).
pub unsafe fn copy(to: *mut u8, from: *const u8, count: usize, crc: u32) -> u32 {
    let result: u32;
    // SAFETY: reads `count` bytes of `from` and writes `count` bytes of `to`, which the caller maps.
    unsafe {
        asm!(
            ".arch_extension crc",
            "2: cmp {n}, #16",
            "b.lo 3f",
            "ldp {a}, {b}, [{from}], #16",
            "crc32cx {crc:w}, {crc:w}, {a}",
            "crc32cx {crc:w}, {crc:w}, {b}",
            "stp {a}, {b}, [{to}], #16",
            "sub {n}, {n}, #16",
            "b 2b",
            "3: cbz {n}, 4f",
            "ldrb {a:w}, [{from}], #1",
            "crc32cb {crc:w}, {crc:w}, {a:w}",
            "strb {a:w}, [{to}], #1",
            "sub {n}, {n}, #1",
            "b 3b",
            "4:",
            n = inout(reg) count => _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            crc = inout(reg) crc => result,
            a = out(reg) _,
            b = out(reg) _,
            options(nostack)
        );
    }
    result
}
