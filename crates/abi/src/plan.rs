//! The service partition's plan: what the host tool tells it about board, partitions and devices.
//!
//! A payload of the service partition in place of a device tree: [`MAGIC`], the length of the rest (u32), 0 (u32), then
//! [`Plan`] in postcard. EL2 does not read it. The service believes it as far as it believes its own image.

use crate::channel::MAX_CHANNELS;
use crate::service::MAX_DEVICES;
use crate::{IntId, Io, MAX_NAME, MAX_PARTITIONS, PartitionId};
use addr::{Ipa, Pa, Region};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// First eight bytes of the payload.
pub const MAGIC: [u8; 8] = *b"BHPLAN\x00\x05";
/// Bytes before the postcard blob.
pub const HEADER: usize = 16;
/// Largest payload in bytes.
pub const MAX: usize = 16 * 1024;
/// Longest GPT partition label in bytes: 36 UTF-16 units.
pub const MAX_LABEL: usize = 108;
/// Most forwarded ports of a system.
pub const MAX_FORWARDS: usize = 32;
/// Most pins that a system sets: those that boards lead out.
pub const MAX_PINS: usize = 28;
/// Bytes of a virtio block device's serial number (VIRTIO_BLK_T_GET_ID).
pub const SERIAL: usize = 20;
/// SGI by which EL2 wakes the service: the doorbell. The service's only core sends itself none.
pub const DOORBELL_INTID: IntId = IntId::sgi(15);

/// Everything that the service partition must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its own number.
    pub own: PartitionId,
    /// How the partitions share the UART.
    pub is_tagged: bool,
    /// Its RAM: image, stacks, heap. Zeroed and loaded anew for each of its lives.
    pub ram: Region<Pa>,
    /// Its memory that no restart touches: DMA arena and survivor pages.
    pub kept: Region<Pa>,
    /// The board's PL011, and its interrupt.
    pub uart: (Pa, IntId),
    /// The board's PL031.
    pub rtc: Option<Pa>,
    /// The board's virtio-mmio transports.
    pub transports: Option<Transports>,
    /// What the board has instead.
    pub soc: Option<Soc>,
    /// Whether its watchdog must be fed, and how long it waits, in milliseconds. 0: it has none.
    pub watchdog_ms: u32,
    /// All partitions, in the system file's order.
    pub partitions: Vec<Served, MAX_PARTITIONS>,
    /// All virtio devices, at their numbers: by partition, then in the order of the partition's list.
    pub devices: Vec<Backend, MAX_DEVICES>,
    /// The network that the partitions' network devices are on; `None` where there are none.
    pub network: Option<Network>,
    /// The channels that a partition reaches by its virtio-vsock device: the service has that partition's end.
    pub channels: Vec<Channel, MAX_CHANNELS>,
    /// The board's pins that partitions have; `None` where there is nothing to set.
    pub pins: Option<Pins>,
}

/// What the service sets at the start of each life, and the plain pins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    /// The page with the registers of all pins.
    pub registers: Pa,
    /// What each does, but for the plain ones.
    pub pins: Vec<Pin, MAX_PINS>,
    /// The plain ones, which guests drive and read themselves.
    pub lines: Vec<Line, MAX_PINS>,
    /// The interrupt for edges at pins of the header, level.
    pub intid: IntId,
    /// The page with the registers of all clocks, where a partition has PWM, whose clock nobody else starts.
    pub pwm_clock: Option<Pa>,
}

/// What a pin of the board does, in the words of its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its number.
    pub number: u8,
    /// The code of its function.
    pub code: u8,
    /// Its resistor.
    pub pull: Pull,
}

/// A plain pin of the board, and the pin of a guest's PL061 that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The board's pin.
    pub number: u8,
    /// Whose it is.
    pub partition: PartitionId,
    /// The PL061's pin ([`crate::machine::line_pin`]).
    pub place: u8,
}

/// A pin's resistor inside the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Pull {
    /// None.
    None = 0,
    /// To the supply.
    Up = 1,
    /// To ground.
    Down = 2,
}

