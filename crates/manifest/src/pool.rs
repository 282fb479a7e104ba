//! How much memory EL2 needs beside its image.
//!
//! One place, so that the tool which sets the pool aside and the validator which checks it cannot disagree.
//! It does not say what the pool is used for: that is EL2's business, and it reports when the pool runs out.

use addr::BLOCK_2M;

/// Per core: its block, stack and the flight of tables that map them.
const PER_CORE: u64 = 64 << 10;
/// Per partition: stage-2 tables (two root pages, a level-2 table per GiB, level-3 tables at the edges), state, rings.
const PER_PARTITION: u64 = 128 << 10;
/// A level-2 table for each GiB of RAM: a large partition that shares no 1 GiB block boundary with its RAM.
const PER_GIB: u64 = 4 << 10;
/// What every system needs.
const BASE: u64 = 256 << 10;

/// Bytes of EL2's frame pool for a machine of `cores` and `memory` bytes with `partitions`: whole 2 MiB blocks.
pub const fn pool_size(cores: u16, partitions: usize, memory: u64) -> u64 {
    let bytes = BASE + cores as u64 * PER_CORE + partitions as u64 * PER_PARTITION + (memory >> 30) * PER_GIB;
    bytes.div_ceil(BLOCK_2M) * BLOCK_2M
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_needs_one_block_and_the_largest_machine_stays_small() {
        assert_eq!(pool_size(4, 2, 2 << 30), BLOCK_2M);
        assert!(pool_size(64, 16, 1 << 40) <= 16 << 20);
    }
}
