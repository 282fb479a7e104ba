//! The device tree of a guest: QEMU `virt` as far as the guest machine has it (hw/arm/virt.c), one per GIC version.
//!
//! Nothing random goes in (no `rng-seed`, no `kaslr-seed`): the same system file gives the same image, byte for byte.

use abi::plan::{Line, Transports};
use abi::{IntId, machine};
use addr::{Ipa, Region};
use bcm2711::Block;
use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use manifest::{Device, GICV2_CORES, VIRTIO};

/// Most bytes of a tree: 64 vCPUs, 48 transports, 8 devices and 2048 bytes of bootargs need less.
pub const TREE_MAX: u64 = 64 << 10;

/// Interrupt flags of the GIC bindings: active high, level-sensitive.
const LEVEL_HIGH: u32 = 4;
/// Interrupt flags of the GIC bindings: a rising edge.
const EDGE_RISING: u32 = 1;
/// Interrupt types of the GIC bindings.
const SPI: u32 = 0;
const PPI: u32 = 1;

const GIC_PHANDLE: u32 = 1;
const CLOCK_PHANDLE: u32 = 2;
const GPIO_PHANDLE: u32 = 3;
const POOL_PHANDLE: u32 = 4;

/// Pins of a PL061.
const PL061_PINS: u8 = 8;
/// Linux's KEY_POWER.
const KEY_POWER: u32 = 116;
/// GPIO flag of the bindings: the key pulls its pin high.
const ACTIVE_HIGH: u32 = 0;

/// Which GIC the tree describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicVersion {
    /// GICv2.
    V2,
    /// GICv3.
    V3,
}

/// Which RAM virtio devices reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of it.
    All,
    /// This part of it, which the guest may use for other things too.
    Window(Region<Ipa>),
    /// This part of it, which the guest may use for nothing else.
    Pool(Region<Ipa>),
}

/// What a tree tells its guest.
#[derive(Clone, Debug)]
pub struct Guest<'a> {
    /// vCPUs.
    pub vcpus: usize,
    /// RAM banks.
    pub ram: &'a [Region<Ipa>],
    /// Which of that its virtio devices reach.
    pub reach: Reach,
    /// Kernel command line.
    pub bootargs: Option<&'a str>,
    /// The initrd.
    pub initrd: Option<Region<Ipa>>,
    /// Assigned devices.
    pub devices: &'a [&'a Device],
    /// Of those that are made of blocks: the blocks that it is told of.
    pub blocks: &'a [&'static Block],
    /// Whether there is a PL061 with the power key.
    pub has_power_key: bool,
    /// The board's plain pins that are at that PL061.
    pub lines: &'a [Line],
    /// What the watchdog waits for unless the guest says otherwise, in milliseconds. 0: there is none.
    pub watchdog_ms: u32,
    /// Whether there is a PL031.
    pub has_clock: bool,
    /// How many virtio devices the service partition serves it.
    pub virtio: usize,
    /// The board's virtio-mmio transports, which an assigned device may stand for.
    pub transports: Option<Transports>,
    /// The channels that it has an end of.
    pub channels: &'a [Channel<'a>],
}

/// A channel as a guest sees it.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    /// Its number in the system, which says where it is.
    pub number: u32,
    /// Its name.
    pub name: &'a str,
    /// Its bytes.
    pub size: u64,
    /// Which of the two ends.
    pub end: u32,
}

