//! What each block of a disk holds: a pattern made of its number and its generation, which each write raises.
//!
//! The harness knows the pattern too (tests/src/blocks.rs) and looks at the image.

use crate::arch::{get, put};
use crate::reply::{Refusal, Reply};

/// Bytes of a block.
pub const BLOCK: u64 = 4096;
/// Words of a block.
const WORDS: u64 = BLOCK / 8;
/// In the first word, with the block's number.
const MAGIC: u64 = 0x626c_6f63_0000_0000;
/// Generation of a block of which nothing is known.
const UNKNOWN: u32 = u32::MAX;
/// Bytes of a block's entry: the generation that is certain, and the one that was last written.
const ENTRY: u64 = 8;

/// The table.
pub struct Blocks {
    table: u64,
    count: u64,
}

impl Blocks {
    /// Bytes of the table.
    pub fn bytes(count: u64) -> u64 {
        count * ENTRY
    }

    /// A table at this address in free RAM, which knows nothing yet.
    pub fn unknown(table: u64, count: u64) -> Self {
        let blocks = Self { table, count };
        (0..count).for_each(|block| blocks.set(block, UNKNOWN, UNKNOWN));
        blocks
    }

    /// How many blocks the disk has.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn entry(&self, block: u64) -> (u32, u32) {
        let at = self.table + block * ENTRY;
        (get(at), get(at + 4))
    }

    fn set(&self, block: u64, certain: u32, written: u32) {
        let at = self.table + block * ENTRY;
        put(at, certain);
        put(at + 4, written);
    }

    /// Puts the block's next generation at `at`, to be written.
    pub fn fill_next(&mut self, block: u64, at: u64) {
        let (certain, written) = self.entry(block);
        let next = if written == UNKNOWN { 1 } else { written + 1 };
        self.set(block, certain, next);
        for n in 0..WORDS {
            put(at + 8 * n, word(block, next, n));
        }
    }

    /// The last generation is on the disk.
    pub fn acknowledge(&mut self, block: u64) {
        let (_, written) = self.entry(block);
        self.set(block, written, written);
    }

    /// What was read to `at` must be the block: of the certain generation, or of a later one whose write was cut off.
    pub fn check(&mut self, block: u64, at: u64) -> Reply {
        let (certain, written) = self.entry(block);
        let generation = get::<u64>(at + 8) as u32;
        let is_possible = certain == UNKNOWN || (certain..=written).contains(&generation);
        if !is_possible {
            return Err(Refusal::Wrong("lost or foreign: block, generation", block, generation.into()));
        }
        for n in 0..WORDS {
            if get::<u64>(at + 8 * n) != word(block, generation, n) {
                return Err(Refusal::Wrong("damaged: block, word", block, n));
            }
        }
        // A later write goes on from what was last tried, so that no generation is ever written twice.
        self.set(block, generation, if written == UNKNOWN { generation } else { written });
        Ok(())
    }

    /// Blocks that were ever written.
    pub fn written(&self) -> u64 {
        (0..self.count).filter(|&block| self.entry(block).0 != 0).count() as u64
    }

    /// A sum over all blocks and their generations.
    pub fn sum(&self) -> u64 {
        (0..self.count).fold(0_u64, |sum, block| sum.wrapping_add((block + 1).wrapping_mul(self.entry(block).0.into())))
    }
}

/// Word `n` of a block; a block that was never written is zeros.
fn word(block: u64, generation: u32, n: u64) -> u64 {
    match (generation, n) {
        (0, _) => 0,
        (_, 0) => MAGIC | block,
        (_, 1) => generation.into(),
        _ => (block << 32 | u64::from(generation)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(n as u32) ^ n,
    }
}
