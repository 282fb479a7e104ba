//! `devices = [...]` of a partition: names of the board's devices, and of the blocks that several of them are made of.
//!
//! `spi` is a page of registers with five SPI masters in it, `spi0` one of them. Whoever has one has the page, so the
//! others are nobody else's; the guest's device tree describes those that the file names.

use crate::board::Platform;
use crate::diagnostic::{Diagnostic, Span};
use crate::file::{Given, PartitionFile};
use crate::near;
use abi::IntId;
use addr::{PAGE_SIZE, Pa, Region};
use bcm2711::Block;
use manifest::{Board, Device, DeviceId};

/// What the names in one partition stand for.
#[derive(Debug, Default)]
pub struct Assigned {
    /// Devices of the board, in the file's order. One that is named twice by the same name is here twice.
    pub ids: Vec<DeviceId>,
    /// The blocks that are named, by themselves or with all others of their device.
    pub blocks: Vec<&'static Block>,
}

/// What `partition` has; names that stand for nothing are reported.
pub fn resolve(platform: &Platform, partition: &PartitionFile, found: &mut Vec<Diagnostic>) -> Assigned {
    let mut assigned = Assigned::default();
    let Given::Is(wanted, span) = &partition.devices else { return assigned };
    let mut names: Vec<(&str, &str)> = Vec::new();
    for (name, span) in wanted {
        let device = device_of(platform, name).filter(|_| why_kept(platform, name).is_none());
        let id = device.and_then(|device| platform.board.device(device)).map(|(id, _)| id);
        let (Some(device), Some(id)) = (device, id) else {
            found.push(unknown(platform, name, span));
            continue;
        };
        let is_there = names.iter().any(|(other, of)| other != name && *of == device);
        if !is_there || names.contains(&(name, device)) {
            assigned.ids.push(id);
        }
        names.push((name, device));
        let blocks = platform.blocks.iter().filter(|block| block.name == name || block.device == name);
        for block in blocks {
            if !assigned.blocks.contains(&block) {
                assigned.blocks.push(block);
            }
        }
    }
    if assigned.ids.len() > manifest::MAX_DEVICES {
        let title = format!("{} lists {} devices", partition.title(), wanted.len());
        found.push(Diagnostic::new(span.clone(), title, format!("give it at most {}", manifest::MAX_DEVICES)));
    }
    assigned
}

/// The device of the board that `name` stands for.
fn device_of<'a>(platform: &Platform, name: &'a str) -> Option<&'a str> {
    let block = platform.blocks.iter().find(|block| block.name == name).map(|block| block.device);
    block.or_else(|| platform.board.device(name).map(|_| name))
}

/// Whether `partition` has `block`, by its own name or by that of its device.
pub fn has(platform: &Platform, partition: &PartitionFile, block: &Block) -> bool {
    mentions(platform, partition, block.device).any(|(name, _)| name == block.name || name == block.device)
}

/// The names of `partition` that stand for `device` or for a block of it, each with its place.
pub fn mentions<'a>(
    platform: &'a Platform,
    partition: &'a PartitionFile,
    device: &'a str,
) -> impl Iterator<Item = (&'a str, Span)> {
    let all = partition.devices.value().into_iter().flatten();
    let of = all.filter(move |(name, _)| device_of(platform, name) == Some(device));
    of.map(|(name, span)| (name.as_str(), span.clone()))
}

/// Why no partition gets this device.
fn why_kept(platform: &Platform, name: &str) -> Option<&'static str> {
    platform.kept.iter().find(|kept| kept.names.contains(&name)).map(|kept| kept.why)
}

fn unknown(platform: &Platform, name: &str, span: &Span) -> Diagnostic {
    let board = platform.board;
    if let Some(why) = why_kept(platform, name) {
        let title = format!("device '{name}' of board '{}' is not for a partition", board.name);
        return Diagnostic::new(span.clone(), title, why);
    }
    let devices =
        || board.devices.iter().map(|device| device.name).filter(|device| why_kept(platform, device).is_none());
    let blocks = platform.blocks.iter().map(|block| block.name).filter(|block| board.device(block).is_none());
    let help = match near::nearest(name, devices().chain(blocks)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if board.devices.is_empty() => "leave `devices` out".to_owned(),
        None => format!("its devices are {}", near::list(devices())),
    };
    Diagnostic::new(span.clone(), format!("board '{}' has no device '{name}' to assign", board.name), help)
}

/// Registers and interrupts of something that a device may share them with.
pub type Place<'a> = (Option<Region<Pa>>, &'a [IntId]);

/// Where a device is.
pub fn place(device: &Device) -> Place<'_> {
    (device.region(), device.intids)
}

/// Where the hypervisor's console is.
pub fn console(board: &Board) -> Place<'_> {
    (Region::new(board.uart, PAGE_SIZE), std::slice::from_ref(&board.uart_intid))
}

/// What two of them share: `registers at 0xfe20_4000 and SPI 118`.
pub fn shared(one: Place<'_>, other: Place<'_>) -> String {
    let page = match (one.0, other.0) {
        (Some(a), Some(b)) if a.overlaps(&b) => Some(format!("registers at {}", a.start().max(b.start()))),
        _ => None,
    };
    let intids = one.1.iter().filter(|intid| other.1.contains(intid)).map(ToString::to_string);
    page.into_iter().chain(intids).collect::<Vec<_>>().join(" and ")
}
