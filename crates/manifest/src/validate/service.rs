//! Rules about the service partition and the virtio devices that it serves.

use super::{MAX_QUEUE_SIZE, name, partitions};
use crate::{Board, Mistake, Name, Partition, System, Virtio};
use abi::machine::{VIRTIO, VIRTIO_STRIDE, virtio_intid};
use abi::service::{MAX_DEVICES, MAX_QUEUES};
use addr::Address;

/// Calls `report` for each rule about the service partition and virtio devices that is broken.
pub(super) fn validate(board: &Board, system: &System, report: &mut dyn FnMut(Mistake)) {
    let service = system.service_partition();
    if let Some((id, partition)) = service.filter(|(_, partition)| !partition.is_identity) {
        report(Mistake::ServiceNotIdentity { partition: name(id, partition) });
    }
    if let Some((id, partition)) = service.filter(|(_, partition)| partition.cores.len() > 1) {
        report(Mistake::ServiceCores { partition: name(id, partition) });
    }
    let mut count = 0;
    for (id, partition) in partitions(system) {
        let owner = name(id, partition);
        count += partition.virtio.len();
        // Nobody serves the server either.
        let is_served = service.is_some_and(|(server, _)| server != id);
        if !partition.virtio.is_empty() && !is_served {
            report(Mistake::VirtioUnserved { partition: owner.clone() });
        }
        devices(board, &owner, partition, report);
    }
    if count > MAX_DEVICES {
        report(Mistake::VirtioCount { count });
    }
}

/// Rules about the virtio devices of one partition.
fn devices(board: &Board, owner: &Name, partition: &Partition, report: &mut dyn FnMut(Mistake)) {
    for (slot, device) in partition.virtio.iter().enumerate() {
        if !has_sound_numbers(device) {
            report(Mistake::VirtioNumbers { partition: owner.clone(), slot });
        }
        let page = VIRTIO.checked_add(slot as u64 * VIRTIO_STRIDE);
        let is_free =
            page.is_some_and(|page| partition.has_room_for(board, page, VIRTIO_STRIDE, virtio_intid(slot as u32)));
        if !is_free {
            report(Mistake::VirtioCovered { partition: owner.clone(), slot });
        }
    }
}

/// Whether a driver can use the device. DeviceID 0 says that a transport has none (virtio section 4.2.2).
fn has_sound_numbers(device: &Virtio) -> bool {
    device.device_id != 0
        && (1..=MAX_QUEUES).contains(&usize::from(device.queues))
        && device.queue_size.is_power_of_two()
        && device.queue_size <= MAX_QUEUE_SIZE
}
