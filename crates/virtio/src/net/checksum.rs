//! The Internet checksum (RFC 1071): the one's complement of a one's complement sum of 16-bit words.
//!
//! The sum does not depend on the order of the bytes in a word, as long as it is the same for all, nor on how many words
//! are added at a time; so it is made of little-endian words of eight bytes, and turned around at the end.

use super::Partial;

/// A sum of whole 16-bit words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Of bytes in the order of the network. An odd last byte counts as a word with a zero behind it.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        // Only aligned words are loaded as such on a target without unaligned accesses.
        let (before, words, behind) = bytemuck::pod_align_to::<u8, u64>(bytes);
        let (blocks, rest) = words.as_chunks::<4>();
        // The carries gather in the upper half: as many as there are words, at most.
        let mut sum = u128::from(few(behind));
        for block in blocks {
            block.iter().for_each(|word| sum += u128::from(word.to_le()));
        }
        rest.iter().for_each(|word| sum += u128::from(word.to_le()));
        // Behind an odd number of bytes each byte is the other half of its word.
        let rest = fold(sum).rotate_left(8 * (before.len() as u32 % 2));
        Self(fold(u128::from(few(before)) + u128::from(rest)))
    }

    /// Of one word.
    pub fn word(word: u16) -> Self {
        Self(u64::from(word.to_be()).to_le())
    }

    /// Together with the sum of what stands behind it. Only what stands last may have an odd number of bytes.
    #[inline]
    pub fn and(self, other: Self) -> Self {
        Self(fold(u128::from(self.0) + u128::from(other.0)))
    }

    /// The checksum, as it is written in the order of the network.
    #[inline]
    pub fn checksum(self) -> [u8; 2] {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        (!(sum as u16)).to_le_bytes()
    }
}

/// Fewer than eight bytes as a word.
#[inline]
fn few(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Adds the carries of a sum to it.
#[inline]
fn fold(sum: u128) -> u64 {
    let (low, carry) = (sum as u64).overflowing_add((sum >> 64) as u64);
    low.wrapping_add(u64::from(carry))
}

/// Finishes the checksum of a whole frame. One that comes out as 0 is written as its other form, as UDP demands.
///
/// A frame that is shorter than the one that `partial` was checked against may stay as it is.
pub fn finish(frame: &mut [u8], partial: Partial) {
    let start = usize::from(partial.start);
    let Some(summed) = frame.get(start..) else { return };
    let checksum = match Sum::of(summed).checksum() {
        [0, 0] => [0xff, 0xff],
        other => other,
    };
    let at = start + usize::from(partial.offset);
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&checksum);
    }
}
