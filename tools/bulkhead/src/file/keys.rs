//! The keys of a system file.

/// The keys of one kind of table.
pub type Keys = &'static [&'static str];

/// The top of the file.
pub const SYSTEM: Keys = &[
    "board",
    "machine",
    "console",
    "when_all_stopped",
    "scrub_at_boot",
    "on_hypervisor_panic",
    "service",
    "network",
    "partition",
    "channel",
];

/// `machine = { ... }`.
pub const MACHINE: Keys = &["cores", "memory", "disks"];

/// An element of `disks = [...]`.
pub const IMAGE: Keys = &["file", "serial"];

/// `[service]`.
pub const SERVICE: Keys =
    &["cores", "memory", "kernel", "on_crash", "on_reset", "on_off", "restart_limit", "restart_backoff", "watchdog"];

/// `disk = { ... }` of a partition.
pub const DISK: Keys = &["from", "mode", "optional", "at_least", "serial", "iops"];

/// `[network]`.
pub const NETWORK: Keys = &["subnet", "uplink"];

/// `net = { ... }` of a partition.
pub const NET: Keys = &["ip", "mac", "bandwidth", "forward"];

/// `[[channel]]`.
pub const CHANNEL: Keys = &["name", "between", "size", "port"];

/// `[[partition]]`.
pub const PARTITION: Keys = &[
    "name",
    "cores",
    "memory",
    "kernel",
    "initrd",
    "bootargs",
    "devices",
    "pins",
    "identity",
    "unsafe_dma",
    "kernel_at",
    "device_tree_at",
    "memory_at",
    "on_crash",
    "on_reset",
    "on_off",
    "restart_limit",
    "restart_backoff",
    "watchdog",
    "disk",
    "rng",
    "net",
    "vsock",
    "io",
    "window",
    "hvc",
];