/// The tree of `guest` on a GIC of this version.
pub fn build(guest: &Guest<'_>, gic: GicVersion) -> Vec<u8> {
    let mut tree = DeviceTree::new();
    let mut root = node("")
        .with("compatible", "linux,dummy-virt")
        .with("model", "linux,dummy-virt")
        .with("#address-cells", 2u32)
        .with("#size-cells", 2u32)
        .with("interrupt-parent", GIC_PHANDLE)
        .with_child(chosen(guest))
        .with_child(node("aliases").with("serial0", console_path()))
        .with_child(psci())
        .with_child(cpus(guest, gic));
    for bank in guest.ram {
        let memory = node(&unit("memory", bank.start().as_u64())).with("device_type", "memory");
        root = root.with_child(memory.with("reg", reg(bank.start().as_u64(), bank.size())));
    }
    root = root
        .with_child(timer(guest, gic))
        .with_child(pmu(guest, gic))
        .with_child(interrupt_controller(guest, gic))
        .with_child(
            node("apb-pclk")
                .with("compatible", "fixed-clock")
                .with("#clock-cells", 0u32)
                .with("clock-frequency", 24_000_000u32)
                .with("clock-output-names", "clk24mhz")
                .with("phandle", CLOCK_PHANDLE),
        )
        .with_child(console());
    if guest.has_power_key {
        root = root.with_child(gpio(guest.lines)).with_child(keys());
    }
    if guest.watchdog_ms != 0 {
        root = root.with_child(watchdog(guest.watchdog_ms));
    }
    if guest.has_clock {
        root = root.with_child(clock());
    }
    root = virtio::add(root, guest);
    for channel in guest.channels {
        root = root.with_child(self::channel(channel));
    }
    for device in guest.devices {
        root = match guest.transports.filter(|_| device.name == VIRTIO) {
            Some(transports) => board_transports(transports).fold(root, Chain::with_child),
            None if blocks::describe(device, guest) => blocks::add(root, device, guest),
            None => root.with_child(assigned(device)),
        };
    }
    tree.root = blocks::clocks(root, guest);
    tree.to_dtb()
}

/// Building by chaining; names and values here are all valid.
trait Chain: Sized {
    fn with(self, name: &str, value: impl ToPropertyValue) -> Self;
    fn with_child(self, child: DeviceTreeNode) -> Self;
}

impl Chain for DeviceTreeNode {
    fn with(mut self, name: &str, value: impl ToPropertyValue) -> Self {
        self.add_property(DeviceTreeProperty::new_unchecked(name, value));
        self
    }
    fn with_child(mut self, child: DeviceTreeNode) -> Self {
        self.add_child(child);
        self
    }
}

fn node(name: &str) -> DeviceTreeNode {
    DeviceTreeNode::new_unchecked(name)
}

fn unit(name: &str, address: u64) -> String {
    format!("{name}@{address:x}")
}

