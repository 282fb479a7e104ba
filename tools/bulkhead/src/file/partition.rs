//! One `[[partition]]` as written.

use super::disk::{self, DiskFile};
use super::net::{self, NetFile};
use super::pins::{self, PinFile};
use super::table::{Table, integer};
use super::window::{self, WindowFile};
use super::{Given, keys};
use crate::diagnostic::{Diagnostic, Span};
use abi::{Again, MAX_NAME, Policy, RestartLimit};
use toml::de::{DeTable, DeValue};

/// Most bytes of a kernel command line: arm64 Linux's COMMAND_LINE_SIZE.
pub const BOOTARGS_MAX: usize = 2048;

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
    /// What the board's pins do for them.
    pub pins: Vec<PinFile>,
    /// Whether IPA = PA.
    pub identity: Given<bool>,
    /// Whether it may have devices that read and write all memory.
    pub unsafe_dma: Given<bool>,
    /// Offset of the kernel in RAM, if pinned.
    pub kernel_at: Given<u64>,
    /// Offset of the device tree in RAM, if pinned.
    pub device_tree_at: Given<u64>,
    /// What follows a fault or a starved watchdog.
    pub on_crash: Given<Again>,
    /// What follows SYSTEM_RESET.
    pub on_reset: Given<Again>,
    /// What follows SYSTEM_OFF.
    pub on_off: Given<Again>,
    /// How many restarts are too many; `None` for `"none"`.
    pub restart_limit: Given<Option<RestartLimit>>,
    /// What the second restart in a row waits for, in milliseconds; 0 for `"none"`.
    pub restart_backoff: Given<u32>,
    /// How long the watchdog waits, in milliseconds; 0 for `"none"`.
    pub watchdog: Given<u32>,
    /// Its disks, in order.
    pub disks: Vec<DiskFile>,
    /// Whether it has an entropy device.
    pub rng: Given<bool>,
    /// Its network device.
    pub net: Given<NetFile>,
    /// Whether it has a virtio-vsock device, by which it reaches its channels.
    pub vsock: Given<bool>,
    /// How much of its RAM the service partition sees.
    pub window: WindowFile,
    /// Whether it has a virtio console.
    pub hvc: Given<bool>,
}

impl PartitionFile {
    /// Whether it has a virtio-vsock device.
    pub fn has_vsock(&self) -> bool {
        self.vsock.value() == Some(&true)
    }

    /// What messages call it.
    pub fn title(&self) -> String {
        match self.name.value() {
            Some(name) => format!("partition '{name}'"),
            None => "a partition".to_owned(),
        }
    }

    /// What follows when its guest's life ends.
    pub fn policy(&self) -> Policy {
        let own = Policy::DEFAULT;
        let or = |given: &Given<Again>, own| given.value().copied().unwrap_or(own);
        Policy {
            on_crash: or(&self.on_crash, own.on_crash),
            on_reset: or(&self.on_reset, own.on_reset),
            on_off: or(&self.on_off, own.on_off),
            limit: self.restart_limit.value().copied().unwrap_or(own.limit),
            backoff_ms: self.restart_backoff.value().copied().unwrap_or(own.backoff_ms),
        }
    }
}

/// Reads the partition `entries`, whose header stands at `span`.
pub fn parse(entries: &DeTable<'_>, span: Span, found: &mut Vec<Diagnostic>) -> PartitionFile {
    let table = Table::new("a partition", entries, span.clone(), keys::PARTITION, found);
    let mut partition = PartitionFile {
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
        memory: table.size("memory", found, "\"512M\""),
        memory_at: table.size("memory_at", found, "\"1536M\""),
        kernel: table.string("kernel", found),
        initrd: table.string("initrd", found),
        bootargs: bootargs(&table, found),
        devices: table.list("devices", found, "device names", "[\"rtc\"]", |value| value.as_str().map(str::to_owned)),
        identity: table.boolean("identity", found),
        unsafe_dma: table.boolean("unsafe_dma", found),
        kernel_at: table.size("kernel_at", found, "\"2M\""),
        device_tree_at: table.size("device_tree_at", found, "\"64M\""),
        rng: table.boolean("rng", found),
        vsock: table.boolean("vsock", found),
        hvc: table.boolean("hvc", found),
        ..PartitionFile::default()
    };
    policy_keys(&table, &mut partition, found);
    partition.disks = disk::parse(&table, &partition.title(), found);
    partition.net = net::parse(&table, found);
    partition.window = window::parse(&table, found);
    partition.pins = pins::parse(&table, found);
    missing(&table, &partition, found);
    partition
}

/// What follows the end of a life, and the watchdog.
pub fn policy_keys(table: &Table<'_, '_>, partition: &mut PartitionFile, found: &mut Vec<Diagnostic>) {
    partition.on_crash = again(table, "on_crash", found);
    partition.on_reset = again(table, "on_reset", found);
    partition.on_off = again(table, "on_off", found);
    partition.restart_limit = table.restart_limit("restart_limit", found);
    partition.restart_backoff = table.duration("restart_backoff", found, "\"100ms\"");
    partition.watchdog = table.duration("watchdog", found, "\"10s\"");
}

/// Core numbers, each with its place.
pub fn cores(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Given<Vec<(u16, Span)>> {
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

/// Whether a partition lives again.
fn again(table: &Table<'_, '_>, key: &str, found: &mut Vec<Diagnostic>) -> Given<Again> {
    table.choice(key, found, &[("restart", Again::Restart), ("stop", Again::Stop)])
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
