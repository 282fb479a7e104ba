//! A disk under test: what each of its blocks must hold, and random requests for it.
//!
//! A block holds a pattern made of its number and of its generation, which each write
//! raises. Guests that read and write know it, and so does the harness that looks at the image.
//!
//! A write that was acknowledged may never be missing. One whose outcome nobody saw (its device was reset meanwhile) may
//! be there or not: until the block is read, several generations are possible.
#![no_std]
#![forbid(unsafe_code)]

mod random;
mod workload;

pub use random::Random;
pub use workload::{Kind, Request, Workload};

/// Bytes of a block.
pub const BYTES: u64 = 4096;
/// Words of a block.
pub const WORDS: u64 = BYTES / 8;
/// In the first word, with the block's number.
const MAGIC: u64 = 0x626c_6f63_0000_0000;

/// What is known of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The oldest generation that may be on the disk; [`Self::UNKNOWN`] has none.
    certain: u32,
    /// The generation that was last tried to write.
    tried: u32,
}

/// Why a block is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is whole, but of a generation that cannot be there: a write was lost, or came late.
    Generation(u32),
    /// The word in this place does not fit the block and its generation.
    Word(u64),
}

impl Block {
    /// A block that may hold any generation.
    pub const UNKNOWN: Self = Self { certain: u32::MAX, tried: u32::MAX };

    /// As one number, for tables in bare memory.
    pub const fn to_bits(self) -> u64 {
        (self.tried as u64) << 32 | self.certain as u64
    }

    /// The reverse of [`Self::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        Self { certain: bits as u32, tried: (bits >> 32) as u32 }
    }

    /// The generation of the write that begins now.
    pub fn write(&mut self) -> u32 {
        self.tried = if self.tried == u32::MAX { 1 } else { self.tried + 1 };
        self.tried
    }

    /// The last write is acknowledged.
    pub fn acknowledge(&mut self) {
        self.certain = self.tried;
    }

    /// What was read must be block `number` in a possible generation, which is certain from here on. Returns it.
    ///
    /// # Errors
    /// It is not.
    pub fn read(&mut self, number: u64, words: impl Fn(u64) -> u64) -> Result<u32, Flaw> {
        let generation = identify(number, words)?;
        let is_known = self.certain != u32::MAX;
        if is_known && !(self.certain..=self.tried).contains(&generation) {
            return Err(Flaw::Generation(generation));
        }
        self.certain = generation;
        if self.tried == u32::MAX {
            self.tried = generation;
        }
        Ok(generation)
    }

    /// The generation, if it is certain.
    pub fn generation(self) -> Option<u32> {
        (self.certain != u32::MAX).then_some(self.certain)
    }
}

/// The generation of what should be block `number`.
///
/// # Errors
/// A word does not fit.
pub fn identify(number: u64, words: impl Fn(u64) -> u64) -> Result<u32, Flaw> {
    let generation = words(1) as u32;
    match (0..WORDS).find(|&n| words(n) != word(number, generation, n)) {
        Some(n) => Err(Flaw::Word(n)),
        None => Ok(generation),
    }
}

/// Word `n` of a block; one that was never written is zeros.
pub const fn word(number: u64, generation: u32, n: u64) -> u64 {
    match (generation, n) {
        (0, _) => 0,
        (_, 0) => MAGIC | number,
        (_, 1) => generation as u64,
        _ => (number << 32 | generation as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(n as u32) ^ n,
    }
}

/// What a block adds to the sum by which two who know a disk's blocks compare.
pub const fn weight(number: u64, generation: u32) -> u64 {
    (number + 1).wrapping_mul(generation as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_disk(number: u64, generation: u32) -> impl Fn(u64) -> u64 {
        move |n| word(number, generation, n)
    }

    #[test]
    fn a_lost_write_is_found() {
        let mut block = Block::UNKNOWN;
        assert_eq!(block.read(7, on_disk(7, 0)), Ok(0));
        let generation = block.write();
        block.acknowledge();
        assert_eq!(block.read(7, on_disk(7, generation)), Ok(1));
        assert_eq!(block.read(7, on_disk(7, 0)), Err(Flaw::Generation(0)));
    }

    #[test]
    fn a_write_that_was_cut_off_may_be_there_or_not_but_not_change_its_mind() {
        let mut block = Block::UNKNOWN;
        block.read(0, on_disk(0, 4)).unwrap();
        assert_eq!((block.write(), block.write()), (5, 6));
        for generation in [4, 5, 6] {
            assert_eq!({ block }.read(0, on_disk(0, generation)), Ok(generation));
        }
        assert_eq!(block.read(0, on_disk(0, 6)), Ok(6));
        assert_eq!(block.read(0, on_disk(0, 5)), Err(Flaw::Generation(5)));
        // No generation is written twice, or a late write could not be told from a new one.
        assert_eq!(block.write(), 7);
    }

    #[test]
    fn another_block_and_a_torn_one_are_found() {
        let mut block = Block::UNKNOWN;
        assert_eq!(block.read(1, on_disk(2, 3)), Err(Flaw::Word(0)));
        let torn = |n| word(1, if n < 64 { 3 } else { 2 }, n);
        assert_eq!(block.read(1, torn), Err(Flaw::Word(64)));
        assert_eq!(block.generation(), None);
    }

    #[test]
    fn bits_hold_all_of_it() {
        let mut block = Block::UNKNOWN;
        assert_eq!(Block::from_bits(block.to_bits()), block);
        block.write();
        assert_eq!(Block::from_bits(block.to_bits()), block);
    }
}
