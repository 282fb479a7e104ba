//! The header (Devicetree Specification v0.4, 5.2) and where the blocks lie.
//!
//! Blocks must not overlap: dropping FDT_NOP tokens moves bytes of the structure block, which must not change what was
//! checked in another. Their order is free.

use crate::Malformed;
use core::ops::Range;

const MAGIC: u32 = 0xd00d_feed;
/// The first version with `size_dt_struct`, which crate `fdt` reads in any.
const VERSION: u32 = 17;
/// Words and bytes of the header.
const WORDS: usize = 10;
const BYTES: usize = 4 * WORDS;
/// The word that is `size_dt_struct`.
const SIZE_DT_STRUCT: usize = 9;

/// The checked header.
pub struct Header {
    /// `totalsize`.
    pub total: usize,
    /// The structure block, whole words.
    pub structure: Range<usize>,
    strings: Range<usize>,
}

impl Header {
    /// Reads the header of the tree that starts `blob`, and checks where the blocks lie.
    pub fn read(blob: &[u8]) -> Result<Self, Malformed> {
        let Some(words) = blob.as_chunks::<4>().0.first_chunk::<WORDS>() else {
            return Err(Malformed::Short(blob.len()));
        };
        let [magic, total, structure, strings, reservations, version, last_compatible, _cpu, strings_size, size] =
            words.map(u32::from_be_bytes);
        if magic != MAGIC {
            return Err(Malformed::Magic(magic));
        }
        if version < VERSION || last_compatible > VERSION {
            return Err(Malformed::Version { version, last_compatible });
        }
        let total = total as usize;
        let tree = blob.get(..total).filter(|_| total >= BYTES).ok_or(Malformed::Size(total))?;

        let block = |block, offset, size, aligned: bool| {
            let start = offset as usize;
            let end = start.checked_add(size as usize).filter(|&end| aligned && start >= BYTES && end <= total);
            end.map(|end| start..end).ok_or(Malformed::Block { block, offset, size })
        };
        let structure = block("structure", structure, size, structure % 4 == 0 && size % 4 == 0)?;
        let strings = block("strings", strings, strings_size, true)?;
        let reservations = block("memory reservation", reservations, 0, reservations % 8 == 0)?.start;
        let entries = tree.get(reservations..).map_or(&[][..], |rest| rest.as_chunks::<16>().0);
        let last = entries.iter().position(|entry| *entry == [0; 16]).ok_or(Malformed::Reservations)?;
        let reservations = reservations..reservations + 16 * (last + 1);

        for (one, other, names) in [
            (&reservations, &structure, ("memory reservation", "structure")),
            (&structure, &strings, ("structure", "strings")),
            (&reservations, &strings, ("memory reservation", "strings")),
        ] {
            if one.start < other.end && other.start < one.end {
                return Err(Malformed::Overlap(names.0, names.1));
            }
        }
        Ok(Self { total, structure, strings })
    }

    /// The strings block: ASCII, and empty or ending with NUL, so every offset inside it starts a valid string.
    pub fn strings<'a>(&self, blob: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let strings = blob.get(self.strings.clone()).ok_or(Malformed::Strings)?;
        if !strings.is_ascii() || strings.last().is_some_and(|&last| last != 0) {
            return Err(Malformed::Strings);
        }
        Ok(strings)
    }
}

/// Writes `size_dt_struct`.
pub fn set_structure_size(blob: &mut [u8], size: u32) {
    if let Some(word) = blob.as_chunks_mut::<4>().0.get_mut(SIZE_DT_STRUCT) {
        *word = size.to_be_bytes();
    }
}
