//! Loads and stores that move their base register on: LDR and STR (immediate), post-indexed and pre-indexed (Arm ARM,
//! C4.1 "Load/store register (immediate post-indexed)" and its sister).
//!
//! Their aborts come without a syndrome (ISV = 0), so the instruction itself has to be looked at. C compilers make them
//! of loops over device registers. Pairs, vectors and exclusives do not come from C and are not decoded.

/// A load or store of one general register with write-back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteBack {
    instruction: u32,
    /// ISV, SAS, SSE, SRT and SF, as the hardware would have had them.
    syndrome: u32,
}

/// Everything but size, direction, offset, index form and registers.
const FIXED: u32 = 0x3f20_0400;
const LOAD_STORE: u32 = 0x3800_0400;

const ISV: u32 = 1 << 24;
/// Bits 24 to 14 of ESR_EL2: described only with ISV.
const DESCRIPTION: u64 = 0x7ff << 14;

impl WriteBack {
    /// What an A64 `instruction` moves; `None` for every other instruction, and with SP as the base.
    ///
    /// An encoding that is not allocated, or that moves its own base, may be taken for one: the guest that runs into
    /// such an abort changed the instruction behind it, and only its own registers are concerned.
    pub const fn decode(instruction: u32) -> Option<Self> {
        if instruction & FIXED != LOAD_STORE || instruction >> 5 & 31 == 31 {
            return None;
        }
        let (size, kind, register) = (instruction >> 30, instruction >> 22 & 3, instruction & 31);
        // Kind: store, load, load with the sign to 64 bits, to 32 bits.
        let is_signed = kind >> 1;
        let is_64_bit = (kind == 2 || size == 3) as u32;
        let syndrome = ISV | size << 22 | is_signed << 21 | register << 16 | is_64_bit << 15;
        Some(Self { instruction, syndrome })
    }
    /// ESR_EL2 of its abort, with the description that the hardware left out.
    pub const fn describe(self, esr: u64) -> u64 {
        esr & !DESCRIPTION | self.syndrome as u64
    }
    /// The base register, 0 to 30.
    pub const fn base(self) -> usize {
        (self.instruction >> 5 & 31) as usize
    }
    /// The base register's value afterwards.
    pub const fn moved(self, base: u64) -> u64 {
        let offset = (self.instruction << 11) as i32 >> 23;
        base.wrapping_add_signed(offset as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Abort, Access};

    /// Data abort from EL1, translation fault at level 2, IL: as hardware reports it, WnR apart.
    const ESR: u64 = 0x9200_0006;

    fn access(found: WriteBack, is_write: bool) -> Access {
        let esr = found.describe(ESR | (is_write as u64) << 6);
        assert_eq!(esr & !DESCRIPTION, ESR | (is_write as u64) << 6);
        Abort::new(esr as u32 & 0x1ff_ffff).access().unwrap()
    }
    /// Bytes, register, base register, base afterwards.
    fn decoded(instruction: u32, is_write: bool) -> Option<(u32, usize, usize, u64)> {
        let found = WriteBack::decode(instruction)?;
        let access = access(found, is_write);
        assert_eq!(access.is_write(), is_write);
        Some((access.bytes(), access.register(), found.base(), found.moved(0x1000)))
    }

    #[test]
    fn stores_of_each_size() {
        assert_eq!(decoded(0xb800_4423, true), Some((4, 3, 1, 0x1004)), "str w3, [x1], #4");
        assert_eq!(decoded(0x3800_1402, true), Some((1, 2, 0, 0x1001)), "strb w2, [x0], #1");
        assert_eq!(decoded(0x781f_ecc5, true), Some((2, 5, 6, 0xffe)), "strh w5, [x6, #-2]!");
        assert_eq!(decoded(0xf810_0507, true), Some((8, 7, 8, 0xf00)), "str x7, [x8], #-256");
        assert_eq!(decoded(0xb800_443f, true), Some((4, 31, 1, 0x1004)), "str wzr, [x1], #4");
    }

    #[test]
    fn loads_of_each_size() {
        assert_eq!(decoded(0xb840_4549, false), Some((4, 9, 10, 0x1004)), "ldr w9, [x10], #4");
        assert_eq!(decoded(0x384f_ffc0, false), Some((1, 0, 30, 0x10ff)), "ldrb w0, [x30, #255]!");
        assert_eq!(decoded(0x785f_e441, false), Some((2, 1, 2, 0xffe)), "ldrh w1, [x2], #-2");
        assert_eq!(decoded(0xf840_8441, false), Some((8, 1, 2, 0x1008)), "ldr x1, [x2], #8");
    }

    #[test]
    fn a_load_extends_as_its_opcode_says() {
        let extended = |instruction, value| access(WriteBack::decode(instruction).unwrap(), false).extend(value);
        assert_eq!(extended(0x38c0_1441, 0x80), 0xffff_ff80, "ldrsb w1, [x2], #1");
        assert_eq!(extended(0x3880_1441, 0x80), 0xffff_ffff_ffff_ff80, "ldrsb x1, [x2], #1");
        assert_eq!(extended(0xb880_4441, 0x8000_0000), 0xffff_ffff_8000_0000, "ldrsw x1, [x2], #4");
        assert_eq!(extended(0xf840_8441, u64::MAX), u64::MAX, "ldr x1, [x2], #8");
        assert_eq!(extended(0x3840_1441, 0x1ff), 0xff, "ldrb w1, [x2], #1");
    }

    #[test]
    fn nothing_else_is_taken_for_one() {
        let others = [
            (0xb900_0023, "str w3, [x1]"),
            (0xb800_4023, "stur w3, [x1, #4]"),
            (0xb800_4823, "sttr w3, [x1, #4]"),
            (0xb822_6823, "str w3, [x1, x2]"),
            (0x2881_0c22, "stp w2, w3, [x1], #8"),
            (0xbc00_4420, "str s0, [x1], #4"),
            (0x3c81_0420, "str q0, [x1], #16"),
            (0xb800_47e3, "str w3, [sp], #4"),
            (0xb820_0023, "ldadd w0, w3, [x1]"),
            (0xf820_0c23, "ldraa x3, [x1]!"),
        ];
        for (instruction, name) in others {
            assert_eq!(WriteBack::decode(instruction), None, "{name}");
        }
    }
}
