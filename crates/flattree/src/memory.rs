//! RAM as the tree tells of it (Devicetree Specification v0.4: `/memory` 3.4, `/reserved-memory` 3.5, the memory
//! reservation block 5.3).
//!
//! What is kept by a node without `reg` has no place yet: the operating system is to choose one, so it is nobody's.

use addr::{Pa, Region};
use fdt::node::FdtNode;
use heapless::Vec;

/// Most banks that are told apart; those behind them are no RAM.
const MAX_RAM: usize = 16;
/// Most ranges that may be taken.
const MAX_TAKEN: usize = 32;

/// RAM, and what of it is taken.
#[derive(Debug, Default)]
pub struct Memory {
    /// Banks in the tree's order; neighbours are one.
    pub ram: Vec<Region<Pa>, MAX_RAM>,
    /// What is taken, by what. Of more ranges than there is room for, the last is all there is: nothing is free then.
    pub taken: Vec<(&'static str, Region<Pa>), MAX_TAKEN>,
}

impl Memory {
    /// Notes the banks of a `/memory` node. A size beyond 4 GiB does not fit the one cell that some trees have for it:
    /// they tell of a larger bank in pieces.
    pub fn note_ram(&mut self, node: FdtNode<'_, '_>) {
        ranges(node, &mut |region| match self.ram.last_mut() {
            Some(last) if last.end() == region.start() => {
                *last = Region::new(last.start(), last.size().saturating_add(region.size())).unwrap_or(*last);
            }
            _ => {
                // Without room it is no RAM.
                let _ = self.ram.push(region);
            }
        });
    }

    /// Notes what a child of `/reserved-memory` keeps.
    pub fn note_kept(&mut self, child: FdtNode<'_, '_>) {
        ranges(child, &mut |region| self.take(KEPT, region));
    }

    /// Notes what the reservation block of the tree that starts `blob` keeps.
    pub fn note_reservations(&mut self, blob: &[u8]) {
        let word = blob.get(RESERVATIONS..RESERVATIONS + 4).and_then(|word| word.try_into().ok());
        let start = word.map_or(0, u32::from_be_bytes) as usize;
        for entry in blob.get(start..).unwrap_or_default().as_chunks::<16>().0 {
            let entry = u128::from_be_bytes(*entry);
            if entry == 0 {
                break;
            }
            if let Some(region) = Region::new(Pa::new((entry >> 64) as u64), entry as u64) {
                self.take(KEPT, region);
            }
        }
    }

    /// Notes that `region` is taken by `what`.
    #[inline(never)]
    pub fn take(&mut self, what: &'static str, region: Region<Pa>) {
        if self.taken.push((what, region)).is_err()
            && let (Some((_, last)), Some(all)) = (self.taken.last_mut(), Region::new(Pa::new(0), u64::MAX))
        {
            *last = all;
        }
    }
}

/// Where the header has the offset of the reservation block.
const RESERVATIONS: usize = 16;
/// What takes memory that the firmware keeps, for messages.
const KEPT: &str = "what it keeps";

/// The first range in a node's `reg` that is not empty.
pub fn first_range(node: FdtNode<'_, '_>) -> Option<Region<Pa>> {
    let mut first = None;
    ranges(node, &mut |region| first = first.or(Some(region)));
    first
}

/// Tells of each range in a node's `reg`, without what is empty or ends above 64 bits.
#[inline(never)]
fn ranges(node: FdtNode<'_, '_>, note: &mut dyn FnMut(Region<Pa>)) {
    let Some(reg) = node.reg() else { return };
    for range in reg {
        if let Some(region) = Region::new(Pa::new(range.starting_address as u64), range.size.unwrap_or(0) as u64) {
            note(region);
        }
    }
}
