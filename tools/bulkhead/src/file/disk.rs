//! One `disk` of a partition as written: where its sectors come from, and how the guest sees it.

use super::table::{Table, describe};
use super::{Given, keys};
use crate::diagnostic::{Diagnostic, Span};
use crate::near;
use abi::plan::{Origin, SERIAL};
use gpt::mbr::COUNT;
use toml::de::{DeTable, DeValue};

/// Most UTF-16 units of a GPT partition's label.
const LABEL_UNITS: usize = 36;

/// Whether the guest may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It may.
    ReadWrite,
    /// It may not.
    ReadOnly,
}

/// A disk as written.
#[derive(Clone, Debug, Default)]
pub struct DiskFile {
    /// Its table.
    pub span: Span,
    /// Where its sectors come from.
    pub from: Given<Origin>,
    /// Whether the guest may write.
    pub mode: Given<Mode>,
    /// Whether the partition starts without it.
    pub optional: Given<bool>,
    /// Least size in bytes.
    pub at_least: Given<u64>,
    /// The serial number that the guest sees.
    pub serial: Given<String>,
    /// Requests that the guest may make per second.
    pub iops: Given<u32>,
}

impl DiskFile {
    /// Whether the guest may not write.
    pub fn is_read_only(&self) -> bool {
        self.mode.value() == Some(&Mode::ReadOnly)
    }
    /// Whether the partition starts without it.
    pub fn is_optional(&self) -> bool {
        self.optional.value() == Some(&true)
    }
    /// Where it stands: its origin, if it has one.
    pub fn place(&self) -> Span {
        self.from.span().unwrap_or(self.span.clone())
    }
}

/// Reads the disks of the partition that messages call `owner`: one table or a list of them.
pub fn parse(table: &Table<'_, '_>, owner: &str, found: &mut Vec<Diagnostic>) -> Vec<DiskFile> {
    let Some((value, span)) = table.get("disk") else { return Vec::new() };
    match value {
        DeValue::Table(entries) => vec![one(entries, span, owner, found)],
        DeValue::Array(elements) => elements
            .iter()
            .filter_map(|element| match element.get_ref() {
                DeValue::Table(entries) => Some(one(entries, element.span(), owner, found)),
                other => {
                    wrong(other, element.span(), found);
                    None
                }
            })
            .collect(),
        other => {
            wrong(other, span, found);
            Vec::new()
        }
    }
}

fn wrong(value: &DeValue<'_>, span: Span, found: &mut Vec<Diagnostic>) {
    let help = "write it as `disk = { from = \"gpt:LABEL\", mode = \"rw\" }`, or a list of such tables";
    found.push(Diagnostic::new(span, format!("`disk` is a table, not {}", describe(value)), help));
}

fn one(entries: &DeTable<'_>, span: Span, owner: &str, found: &mut Vec<Diagnostic>) -> DiskFile {
    let table = Table::new("a disk", entries, span.clone(), keys::DISK, found);
    let disk = DiskFile {
        span,
        from: table.string("from", found).then(|text, span| origin(&text, span, found)),
        mode: table.choice("mode", found, &[("rw", Mode::ReadWrite), ("ro", Mode::ReadOnly)]),
        optional: table.boolean("optional", found),
        at_least: table.size("at_least", found, "\"64M\""),
        serial: table.string("serial", found).then(|text, span| serial("`serial`", text, span, found)),
        iops: table.integer("iops", found).then(|number, span| iops(number, span, found)),
    };
    if disk.from == Given::Absent && !table.was_misspelt("from") {
        let help = "add from = \"gpt:LABEL\" for a GPT partition, from = \"mbr:2\" for one of a master boot record, or from = \
                    \"disk:SERIAL\" for a whole disk";
        found.push(Diagnostic::new(table.span(), format!("a disk of {owner} has no `from`"), help));
    }
    disk
}

fn iops(number: i64, span: &Span, found: &mut Vec<Diagnostic>) -> Option<u32> {
    let iops = u32::try_from(number).ok().filter(|iops| *iops != 0);
    if iops.is_none() {
        let help = format!("give it 1 to {}, or leave `iops` out: then there is no limit", u32::MAX);
        found.push(Diagnostic::new(span.clone(), format!("a disk of {number} requests per second"), help));
    }
    iops
}

/// `gpt:LABEL`, `mbr:NUMBER` or `disk:SERIAL`.
fn origin(text: &str, span: &Span, found: &mut Vec<Diagnostic>) -> Option<Origin> {
    match text.split_once(':') {
        Some(("gpt", label)) => gpt(label, span, found),
        Some(("mbr", number)) => mbr(number, span, found),
        Some(("disk", number)) => {
            let number = serial("the serial number in `from`", number.to_owned(), span, found)?;
            number.as_str().try_into().ok().map(Origin::Disk)
        }
        other => {
            let (kind, rest) = other.unwrap_or(("", text));
            let help = match near::nearest(kind, ["gpt", "mbr", "disk"]) {
                Some(near) => format!("did you mean \"{near}:{rest}\"?"),
                None => format!(
                    "write \"gpt:{rest}\" for the GPT partition with this label, or \"disk:{rest}\" for the whole disk \
                     with this serial number"
                ),
            };
            found.push(Diagnostic::new(span.clone(), format!("`from` cannot be \"{text}\""), help));
            None
        }
    }
}

fn mbr(number: &str, span: &Span, found: &mut Vec<Diagnostic>) -> Option<Origin> {
    let chosen = number.parse().ok().filter(|number| (1..=COUNT).contains(number));
    if chosen.is_none() {
        let title = format!("a master boot record has no partition '{number}'");
        let help = format!(
            "write \"mbr:1\" to \"mbr:{COUNT}\": a primary partition's number, as `sfdisk -l IMAGE` lists them"
        );
        found.push(Diagnostic::new(span.clone(), title, help));
    }
    chosen.map(Origin::Mbr)
}

fn gpt(label: &str, span: &Span, found: &mut Vec<Diagnostic>) -> Option<Origin> {
    let units = label.encode_utf16().count();
    let (title, help) = if units == 0 {
        ("`from` names no GPT label".to_owned(), "write \"gpt:LABEL\"; `sfdisk -d IMAGE` lists the labels".to_owned())
    } else if units > LABEL_UNITS {
        (format!("GPT label '{label}' has {units} characters"), format!("a GPT partition's has at most {LABEL_UNITS}"))
    } else if label.contains('\0') {
        ("the GPT label in `from` holds a zero byte".to_owned(), "a label ends there: leave it out".to_owned())
    } else {
        // 36 units take at most 108 bytes.
        return label.try_into().ok().map(Origin::Gpt);
    };
    found.push(Diagnostic::new(span.clone(), title, help));
    None
}

/// A serial number, if `text` is one.
pub fn serial(what: &str, text: String, span: &Span, found: &mut Vec<Diagnostic>) -> Option<String> {
    let title = if text.is_empty() {
        format!("{what} is empty")
    } else if !text.bytes().all(is_printable) {
        format!("{what} has other characters than printable ASCII")
    } else if text.len() > SERIAL {
        format!("{what} has {} characters", text.len())
    } else {
        return Some(text);
    };
    found.push(Diagnostic::new(span.clone(), title, format!("use 1 to {SERIAL} of printable ASCII")));
    None
}

/// Whether a serial number may hold this byte.
pub fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}
