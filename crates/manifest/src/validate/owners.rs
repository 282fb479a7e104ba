//! Rules about names, cores and devices.

use super::{OWN_NAME, most_vcpus, name, partitions};
use crate::{Board, Device, Mistake, Name, Partition, System};
use abi::{Again, MAX_CORES, PartitionId, Policy, machine};
use addr::{Ipa, PAGE_SIZE, Region};

/// Calls `report` for each name, core and device that breaks a rule.
pub(super) fn validate(board: &Board, system: &System, report: &mut dyn FnMut(Mistake)) {
    names(system, report);
    cores(board, system, report);
    devices(board, system, report);
}

fn names(system: &System, report: &mut dyn FnMut(Mistake)) {
    for (place, (id, partition)) in partitions(system).enumerate() {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if partition.name.is_empty() {
            report(Mistake::NameEmpty { partition: name(id, partition) });
            continue;
        }
        if !partition.name.bytes().all(is_allowed) {
            report(Mistake::NameCharacters { partition: name(id, partition) });
        }
        if partition.name == OWN_NAME {
            report(Mistake::NameReserved { partition: name(id, partition) });
        }
        let before = partitions(system).take(place).find(|(_, other)| other.name == partition.name);
        if let Some((first, other)) = before {
            report(Mistake::NameTwice { first: name(first, other), second: name(id, partition) });
        }
    }
}

fn cores(board: &Board, system: &System, report: &mut dyn FnMut(Mistake)) {
    let cores = system.machine.cores;
    let mut owners: [Option<(PartitionId, &Partition)>; MAX_CORES] = [None; MAX_CORES];
    for (id, partition) in partitions(system) {
        if partition.cores.is_empty() {
            report(Mistake::NoCores { partition: name(id, partition) });
        }
        if let Some(most) = most_vcpus(board)
            && partition.cores.len() > usize::from(most)
        {
            let vcpus = partition.cores.len();
            report(Mistake::TooManyVcpus { partition: name(id, partition), vcpus, most });
        }
        for &core in &partition.cores {
            let Some(owner) = owners.get_mut(core.index()).filter(|_| core.number() < cores) else {
                report(Mistake::CoreAbsent { partition: name(id, partition), core, cores });
                continue;
            };
            match *owner {
                None => *owner = Some((id, partition)),
                Some((first, other)) => {
                    report(Mistake::CoreTwice { core, first: name(first, other), second: name(id, partition) })
                }
            }
        }
    }
}

/// Every device that is assigned, in the manifest's order.
fn assigned<'a>(
    board: &'a Board,
    system: &'a System,
) -> impl Iterator<Item = (PartitionId, &'a Partition, usize, &'a Device)> + Clone {
    partitions(system).flat_map(move |(id, partition)| {
        partition.devices.iter().filter_map(move |device| {
            let index = usize::from(device.0);
            Some((id, partition, index, board.devices.get(index)?))
        })
    })
}

fn devices(board: &Board, system: &System, report: &mut dyn FnMut(Mistake)) {
    for (id, partition) in partitions(system) {
        let absent = partition.devices.iter().filter(|d| usize::from(d.0) >= board.devices.len());
        absent.for_each(|d| report(Mistake::DeviceAbsent { partition: name(id, partition), index: d.0 }));
    }
    for (place, (id, partition, index, device)) in assigned(board, system).enumerate() {
        let owner = name(id, partition);
        for (first_id, first, first_index, other) in assigned(board, system).take(place) {
            if first_index == index {
                let first = name(first_id, first);
                report(Mistake::DeviceTwice { device: device.name, first, second: owner.clone() });
                break;
            }
            if first_id != id && device.shares_with(other) {
                report(Mistake::DevicesShare {
                    device: other.name,
                    first: name(first_id, first),
                    other: device.name,
                    second: owner.clone(),
                });
            }
        }
        if device.is_dma_master {
            // Without an SMMU a device reaches all memory. Only the service partition is trusted so far, and resets what
            // it has when its life begins.
            let is_service = system.service_partition().is_some_and(|(service, _)| service == id);
            let Policy { on_crash, on_reset, on_off, .. } = partition.policy;
            if !is_service && !partition.unsafe_dma {
                report(Mistake::DeviceUnshielded { partition: owner.clone(), device: device.name });
            } else if !partition.is_identity {
                report(Mistake::DeviceDma { partition: owner.clone(), device: device.name });
            } else if !is_service && [on_crash, on_reset, on_off].contains(&Again::Restart) {
                report(Mistake::DeviceRestart { partition: owner.clone(), device: device.name });
            }
        }
        fits(board, partition, &owner, device, report);
    }
}

/// Whether the guest machine of `partition` has room for `device`, which it sees at its physical address.
fn fits(board: &Board, partition: &Partition, owner: &Name, device: &Device, report: &mut dyn FnMut(Mistake)) {
    let console = Device { start: board.uart, size: PAGE_SIZE, intids: &[], ..*device };
    if device.shares_with(&console) || device.intids.contains(&board.uart_intid) {
        report(Mistake::DeviceOfHypervisor { partition: owner.clone(), device: device.name });
    }
    let Some(registers) = device.region() else { return };
    let Some(seen) = Region::new(Ipa::new(device.start.as_u64()), device.size) else { return };
    let in_ram = partition.banks.iter().filter_map(|bank| bank.guest()).any(|ram| ram.overlaps(&seen));
    let in_machine = guest_registers(partition).flatten().any(|r| r.overlaps(&seen));
    if in_ram || in_machine {
        report(Mistake::DeviceCovered { partition: owner.clone(), device: device.name, registers });
    }
    for &intid in device.intids {
        if intid.is_private() || intid.number() >= 32 + machine::SPIS || intid == machine::UART_INTID {
            report(Mistake::DeviceInterrupt { partition: owner.clone(), device: device.name, intid });
        }
    }
}

/// What the guest machine has beside RAM, on either GIC version.
fn guest_registers(partition: &Partition) -> impl Iterator<Item = Option<Region<Ipa>>> {
    let redistributors = (partition.cores.len() as u64).saturating_mul(machine::GICR_STRIDE);
    [
        Region::new(machine::GICD, machine::GICD_SIZE),
        Region::new(machine::GICC, machine::GICC_SIZE),
        Region::new(machine::GICR, redistributors),
        Region::new(machine::UART, machine::UART_SIZE),
    ]
    .into_iter()
}
