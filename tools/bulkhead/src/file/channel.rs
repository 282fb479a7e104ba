//! `[[channel]]` as written: memory that two partitions share.

use super::table::Table;
use super::{Given, keys};
use crate::diagnostic::{Diagnostic, Span};
use abi::MAX_NAME;
use abi::channel::{MAX_SIZE, MIN_SIZE};
use addr::{ByteSize, PAGE_SIZE};
use toml::de::DeValue;

/// Bytes of a channel unless the file says otherwise.
const SIZE: u64 = 64 << 10;

/// A channel as written.
#[derive(Debug, Default)]
pub struct ChannelFile {
    /// Its header.
    pub span: Span,
    /// Its name.
    pub name: Given<String>,
    /// The two partitions, each with its place.
    pub between: Given<[(String, Span); 2]>,
    /// Its bytes.
    pub size: Given<u64>,
    /// The port by which a partition with `vsock` reaches it.
    pub port: Given<u32>,
}

impl ChannelFile {
    /// What messages call it.
    pub fn title(&self) -> String {
        match self.name.value() {
            Some(name) => format!("channel '{name}'"),
            None => "a channel".to_owned(),
        }
    }
    /// Its bytes; `None` where what the file says is wrong.
    pub fn size(&self) -> Option<u64> {
        if self.size == Given::Absent { Some(SIZE) } else { self.size.value().copied() }
    }
}

/// Reads every `[[channel]]`; mistakes go to `found`.
pub fn parse(root: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Vec<ChannelFile> {
    let Some((value, span)) = root.get("channel") else { return Vec::new() };
    let DeValue::Array(array) = value else {
        found.push(Diagnostic::new(span, "`channel` is a list of tables", "write [[channel]], with two brackets"));
        return Vec::new();
    };
    let mut channels = Vec::new();
    for element in array.iter() {
        match element.get_ref() {
            DeValue::Table(entries) => {
                let table = Table::new("a channel", entries, element.span(), keys::CHANNEL, found);
                channels.push(channel(&table, found));
            }
            _ => {
                let help = "write [[channel]] on a line of its own";
                found.push(Diagnostic::new(element.span(), "a channel is a table", help));
            }
        }
    }
    channels
}

fn channel(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> ChannelFile {
    let channel = ChannelFile {
        span: table.span(),
        name: table.string("name", found).then(|text, span| name(text, span, found)),
        between: between(table, found),
        size: table.size("size", found, "\"64K\"").then(|bytes, span| size(bytes, span, found)),
        port: table.integer("port", found).then(|port, span| self::port(port, span, found)),
    };
    for (key, is_there, help) in [
        ("name", channel.name != Given::Absent, "add name = \"...\""),
        (
            "between",
            channel.between != Given::Absent,
            "add between = [\"...\", \"...\"]: the two partitions that share it",
        ),
    ] {
        if !is_there && !table.was_misspelt(key) {
            found.push(Diagnostic::new(table.span(), format!("{} has no `{key}`", channel.title()), help));
        }
    }
    channel
}

/// A label in a guest's device tree.
fn name(text: String, span: &Span, found: &mut Vec<Diagnostic>) -> Option<String> {
    let is_good = !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !is_good {
        let help = format!("use 1 to {MAX_NAME} letters, digits, `-` and `_`");
        found.push(Diagnostic::new(span.clone(), format!("a channel cannot be called '{text}'"), help));
    }
    is_good.then_some(text)
}

fn between(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Given<[(String, Span); 2]> {
    let example = "[\"linux\", \"control\"]";
    let names = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
    table.list("between", found, "two partition names", example, names).then(|names, span| {
        match <[(String, Span); 2]>::try_from(names) {
            Ok(two) => Some(two),
            Err(names) => {
                let title = format!("a channel is between two partitions, not {}", names.len());
                found.push(Diagnostic::new(span.clone(), title, format!("write it as `between = {example}`")));
                None
            }
        }
    })
}

fn size(bytes: u64, span: &Span, found: &mut Vec<Diagnostic>) -> Option<u64> {
    let is_good = (MIN_SIZE..=MAX_SIZE).contains(&bytes) && bytes.is_multiple_of(PAGE_SIZE);
    if !is_good {
        let title = format!("a channel of {}", ByteSize(bytes));
        let help = format!(
            "give it {} to {}, in multiples of {}",
            ByteSize(MIN_SIZE),
            ByteSize(MAX_SIZE),
            ByteSize(PAGE_SIZE)
        );
        found.push(Diagnostic::new(span.clone(), title, help));
    }
    is_good.then_some(bytes)
}

/// The last port stands for any (VMADDR_PORT_ANY of Linux).
fn port(number: i64, span: &Span, found: &mut Vec<Diagnostic>) -> Option<u32> {
    let port = u32::try_from(number).ok().filter(|port| (1..u32::MAX).contains(port));
    if port.is_none() {
        let help = format!("a port is a number from 1 to {}", u32::MAX - 1);
        found.push(Diagnostic::new(span.clone(), format!("bad port {number}"), help));
    }
    port
}