fn cells(value: u64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

fn reg(start: u64, size: u64) -> Vec<u32> {
    [cells(start), cells(size)].concat()
}

/// An SPI's specifier in the GIC bindings.
fn spi(intid: IntId) -> [u32; 3] {
    [SPI, intid.number().saturating_sub(32), LEVEL_HIGH]
}

/// A PPI's specifier: on a GICv2 with the mask of the CPUs that have it.
fn ppi(intid: IntId, guest: &Guest<'_>, gic: GicVersion) -> [u32; 3] {
    let mask = match gic {
        GicVersion::V2 => ((1u32 << guest.vcpus.min(usize::from(GICV2_CORES))) - 1) << 8,
        GicVersion::V3 => 0,
    };
    [PPI, intid.number() - 16, mask | LEVEL_HIGH]
}

fn console_path() -> String {
    format!("/{}", unit("pl011", machine::UART.as_u64()))
}

fn chosen(guest: &Guest<'_>) -> DeviceTreeNode {
    let mut chosen = node("chosen").with("stdout-path", console_path());
    if let Some(bootargs) = guest.bootargs {
        chosen = chosen.with("bootargs", bootargs);
    }
    if let Some(initrd) = guest.initrd {
        chosen = chosen
            .with("linux,initrd-start", cells(initrd.start().as_u64()))
            .with("linux,initrd-end", cells(initrd.end().as_u64()));
    }
    chosen
}

fn psci() -> DeviceTreeNode {
    node("psci")
        .with("compatible", ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"].as_slice())
        .with("method", "hvc")
        .with("cpu_suspend", 0xc400_0001u32)
        .with("cpu_off", 0x8400_0002u32)
        .with("cpu_on", 0xc400_0003u32)
}

fn cpus(guest: &Guest<'_>, gic: GicVersion) -> DeviceTreeNode {
    let per_cluster = match gic {
        GicVersion::V2 => 8,
        GicVersion::V3 => 16,
    };
    let mut cpus = node("cpus").with("#address-cells", 1u32).with("#size-cells", 0u32);
    for vcpu in 0..guest.vcpus as u16 {
        let affinity = machine::mpidr(vcpu, per_cluster);
        cpus = cpus.with_child(
            node(&unit("cpu", affinity))
                .with("device_type", "cpu")
                .with("compatible", "arm,armv8")
                .with("reg", affinity as u32)
                .with("enable-method", "psci"),
        );
    }
    cpus
}

fn timer(guest: &Guest<'_>, gic: GicVersion) -> DeviceTreeNode {
    // Secure, non-secure, virtual, hypervisor: the binding's order. Only the second and third are the guest's.
    let intids = [IntId::ppi(13), machine::PHYSICAL_TIMER, machine::VIRTUAL_TIMER, machine::HYPERVISOR_TIMER];
    node("timer")
        .with("compatible", ["arm,armv8-timer", "arm,armv7-timer"].as_slice())
        .with("interrupts", intids.map(|intid| ppi(intid, guest, gic)).concat())
        .with("always-on", [0u8; 0])
}

fn pmu(guest: &Guest<'_>, gic: GicVersion) -> DeviceTreeNode {
    node("pmu").with("compatible", "arm,armv8-pmuv3").with("interrupts", ppi(machine::PMU, guest, gic))
}

fn interrupt_controller(guest: &Guest<'_>, gic: GicVersion) -> DeviceTreeNode {
    let [gicd, gicc, gicr] = [machine::GICD, machine::GICC, machine::GICR].map(Ipa::as_u64);
    let intc = node(&unit("intc", gicd))
        .with("phandle", GIC_PHANDLE)
        .with("interrupt-controller", [0u8; 0])
        .with("#interrupt-cells", 3u32)
        .with("#address-cells", 2u32)
        .with("#size-cells", 2u32)
        .with("ranges", [0u8; 0]);
    match gic {
        GicVersion::V2 => {
            let frames = [reg(gicd, machine::GICD_SIZE), reg(gicc, machine::GICC_SIZE)];
            intc.with("compatible", "arm,cortex-a15-gic").with("reg", frames.concat())
        }
        GicVersion::V3 => {
            let redistributors = machine::GICR_STRIDE * guest.vcpus as u64;
            let frames = [reg(gicd, machine::GICD_SIZE), reg(gicr, redistributors)];
            intc.with("compatible", "arm,gic-v3").with("#redistributor-regions", 1u32).with("reg", frames.concat())
        }
    }
}

/// The console is where the guest machine has it, whatever addresses RAM has: EL2 emulates it.
fn console() -> DeviceTreeNode {
    let uart = machine::UART.as_u64();
    node(&unit("pl011", uart))
        .with("compatible", ["arm,pl011", "arm,primecell"].as_slice())
        .with("reg", reg(uart, machine::UART_SIZE))
        .with("interrupts", spi(machine::UART_INTID))
        .with("clocks", [CLOCK_PHANDLE, CLOCK_PHANDLE])
        .with("clock-names", ["uartclk", "apb_pclk"].as_slice())
}

/// The PL061 of the power key, as QEMU describes it. Linux's binding wants it to be an interrupt controller as well;
/// no driver asks for that, and dtc would then miss `#address-cells`, which the binding forbids. Its plain pins have names,
/// by which a program finds them.
fn gpio(lines: &[Line]) -> DeviceTreeNode {
    let gpio = node(&unit("pl061", machine::GPIO.as_u64()))
        .with("phandle", GPIO_PHANDLE)
        .with("compatible", ["arm,pl061", "arm,primecell"].as_slice())
        .with("reg", reg(machine::GPIO.as_u64(), machine::GPIO_SIZE))
        .with("interrupts", spi(machine::GPIO_INTID))
        .with("gpio-controller", [0u8; 0])
        .with("#gpio-cells", 2u32)
        .with("clocks", CLOCK_PHANDLE)
        .with("clock-names", "apb_pclk");
    if lines.is_empty() {
        return gpio;
    }
    let name = |place| match lines.iter().find(|line| line.place == place) {
        Some(line) => format!("gpio{}", line.number),
        None if place == machine::POWER_KEY_PIN => "power".to_owned(),
        None => String::new(),
    };
    let names: Vec<String> = (0..PL061_PINS).map(name).collect();
    gpio.with("gpio-line-names", names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn keys() -> DeviceTreeNode {
    let poweroff = node("poweroff")
        .with("label", "GPIO Key Poweroff")
        .with("linux,code", KEY_POWER)
        .with("gpios", [GPIO_PHANDLE, u32::from(machine::POWER_KEY_PIN), ACTIVE_HIGH]);
    node("gpio-keys").with("compatible", "gpio-keys").with_child(poweroff)
}

/// The SBSA generic watchdog: control frame, then refresh frame. Linux opens it with `timeout-sec`.
fn watchdog(ms: u32) -> DeviceTreeNode {
    let frames =
        [machine::WATCHDOG, machine::WATCHDOG_REFRESH].map(|frame| reg(frame.as_u64(), machine::WATCHDOG_SIZE));
    node(&unit("watchdog", machine::WATCHDOG.as_u64()))
        .with("compatible", "arm,sbsa-gwdt")
        .with("reg", frames.concat())
        .with("interrupts", spi(machine::WATCHDOG_INTID))
        .with("timeout-sec", (ms / 1000).max(1))
}

/// The PL031 of QEMU `virt`, without an interrupt: its time is the service partition's, and it has no alarm.
fn clock() -> DeviceTreeNode {
    node(&unit("pl031", machine::RTC.as_u64()))
        .with("compatible", ["arm,pl031", "arm,primecell"].as_slice())
        .with("reg", reg(machine::RTC.as_u64(), machine::RTC_SIZE))
        .with("clocks", CLOCK_PHANDLE)
        .with("clock-names", "apb_pclk")
}

/// A virtio-mmio transport, as QEMU describes it.
fn transport(start: u64, size: u64, intid: IntId) -> DeviceTreeNode {
    node(&unit("virtio_mmio", start))
        .with("compatible", "virtio,mmio")
        .with("reg", reg(start, size))
        .with("interrupts", [SPI, intid.number().saturating_sub(32), EDGE_RISING])
        .with("dma-coherent", [0u8; 0])
}

/// A channel: memory, and the interrupt by which the other end rings ([`abi::channel::COMPATIBLE`]).
fn channel(channel: &Channel<'_>) -> DeviceTreeNode {
    let (start, intid) =
        (machine::channel_ipa(channel.number as usize), machine::channel_intid(channel.number as usize));
    node(&unit("channel", start.as_u64()))
        .with("compatible", abi::channel::COMPATIBLE)
        .with("reg", reg(start.as_u64(), channel.size))
        .with("interrupts", [SPI, intid.number().saturating_sub(32), EDGE_RISING])
        .with("label", channel.name)
        .with("bulkhead,channel", channel.number)
        .with("bulkhead,end", channel.end)
}

/// The board's own transports, for a partition that they are assigned to.
fn board_transports(transports: Transports) -> impl Iterator<Item = DeviceTreeNode> {
    let Transports { start, stride, count, first } = transports;
    (0..count).map(move |n| {
        let intid = IntId::new(first.number() + n);
        transport(start.as_u64() + u64::from(n) * u64::from(stride), u64::from(stride), intid)
    })
}

/// An assigned device, seen at its physical address and by its own interrupts.
fn assigned(device: &Device) -> DeviceTreeNode {
    let mut compatible = vec![device.compatible];
    // Arm's PrimeCell peripherals are found on the AMBA bus by this second name.
    compatible.extend(device.compatible.starts_with("arm,pl").then_some("arm,primecell"));
    let interrupts = device.intids.iter().flat_map(|intid| spi(*intid)).collect::<Vec<u32>>();
    node(&unit(device.name, device.start.as_u64()))
        .with("compatible", compatible)
        .with("reg", reg(device.start.as_u64(), device.size))
        .with("interrupts", interrupts)
        .with("clocks", CLOCK_PHANDLE)
        .with("clock-names", "apb_pclk")
}

mod blocks;
mod virtio;

#[cfg(test)]
mod tests;
