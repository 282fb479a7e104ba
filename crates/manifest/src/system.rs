//! The manifest's types: a system file after placement. Sizes in bytes, addresses absolute.

use crate::checksum::Checksum;
use crate::{Board, Channel, Device};
use abi::channel::MAX_CHANNELS;
use abi::service::MAX_PARTITION_DEVICES;
use abi::{CoreId, IntId, Io, MAX_CORES, MAX_NAME, MAX_PARTITIONS, PartitionId, Policy, machine};
use addr::{Address, Ipa, Pa, Region};
use core::fmt;
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Most RAM banks of a partition.
pub const MAX_BANKS: usize = 2;
/// Most payloads of a partition: an ELF's segments, initrd and two device trees.
pub const MAX_PAYLOADS: usize = 12;
/// Most devices assigned to one partition.
pub const MAX_DEVICES: usize = 8;

/// A whole system: one board, its machine, its partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// [`crate::Board::name`] of the board that the image is for.
    pub board: String<16>,
    /// Cores and memory that the system was placed for.
    pub machine: Machine,
    /// How the partitions share the UART.
    pub console: ConsoleMode,
    /// What EL2 does when the last partition has stopped for good.
    pub when_all_stopped: WhenAllStopped,
    /// Whether RAM is zeroed before the first life.
    pub scrub_at_boot: bool,
    /// What EL2 does after a bug of its own.
    pub on_hypervisor_panic: OnPanic,
    /// EL2's frame pool: page tables and per-core blocks.
    pub pool: Region<Pa>,
    /// Bytes of the whole bundle.
    pub bundle_size: u64,
    /// The partitions, in the system file's order. [`abi::PartitionId`] and Ctrl-T digits (from 1) count along here.
    /// The service partition is the last.
    pub partitions: Vec<Partition, MAX_PARTITIONS>,
    /// What makes the last partition the service partition.
    pub service: Option<Service>,
    /// Memory that two partitions share. A channel's number is its place here.
    pub channels: Vec<Channel, MAX_CHANNELS>,
}

/// What the service partition has beyond what every partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// RAM of its own that no restart scrubs: its DMA arena and survivor pages.
    pub kept: Region<Pa>,
}

/// The machine a system is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores.
    pub cores: u16,
    /// Bytes of RAM.
    pub memory: u64,
}

/// How the partitions share the UART.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsoleMode {
    /// The focused partition passes raw; the others' complete lines appear between, tagged.
    Interactive,
    /// Every line is tagged.
    Tagged,
}

/// What EL2 does when the last partition has stopped for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenAllStopped {
    /// Switch the board off.
    PowerOff,
    /// Stay, so that the console can be read.
    Halt,
}

/// What EL2 does after a bug of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnPanic {
    /// Stay, so that the console can be read.
    Stop,
    /// Reset the board.
    Reset,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    /// Name, unique: letters, digits, `-` and `_`.
    pub name: String<MAX_NAME>,
    /// Cores in vCPU order: vCPU n runs on `cores[n]`.
    pub cores: Vec<CoreId, MAX_CORES>,
    /// RAM, ascending by IPA.
    pub banks: Vec<Bank, MAX_BANKS>,
    /// How much of that the service partition sees.
    pub io: Io,
    /// Whether IPA = PA.
    pub is_identity: bool,
    /// Whether it may have devices that read and write all memory, with no SMMU in front of them.
    pub unsafe_dma: bool,
    /// Where vCPU 0 starts.
    pub entry: Ipa,
    /// The device tree's address: vCPU 0's x0.
    pub device_tree: Ipa,
    /// What is copied into RAM before vCPU 0 starts.
    pub payloads: Vec<Payload, MAX_PAYLOADS>,
    /// Assigned devices.
    pub devices: Vec<DeviceId, MAX_DEVICES>,
    /// Its virtio devices, by slot.
    pub virtio: Vec<Virtio, MAX_PARTITION_DEVICES>,
    /// What follows when its guest's life ends.
    pub policy: Policy,
    /// How long its watchdog waits for a guest that its device tree tells of it, in milliseconds. 0: it has none.
    pub watchdog_ms: u32,
}

/// A virtio device that the service partition serves. EL2 knows no types: these are numbers that a guest may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Virtio {
    /// DeviceID (virtio section 5).
    pub device_id: u8,
    /// Its queues, 1 to [`abi::service::MAX_QUEUES`].
    pub queues: u8,
    /// Largest size of each of them, a power of two.
    pub queue_size: u16,
    /// Whether its partition starts without it.
    pub is_optional: bool,
}

