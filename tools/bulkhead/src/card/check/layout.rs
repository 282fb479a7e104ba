//! Whether what the firmware puts into memory lies side by side, and in nobody's RAM.
//!
//! EL2 looks again at boot, at what really is there, but a refusal on a serial line is read later than one on a PC.

use super::{Files, Kernel};
use crate::card::config::Config;
use addr::{BLOCK_2M, PAGE_SIZE, Pa, Region};
use manifest::{Board, System};
use std::io::{Read, Seek};

/// The end of the RAM that the GPU takes its share of.
const GPU_END: u64 = 1 << 30;
/// Its share in MiB, unless the settings say otherwise.
const GPU_MEM: u64 = 76;

/// Says where the firmware puts the device tree.
const TREE_ADDRESS: &str = "device_tree_address";

/// A range of memory and whose it is.
type Owned = (Region<Pa>, String);

/// Checks where kernel, device tree and GPU are.
pub fn check<D: Read + Seek>(files: &mut Files<'_, D>, config: &Config, board: &Board, kernel: &Kernel) {
    let place = |name: &str| config.find(name).map_or("config.txt".to_owned(), |s| format!("config.txt:{}", s.line));
    let load = match config.number("kernel_old", 0) {
        0 => config.number("kernel_address", board.load_address.as_u64()),
        _ => 0,
    };
    if load % PAGE_SIZE != 0 {
        let problem = format!("{} is loaded to {}, which begins no page of 4 KiB", kernel.name, Pa::new(load));
        files.find(place("kernel_address"), problem, "write `kernel_address=0x200000`");
    }
    let move_kernel = if load == board.load_address.as_u64() {
        "make kernels and initrds smaller, or put what is there elsewhere"
    } else {
        "write `kernel_address=0x200000`"
    };
    let tree = config.number(TREE_ADDRESS, 0);
    let tree_end = config.number("device_tree_end", tree.saturating_add(BLOCK_2M));
    let gpu = GPU_END.saturating_sub(config.number("gpu_mem", GPU_MEM).saturating_mul(1 << 20));
    let region = |start: u64, size: u64| Region::new(Pa::new(start), size);
    let loaded = [
        ("kernel_address", region(load, kernel.size), kernel.name.clone(), move_kernel),
        (
            TREE_ADDRESS,
            config.find(TREE_ADDRESS).and_then(|_| region(tree, tree_end.saturating_sub(tree))),
            "the device tree".to_owned(),
            "write `device_tree_address=0x8000000` and `device_tree_end=0x8200000`",
        ),
        ("gpu_mem", region(gpu, GPU_END - gpu), "the GPU's memory".to_owned(), "write `gpu_mem=76`"),
    ];
    let owned = owned(&kernel.system);
    let reserved = board.reserved.iter();
    let reserved = reserved.filter_map(|range| Some((Region::new(range.start, range.size)?, range.name.to_owned())));
    let reserved: Vec<Owned> = reserved.collect();
    let mut problems = Vec::new();
    for (n, (name, here, what, help)) in loaded.iter().enumerate() {
        let Some(here) = here else { continue };
        let earlier = loaded.iter().take(n).filter_map(|(_, region, what, _)| Some(((*region)?, what.clone())));
        // A tree that lies wholly in a range that the board keeps is in nobody's way: one of them is there for it.
        let is_at_home = |range: &Region<Pa>| *name == TREE_ADDRESS && range.covers(here);
        let kept = reserved.iter().filter(|(range, _)| !is_at_home(range)).cloned();
        for (other, whose) in owned.iter().cloned().chain(kept).chain(earlier).filter(|(other, _)| here.overlaps(other))
        {
            problems.push((place(name), format!("{what} {here} is loaded over {whose} {other}"), *help));
        }
    }
    for (place, problem, help) in problems {
        files.find(place, problem, help);
    }
}

/// All memory that the system gives to somebody.
fn owned(system: &System) -> Vec<Owned> {
    let mut owned: Vec<Owned> = vec![(system.pool, "the hypervisor's frame pool".to_owned())];
    for partition in &system.partitions {
        owned.extend(partition.banks.iter().map(|bank| (bank.pa, format!("RAM of partition '{}'", partition.name))));
    }
    owned.extend(system.service.map(|service| (service.kept, "memory kept for the service partition".to_owned())));
    let channels = (0..).zip(&system.channels);
    owned.extend(
        channels.filter_map(|(n, channel): (usize, _)| Some((channel.memory()?, format!("memory of channel {n}")))),
    );
    owned
}
