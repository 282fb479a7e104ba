//! `machine = { ... }` as written: what the emulator is to have.

use super::table::{Table, describe};
use super::{Given, SystemFile, disk, keys};
use crate::diagnostic::{Diagnostic, Span};
use abi::plan::SERIAL;
use std::path::Path;
use toml::de::DeValue;

/// A disk image that the emulator attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskImage {
    /// Path, relative to the system file.
    pub file: String,
    /// Where that stands.
    pub span: Span,
    /// The serial number that the board's software sees.
    pub serial: Given<String>,
}

/// Reads `machine` into `file`; mistakes go to `found`.
pub fn parse(root: &Table<'_, '_>, file: &mut SystemFile, found: &mut Vec<Diagnostic>) {
    let Some((value, span)) = root.get("machine") else { return };
    let DeValue::Table(keys) = value else {
        let help = "write `machine = { cores = 4, memory = \"2G\" }`";
        found.push(Diagnostic::new(span, "`machine` is a table", help));
        return;
    };
    let machine = Table::new("`machine`", keys, span, keys::MACHINE, found);
    file.cores = machine.integer("cores", found).then(|n, span| {
        let cores = u16::try_from(n).ok();
        if cores.is_none() {
            let help = format!("give it 1 to {}", abi::MAX_CORES);
            found.push(Diagnostic::new(span.clone(), format!("a machine of {n} cores"), help));
        }
        cores
    });
    file.memory = machine.size("memory", found, "\"2G\"");
    file.disks = disks(&machine, found);
}

fn disks(machine: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Given<Vec<DiskImage>> {
    let Some((value, value_span)) = machine.get("disks") else { return Given::Absent };
    let help = "write it as `disks = [\"disk.img\"]`, or with serial numbers: `[{ file = \"disk.img\", serial = \"system\" }]`";
    let DeValue::Array(elements) = value else {
        let title = format!("`disks` is a list of disk images, not {}", describe(value));
        found.push(Diagnostic::new(value_span.clone(), title, help));
        return Given::Wrong(value_span);
    };
    let mut images: Vec<DiskImage> = Vec::new();
    let before = found.len();
    for element in elements.iter() {
        let image = match element.get_ref() {
            DeValue::String(name) => Some(stem(name.to_string(), element.span(), found)),
            DeValue::Table(keys) => named(Table::new("a disk image", keys, element.span(), keys::IMAGE, found), found),
            other => {
                let title = format!("`disks` is a list of disk images, not of {}", describe(other));
                found.push(Diagnostic::new(element.span(), title, help));
                None
            }
        };
        images.extend(image);
    }
    for (place, image) in images.iter().enumerate() {
        twice(&images[..place], image, found);
    }
    // With one image unknown nothing can be said about what is on the others.
    if found.len() == before { Given::Is(images, value_span) } else { Given::Wrong(value_span) }
}

/// An image whose serial number is written.
fn named(table: Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Option<DiskImage> {
    let file = table.string("file", found);
    let serial = table.string("serial", found).then(|text, span| disk::serial("`serial`", text, span, found));
    match file {
        Given::Is(file, span) if serial == Given::Absent => Some(stem(file, span, found)),
        Given::Is(file, span) => Some(DiskImage { file, span, serial }),
        Given::Absent if !table.was_misspelt("file") => {
            found.push(Diagnostic::new(table.span(), "a disk image has no `file`", "add file = \"disk.img\""));
            None
        }
        _ => None,
    }
}

/// An image whose serial number is its name without folder and extension, as far as a serial number goes.
fn stem(file: String, span: Span, found: &mut Vec<Diagnostic>) -> DiskImage {
    let stem = Path::new(&file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let serial = if !stem.is_empty() && stem.bytes().all(disk::is_printable) {
        Given::Is(stem[..stem.len().min(SERIAL)].to_owned(), span.clone())
    } else {
        let title = format!("the name of disk image '{file}' makes no serial number");
        let help = "give it one of printable ASCII: { file = \"...\", serial = \"...\" }";
        found.push(Diagnostic::new(span.clone(), title, help));
        Given::Wrong(span.clone())
    };
    DiskImage { file, span, serial }
}

/// Reports `image` if one of those `before` is the same file or has the same serial number.
fn twice(before: &[DiskImage], image: &DiskImage, found: &mut Vec<Diagnostic>) {
    if let Some(first) = before.iter().find(|first| first.file == image.file) {
        let title = format!("disk image '{}' is attached twice", image.file);
        let mistake = Diagnostic::new(image.span.clone(), title, "list it once");
        return found.push(mistake.also(first.span.clone(), "first"));
    }
    let Given::Is(serial, span) = &image.serial else { return };
    let same = before.iter().find(|first| first.serial.value() == Some(serial));
    if let Some(first_span) = same.and_then(|first| first.serial.span()) {
        let title = format!("two disks have the serial number '{serial}'");
        let help = "give one another: { file = \"...\", serial = \"...\" }";
        found.push(Diagnostic::new(span.clone(), title, help).also(first_span, "first"));
    }
}
