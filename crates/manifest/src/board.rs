//! A board's facts as data. The hypervisor library and the host tool read the same tables.

use crate::{DeviceId, Machine, PayloadKind};
use abi::IntId;
use abi::plan::{Soc, Transports};
use addr::{Pa, Region};

/// What is known about a board before it is switched on. Checked against the firmware's device tree at boot.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// The name in a system file's `board = "..."`.
    pub name: &'static str,
    /// A string that the root node's `compatible` must contain.
    pub compatible: &'static str,
    /// RAM banks in ascending order. Where `is_variable`, the last bank's size follows the system file's `machine`.
    pub ram: &'static [(Pa, u64)],
    /// Cores unless the system file's `machine` says otherwise.
    pub cores: u16,
    /// Whether a system file may set `machine = { cores, memory }`: emulators only.
    pub is_variable: bool,
    /// Where the firmware puts a bundle whose header says text_offset 0. The tool keeps partitions off
    /// `[load_address, load_address + image_size)`; EL2 checks the address it really got.
    pub load_address: Pa,
    /// RAM never given to a partition: firmware, its device tree while it is read, the GPU.
    pub reserved: &'static [NamedRegion],
    /// Interrupt controllers that the board may have.
    pub gic: Gic,
    /// EL2's boot console: a PL011.
    pub uart: Pa,
    /// The console's interrupt.
    pub uart_intid: IntId,
    /// How cores other than the boot core are started.
    pub core_start: CoreStart,
    /// How EL2 switches the board off.
    pub power_off: PowerOff,
    /// Devices that can be assigned to a partition by name.
    pub devices: &'static [Device],
    /// The virtio-mmio transports behind the device [`VIRTIO`], which belongs to the service partition where there is one.
    pub transports: Option<Transports>,
    /// What the service drives on a board without them.
    pub soc: Option<&'static Soc>,
}

/// Name of the device that a board's real-time clock is.
pub const RTC: &str = "rtc";
/// Name of the device that all of a board's virtio-mmio transports together are.
pub const VIRTIO: &str = "virtio";
/// Names of the devices that a board's [`Soc`] is made of.
pub const SOC: [&str; 4] = ["mailbox", "rng200", "emmc2", "sdhci"];

/// Most cores that a GICv2 can serve: its target masks have 8 bits.
pub const GICV2_CORES: u16 = 8;

impl Board {
    /// The machine unless a system file says otherwise.
    pub fn default_machine(&self) -> Machine {
        let memory = self.ram.iter().fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
        Machine { cores: self.cores, memory }
    }

    /// RAM banks of this board with `machine.memory` bytes: the last bank takes what the others leave.
    pub fn ram_banks(&self, machine: Machine) -> impl Iterator<Item = Region<Pa>> + '_ {
        let last = self.ram.len().saturating_sub(1);
        let below = self.ram[..last].iter().fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
        self.ram.iter().enumerate().filter_map(move |(n, &(start, size))| {
            let is_stretched = self.is_variable && n == last;
            Region::new(start, if is_stretched { machine.memory.saturating_sub(below) } else { size })
        })
    }

    /// The device with this name.
    pub fn device(&self, name: &str) -> Option<(DeviceId, &Device)> {
        (0..=u8::MAX).map(DeviceId).zip(self.devices).find(|(_, device)| device.name == name)
    }

    /// What belongs to the service partition: the clock, and the transports or what the board has instead.
    pub fn service_devices(&self) -> impl Iterator<Item = (DeviceId, &Device)> {
        [RTC, VIRTIO].into_iter().chain(SOC).filter_map(|name| self.device(name))
    }

    /// The device trees that a partition needs: one per GIC version that the board may have with this many cores.
    pub fn trees(&self, machine: Machine) -> impl Iterator<Item = PayloadKind> + use<> {
        let v2 = self.gic.v2.is_some() && machine.cores <= GICV2_CORES;
        let v3 = self.gic.v3.is_some();
        v2.then_some(PayloadKind::DeviceTreeV2).into_iter().chain(v3.then_some(PayloadKind::DeviceTreeV3))
    }
}

impl Device {
    /// Its registers; `None` when the board's table is wrong.
    pub fn region(&self) -> Option<Region<Pa>> {
        Region::new(self.start, self.size)
    }
}

/// A range with the name its owner is reported by.
#[derive(Clone, Copy, Debug)]
pub struct NamedRegion {
    /// What it is, for messages: "the firmware's device tree".
    pub name: &'static str,
    /// First byte.
    pub start: Pa,
    /// Bytes.
    pub size: u64,
}

/// Interrupt controllers that a board may have; which one it has is found at boot.
#[derive(Clone, Copy, Debug)]
pub struct Gic {
    /// Ranges of a GICv2 with virtualization extensions.
    pub v2: Option<GicV2>,
    /// Ranges of a GICv3.
    pub v3: Option<GicV3>,
    /// Maintenance interrupt.
    pub maintenance: IntId,
}

/// GICv2 register blocks.
#[derive(Clone, Copy, Debug)]
pub struct GicV2 {
    /// Distributor, 4 KiB.
    pub gicd: Pa,
    /// Physical CPU interface, 8 KiB.
    pub gicc: Pa,
    /// Virtual interface control, 4 KiB.
    pub gich: Pa,
    /// Virtual CPU interface, 8 KiB: mapped into guests.
    pub gicv: Pa,
}

/// GICv3 register blocks.
#[derive(Clone, Copy, Debug)]
pub struct GicV3 {
    /// Distributor, 64 KiB.
    pub gicd: Pa,
    /// First redistributor, 128 KiB each.
    pub gicr: Pa,
    /// Bytes of the redistributor range.
    pub gicr_size: u64,
}

/// How further cores are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreStart {
    /// PSCI CPU_ON by SMC.
    PsciSmc,
    /// The device tree's `cpu-release-addr` of each core, woken by SEV.
    SpinTable,
}

/// How the board is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerOff {
    /// PSCI SYSTEM_OFF by SMC.
    PsciSmc,
    /// It cannot be: EL2 says so and halts.
    None,
}

/// A device that may be assigned to a partition.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// The name in a system file's `devices = [...]`.
    pub name: &'static str,
    /// First register.
    pub start: Pa,
    /// Bytes, whole pages.
    pub size: u64,
    /// Its interrupts.
    pub intids: &'static [IntId],
    /// `compatible` of its node in the guest's device tree.
    pub compatible: &'static str,
    /// Whether it reads or writes memory by itself: refused for a partition without `identity`.
    pub is_dma_master: bool,
}
