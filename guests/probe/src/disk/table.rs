//! What is known of each block of the open disk, in free RAM.

use crate::arch::{get, put};
use crate::reply::{Refusal, Reply};
use blocks::{BYTES, Block, Flaw, WORDS, weight, word};

/// Bytes of an entry.
const ENTRY: u64 = 8;

/// The table.
pub struct Table {
    at: u64,
    count: u64,
}

impl Table {
    /// Bytes of a table of `count` blocks.
    pub fn bytes(count: u64) -> u64 {
        count * ENTRY
    }

    /// A table at this address, which knows nothing yet.
    pub fn unknown(at: u64, count: u64) -> Self {
        let table = Self { at, count };
        (0..count).for_each(|number| table.set(number, Block::UNKNOWN));
        table
    }

    /// How many blocks the disk has.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn of(&self, number: u64) -> Block {
        Block::from_bits(get(self.at + number * ENTRY))
    }

    fn set(&self, number: u64, block: Block) {
        put(self.at + number * ENTRY, block.to_bits());
    }

    /// Puts the next generation of block `number` at `at`, to be written.
    pub fn fill_next(&mut self, number: u64, at: u64) {
        let mut block = self.of(number);
        let generation = block.write();
        self.set(number, block);
        (0..WORDS).for_each(|n| put(at + 8 * n, word(number, generation, n)));
    }

    /// The last write of the block is acknowledged.
    pub fn acknowledge(&mut self, number: u64) {
        let mut block = self.of(number);
        block.acknowledge();
        self.set(number, block);
    }

    /// What was read to `at` must be the block.
    pub fn check(&mut self, number: u64, at: u64) -> Reply {
        let mut block = self.of(number);
        let read = block.read(number, |n| get(at + 8 * n));
        self.set(number, block);
        match read {
            Ok(_) => Ok(()),
            Err(Flaw::Generation(found)) => {
                Err(Refusal::Wrong("lost or late: block, generation", number, found.into()))
            }
            Err(Flaw::Word(n)) => Err(Refusal::Wrong("damaged: block, word", number, n)),
        }
    }

    /// Blocks that were ever written, and the sum of all.
    pub fn summary(&self) -> (u64, u64) {
        let known = (0..self.count).filter_map(|number| Some((number, self.of(number).generation()?)));
        known.fold((0, 0), |(written, sum), (number, generation)| {
            (written + u64::from(generation != 0), sum.wrapping_add(weight(number, generation)))
        })
    }
}

const _: () = assert!(BYTES == 4096, "what `disk` calls a block");