/// A channel of which the service has an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its number in the system, by which it is rung.
    pub number: u8,
    /// Its memory, mapped for the service at the physical address.
    pub memory: Region<Pa>,
    /// The partition for which the service has this end.
    pub partition: PartitionId,
    /// Which of the two ends it is: 0 or 1, in the system file's order.
    pub end: u8,
    /// The port by which that partition reaches it.
    pub port: u32,
}

/// The network of the board: the partitions on one subnet, the service as their gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The gateway's IPv4 address: router, DHCP server and DNS forwarder.
    pub gateway: [u8; 4],
    /// Bits of the subnet's prefix, 8 to 30.
    pub prefix: u8,
    /// The gateway's MAC address.
    pub mac: [u8; 6],
    /// Whether the board's network device leads out, by NAT.
    pub has_uplink: bool,
    /// What comes in by itself.
    pub forwards: Vec<Forward, MAX_FORWARDS>,
}

/// A port of the uplink's address that leads to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port outside.
    pub outside: u16,
    /// The network device's address inside.
    pub to: [u8; 4],
    /// The port inside.
    pub inside: u16,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A row of virtio-mmio transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transports {
    /// The first one's registers.
    pub start: Pa,
    /// Bytes from one to the next.
    pub stride: u32,
    /// How many.
    pub count: u32,
    /// The first one's interrupt; the others follow.
    pub first: IntId,
}

/// A board's own devices where it has no virtio transports: those of a BCM2711 that the service drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soc {
    /// The page with the mailbox between Arm cores and firmware.
    pub mailbox: Pa,
    /// The random number generator.
    pub random: Pa,
    /// The SD host controllers, in the order in which a card is looked for.
    pub hosts: [SdHost; 2],
    /// First address that the firmware cannot reach: what is said to it lies below.
    pub reach: Pa,
}

/// An SD host controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SdHost {
    /// Its registers.
    pub registers: Pa,
    /// Its interrupt, level.
    pub intid: IntId,
    /// The firmware's number of its clock.
    pub clock: u32,
    /// The firmware's number of the pin that is high for 1.8 V on its lines, if it has one.
    pub low_voltage_pin: Option<u32>,
}

/// A partition as the service sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// Its name.
    pub name: String<MAX_NAME>,
    /// Its RAM that the service sees, mapped for it at the physical address; empty for a partition without virtio
    /// devices.
    pub ram: Vec<Memory, 2>,
    /// Whether that is all of it.
    pub io: Io,
}

/// A run of a partition's RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Where the guest sees it.
    pub ipa: Ipa,
    /// Where the service does.
    pub pa: Region<Pa>,
}

/// One virtio device, and what is behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Whose it is.
    pub partition: PartitionId,
    /// Its place among the partition's devices.
    pub slot: u8,
    /// Whether its partition starts without it.
    pub is_optional: bool,
    /// What it is.
    pub kind: Kind,
}

/// What is behind a virtio device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// Entropy (virtio device 4).
    Entropy,
    /// A disk (virtio device 2).
    Disk(Disk),
    /// A network device (virtio device 1).
    Nic(Nic),
    /// A socket device (virtio device 19); the partition's context id.
    Vsock(u32),
    /// A console (virtio device 3).
    Console,
}

/// A network device of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// The IPv4 address that DHCP gives it, and the only one that it may use.
    pub ip: [u8; 4],
    /// Bits that it may send per second, and as many to be received; 0: no limit.
    pub bandwidth: u64,
}

/// A disk, or a part of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Which one.
    pub from: Origin,
    /// Whether the guest may not write.
    pub is_read_only: bool,
    /// Least size in bytes that the partition can do with; 0: any.
    pub at_least: u64,
    /// The serial number that the guest sees.
    pub serial: String<SERIAL>,
    /// Requests that the guest may make per second; 0: no limit.
    pub iops: u32,
}

/// Where a disk's sectors come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// `gpt:LABEL`: the GPT partition with this label, on any of the board's disks.
    Gpt(String<MAX_LABEL>),
    /// `disk:SERIAL`: the whole of the board's disk with this serial number.
    Disk(String<SERIAL>),
    /// `mbr:NUMBER`: the primary partition with this number in the master boot record of the one disk that has one.
    Mbr(u8),
}
