//! The tables against a plain map of pages, and the promises of `map`, `unmap` and `walk`.

use addr::{Address, BLOCK_1G, BLOCK_2M, Ipa, PAGE_SIZE, Pa, Va};
use proptest::prelude::*;
use stage2::{Attributes, Geometry, MapError, Mapping, TableMemory, UnmapError, map, unmap, walk};
use std::collections::BTreeMap;

/// Tables in a map; panics on an access outside an allocated table or its 512 entries.
struct Memory {
    tables: BTreeMap<u64, Vec<u64>>,
    left: usize,
}

const ROOT: Pa = Pa::new(0x10_0000);
const FORTY: Geometry = match Geometry::stage2(40) {
    Some(geometry) => geometry,
    None => panic!(),
};

impl Memory {
    fn new(tables: usize) -> Self {
        let root = ROOT.as_u64();
        Self { tables: BTreeMap::from([(root, vec![0; 512]), (root + 4096, vec![0; 512])]), left: tables }
    }
    fn allocated(&self) -> usize {
        self.tables.len() - 2
    }
}

impl TableMemory for Memory {
    fn allocate(&mut self) -> Option<Pa> {
        self.left = self.left.checked_sub(1)?;
        let table = 0x20_0000 + self.tables.len() as u64 * PAGE_SIZE;
        self.tables.insert(table, vec![0; 512]);
        Some(Pa::new(table))
    }
    fn read(&self, table: Pa, index: usize) -> u64 {
        self.tables[&table.as_u64()][index]
    }
    fn write(&mut self, table: Pa, index: usize, value: u64) {
        let entry = &mut self.tables.get_mut(&table.as_u64()).expect("an allocated table")[index];
        assert!(*entry & 1 == 0 || value == 0, "break-before-make: {entry:#x} became {value:#x} in place");
        *entry = value;
    }
}

fn ram(memory: &mut Memory, input: u64, pa: u64, size: u64) -> Result<(), MapError<Ipa>> {
    map(memory, ROOT, FORTY, Ipa::new(input), Pa::new(pa), size, Attributes::NORMAL_RWX)
}

fn found(memory: &Memory, input: u64) -> Option<Mapping> {
    walk(memory, ROOT, FORTY, Ipa::new(input))
}

fn level(memory: &Memory, input: u64) -> u8 {
    found(memory, input).expect("mapped").level
}

#[test]
fn the_largest_leaf_is_used_wherever_both_addresses_allow_it() {
    let mut memory = Memory::new(8);
    // 4 KiB before a 2 MiB boundary, one 2 MiB block before a 1 GiB boundary, 1 GiB, 2 MiB, 4 KiB.
    let start = 2 * BLOCK_1G - BLOCK_2M - PAGE_SIZE;
    let size = PAGE_SIZE + BLOCK_2M + BLOCK_1G + BLOCK_2M + PAGE_SIZE;
    ram(&mut memory, start, start + BLOCK_1G, size).unwrap();
    let levels = [0, PAGE_SIZE, PAGE_SIZE + BLOCK_2M, size - PAGE_SIZE - BLOCK_2M, size - PAGE_SIZE];
    assert_eq!(levels.map(|offset| level(&memory, start + offset)), [3, 2, 1, 2, 3]);
    assert_eq!(memory.allocated(), 4);
}

#[test]
fn an_output_aligned_worse_than_the_input_gets_smaller_leaves() {
    let mut memory = Memory::new(1024);
    ram(&mut memory, BLOCK_1G, BLOCK_1G + BLOCK_2M, BLOCK_1G).unwrap();
    assert_eq!(level(&memory, BLOCK_1G), 2);
    ram(&mut memory, 4 * BLOCK_1G, BLOCK_1G + PAGE_SIZE, BLOCK_2M).unwrap();
    assert_eq!(level(&memory, 4 * BLOCK_1G), 3);
}

#[test]
fn a_walk_gives_the_exact_address_inside_a_block() {
    let mut memory = Memory::new(4);
    ram(&mut memory, 0x4000_0000, 0xc000_0000, BLOCK_1G).unwrap();
    let expected = Mapping { pa: Pa::new(0xd234_5678), attributes: Attributes::NORMAL_RWX, level: 1 };
    assert_eq!(found(&memory, 0x5234_5678), Some(expected));
    assert_eq!(found(&memory, 0x3fff_ffff), None);
    assert_eq!(found(&memory, 0x8000_0000), None);
}

