//! P05: a system for a Raspberry Pi 4 of one size beside the trees of boards of every size, by the check that EL2 makes at
//! boot. QEMU's raspi4b has 2 GiB; the trees here are what start4.elf tells of 1, 2, 4 and 8 GB.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use addr::{Pa, Region};
use bulkhead::file::Source;
use bulkhead::plan::plan;
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use flattree::Memory;
use manifest::{System, fit};
use std::path::Path;
use std::sync::Once;

/// The largest size that is told in one cell, as 8 GB boards do.
const HALF: u32 = 0x8000_0000;

/// A node with `reg`: two cells of address and one of size for each range.
fn node(name: &str, ranges: &[(u64, u32)]) -> DeviceTreeNode {
    let cells = |&(start, size): &(u64, u32)| [(start >> 32) as u32, start as u32, size];
    let reg: Vec<u8> = ranges.iter().flat_map(cells).flat_map(u32::to_be_bytes).collect();
    with(DeviceTreeNode::new_unchecked(name), "reg", &reg)
}

fn with(mut node: DeviceTreeNode, name: &str, value: &[u8]) -> DeviceTreeNode {
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
    node
}

/// The memory of a board with these banks that keeps `kept`, through the blob and back.
fn board(banks: &[(u64, u32)], kept: &[(u64, u32)]) -> Memory {
    // What every tree of this board begins with.
    board_with(banks, kept, &[(0, 0x1000)])
}

/// The same with these entries in the reservation block.
fn board_with(banks: &[(u64, u32)], kept: &[(u64, u32)], entries: &[(u64, u64)]) -> Memory {
    let cells = |node| with(with(node, "#address-cells", &[0, 0, 0, 2]), "#size-cells", &[0, 0, 0, 1]);
    let mut reserved = cells(DeviceTreeNode::new_unchecked("reserved-memory"));
    // It has no place yet, and keeps nobody from one.
    reserved.add_child(with(DeviceTreeNode::new_unchecked("linux,cma"), "size", &[4, 0, 0, 0]));
    kept.iter().for_each(|range| reserved.add_child(node(&format!("nvram@{:x}", range.0), &[*range])));
    let mut root = cells(DeviceTreeNode::new_unchecked(""));
    root.add_child(reserved);
    root.add_child(node("memory@0", banks));
    let mut tree = DeviceTree::new();
    tree.root = root;
    tree.memory_reservations = entries.iter().map(|&(start, size)| MemoryReservation::new(start, size)).collect();
    let mut blob = tree.to_dtb();
    flattree::sanitize(&mut blob).unwrap();
    let fdt = fdt::Fdt::new(&blob).unwrap();
    let mut memory = Memory::default();
    let children: Vec<_> = fdt.find_node("/").unwrap().children().collect();
    children.iter().filter(|node| node.name.starts_with("memory@")).for_each(|node| memory.note_ram(*node));
    let reserved = children.iter().filter(|node| node.name == "reserved-memory");
    reserved.flat_map(|node| node.children()).for_each(|child| memory.note_kept(child));
    memory.note_reservations(&blob);
    memory
}

/// What start4.elf tells of a board of so many GB.
fn sold_with(gib: u64) -> Memory {
    let low = (0, 0x3b40_0000);
    let above = 0x4000_0000;
    match gib {
        1 => board(&[low], &[]),
        2 => board(&[low, (above, 0x4000_0000)], &[]),
        4 => board(&[low, (above, 0xbc00_0000)], &[]),
        8 => board(&[low, (above, 0xbc00_0000), (1 << 32, HALF), (0x1_8000_0000, HALF)], &[]),
        _ => panic!("no such board"),
    }
}

/// A system for boards of so many GB, whose partition has so much memory.
fn system(gib: u64, memory: &str) -> System {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rpi4");
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("raw"), vec![0x14; 64]).unwrap();
    });
    let text = format!(
        "board = \"rpi4\"\nmachine = {{ memory = \"{gib}G\" }}\n[[partition]]\nname = \"linux\"\ncores = [1]\n\
         memory = \"{memory}\"\nkernel = \"raw\"\n"
    );
    plan(&Source { shown: "rpi4.toml".into(), folder, text }).unwrap().system
}

/// What EL2 says of `system` on a board with this `memory`, its image and tree where QEMU puts them.
fn refused(system: &System, memory: &Memory) -> Option<String> {
    let region = |start, size| Region::new(Pa::new(start), size).unwrap();
    let mut taken = memory.taken.to_vec();
    taken.extend([("this image", region(0x20_0000, system.bundle_size)), ("its tree", region(0x800_0000, 0x1_0000))]);
    fit(system, &memory.ram, &taken).err().map(|unfit| unfit.to_string())
}

#[test]
fn p05_neighbouring_banks_are_one() {
    let banks: Vec<_> = sold_with(8).ram.iter().map(|bank| (bank.start().as_u64(), bank.size())).collect();
    assert_eq!(banks, [(0, 0x3b40_0000), (0x4000_0000, 0xbc00_0000), (1 << 32, 4 << 30)]);
}

#[test]
fn p05_a_system_runs_on_its_board_and_on_larger_ones() {
    for (gib, memory) in [(1, "512M"), (2, "1G"), (4, "3000M"), (8, "4G")] {
        let system = system(gib, memory);
        for board in [1, 2, 4, 8].into_iter().filter(|board| *board >= gib) {
            assert_eq!(refused(&system, &sold_with(board)), None, "{gib} GB on {board} GB");
        }
    }
}

#[test]
fn p05_a_larger_system_is_refused_with_what_is_missing() {
    for (gib, memory) in [(2, "1G"), (4, "2G"), (8, "4G")] {
        let system = system(gib, memory);
        for board in [1, 2, 4].into_iter().filter(|board| *board < gib) {
            let said = refused(&system, &sold_with(board)).unwrap();
            assert!(said.starts_with("the board has no RAM at ["), "{gib} GB on {board} GB: {said}");
        }
    }
    let system = system(8, "4G");
    let said = refused(&system, &sold_with(2)).unwrap();
    assert!(said.contains("[0x0001_0000_0000..0x0002_0000_0000), which the system gives to linux"), "{said}");
}

#[test]
fn p05_what_the_firmware_keeps_is_not_given_away() {
    let system = system(1, "512M");
    let linux = system.partitions[0].banks[0].pa;
    let low = [(0, 0x3b40_0000)];
    let keeps = |start: Pa| refused(&system, &board(&low, &[(start.as_u64(), 0x1000)]));
    let said = keeps(Pa::new(linux.end().as_u64() - 0x1000)).unwrap();
    assert!(said.starts_with("the firmware put what it keeps at [") && said.contains("of linux"), "{said}");
    assert_eq!(keeps(Pa::new(0x3b00_0000)), None, "nobody's");
    // The second entry counts like the first.
    let entries = [(0, 0x1000), (linux.start().as_u64() + 0x1000, 1)];
    let said = refused(&system, &board_with(&low, &[], &entries)).unwrap();
    assert!(said.starts_with("the firmware put what it keeps at [") && said.contains("of linux"), "{said}");
}

#[test]
fn p05_a_tree_with_too_much_to_keep_gives_nothing() {
    let kept: Vec<_> = (0..40).map(|n| (0x10_0000 + n * 0x1000, 0x1000)).collect();
    let said = refused(&system(1, "512M"), &board(&[(0, 0x3b40_0000)], &kept)).unwrap();
    assert!(said.starts_with("the firmware put what it keeps"), "{said}");
}
