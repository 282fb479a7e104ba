//! The kernel that the firmware loads: whether it is a whole Bulkhead image for this board.

use super::{Files, KERNEL, Kernel, disks};
use crate::card::config::{Config, Setting};
use crate::image;
use abi::bundle::{BUNDLE_MAX, FORMAT, HEADER, IMAGE_SIZE};
use addr::ByteSize;
use manifest::{Board, System, checksum};
use std::io::{Read, Seek};

/// How to get a kernel.
const BUILD: &str = "copy build/kernel8.img of `make rpi4` to the boot partition";
/// What cuts files short.
const EJECT: &str = "copy it again, and take the card out only when your computer says that it may be";

/// Reads the kernel and everything in it that carries a checksum.
pub fn read<D: Read + Seek>(files: &mut Files<'_, D>, config: &Config, board: &Board) -> Option<Kernel> {
    let setting = config.find("kernel");
    let name = setting.map_or(KERNEL.to_owned(), |setting| setting.value.clone());
    let other = setting.filter(|setting| !setting.value.trim_start_matches('/').eq_ignore_ascii_case(KERNEL));
    if let Some(setting) = other.filter(|_| files.named(&name).is_none()) {
        find_other(files, setting, "that the card does not have");
        return None;
    }
    let content = files.content(&name, BUNDLE_MAX + 1, BUILD)?;
    if image::check(&content).is_err() {
        match other {
            Some(setting) => find_other(files, setting, "that is no Bulkhead image"),
            None => files.find(&name, format!("{name} is no Bulkhead image"), BUILD),
        }
        return None;
    }
    if let Err((problem, help)) = whole(&name, &content) {
        files.find(&name, problem, help);
        return None;
    }
    let system = match image::system(&content) {
        Ok(system) => system,
        Err(error) => {
            files.find(&name, format!("{name}: {error}"), BUILD);
            return None;
        }
    };
    if system.board != board.name {
        let problem = format!("{name} is for board '{}', the card for '{}'", system.board.escape_debug(), board.name);
        files.find(&name, problem, format!("build it from a system file with `board = \"{}\"`", board.name));
        return None;
    }
    let mut is_sound = true;
    manifest::validate(board, &system, &mut |mistake| {
        is_sound = false;
        files.find(&name, format!("{name}: {mistake}"), BUILD);
    });
    for problem in damaged(&system, &content) {
        is_sound = false;
        files.find(&name, format!("{name}: {problem}"), EJECT);
    }
    let size = content.len() as u64;
    let partitions: Vec<_> = system.partitions.iter().map(|partition| partition.name.as_str()).collect();
    files.say(&name, format!("{}, partitions {}", ByteSize(size), partitions.join(", ")));
    let plan = disks::plan(&system, &content);
    is_sound.then_some(Kernel { name, size, system, plan })
}

fn find_other<D: Read + Seek>(files: &mut Files<'_, D>, setting: &Setting, which: &str) {
    let problem = format!("`kernel={}` names a file {which}", setting.value);
    let help = if files.named(KERNEL).is_some() { "write `kernel=kernel8.img`, which is there" } else { BUILD };
    files.find(format!("config.txt:{}", setting.line), problem, help);
}

/// Whether `content` has the format of this tool and all of its bytes.
fn whole(name: &str, content: &[u8]) -> Result<(), (String, &'static str)> {
    let number = |at: usize, size: usize| {
        let raw = content.get(at..at + size).unwrap_or_default();
        raw.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let format = number(HEADER + 8, 4);
    if format != u64::from(FORMAT) {
        let problem = format!("{name} has bundle format {format}, this tool knows {FORMAT}");
        return Err((problem, "build image and tool from one checkout: `make rpi4`"));
    }
    let (has, wants) = (content.len() as u64, number(IMAGE_SIZE, 8));
    if has > BUNDLE_MAX {
        return Err((format!("{name} is larger than {}", ByteSize(BUNDLE_MAX)), BUILD));
    }
    if has < wants {
        return Err((format!("{name} is cut short: it has {has} bytes of {wants}"), EJECT));
    }
    if has > wants {
        return Err((format!("{name} has {has} bytes, and {wants} by its own header"), BUILD));
    }
    Ok(())
}

/// What of the bundle differs from what was built, by its checksums.
fn damaged(system: &System, content: &[u8]) -> Vec<String> {
    let mut damaged = Vec::new();
    for partition in &system.partitions {
        for payload in &partition.payloads {
            let end = payload.offset.saturating_add(payload.size);
            let range = usize::try_from(payload.offset).ok().zip(usize::try_from(end).ok());
            let bytes = range.and_then(|(start, end)| content.get(start..end));
            let is_same = bytes
                .zip(partition.pa_of(payload.ipa))
                .is_some_and(|(bytes, pa)| checksum::of(pa, bytes) == payload.checksum);
            if !is_same {
                let name = partition.name.escape_debug();
                damaged.push(format!("{} of partition '{name}' is damaged (its checksum differs)", payload.kind));
            }
        }
    }
    damaged
}