#[test]
fn forty_bits_reach_the_second_root_table() {
    let mut memory = Memory::new(4);
    let top = (1 << 40) - BLOCK_1G;
    ram(&mut memory, 1 << 39, 0x4000_0000, BLOCK_1G).unwrap();
    ram(&mut memory, top, 0x8000_0000, BLOCK_1G).unwrap();
    assert_ne!(memory.read(Pa::new(ROOT.as_u64() + 4096), 0), 0);
    assert_ne!(memory.read(Pa::new(ROOT.as_u64() + 4096), 511), 0);
    assert_eq!(found(&memory, (1 << 40) - 1).unwrap().pa, Pa::new(0xbfff_ffff));
    assert_eq!(found(&memory, 1 << 40), None, "no alias of address 0");
    assert_eq!(found(&memory, u64::MAX), None);
}

#[test]
fn a_range_that_is_partly_mapped_is_refused_and_nothing_changes() {
    let mut memory = Memory::new(8);
    ram(&mut memory, 0x4020_0000, 0x8020_0000, BLOCK_2M).unwrap();
    let before = memory.tables.clone();
    let overlap = |input, pa| Err(MapError::Overlap { input: Ipa::new(input), pa: Pa::new(pa) });
    // From below into it, inside it, and over it.
    assert_eq!(ram(&mut memory, 0x401f_f000, 0, 2 * PAGE_SIZE), overlap(0x4020_0000, 0x8020_0000));
    assert_eq!(ram(&mut memory, 0x4020_3000, 0, PAGE_SIZE), overlap(0x4020_3000, 0x8020_3000));
    assert_eq!(ram(&mut memory, 0x4000_0000, 0, BLOCK_1G), overlap(0x4020_0000, 0x8020_0000));
    assert_eq!(before, memory.tables);
}

#[test]
fn bad_ranges_are_named() {
    let mut memory = Memory::new(8);
    assert!(matches!(ram(&mut memory, 0x800, 0, PAGE_SIZE), Err(MapError::Misaligned { .. })));
    assert!(matches!(ram(&mut memory, 0, 1, PAGE_SIZE), Err(MapError::Misaligned { .. })));
    assert!(matches!(ram(&mut memory, 0, 0, 100), Err(MapError::Misaligned { .. })));
    assert!(matches!(ram(&mut memory, 0, 0, 0), Err(MapError::Misaligned { .. })));
    let end = 1 << 40;
    assert!(matches!(ram(&mut memory, end, 0, PAGE_SIZE), Err(MapError::InputTooLarge { bits: 40, .. })));
    assert!(matches!(ram(&mut memory, end - PAGE_SIZE, 0, 2 * PAGE_SIZE), Err(MapError::InputTooLarge { .. })));
    assert!(matches!(ram(&mut memory, !0xfff, 0, PAGE_SIZE), Err(MapError::InputTooLarge { .. })));
    assert!(matches!(ram(&mut memory, 0, 1 << 48, PAGE_SIZE), Err(MapError::OutputTooLarge { .. })));
    assert!(matches!(ram(&mut memory, 0, !0xfff, PAGE_SIZE), Err(MapError::OutputTooLarge { .. })));
    assert_eq!(memory.allocated(), 0);
    let overlap = MapError::Overlap { input: Ipa::new(0x4000_0000), pa: Pa::new(0x8000_0000) };
    assert_eq!(overlap.to_string(), "0x4000_0000 is mapped already, to 0x8000_0000");
}

#[test]
fn running_out_of_tables_says_where() {
    let mut memory = Memory::new(1);
    let error = ram(&mut memory, BLOCK_2M - PAGE_SIZE, 0, PAGE_SIZE).unwrap_err();
    assert_eq!(error, MapError::NoTable { input: Ipa::new(BLOCK_2M - PAGE_SIZE) });
}

#[test]
fn unmapping_a_part_of_a_block_is_refused() {
    let mut memory = Memory::new(8);
    ram(&mut memory, BLOCK_1G, BLOCK_1G, BLOCK_1G).unwrap();
    let whole = Err(UnmapError::PartOfBlock { block: Ipa::new(BLOCK_1G), block_size: BLOCK_1G });
    let mut try_unmap = |input, size| unmap(&mut memory, ROOT, FORTY, Ipa::new(input), size).map(|stale| stale.leaves);
    assert_eq!(try_unmap(BLOCK_1G + PAGE_SIZE, BLOCK_1G - PAGE_SIZE), whole);
    assert_eq!(try_unmap(BLOCK_1G, BLOCK_1G - PAGE_SIZE), whole);
    assert_eq!(try_unmap(0, BLOCK_1G + PAGE_SIZE), whole);
    assert_eq!(try_unmap(0, 4 * BLOCK_1G), Ok(1));
    assert_eq!(try_unmap(0, 4 * BLOCK_1G), Ok(0));
}

#[test]
fn an_unmapped_range_can_be_mapped_again_without_new_tables() {
    let mut memory = Memory::new(2);
    for _ in 0..3 {
        ram(&mut memory, 0x1000, 0x5000, 2 * PAGE_SIZE).unwrap();
        assert_eq!(unmap(&mut memory, ROOT, FORTY, Ipa::new(0x1000), 2 * PAGE_SIZE).unwrap().leaves, 2);
        assert_eq!(found(&memory, 0x1000), None);
    }
    assert_eq!(memory.allocated(), 2);
}

