//! [`Banks`]: where a partition's RAM really is, for who reads and writes it, and for devices that do it alone.

use crate::{Data, Outside, Segment};
use addr::{Address, Ipa, Pa, Region};
use core::iter::Peekable;

/// Most runs of RAM of a partition.
pub const MAX_BANKS: usize = 2;

/// The RAM of one partition: runs of guest-physical addresses, and the physical ones behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Banks {
    banks: [Option<(Ipa, Region<Pa>)>; MAX_BANKS],
}

/// Data where a device finds it: [`Segment`]s in physical addresses, where one follows the other as one.
#[derive(Clone, Debug)]
pub struct PhysicalPieces<'b, P: Iterator<Item = Segment>> {
    banks: &'b Banks,
    pieces: Peekable<P>,
}

/// A run of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhysicalPiece {
    /// Its first byte.
    pub at: Pa,
    /// How many; never 0.
    pub bytes: u32,
}

impl Banks {
    /// RAM of these runs; more than [`MAX_BANKS`] there are not.
    pub fn new(runs: impl IntoIterator<Item = (Ipa, Region<Pa>)>) -> Self {
        let mut banks = Self::default();
        banks.banks.iter_mut().zip(runs).for_each(|(place, run)| *place = Some(run));
        banks
    }

    /// Where a range is that lies in one bank.
    #[inline]
    pub fn locate(&self, at: Ipa, bytes: u64) -> Result<Pa, Outside> {
        for (ipa, pa) in self.banks.iter().flatten() {
            if let Some(offset) = at.offset_from(*ipa)
                && offset <= pa.size()
                && bytes <= pa.size() - offset
                && let Some(found) = pa.start().checked_add(offset)
            {
                return Ok(found);
            }
        }
        Err(Outside { at, bytes })
    }

    /// The pieces of a request's data as a device takes them. What is not RAM ends them; a [`crate::Chain`] has none.
    pub fn pieces<'c>(&self, data: Data<'c>) -> PhysicalPieces<'_, crate::Pieces<'c>> {
        PhysicalPieces { banks: self, pieces: data.pieces().peekable() }
    }
}

impl<P: Iterator<Item = Segment>> Iterator for PhysicalPieces<'_, P> {
    type Item = PhysicalPiece;

    fn next(&mut self) -> Option<PhysicalPiece> {
        let Segment { at, mut bytes } = self.pieces.next()?;
        let found = self.banks.locate(at, bytes.into()).ok()?;
        while let Some(next) = self.pieces.peek()
            && at.checked_add(bytes.into()) == Some(next.at)
            && let Some(sum) = bytes.checked_add(next.bytes)
            && self.banks.locate(at, sum.into()).is_ok()
        {
            bytes = sum;
            self.pieces.next();
        }
        Some(PhysicalPiece { at: found, bytes })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn banks() -> Banks {
        let run = |ipa, pa, size| (Ipa::new(ipa), Region::new(Pa::new(pa), size).unwrap());
        Banks::new([run(0x4000_0000, 0x9000_0000, 0x1000), run(0x8000_0000, 0x5000_0000, 0x2000)])
    }

    fn found(at: u64, bytes: u64) -> Option<u64> {
        banks().locate(Ipa::new(at), bytes).ok().map(|pa| pa.as_u64())
    }

    #[test]
    fn a_range_in_one_bank_is_found() {
        assert_eq!(found(0x4000_0000, 0x1000), Some(0x9000_0000));
        assert_eq!(found(0x4000_0fff, 1), Some(0x9000_0fff));
        assert_eq!(found(0x8000_1000, 0x1000), Some(0x5000_1000));
    }

    #[test]
    fn a_range_that_leaves_its_bank_is_refused() {
        for (at, bytes) in [
            (0x4000_0000, 0x1001),
            (0x4000_0fff, 2),
            (0x4000_1000, 1),
            (0x3fff_ffff, 2),
            (0x4000_0000, u64::MAX),
            (u64::MAX, 2),
            (0x8000_2000, 1),
            (0, 1),
        ] {
            let outside = Outside { at: Ipa::new(at), bytes };
            assert_eq!(banks().locate(Ipa::new(at), bytes), Err(outside));
        }
    }

    fn pieces(segments: &[(u64, u32)]) -> Vec<(u64, u32)> {
        let segments: Vec<_> =
            segments.iter().map(|(at, bytes)| Segment { at: Ipa::new(*at), bytes: *bytes }).collect();
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        let banks = banks();
        banks.pieces(Data::new(&segments, 0, bytes)).map(|piece| (piece.at.as_u64(), piece.bytes)).collect()
    }

    #[test]
    fn neighbours_become_one_piece() {
        let segments = [(0x4000_0000, 0x200), (0x4000_0200, 0x200), (0x4000_0800, 0x100), (0x8000_0000, 0x1000)];
        assert_eq!(pieces(&segments), [(0x9000_0000, 0x400), (0x9000_0800, 0x100), (0x5000_0000, 0x1000)]);
        assert_eq!(pieces(&[(0x4000_0200, 8), (0x4000_0000, 8)]), [(0x9000_0200, 8), (0x9000_0000, 8)]);
    }

    #[test]
    fn a_piece_outside_ends_them() {
        assert_eq!(pieces(&[(0x4000_0000, 8), (0x4000_1000, 8), (0x8000_0000, 8)]), [(0x9000_0000, 8)]);
    }
}
