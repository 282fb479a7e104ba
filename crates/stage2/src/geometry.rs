//! Shape of a set of tables: how wide the input address is and where its bits select an entry.
//!
//! Arm ARM D8.2.8 "Translation using the 4KB granule", and D8.2.2 for concatenated tables of stage 2.

use addr::{Address, PAGE_SIZE, Pa};

/// Entries in one 4 KiB table.
pub const ENTRIES: usize = 512;
/// Bits of an output address without FEAT_LPA2.
pub const OUTPUT_BITS: u32 = 48;

/// The level where every walk starts.
pub(crate) const FIRST_LEVEL: u8 = 1;
/// The level of 4 KiB pages.
pub(crate) const LAST_LEVEL: u8 = 3;

/// The lowest address bit that `level` (1 to 3) translates.
pub(crate) const fn level_shift(level: u8) -> u32 {
    12 + 9 * (LAST_LEVEL - level) as u32
}

/// Bytes mapped by one entry at `level`, which is 1, 2 or 3: 1 GiB, 2 MiB, 4 KiB.
pub const fn level_span(level: u8) -> u64 {
    1 << level_shift(level)
}

/// The index of `input` in a table below the root.
pub(crate) fn index_at<A: Address>(level: u8, input: A) -> usize {
    (input.as_u64() >> level_shift(level)) as usize & (ENTRIES - 1)
}

/// Width of the input address; the walk starts at level 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    input_bits: u32,
}

impl Geometry {
    /// EL2's own stage 1: 39 bits, one root table.
    pub const EL2: Self = Self { input_bits: 39 };

    /// Stage 2 with `ipa_bits`, 31 to 40; see [`crate::choose_ipa_bits`]. Other widths start at another level: `None`.
    pub const fn stage2(ipa_bits: u32) -> Option<Self> {
        match ipa_bits {
            31..=40 => Some(Self { input_bits: ipa_bits }),
            _ => None,
        }
    }

    /// Bits of an input address.
    pub const fn input_bits(self) -> u32 {
        self.input_bits
    }
    /// The first input address that does not exist.
    pub const fn input_end(self) -> u64 {
        1 << self.input_bits
    }
    /// Concatenated 4 KiB root tables: 2 for 40 bits, otherwise 1.
    pub const fn root_tables(self) -> usize {
        if self.input_bits > 39 { 1 << (self.input_bits - 39) } else { 1 }
    }
    /// Bytes of the root, which is aligned to them.
    pub const fn root_bytes(self) -> u64 {
        self.root_tables() as u64 * PAGE_SIZE
    }

    /// The root table that translates `input`, and the index in it. `input` is below [`Geometry::input_end`].
    pub(crate) fn root_slot<A: Address>(self, root: Pa, input: A) -> (Pa, usize) {
        let entry = (input.as_u64() >> level_shift(FIRST_LEVEL)) as usize;
        (Pa::new(root.as_u64() + (entry / ENTRIES) as u64 * PAGE_SIZE), entry % ENTRIES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use addr::Ipa;

    #[test]
    fn forty_bits_use_two_concatenated_root_tables() {
        let geometry = Geometry::stage2(40).unwrap();
        assert_eq!((geometry.root_tables(), geometry.root_bytes()), (2, 8192));
        let root = Pa::new(0x8000);
        assert_eq!(geometry.root_slot(root, Ipa::new(511 << 30)), (Pa::new(0x8000), 511));
        assert_eq!(geometry.root_slot(root, Ipa::new(512 << 30)), (Pa::new(0x9000), 0));
        assert_eq!(geometry.root_slot(root, Ipa::new((1 << 40) - 1)), (Pa::new(0x9000), 511));
    }

    #[test]
    fn narrower_inputs_use_one_root_table() {
        for bits in 31..=39 {
            assert_eq!(Geometry::stage2(bits).unwrap().root_tables(), 1);
        }
        assert_eq!(Geometry::EL2.root_bytes(), 4096);
    }

    #[test]
    fn widths_that_start_at_another_level_are_refused() {
        assert_eq!(Geometry::stage2(30), None);
        assert_eq!(Geometry::stage2(41), None);
    }
}
