//! Where partitions and EL2's pool lie in the board's RAM.
//!
//! Partitions go from the top downwards, EL2's pool below them, so that what is free stays in one piece at the bottom,
//! where firmware has its own ideas.
//! Bases are multiples of 2 MiB, and of 1 GiB where a partition is that large: stage 2 then maps blocks.

use addr::{Address, BLOCK_1G, BLOCK_2M, Pa, Region, align_up};
use manifest::Board;

/// Room behind the bundle: firmware that finds the bundle in its tree's usual place puts the tree there.
const FIRMWARE_TREE: u64 = BLOCK_2M;

/// RAM that nobody has yet, in ascending order.
#[derive(Clone, Debug)]
pub struct Space {
    free: Vec<Region<Pa>>,
}

impl Space {
    /// The board's RAM without what the board keeps and without a bundle of up to `bundle_size` bytes.
    pub fn of(board: &Board, machine: manifest::Machine, bundle_size: u64) -> Self {
        let mut space = Self { free: board.ram_banks(machine).collect() };
        for reserved in board.reserved {
            space.remove(reserved.start, reserved.size);
        }
        let end = board.load_address.as_u64().saturating_add(bundle_size);
        let room = align_up(end, BLOCK_2M).unwrap_or(end).saturating_add(FIRMWARE_TREE);
        space.remove(board.load_address, room.saturating_sub(board.load_address.as_u64()));
        space
    }

    fn remove(&mut self, start: Pa, size: u64) {
        if let Some(region) = Region::new(start, size) {
            self.take(&region);
        }
    }

    /// Takes `taken` out, as far as it is free.
    pub fn take(&mut self, taken: &Region<Pa>) {
        let cut = |free: Region<Pa>| {
            let below = taken.start().offset_from(free.start()).and_then(|size| Region::new(free.start(), size));
            let above = free.end().offset_from(taken.end()).and_then(|size| Region::new(taken.end(), size));
            if free.overlaps(taken) { [below, above] } else { [Some(free), None] }
        };
        self.free = self.free.drain(..).flat_map(cut).flatten().collect();
    }

    /// Takes the highest run of `size` bytes: on a 1 GiB boundary if it has one, on a 2 MiB boundary otherwise.
    pub fn take_highest(&mut self, size: u64) -> Option<Region<Pa>> {
        let large = (size >= BLOCK_1G).then(|| self.highest(size, BLOCK_1G)).flatten();
        let region = large.or_else(|| self.highest(size, BLOCK_2M))?;
        self.take(&region);
        Some(region)
    }

    /// Takes the highest run of `size` bytes, on a 2 MiB boundary, that ends at `end` or below.
    pub fn take_highest_below(&mut self, size: u64, end: Pa) -> Option<Region<Pa>> {
        let below = |free: &Region<Pa>| {
            let most = end.offset_from(free.start())?.min(free.size());
            highest_in(&Region::new(free.start(), most)?, size, BLOCK_2M)
        };
        let region = self.free.iter().rev().find_map(below)?;
        self.take(&region);
        Some(region)
    }

    fn highest(&self, size: u64, align: u64) -> Option<Region<Pa>> {
        self.free.iter().rev().find_map(|free| highest_in(free, size, align))
    }

    /// Bytes of the largest run that a partition could get.
    pub fn largest(&self) -> u64 {
        let usable = |free: &Region<Pa>| {
            let start = align_up(free.start().as_u64(), BLOCK_2M).unwrap_or(u64::MAX);
            free.end().as_u64().saturating_sub(start)
        };
        self.free.iter().map(usable).max().unwrap_or(0)
    }
}

/// The highest run of `size` bytes in `free`.
fn highest_in(free: &Region<Pa>, size: u64, align: u64) -> Option<Region<Pa>> {
    let start = Pa::new(free.end().as_u64().checked_sub(size)?).align_down(align);
    Region::new(start, size).filter(|region| free.covers(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, size: u64) -> Region<Pa> {
        Region::new(Pa::new(start), size).unwrap()
    }

    fn space(free: &[(u64, u64)]) -> Space {
        Space { free: free.iter().map(|&(start, size)| region(start, size)).collect() }
    }

    #[test]
    fn partitions_come_from_the_top_on_2m_boundaries() {
        let mut space = space(&[(0x4000_0000, 1 << 30)]);
        assert_eq!(space.take_highest(512 << 20), Some(region(0x6000_0000, 512 << 20)));
        assert_eq!(space.take_highest(5 << 20), Some(region(0x5fa0_0000, 5 << 20)));
        assert_eq!(space.largest(), 0x5fa0_0000 - 0x4000_0000);
    }

    #[test]
    fn a_gibibyte_gets_its_boundary_where_there_is_one() {
        let mut space = space(&[(0x4000_0000, 0x9000_0000)]);
        assert_eq!(space.take_highest(BLOCK_1G), Some(region(0x8000_0000, BLOCK_1G)));
        assert_eq!(space.clone().take_highest(BLOCK_1G), Some(region(0x4000_0000, BLOCK_1G)));
        space.take(&region(0x4000_0000, BLOCK_2M));
        assert_eq!(space.take_highest(BLOCK_1G), None);
    }

    #[test]
    fn what_firmware_must_reach_lies_below_an_end() {
        let banks = [(0, 0x3b40_0000), (0x4000_0000, 0x4000_0000)];
        let end = Pa::new(0x4000_0000);
        assert_eq!(space(&banks).take_highest_below(32 << 20, end), Some(region(0x3940_0000, 32 << 20)));
        assert_eq!(space(&banks[1..]).take_highest_below(32 << 20, end), None);
        assert_eq!(space(&[(0, 1 << 31)]).take_highest_below(32 << 20, end), Some(region(0x3e00_0000, 32 << 20)));
    }

    #[test]
    fn what_is_taken_leaves_both_sides_free() {
        let mut space = space(&[(0x1000_0000, 0x1000_0000)]);
        space.take(&region(0x1800_0000, 0x10_0000));
        assert_eq!(space.free, [region(0x1000_0000, 0x0800_0000), region(0x1810_0000, 0x07f0_0000)]);
        space.take(&region(0, 0x4000_0000));
        assert_eq!(space.free, []);
    }

    #[test]
    fn the_boards_own_ranges_are_not_free() {
        let board = &platform_qemu_virt::BOARD;
        let space = Space::of(board, board.default_machine(), 130 << 20);
        for reserved in board.reserved {
            assert!(!space.free.iter().any(|free| free.contains(reserved.start)));
        }
        // The bundle covers the tree's usual place, so the tree comes behind it.
        assert!(!space.free.iter().any(|free| free.contains(Pa::new(0x4840_0000))));
    }
}
