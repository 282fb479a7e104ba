//! How much memory EL2 needs beside its image.
//!
//! One place, so that the tool which sets the pool aside and the validator which checks it cannot disagree.
//! It does not say what the pool is used for: that is EL2's business, and it reports when the pool runs out.

use crate::System;
use addr::{BLOCK_1G, BLOCK_2M, PAGE_SIZE};

/// Per core: its block, stack and the flight of tables that map them.
const PER_CORE: u64 = 64 << 10;
/// Per partition: stage-2 tables (two root pages, a level-2 table per GiB, level-3 tables at the edges), state, rings.
const PER_PARTITION: u64 = 128 << 10;
/// A level-2 table for each GiB of RAM: a large partition that shares no 1 GiB block boundary with its RAM.
const PER_GIB: u64 = 4 << 10;
/// What every system needs.
const BASE: u64 = 256 << 10;
/// The pages that EL2 shares with a service partition, and the tables that map them.
const SERVICE: u64 = 8 * PAGE_SIZE;
/// A transport page for each virtio device.
const PER_VIRTIO: u64 = PAGE_SIZE;
/// RAM of a partition with virtio devices is mapped a second time, for the service partition: level-3 tables at the edges
/// of two banks.
const PER_SERVED: u64 = 4 * PAGE_SIZE;

/// A channel is mapped at both of its ends: a table of level 2 and one of level 3 at each.
const PER_CHANNEL: u64 = 4 * PAGE_SIZE;

/// Bytes of EL2's frame pool for `system`, of which only the machine and the numbers of things count: whole 2 MiB blocks.
pub fn pool_size(system: &System) -> u64 {
    let memory = system.machine.memory;
    let served = system.partitions.iter().filter(|partition| !partition.virtio.is_empty()).count() as u64;
    let virtio = system.partitions.iter().map(|partition| partition.virtio.len() as u64).sum::<u64>();
    let again = if served == 0 { 0 } else { memory.div_ceil(BLOCK_1G) * PER_GIB };
    let bytes = BASE
        + u64::from(system.machine.cores) * PER_CORE
        + system.partitions.len() as u64 * PER_PARTITION
        + (memory >> 30) * PER_GIB
        + if system.service.is_some() { SERVICE } else { 0 }
        + virtio * PER_VIRTIO
        + served * PER_SERVED
        + system.channels.len() as u64 * PER_CHANNEL
        + again;
    bytes.div_ceil(BLOCK_2M) * BLOCK_2M
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::tests::{served, sound};

    #[test]
    fn the_demo_needs_one_block_with_and_without_a_service_partition() {
        assert_eq!(pool_size(&sound()), BLOCK_2M);
        assert_eq!(pool_size(&served()), BLOCK_2M);
    }

    #[test]
    fn the_largest_machine_stays_small() {
        let mut system = served();
        let virtio = system.partitions[0].virtio[0];
        while system.partitions.push(system.partitions[1].clone()).is_ok() {}
        for partition in &mut system.partitions {
            while partition.virtio.len() < 4 && partition.virtio.push(virtio).is_ok() {}
        }
        system.machine = crate::Machine { cores: 64, memory: 1 << 40 };
        assert!(pool_size(&system) <= 18 << 20);
        // Whatever a hostile manifest says.
        system.machine = crate::Machine { cores: u16::MAX, memory: u64::MAX };
        pool_size(&system);
    }
}
