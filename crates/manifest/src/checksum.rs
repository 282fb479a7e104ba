//! The checksum of a payload: computed by the host tool, and again by EL2 while it copies the payload.
//!
//! A payload is summed as it lies in RAM, in lines of [`LINE`] bytes, what it leaves free of its first and last
//! line being zero. It falls into pieces at multiples of 2 MiB, since cores share a copy by such blocks, and the sums of
//! the pieces add up in any order. A piece's sum begins with its place and the payload's size, so that a piece in
//! another's place, or zeros in its end, are found.
//!
//! Within a piece the sum is Horner's rule in four lanes of 32 bits, `sum * MULTIPLIER + word`: one instruction for 16
//! bytes on a core with Advanced SIMD. Multiplication modulo 2^32 never brings a high bit down, so two changes of a top
//! bit would cancel whatever lies between; turning the bytes of each lane around behind each line mixes them. Every step
//! can be undone, so a piece in which a single word changed always has another sum, and other accidents go unseen once in
//! 2^32 for each lane that they touch. Against those who choose their bytes no sum
//! without a key protects; this one does not try.

use addr::{BLOCK_2M, Pa};

/// A checksum: four lanes, each of every fourth word.
pub type Checksum = [u32; 4];

/// Bytes of a line.
pub const LINE: usize = 64;

/// Odd, so that multiplying can be undone; good bits from Steele and Vigna, "Computationally Easy, Spectrally Good
/// Multipliers", as in the `rustc-hash` crate.
pub const MULTIPLIER: u32 = 0x93d7_65dd;

/// The sum of a piece before its first line. The piece begins `from` bytes into a payload of `size` bytes.
pub const fn start(from: u64, size: u64) -> Checksum {
    [from as u32, (from >> 32) as u32, size as u32, (size >> 32) as u32]
}

/// The sum `sum`, and one more line.
pub fn add_line(mut sum: Checksum, line: &[u8; LINE]) -> Checksum {
    for vector in line.as_chunks::<16>().0 {
        for (lane, word) in sum.iter_mut().zip(vector.as_chunks().0) {
            *lane = lane.wrapping_mul(MULTIPLIER).wrapping_add(u32::from_le_bytes(*word));
        }
    }
    sum.map(u32::swap_bytes)
}

/// The checksum of a payload that is to lie at `pa`.
pub fn of(pa: Pa, bytes: &[u8]) -> Checksum {
    let mut all = [0; 4];
    let mut from = 0;
    while from < bytes.len() {
        let at = pa.as_u64().wrapping_add(from as u64);
        let room = BLOCK_2M - at % BLOCK_2M;
        let piece = &bytes[from..bytes.len().min(from.saturating_add(room as usize))];
        let sum = add_piece(start(from as u64, bytes.len() as u64), at as usize % LINE, piece);
        all = join(all, sum);
        from += piece.len();
    }
    all
}

/// The sum of two parts, neither of which needs to be the first.
pub fn join(a: Checksum, b: Checksum) -> Checksum {
    [0, 1, 2, 3].map(|lane: usize| a[lane].wrapping_add(b[lane]))
}

/// The sum `sum`, and the lines that `bytes` touch, which begin `skipped` bytes into the first of them.
pub fn add_piece(mut sum: Checksum, skipped: usize, mut bytes: &[u8]) -> Checksum {
    let mut at = skipped % LINE;
    while !bytes.is_empty() {
        let (here, rest) = bytes.split_at(bytes.len().min(LINE - at));
        let mut line = [0; LINE];
        line[at..at + here.len()].copy_from_slice(here);
        sum = add_line(sum, &line);
        (at, bytes) = (0, rest);
    }
    sum
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const AT: Pa = Pa::new(0x4000_0000);

    fn noise(bytes: usize) -> Vec<u8> {
        (0..bytes as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
    }

    #[test]
    fn a_line_is_four_steps_of_horners_rule_and_a_turn() {
        let mut line = [0; LINE];
        (line[0], line[17], line[63]) = (3, 5, 7);
        let step = |sum: u32, word: u32| sum.wrapping_mul(MULTIPLIER).wrapping_add(word);
        let first = step(step(step(step(1, 3), 5 << 8), 0), 0).swap_bytes();
        let last = step(step(step(step(4, 0), 0), 0), 7 << 24).swap_bytes();
        let of_zeros = |sum| step(step(step(step(sum, 0), 0), 0), 0).swap_bytes();
        assert_eq!(add_line([1, 2, 3, 4], &line), [first, of_zeros(2), of_zeros(3), last]);
    }

    /// As EL2 does: blocks in any order, a piece's whole lines apart from the rest.
    #[test]
    fn pieces_in_any_order_give_the_whole() {
        let bytes = noise(3 * BLOCK_2M as usize + 1000);
        for at in [AT.as_u64(), AT.as_u64() + 4096, AT.as_u64() - 17] {
            let to_block = (at.wrapping_neg() % BLOCK_2M) as usize;
            let mut cuts: Vec<usize> = (0..4).map(|n| to_block + n * BLOCK_2M as usize).collect();
            cuts.insert(0, 0);
            cuts.retain(|cut| *cut < bytes.len());
            cuts.push(bytes.len());
            cuts.dedup();
            let mut whole = [0; 4];
            for ends in cuts.windows(2).rev() {
                let (from, piece) = (ends[0], &bytes[ends[0]..ends[1]]);
                let skipped = (at + from as u64) as usize % LINE;
                let (head, rest) = piece.split_at(skipped.wrapping_neg() % LINE);
                let (lines, tail) = rest.split_at(rest.len() / LINE * LINE);
                let mut sum = add_piece(start(from as u64, bytes.len() as u64), skipped, head);
                sum = lines.as_chunks().0.iter().fold(sum, add_line);
                whole = join(whole, add_piece(sum, 0, tail));
            }
            assert_eq!(of(Pa::new(at), &bytes), whole, "at {at:#x}");
        }
    }

    #[test]
    fn blocks_that_changed_places_are_found() {
        let bytes = noise(2 * BLOCK_2M as usize);
        let (first, second) = bytes.split_at(BLOCK_2M as usize);
        assert_ne!(of(AT, &bytes), of(AT, &[second, first].concat()));
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_found(
            bytes in proptest::collection::vec(any::<u8>(), 1..700),
            place: prop::sample::Index,
            change in 1..=u8::MAX,
            skipped in 0..4096_u64,
        ) {
            let at = Pa::new(AT.as_u64() - skipped);
            let mut changed = bytes.clone();
            changed[place.index(bytes.len())] ^= change;
            prop_assert_ne!(of(at, &bytes), of(at, &changed));
        }

        /// Of all bits, the top one of a word is the one that multiplication leaves where it is.
        #[test]
        fn a_wire_that_fails_is_found(lines in 2..40_usize, bit in 0..64_u32, first: prop::sample::Index, second: prop::sample::Index) {
            let bytes = noise(lines * LINE);
            let (first, second) = (first.index(lines), second.index(lines));
            prop_assume!(first != second);
            let mut changed = bytes.clone();
            for line in [first, second] {
                changed[line * LINE + (bit / 8) as usize] ^= 1 << (bit % 8);
            }
            prop_assert_ne!(of(AT, &bytes), of(AT, &changed));
        }

        #[test]
        fn zeros_at_the_end_count(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), more in 1..200_usize) {
            let before = of(AT, &bytes);
            bytes.resize(bytes.len() + more, 0);
            prop_assert_ne!(before, of(AT, &bytes));
        }
    }
}
