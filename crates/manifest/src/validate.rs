//! The one validator: every resource has exactly one owner. Run on the host, in tests, and at boot.
//!
//! The manifest may be hostile: nothing here indexes, allocates, recurses or adds without a check, and every loop is
//! bounded by the manifest's own capacities. Nothing here looks at payload bytes; their checksums are checked while EL2
//! copies them.

mod channels;
#[cfg(test)]
mod hostile;
mod life;
mod memory;
mod owners;
mod payloads;
mod service;
#[cfg(test)]
pub(crate) mod tests;

use crate::{Board, GICV2_CORES, Mistake, Name, Partition, System, pool_size};
use abi::{MAX_CORES, PartitionId, bundle};
use addr::{BLOCK_2M, is_aligned};

/// Behind the last guest-physical address: 40 bits.
pub const IPA_END: u64 = 1 << abi::machine::IPA_BITS;
/// Least memory of a machine: EL2, the firmware's device tree and something to run.
pub const MIN_MACHINE_MEMORY: u64 = 256 << 20;
/// Least memory of a partition: a device tree and a small kernel.
pub const MEMORY_MIN: u64 = 128 << 10;
/// Largest device tree: arm64 Linux maps no more (Documentation/arch/arm64/booting.rst).
pub const DEVICE_TREE_MAX: u64 = 2 << 20;
/// Largest queue of a virtio device: what the service partition's memory for it is made for.
pub const MAX_QUEUE_SIZE: u16 = 256;
/// The tag of the hypervisor's own console lines, so no partition's name.
pub const OWN_NAME: &str = "bulkhead";

/// Calls `report` for each broken rule of `system` on `board`.
pub fn validate(board: &Board, system: &System, report: &mut dyn FnMut(Mistake)) {
    if system.board.as_str() != board.name {
        // Every other message would be about the wrong board.
        return report(Mistake::WrongBoard { image: system.board.clone(), board: board.name });
    }
    machine(board, system, report);
    owners::validate(board, system, report);
    memory::validate(board, system, report);
    service::validate(board, system, report);
    channels::validate(board, system, report);
    for (id, partition) in partitions(system) {
        let owner = name(id, partition);
        payloads::validate(board, system, &owner, partition, report);
        life::validate(board, &owner, partition, report);
    }
}

/// Rules about the whole machine.
fn machine(board: &Board, system: &System, report: &mut dyn FnMut(Mistake)) {
    let said = system.machine;
    if !board.is_variable {
        if said.cores != board.cores || !board.sizes.contains(&said.memory) {
            report(Mistake::FixedMachine { board: board.name, cores: board.cores, sizes: board.sizes, said });
        }
    } else {
        if said.cores == 0 || usize::from(said.cores) > MAX_CORES {
            report(Mistake::MachineCores { cores: said.cores });
        }
        let sizes = MIN_MACHINE_MEMORY..=IPA_END / 2;
        if !sizes.contains(&said.memory) || !is_aligned(said.memory, BLOCK_2M) {
            report(Mistake::MachineMemory { memory: said.memory });
        }
    }
    if system.bundle_size == 0 || system.bundle_size > bundle::BUNDLE_MAX {
        report(Mistake::BundleSize { size: system.bundle_size });
    }
    let least = pool_size(system);
    if system.pool.size() < least {
        report(Mistake::PoolSize { size: system.pool.size(), least });
    }
    if system.partitions.is_empty() {
        report(Mistake::NoPartitions);
    }
}

/// The partitions with their ids.
fn partitions(system: &System) -> impl Iterator<Item = (PartitionId, &Partition)> + Clone {
    (0..=u8::MAX).map(PartitionId::new).zip(&system.partitions)
}

/// What messages call a partition.
fn name(id: PartitionId, partition: &Partition) -> Name {
    Name { id, name: partition.name.clone() }
}

/// Most vCPUs of a partition, where the board's GIC limits them.
fn most_vcpus(board: &Board) -> Option<u16> {
    board.gic.v3.is_none().then_some(GICV2_CORES)
}
