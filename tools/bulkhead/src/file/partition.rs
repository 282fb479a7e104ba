//! One `[[partition]]` as written.

use super::table::{Table, integer};
use super::{Given, keys};
use crate::diagnostic::{Diagnostic, Span};
use abi::MAX_NAME;
use toml::de::{DeTable, DeValue};

/// Most bytes of a kernel command line: arm64 Linux's COMMAND_LINE_SIZE.
const BOOTARGS_MAX: usize = 2048;

/// A partition as written.
#[derive(Debug, Default)]
pub struct PartitionFile {
    /// Its header.
    pub span: Span,
    /// Name.
    pub name: Given<String>,
    /// Cores, each with its place.
    pub cores: Given<Vec<(u16, Span)>>,
    /// Bytes of RAM.
    pub memory: Given<u64>,
    /// Physical address of the RAM, if pinned.
    pub memory_at: Given<u64>,
    /// Path of the kernel, relative to the system file.
    pub kernel: Given<String>,
    /// Path of the initrd.
    pub initrd: Given<String>,
    /// Kernel command line.
    pub bootargs: Given<String>,
    /// Names of assigned devices, each with its place.
    pub devices: Given<Vec<(String, Span)>>,
    /// Whether IPA = PA.
    pub identity: Given<bool>,
    /// Offset of the kernel in RAM, if pinned.
    pub kernel_at: Given<u64>,
    /// Offset of the device tree in RAM, if pinned.
    pub device_tree_at: Given<u64>,
}

impl PartitionFile {
    /// What messages call it.
    pub fn title(&self) -> String {
        match self.name.value() {
            Some(name) => format!("partition '{name}'"),
            None => "a partition".to_owned(),
        }
    }
}

/// Reads the partition `entries`, whose header stands at `span`.
pub fn parse(entries: &DeTable<'_>, span: Span, found: &mut Vec<Diagnostic>) -> PartitionFile {
    let table = Table::new("a partition", entries, span.clone(), &keys::PARTITION, found);
    let partition = PartitionFile {
        span,
        name: table.string("name", found).then(|name, span| {
            let fits = name.len() <= MAX_NAME;
            if !fits {
                let title = format!("partition name '{name}' has {} characters", name.len());
                found.push(Diagnostic::new(span.clone(), title, format!("use at most {MAX_NAME}")));
            }
            fits.then_some(name)
        }),
        cores: cores(&table, found),
        memory: table.size("memory", found),
        memory_at: table.size("memory_at", found),
        kernel: table.string("kernel", found),
        initrd: table.string("initrd", found),
        bootargs: bootargs(&table, found),
        devices: table.list("devices", found, "device names", "[\"rtc\"]", |value| value.as_str().map(str::to_owned)),
        identity: table.boolean("identity", found),
        kernel_at: table.size("kernel_at", found),
        device_tree_at: table.size("device_tree_at", found),
    };
    on_crash(&table, found);
    missing(&table, &partition, found);
    partition
}

fn cores(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Given<Vec<(u16, Span)>> {
    // A number above every board's is reported by the validator as absent.
    let core = |value: &DeValue<'_>| integer(value).and_then(|n| u16::try_from(n).ok());
    let example = match table.get("cores") {
        Some((value, _)) => integer(value).filter(|n| *n >= 0).map(|n| format!("[{n}]")),
        None => None,
    };
    table.list("cores", found, "core numbers from 0", example.as_deref().unwrap_or("[1, 2]"), core)
}

fn bootargs(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Given<String> {
    table.string("bootargs", found).then(|text, span| {
        let title = if text.len() >= BOOTARGS_MAX {
            format!("`bootargs` has {} bytes", text.len())
        } else if text.contains('\0') {
            "`bootargs` holds a zero byte".to_owned()
        } else {
            return Some(text);
        };
        found.push(Diagnostic::new(span.clone(), title, format!("use at most {} bytes of text", BOOTARGS_MAX - 1)));
        None
    })
}

/// `on_crash = "stop"` is what this version does; nothing else is.
fn on_crash(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) {
    let given = table.string("on_crash", found);
    let (Some(text), Some(span)) = (given.value(), given.span()) else { return };
    let (title, help) = match text.as_str() {
        "stop" => return,
        "restart" => (
            "`on_crash = \"restart\"` comes with a later version of Bulkhead".to_owned(),
            "take it out, or write \"stop\": this version stops a partition that crashed",
        ),
        other => (format!("`on_crash` cannot be \"{other}\""), "write \"stop\""),
    };
    found.push(Diagnostic::new(span, title, help));
}

/// Keys that every partition needs.
fn missing(table: &Table<'_, '_>, partition: &PartitionFile, found: &mut Vec<Diagnostic>) {
    let needed = [
        ("name", partition.name == Given::Absent, "name = \"linux\""),
        ("cores", partition.cores == Given::Absent, "cores = [1]: a vCPU is pinned to a core of its own"),
        ("memory", partition.memory == Given::Absent, "memory = \"64M\""),
        ("kernel", partition.kernel == Given::Absent, "kernel = \"path/to/Image\", relative to this file"),
    ];
    for (key, is_absent, example) in needed {
        if is_absent && !table.was_misspelt(key) {
            let title = format!("{} has no `{key}`", partition.title());
            found.push(Diagnostic::new(table.span(), title, format!("add {example}")));
        }
    }
}
