//! The firmware's two files and the board's device tree.

use super::Files;
use crate::card::config::Config;
use dtoolkit::fdt::Fdt;
use manifest::Board;
use object::LittleEndian;
use object::elf::FileHeader32;
use object::read::elf::{FileHeader, ProgramHeader};
use std::io::{Read, Seek};

/// Largest file of the firmware's, several times over.
const FIRMWARE_MAX: u64 = 64 << 20;
/// Largest device tree, as booting.rst has it.
const TREE_MAX: u64 = 2 << 20;
/// The tree's name, as the firmware makes it of the board's.
const TREE: &str = "bcm2711-rpi-4-b.dtb";
/// The magic number and the place of the total size, both big-endian (Devicetree Specification, section 5.2).
const TREE_MAGIC: [u8; 4] = 0xd00d_feed_u32.to_be_bytes();

/// Checks the files that the firmware itself is made of: those that the settings choose.
pub fn files<D: Read + Seek>(files: &mut Files<'_, D>, config: &Config) {
    let letters = if config.number("gpu_mem", 0) == 16 {
        "cd"
    } else if config.number("start_debug", 0) != 0 {
        "db"
    } else if config.number("start_x", 0) != 0 {
        "x"
    } else {
        ""
    };
    let named = |key: &str, default: String| config.find(key).map_or(default, |setting| setting.value.clone());
    let start = named("start_file", format!("start4{letters}.elf"));
    let fixup = named("fixup_file", format!("fixup4{letters}.dat"));
    let help = "copy it from the package raspi-firmware, where start and fixup file come in pairs";
    if let Some(content) = files.content(&start, FIRMWARE_MAX, help) {
        if is_whole(&content) {
            files.say(&start, format!("{} bytes", content.len()));
        } else {
            let problem = format!("{start} is no firmware, or cut short: it has {} bytes", content.len());
            files.find(&start, problem, help);
        }
    }
    if let Some(content) = files.content(&fixup, FIRMWARE_MAX, help) {
        if content.is_empty() {
            files.find(&fixup, format!("{fixup} is empty"), help);
        } else {
            files.say(&fixup, format!("{} bytes", content.len()));
        }
    }
}

/// Whether `content` is an ELF file for the GPU with all that it loads.
fn is_whole(content: &[u8]) -> bool {
    let endian = LittleEndian;
    let Ok(header) = FileHeader32::<LittleEndian>::parse(content) else { return false };
    let Ok(segments) = header.program_headers(endian, content) else { return false };
    !segments.is_empty() && segments.iter().all(|segment| segment.data(endian, content).is_ok())
}

/// Checks the device tree that Bulkhead finds the board by.
pub fn tree<D: Read + Seek>(files: &mut Files<'_, D>, config: &Config, board: &Board) {
    let name = config.find("device_tree").map_or(TREE.to_owned(), |setting| setting.value.clone());
    let help = "copy it from Debian's package linux-image-arm64, usr/lib/linux-image-*/broadcom";
    if name.is_empty() {
        files.find("config.txt", "`device_tree=` keeps the device tree from Bulkhead", "take the line out");
        return;
    }
    let Some(content) = files.content(&name, TREE_MAX, help) else { return };
    match board_of(&content) {
        Ok((model, compatible)) if compatible.iter().any(|word| word == board.compatible) => {
            files.say(&name, model.escape_debug().to_string());
        }
        Ok((_, compatible)) => {
            let is = compatible.first().map_or("nothing", String::as_str).escape_debug();
            let problem = format!("{name} is for '{is}', the board is a '{}'", board.compatible);
            files.find(&name, problem, help);
        }
        Err(problem) => files.find(&name, format!("{name} {problem}"), help),
    }
}

/// A tree's model and what it says it is compatible with, or what is wrong with it.
fn board_of(content: &[u8]) -> Result<(String, Vec<String>), String> {
    if !content.starts_with(&TREE_MAGIC) {
        return Err("is no device tree".to_owned());
    }
    let total = content.get(4..8).and_then(|raw| raw.try_into().ok()).map_or(0, u32::from_be_bytes) as usize;
    let Some(tree) = content.get(..total) else {
        return Err(format!("is cut short: it has {} bytes of {total}", content.len()));
    };
    let tree = Fdt::new(tree).map_err(|error| format!("is damaged ({error})"))?;
    let root = tree.root();
    let model = root.model().ok().flatten().unwrap_or("a board without a name").to_owned();
    Ok((model, root.compatible().into_iter().flatten().map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::model::{DeviceTree, DeviceTreeProperty};

    #[test]
    fn no_tree_brings_the_tool_down() {
        let mut model = DeviceTree::new();
        model.root.add_property(DeviceTreeProperty::new("compatible", *b"a,b\0c,d\0").unwrap());
        model.root.add_property(DeviceTreeProperty::new("model", *b"m\0").unwrap());
        let whole = model.to_dtb();
        assert_eq!(board_of(&whole), Ok(("m".to_owned(), vec!["a,b".to_owned(), "c,d".to_owned()])));
        for length in 0..whole.len() {
            board_of(&whole[..length]).unwrap_err();
        }
        for at in 0..whole.len() {
            for value in [0, 1, 4, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                // Whatever it is then, the tool says so and goes on.
                let _ = board_of(&bytes);
            }
        }
    }
}
