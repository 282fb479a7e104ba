//! Whether the card has the partitions that its system gives to guests as disks, by the service partition's rules.
//!
//! What is on them is the guests' business.

use super::{Files, Kernel};
use crate::card::SECTOR;
use crate::card::mbr::Partition;
use abi::plan::{HEADER, Kind, MAGIC, Origin, Plan};
use addr::ByteSize;
use manifest::{PayloadKind, System};
use std::io::{Read, Seek};

/// What the bundle `content` tells its service partition, if there is one.
pub fn plan(system: &System, content: &[u8]) -> Option<Plan> {
    let (_, service) = system.service_partition()?;
    let payload = service.payloads.iter().find(|payload| payload.kind == PayloadKind::Plan)?;
    let blob = content.get(usize::try_from(payload.offset).ok()?..)?;
    let blob = blob.get(..usize::try_from(payload.size).ok()?)?;
    postcard::from_bytes(blob.strip_prefix(&MAGIC)?.get(HEADER - MAGIC.len()..)?).ok()
}

/// Checks every disk of a partition.
pub fn check<D: Read + Seek>(files: &mut Files<'_, D>, partitions: &[Partition], kernel: &Kernel) {
    const HELP: &str = "write the whole image to the card; `sd-image` makes a partition of each `--disk`, from 2 on";
    let Some(plan) = &kernel.plan else { return };
    for device in plan.devices.iter().filter(|device| !device.is_optional) {
        let Kind::Disk(disk) = &device.kind else { continue };
        let served = plan.partitions.get(usize::from(device.partition.number()));
        let owner = served.map_or("?", |served| served.name.as_str()).escape_debug();
        let number = match &disk.from {
            Origin::Mbr(number) => usize::from(*number),
            Origin::Gpt(label) => {
                let label = label.escape_debug();
                let problem = format!("partition '{owner}' wants the disk gpt:{label}, and the card has no GPT");
                files.find("partition table", problem, "write `from = \"mbr:2\"` in the system file");
                continue;
            }
            // The serial number of a card is known where the card is.
            Origin::Disk(_) => continue,
        };
        let place = format!("partition {number}");
        let Some(found) = partitions.iter().find(|partition| partition.number == number) else {
            let problem = format!("partition '{owner}' wants the disk mbr:{number}, and the card has no {place}");
            files.find(place, problem, HELP);
            continue;
        };
        if found.is_fat() && !disk.is_read_only {
            let problem =
                format!("partition '{owner}' wants to write the disk mbr:{number}, which the firmware starts from");
            files.find(&place, problem, "write `mode = \"ro\"` or another number in the system file");
        }
        let bytes = found.sectors.saturating_mul(SECTOR);
        if bytes < disk.at_least {
            let (has, least) = (ByteSize(bytes), ByteSize(disk.at_least));
            let problem = format!("{place} has {has}, and partition '{owner}' wants at least {least}");
            files.find(place, problem, "give the card a larger one, or ask for less in the system file");
        }
    }
}
