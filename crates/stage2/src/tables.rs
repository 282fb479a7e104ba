//! Map, unmap and walk.
//!
//! Every loop is bounded by the three levels of a walk or by the pages of the range; there is no recursion.

use crate::geometry::{ENTRIES, FIRST_LEVEL, LAST_LEVEL, OUTPUT_BITS, index_at, level_span};
use crate::{Attributes, Geometry, MapError, UnmapError};
use addr::{Address, PAGE_SIZE, Pa, Region};

const VALID: u64 = 1;
/// Bits 1:0 of a table descriptor, and of a page descriptor at level 3.
const TABLE_OR_PAGE: u64 = 0b11;
const BLOCK: u64 = 0b01;
/// Bits 47:12: the next table or the output address.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Where tables live. A table is 512 entries in one 4 KiB page; a concatenated root is several such pages in a row.
pub trait TableMemory {
    /// A new table, zeroed, and seen as zeroed by the hardware's walker before this returns. `None`: none is left.
    fn allocate(&mut self) -> Option<Pa>;
    /// The entry `index`, below 512, of `table`.
    fn read(&self, table: Pa, index: usize) -> u64;
    /// Stores an entry with one 64-bit store, so that the hardware's walker sees the old value or the new one.
    fn write(&mut self, table: Pa, index: usize, value: u64);
}

/// What an input address translates to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The output for exactly this input address, not the start of its block.
    pub pa: Pa,
    /// Permissions and memory type.
    pub attributes: Attributes,
    /// The level of the leaf: 1 is 1 GiB, 2 is 2 MiB, 3 is 4 KiB.
    pub level: u8,
}

/// What TLBs may still hold after [`unmap`]: the caller invalidates it before any of the memory changes owner.
///
/// Stage 2: DSB ISHST, TLBI IPAS2E1IS for each leaf, DSB ISH, TLBI VMALLE1IS, DSB ISH, ISB, under the partition's VMID.
/// EL2 stage 1: DSB ISHST, TLBI VAE2IS for each leaf, DSB ISH, ISB.
#[must_use = "a TLB may still translate what was unmapped"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale<A> {
    /// First input address that was unmapped.
    pub input: A,
    /// Bytes that were unmapped.
    pub size: u64,
    /// How many leaves were cleared: 0 when nothing was mapped.
    pub leaves: u64,
}

/// The last entry on the way to an input address: a leaf, or invalid.
struct Slot {
    table: Pa,
    index: usize,
    level: u8,
    descriptor: u64,
}

impl Slot {
    fn mapping<A: Address>(&self, input: A) -> Option<Mapping> {
        if !is_leaf(self.descriptor, self.level) {
            return None;
        }
        let offset = input.as_u64() & (level_span(self.level) - 1);
        let base = self.descriptor & ADDRESS & !(level_span(self.level) - 1);
        Some(Mapping { pa: Pa::new(base | offset), attributes: Attributes::of(self.descriptor), level: self.level })
    }
}

fn is_leaf(descriptor: u64, level: u8) -> bool {
    let kind = if level == LAST_LEVEL { TABLE_OR_PAGE } else { BLOCK };
    descriptor & 0b11 == kind
}

fn is_table(descriptor: u64, level: u8) -> bool {
    level < LAST_LEVEL && descriptor & 0b11 == TABLE_OR_PAGE
}

/// Follows tables from the root to the entry that decides about `input`, which fits `geometry`.
fn descend<A: Address>(memory: &impl TableMemory, root: Pa, geometry: Geometry, input: A) -> Slot {
    let (mut table, mut index) = geometry.root_slot(root, input);
    let mut level = FIRST_LEVEL;
    loop {
        let descriptor = memory.read(table, index);
        if !is_table(descriptor, level) {
            return Slot { table, index, level, descriptor };
        }
        level += 1;
        table = Pa::new(descriptor & ADDRESS);
        index = index_at(level, input);
    }
}

/// The bytes from `input` to the end of what one entry at `level` translates.
fn rest_of_entry<A: Address>(level: u8, input: A) -> u64 {
    level_span(level) - (input.as_u64() & (level_span(level) - 1))
}

/// Whether `size` bytes from `input` fit the geometry; 2^40 at most, so later sums cannot wrap.
fn fits_input<A: Address>(geometry: Geometry, input: A, size: u64) -> bool {
    input.as_u64().checked_add(size).is_some_and(|end| end <= geometry.input_end())
}

fn are_pages(values: [u64; 3]) -> bool {
    values.iter().all(|&value| addr::is_aligned(value, PAGE_SIZE))
}

