//! The keys of a system file, and those that a later version of Bulkhead brings.

/// The keys of one kind of table.
#[derive(Debug)]
pub struct Keys {
    /// Keys that do something.
    pub known: &'static [&'static str],
    /// Keys that the design names and this version does not have.
    pub later: &'static [&'static str],
}

/// The top of the file.
pub const SYSTEM: Keys = Keys {
    known: &[
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
    ],
    later: &[],
};

/// `machine = { ... }`.
pub const MACHINE: Keys = Keys { known: &["cores", "memory", "disks"], later: &[] };

/// An element of `disks = [...]`.
pub const IMAGE: Keys = Keys { known: &["file", "serial"], later: &[] };

/// `[service]`.
pub const SERVICE: Keys = Keys {
    known: &[
        "cores",
        "memory",
        "kernel",
        "on_crash",
        "on_reset",
        "on_off",
        "restart_limit",
        "restart_backoff",
        "watchdog",
    ],
    later: &[],
};

/// `disk = { ... }` of a partition.
pub const DISK: Keys = Keys { known: &["from", "mode", "optional", "at_least", "serial", "iops"], later: &[] };

/// `[network]`.
pub const NETWORK: Keys = Keys { known: &["subnet", "uplink"], later: &[] };

/// `net = { ... }` of a partition.
pub const NET: Keys = Keys { known: &["ip", "mac", "bandwidth", "forward"], later: &[] };

/// `[[channel]]`.
pub const CHANNEL: Keys = Keys { known: &["name", "between", "size", "port"], later: &[] };

/// `[[partition]]`.
pub const PARTITION: Keys = Keys {
    known: &[
        "name",
        "cores",
        "memory",
        "kernel",
        "initrd",
        "bootargs",
        "devices",
        "identity",
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
    ],
    later: &[],
};
