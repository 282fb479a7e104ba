//! The service partition: its RAM and what it keeps, and the plan that tells it about board, partitions and devices.

use crate::file::{DiskFile, PartitionFile, SystemFile, VirtioFile};
use crate::kernel::Bytes;
use crate::network::resolve;
use abi::channel::{FIRST_CID, MAX_CHANNELS};
use abi::plan::{Backend, Channel, Disk, HEADER, Kind, MAGIC, MAX, Memory, Origin, Plan, SERIAL, Served};
use abi::{Io, PartitionId};
use addr::{BLOCK_2M, Pa, Region};
use manifest::{Board, ConsoleMode, Partition, RTC, System, Virtio};

/// What the service partition keeps beyond its lives, and its RAM above: two parts of `whole`, which starts on a 2 MiB
/// boundary as both parts do.
pub fn split(whole: Region<Pa>) -> Option<(Region<Pa>, Region<Pa>)> {
    let kept = (whole.size() / 4 / BLOCK_2M * BLOCK_2M).max(BLOCK_2M);
    let kept = Region::new(whole.start(), kept)?;
    Some((kept, Region::new(kept.end(), whole.size().checked_sub(kept.size())?)?))
}

/// The partition's virtio devices by slot, as EL2 presents them.
pub fn virtio(partition: &PartitionFile) -> impl Iterator<Item = Virtio> {
    partition.virtio_devices().map(|(device, _)| {
        let (device_id, queues, queue_size) = match device {
            VirtioFile::Entropy => (4, 1, 64),
            VirtioFile::Disk(_) => (2, 1, 256),
            VirtioFile::Net => (1, 2, 256),
            VirtioFile::Console => (3, 2, 64),
            VirtioFile::Vsock => (19, 3, 64),
        };
        Virtio { device_id, queues, queue_size, is_optional: device.is_optional() }
    })
}

/// What the service partition is told; `None` where a mistake in the file leaves something open.
///
/// `system` has every partition of `file` but the service partition, whose RAM is `ram`.
pub fn plan(
    board: &Board,
    system: &System,
    file: &SystemFile,
    service: &PartitionFile,
    ram: Region<Pa>,
) -> Option<Plan> {
    let network = resolve(file);
    let mut plan = Plan {
        own: PartitionId::new(system.partitions.len() as u8),
        is_tagged: system.console == ConsoleMode::Tagged,
        ram,
        kept: system.service?.kept,
        uart: (board.uart, board.uart_intid),
        rtc: board.device(RTC).map(|(_, device)| device.start),
        transports: board.transports,
        soc: board.soc.copied(),
        watchdog_ms: service.watchdog.value().copied()?,
        partitions: system.partitions.iter().map(served).collect(),
        devices: heapless::Vec::new(),
        network: network.as_ref().map(|resolved| resolved.network.clone()),
        channels: channels(system, file)?,
    };
    let name = service.name.value()?.as_str().try_into().ok()?;
    let own = Served { name, ram: heapless::Vec::new(), io: Io::Open };
    plan.partitions.push(own).ok()?;
    for (n, file) in file.partitions.iter().enumerate() {
        for (slot, (device, _)) in file.virtio_devices().enumerate() {
            let kind = match device {
                VirtioFile::Entropy => Kind::Entropy,
                VirtioFile::Disk(disk) => Kind::Disk(backing(disk)?),
                VirtioFile::Net => Kind::Nic((*network.as_ref()?.nics.get(n)?)?),
                VirtioFile::Console => Kind::Console,
                VirtioFile::Vsock => Kind::Vsock(FIRST_CID + n as u32),
            };
            let (partition, is_optional) = (PartitionId::new(n as u8), device.is_optional());
            let backend = Backend { partition, slot: slot as u8, is_optional, kind };
            plan.devices.push(backend).ok()?;
        }
    }
    Some(plan)
}

/// The channels that the service has an end of.
fn channels(system: &System, file: &SystemFile) -> Option<heapless::Vec<Channel, MAX_CHANNELS>> {
    let mut all = heapless::Vec::new();
    for (number, (placed, said)) in system.channels.iter().zip(crate::channels::resolve(file)?).enumerate() {
        let Some(end) = placed.ends.iter().position(|end| end.is_brokered()) else { continue };
        let channel = Channel {
            number: number as u8,
            memory: placed.memory()?,
            partition: placed.ends[end].partition,
            end: end as u8,
            port: said.port,
        };
        all.push(channel).ok()?;
    }
    Some(all)
}

/// A partition as the service sees it: RAM only where there is something to serve, and no more of it than it shows.
fn served(partition: &Partition) -> Served {
    let ram = partition.served().map(|bank| Memory { ipa: bank.ipa, pa: bank.pa }).collect();
    Served { name: partition.name.clone(), ram, io: partition.io }
}

fn backing(disk: &DiskFile) -> Option<Disk> {
    let from = disk.from.value()?.clone();
    let serial = match disk.serial.value() {
        Some(serial) => serial.as_str().try_into().ok()?,
        None => serial_of(&from),
    };
    Some(Disk {
        from,
        is_read_only: disk.is_read_only(),
        at_least: disk.at_least.value().copied().unwrap_or(0),
        serial,
        iops: disk.iops.value().copied().unwrap_or(0),
    })
}

/// The serial number of a disk that the file gives none: what it is made from, as far as that can be one.
fn serial_of(from: &Origin) -> heapless::String<SERIAL> {
    let name = match from {
        Origin::Gpt(label) => label.to_string(),
        Origin::Disk(serial) => serial.to_string(),
        Origin::Mbr(number) => format!("mbr{number}"),
    };
    name.chars().filter(|c| matches!(c, ' '..='~')).take(SERIAL).collect()
}

/// The payload that holds `plan`; `None` when it is too large.
pub fn payload(plan: &Plan) -> Option<Bytes> {
    let mut bytes = vec![0; MAX];
    let (header, body) = bytes.split_at_mut(HEADER);
    let length = postcard::to_slice(plan, body).ok()?.len();
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&(length as u32).to_le_bytes());
    bytes.truncate(HEADER + length);
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, size: u64) -> Region<Pa> {
        Region::new(Pa::new(start), size).unwrap()
    }

    #[test]
    fn a_quarter_of_the_memory_outlives_the_service() {
        let split = |size| split(region(0x4000_0000, size)).unwrap();
        assert_eq!(split(32 << 20), (region(0x4000_0000, 8 << 20), region(0x4080_0000, 24 << 20)));
        assert_eq!(split(8 << 20), (region(0x4000_0000, 2 << 20), region(0x4020_0000, 6 << 20)));
        let odd = (15 << 20) + 4096;
        assert_eq!(split(odd), (region(0x4000_0000, 2 << 20), region(0x4020_0000, odd - (2 << 20))));
    }

    #[test]
    fn a_serial_number_comes_from_the_origin() {
        let gpt = |label: &str| serial_of(&Origin::Gpt(label.try_into().unwrap()));
        assert_eq!(gpt("rootfs-a"), "rootfs-a");
        assert_eq!(gpt("a label of more than twenty characters"), "a label of more than");
        assert_eq!(gpt("größe"), "gre");
        assert_eq!(serial_of(&Origin::Disk("system".try_into().unwrap())), "system");
        assert_eq!(serial_of(&Origin::Mbr(2)), "mbr2");
    }
}