/// Maps `size` bytes from `input` to `pa`, with 1 GiB and 2 MiB blocks wherever both addresses allow it.
///
/// `root` is [`Geometry::root_bytes`] of zeroed tables, aligned to that. The caller orders the stores before the first
/// use (DSB ISHST, ISB); no TLB maintenance is due, because no valid entry was changed.
///
/// # Errors
/// See [`MapError`]. Only [`MapError::NoTable`] leaves a part of the range mapped.
pub fn map<A: Address>(
    memory: &mut impl TableMemory,
    root: Pa,
    geometry: Geometry,
    input: A,
    pa: Pa,
    size: u64,
    attributes: Attributes,
) -> Result<(), MapError<A>> {
    if size == 0 || !are_pages([input.as_u64(), pa.as_u64(), size]) {
        return Err(MapError::Misaligned { input, pa, size });
    }
    if !fits_input(geometry, input, size) {
        return Err(MapError::InputTooLarge { input, size, bits: geometry.input_bits() });
    }
    if pa.as_u64().checked_add(size).is_none_or(|end| end > 1 << OUTPUT_BITS) {
        return Err(MapError::OutputTooLarge { pa, size });
    }
    if let Some((input, pa)) = first_mapped(memory, root, geometry, input, size) {
        return Err(MapError::Overlap { input, pa });
    }
    let mut done = 0;
    while done < size {
        let (at, to) = (A::new(input.as_u64() + done), pa.as_u64() + done);
        let slot = slot_for(memory, root, geometry, at, to, size - done).ok_or(MapError::NoTable { input: at })?;
        let (kind, leaves) = if slot.level == LAST_LEVEL {
            // The rest of this table at once: its walk is the same for each page.
            (TABLE_OR_PAGE, ((size - done) / PAGE_SIZE).min((ENTRIES - slot.index) as u64))
        } else {
            (BLOCK, 1)
        };
        let span = level_span(slot.level);
        for (index, n) in (slot.index..).zip(0..leaves) {
            memory.write(slot.table, index, (to + n * span) | attributes.bits() | kind);
        }
        done += leaves * span;
    }
    Ok(())
}

/// The invalid entry of the largest leaf that `at`, `to` and `size` allow; adds the tables that lead there.
fn slot_for<A: Address>(
    memory: &mut impl TableMemory,
    root: Pa,
    geometry: Geometry,
    at: A,
    to: u64,
    size: u64,
) -> Option<Slot> {
    let mut slot = descend(memory, root, geometry, at);
    while !leaf_fits(slot.level, at.as_u64() | to, size) {
        let table = memory.allocate()?;
        memory.write(slot.table, slot.index, table.as_u64() | TABLE_OR_PAGE);
        let level = slot.level + 1;
        slot = Slot { table, index: index_at(level, at), level, descriptor: 0 };
    }
    Some(slot)
}

fn leaf_fits(level: u8, addresses: u64, size: u64) -> bool {
    level == LAST_LEVEL || (addr::is_aligned(addresses, level_span(level)) && size >= level_span(level))
}

/// The first mapped address in the range and its output.
fn first_mapped<A: Address>(
    memory: &impl TableMemory,
    root: Pa,
    geometry: Geometry,
    input: A,
    size: u64,
) -> Option<(A, Pa)> {
    let mut done = 0;
    while done < size {
        let at = A::new(input.as_u64() + done);
        let slot = descend(memory, root, geometry, at);
        if let Some(mapping) = slot.mapping(at) {
            return Some((at, mapping.pa));
        }
        done += rest_of_entry(slot.level, at);
    }
    None
}

/// Unmaps `size` bytes from `input`; holes in the range are no error. Tables stay for the next [`map`].
///
/// # Errors
/// See [`UnmapError`]; nothing was changed then.
pub fn unmap<A: Address>(
    memory: &mut impl TableMemory,
    root: Pa,
    geometry: Geometry,
    input: A,
    size: u64,
) -> Result<Stale<A>, UnmapError<A>> {
    let region = Region::new(input, size)
        .filter(|region| region.is_aligned(PAGE_SIZE) && fits_input(geometry, input, size))
        .ok_or(UnmapError::BadRange { input, size })?;
    refuse_part_of_block(memory, root, geometry, region)?;
    let mut stale = Stale { input, size, leaves: 0 };
    let mut done = 0;
    while done < size {
        let at = A::new(input.as_u64() + done);
        let slot = descend(memory, root, geometry, at);
        if slot.descriptor & VALID != 0 {
            memory.write(slot.table, slot.index, 0);
            stale.leaves += 1;
        }
        done += rest_of_entry(slot.level, at);
    }
    Ok(stale)
}

/// Only a leaf at either end of the range can stick out.
fn refuse_part_of_block<A: Address>(
    memory: &impl TableMemory,
    root: Pa,
    geometry: Geometry,
    region: Region<A>,
) -> Result<(), UnmapError<A>> {
    let last = A::new(region.end().as_u64() - PAGE_SIZE);
    for at in [region.start(), last] {
        let slot = descend(memory, root, geometry, at);
        let block_size = level_span(slot.level);
        let block = at.align_down(block_size);
        let sticks_out = block < region.start() || block.as_u64() + block_size > region.end().as_u64();
        if is_leaf(slot.descriptor, slot.level) && sticks_out {
            return Err(UnmapError::PartOfBlock { block, block_size });
        }
    }
    Ok(())
}

/// What `input` translates to; `None` when it is not mapped or wider than the geometry. `input` may be anything.
pub fn walk<A: Address>(memory: &impl TableMemory, root: Pa, geometry: Geometry, input: A) -> Option<Mapping> {
    if input.as_u64() >= geometry.input_end() {
        return None;
    }
    descend(memory, root, geometry, input).mapping(input)
}
