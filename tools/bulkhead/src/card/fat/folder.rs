//! What a folder lists: short names, and the long ones that stand before them.
//!
//! A long name counts only where its parts are complete, in order, and carry the checksum of the short name behind them;
//! otherwise the short name does, as for the firmware.

use crate::card::{u16_at, u32_at};

/// Bytes of an entry.
pub const ENTRY: usize = 32;
/// The attribute byte, and what is in it.
const ATTRIBUTES: usize = 11;
const FOLDER: u8 = 0x10;
const VOLUME: u8 = 0x08;
/// All four lower bits: a part of a long name.
const LONG: u8 = 0x0f;
/// The first byte of an entry that is no more.
const DELETED: u8 = 0xe5;
/// Where the characters of a long name's part are.
const CHARACTERS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Parts of the longest name, of 255 characters.
const PARTS: u8 = 20;

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its long name, or its short one.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its first cluster.
    pub cluster: u32,
    /// Its size in bytes; 0 for a folder.
    pub size: u32,
}

/// The entries in the clusters of a folder. Labels of volumes, and what a folder says of itself, are left out.
pub fn entries(raw: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut long = LongName::default();
    for raw in raw.chunks_exact(ENTRY) {
        let (first, attributes) = (raw.first().copied().unwrap_or(0), raw.get(ATTRIBUTES).copied().unwrap_or(0));
        if first == 0 {
            break;
        }
        if first == DELETED {
            long = LongName::default();
        } else if attributes & LONG == LONG {
            long.add(raw);
        } else {
            let name = std::mem::take(&mut long).of(raw).unwrap_or_else(|| short_name(raw));
            if attributes & VOLUME != 0 || name == "." || name == ".." {
                continue;
            }
            let cluster = u32::from(u16_at(raw, 20)) << 16 | u32::from(u16_at(raw, 26));
            entries.push(Entry { name, is_folder: attributes & FOLDER != 0, cluster, size: u32_at(raw, 28) });
        }
    }
    entries
}

/// The parts of a long name so far, the last part first, as they lie.
#[derive(Default)]
struct LongName {
    parts: Vec<[u16; 13]>,
    /// The number that the next part must have; 0 when all are there.
    wanted: u8,
    checksum: u8,
}

impl LongName {
    fn add(&mut self, raw: &[u8]) {
        const LAST: u8 = 0x40;
        let (number, checksum) = (raw.first().copied().unwrap_or(0), raw.get(13).copied().unwrap_or(0));
        let part = number & !LAST;
        if number & LAST != 0 {
            *self = Self { parts: Vec::new(), wanted: part, checksum };
        }
        if part == 0 || part > PARTS || part != self.wanted || checksum != self.checksum {
            *self = Self::default();
            return;
        }
        self.parts.push(CHARACTERS.map(|at| u16_at(raw, at)));
        self.wanted -= 1;
    }

    /// The name, if it is whole and belongs to the short entry `raw`.
    fn of(self, raw: &[u8]) -> Option<String> {
        let short = raw.get(..ATTRIBUTES)?;
        let checksum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.parts.is_empty() || self.wanted != 0 || checksum != self.checksum {
            return None;
        }
        let units = self.parts.iter().rev().flatten().copied();
        let name = char::decode_utf16(units.take_while(|unit| *unit != 0));
        Some(name.map(|c| shown(c.unwrap_or(char::REPLACEMENT_CHARACTER))).collect())
    }
}

/// A character of a name as it may go to a terminal.
fn shown(c: char) -> char {
    if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }
}

/// The eight and three characters of a short name; two bits say where they are small letters.
fn short_name(raw: &[u8]) -> String {
    let case = raw.get(12).copied().unwrap_or(0);
    let part = |at: std::ops::Range<usize>, is_small: bool| {
        let bytes = raw.get(at).unwrap_or_default().trim_ascii_end();
        let text =
            bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER });
        text.map(shown).map(|c| if is_small { c.to_ascii_lowercase() } else { c }).collect::<String>()
    };
    let (name, extension) = (part(0..8, case & 0x08 != 0), part(8..11, case & 0x10 != 0));
    if extension.is_empty() { name } else { format!("{name}.{extension}") }
}