#[test]
fn el2s_own_addresses_have_39_bits() {
    let mut memory = Memory::new(4);
    let text = |memory: &mut Memory, va| {
        map(memory, ROOT, Geometry::EL2, Va::new(va), Pa::new(0x4020_0000), BLOCK_2M, Attributes::TEXT)
    };
    text(&mut memory, 0x4020_0000).unwrap();
    assert_eq!(walk(&memory, ROOT, Geometry::EL2, Va::new(0x4020_0004)).unwrap().attributes, Attributes::TEXT);
    assert!(matches!(text(&mut memory, 1 << 39), Err(MapError::InputTooLarge { bits: 39, .. })));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Map { input: u64, pa: u64, pages: u64, attributes: Attributes },
    Unmap { input: u64, pages: u64 },
}

/// Addresses near each other and near the boundaries of blocks and of the root tables, so that ranges collide.
fn page_address(bits: u32) -> impl Strategy<Value = u64> {
    let last = (1u64 << bits) - PAGE_SIZE;
    let base = prop_oneof![Just(0), Just(BLOCK_1G), Just(1 << 39), Just(last)];
    (base, -1024i64..1024).prop_map(move |(base, pages)| (base as i64 + pages * 4096).clamp(0, last as i64) as u64)
}

fn step() -> impl Strategy<Value = Step> {
    let pages = prop_oneof![1u64..4, 1u64..1500, Just(512), Just(1024)];
    let attributes =
        prop_oneof![Just(Attributes::NORMAL_RWX), Just(Attributes::NORMAL_RO), Just(Attributes::DEVICE_RW)];
    prop_oneof![
        3 => (page_address(40), page_address(44), pages.clone(), attributes)
            .prop_map(|(input, pa, pages, attributes)| Step::Map { input, pa, pages, attributes }),
        1 => (page_address(40), pages).prop_map(|(input, pages)| Step::Unmap { input, pages }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// After any sequence of maps and unmaps, walk agrees with a plain map from page to page.
    #[test]
    fn tables_agree_with_a_plain_map_of_pages(steps in prop::collection::vec(step(), 1..16), offset in 0u64..4096) {
        let mut memory = Memory::new(10_000);
        let mut pages_of = BTreeMap::<u64, (u64, Attributes)>::new();
        for step in steps {
            match step {
                Step::Map { input, pa, pages, attributes } => {
                    let size = pages * PAGE_SIZE;
                    let result = map(&mut memory, ROOT, FORTY, Ipa::new(input), Pa::new(pa), size, attributes);
                    let taken = pages_of.range(input..input + size).next();
                    match (taken, input + size <= 1 << 40) {
                        (_, false) => prop_assert!(matches!(result, Err(MapError::InputTooLarge { .. })), "{result:?}"),
                        (Some((&at, &(to, _))), true) =>
                            prop_assert_eq!(result, Err(MapError::Overlap { input: Ipa::new(at), pa: Pa::new(to) })),
                        (None, true) => {
                            prop_assert_eq!(result, Ok(()));
                            pages_of.extend((0..pages).map(|n| (input + n * 4096, (pa + n * 4096, attributes))));
                        }
                    }
                }
                Step::Unmap { input, pages } => {
                    let size = pages * PAGE_SIZE;
                    if unmap(&mut memory, ROOT, FORTY, Ipa::new(input), size).is_ok() {
                        pages_of.retain(|&at, _| at < input || at >= input + size);
                    }
                }
            }
        }
        for (&input, &(pa, attributes)) in &pages_of {
            let mapping = found(&memory, input + offset).expect("mapped");
            prop_assert_eq!((mapping.pa, mapping.attributes), (Pa::new(pa + offset), attributes));
            for neighbour in [input.wrapping_sub(PAGE_SIZE), input + PAGE_SIZE] {
                let expected = pages_of.get(&neighbour).map(|&(pa, _)| Pa::new(pa));
                prop_assert_eq!(found(&memory, neighbour).map(|mapping| mapping.pa), expected);
            }
        }
    }

    /// A guest address is an allegation: any value may be walked.
    #[test]
    fn any_address_can_be_walked(input: u64) {
        let mut memory = Memory::new(8);
        ram(&mut memory, 0x4000_0000, 0x8000_0000, BLOCK_1G + PAGE_SIZE).unwrap();
        let inside = (0x4000_0000..0x8000_1000).contains(&input);
        prop_assert_eq!(found(&memory, input).is_some(), inside);
        prop_assert!(Ipa::new(input).checked_add(0).is_some());
    }
}