/// A run of RAM: `pa.size()` bytes at `ipa`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bank {
    /// Where the guest sees it.
    pub ipa: Ipa,
    /// What it is made of.
    pub pa: Region<Pa>,
}

/// Index into [`crate::Board::devices`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub u8);

/// A run of bytes in the bundle that is copied to guest RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// What it is, for messages and for choosing among device trees.
    pub kind: PayloadKind,
    /// First byte in the bundle, a multiple of [`abi::bundle::ALIGN`].
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Of the bytes where they lie in RAM.
    pub checksum: Checksum,
    /// Where the guest finds it.
    pub ipa: Ipa,
    /// Bytes zeroed behind it: an ELF segment's .bss, a kernel's image_size beyond its file.
    pub zeroed: u64,
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadKind {
    /// The kernel, or one segment of it.
    Kernel,
    /// The initial RAM disk.
    Initrd,
    /// The service partition's [`abi::plan::Plan`].
    Plan,
    /// The device tree for a board with a GICv2. Loaded only there.
    DeviceTreeV2,
    /// The device tree for a board with a GICv3. Loaded only there.
    DeviceTreeV3,
}

impl fmt::Display for PayloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Plan => "plan",
            Self::DeviceTreeV2 => "device tree for GICv2",
            Self::DeviceTreeV3 => "device tree for GICv3",
        })
    }
}

impl PayloadKind {
    /// Whether it is one of the device trees, of which one is loaded.
    pub const fn is_tree(self) -> bool {
        matches!(self, Self::DeviceTreeV2 | Self::DeviceTreeV3)
    }
}

impl Payload {
    /// Guest RAM that it fills and zeroes; `None` when that is nothing or does not fit 64 bits.
    pub fn destination(&self) -> Option<Region<Ipa>> {
        Region::new(self.ipa, self.size.checked_add(self.zeroed)?)
    }
}

impl System {
    /// The service partition.
    pub fn service_partition(&self) -> Option<(PartitionId, &Partition)> {
        self.service?;
        let last = self.partitions.len().checked_sub(1)?;
        Some((PartitionId::new(last as u8), self.partitions.get(last)?))
    }

    /// Whether the guest machine of `partition` has the PL031. Where a service partition knows the time, every one has,
    /// unless something of its own takes the place.
    pub fn has_clock(&self, board: &Board, partition: &Partition) -> bool {
        self.service.is_some() && partition.has_room_for(board, machine::RTC, machine::RTC_SIZE, machine::RTC_INTID)
    }
}

impl Partition {
    /// The RAM that the service partition sees: none of a partition that it does not serve.
    pub fn served(&self) -> impl Iterator<Item = &Bank> {
        let count = match self.io {
            _ if self.virtio.is_empty() => 0,
            Io::Open => self.banks.len(),
            Io::Window => 1,
        };
        self.banks.iter().take(count)
    }

    /// What the guest sees at `ipa`; `None` where it has no RAM.
    pub fn pa_of(&self, ipa: Ipa) -> Option<Pa> {
        self.banks.iter().find_map(|bank| {
            let offset = ipa.offset_from(bank.ipa).filter(|offset| *offset < bank.pa.size())?;
            bank.pa.start().checked_add(offset)
        })
    }

    /// Whether the partition has `size` bytes at `start` and the interrupt `intid` to spare for an emulated device: no
    /// RAM lies there, and no assigned device has either. Stage 2 maps both, so neither would reach the emulation.
    #[inline(never)]
    pub fn has_room_for(&self, board: &Board, start: Ipa, size: u64, intid: IntId) -> bool {
        let Some(page) = Region::new(start, size) else { return false };
        let takes = |device: &Device| {
            let seen = Region::new(Ipa::new(device.start.as_u64()), device.size);
            device.intids.contains(&intid) || seen.is_none_or(|seen| seen.overlaps(&page))
        };
        let mut devices = self.devices.iter().filter_map(|id| board.devices.get(usize::from(id.0)));
        let mut ram = self.banks.iter().filter_map(Bank::guest);
        !ram.any(|ram| ram.overlaps(&page)) && !devices.any(takes)
    }

    /// Whether the guest machine of this partition has the PL061 with the power key. Every one has, unless something
    /// of its own takes the place: RAM where `is_identity`, or an assigned device.
    pub fn has_power_key(&self, board: &Board) -> bool {
        self.has_room_for(board, machine::GPIO, machine::GPIO_SIZE, machine::GPIO_INTID)
    }
}

impl Bank {
    /// Where the guest sees it; `None` when the manifest lies.
    pub fn guest(&self) -> Option<Region<Ipa>> {
        Region::new(self.ipa, self.pa.size())
    }
}
