//! The blocks of a BCM2711 that a guest is told of, as Linux's bcm2711.dtsi and bcm283x.dtsi describe them.
//!
//! Their clocks are fixed ones in place of the clock manager, which no guest reaches. No pins and no DMA channels are
//! named: the service partition sets the pins, and Linux's drivers do without the other.

use super::{Chain, DeviceTreeNode, Guest, node, reg, spi, unit};
use bcm2711::{Block, Kind, clock};
use manifest::Device;

const CORE_PHANDLE: u32 = 5;
const PWM_PHANDLE: u32 = 6;
const AUX_PHANDLE: u32 = 7;
const PHY_PHANDLE: u32 = 8;
const UART_PHANDLE: u32 = 9;
/// The auxiliary block's clock of its first SPI master (dt-bindings/clock/bcm2835-aux.h).
const AUX_SPI1: u32 = 1;
/// Bytes of the auxiliary block's own registers: interrupt status and enables.
const AUX_BYTES: u64 = 8;
/// Standard mode of I2C.
const I2C_HZ: u32 = 100_000;
/// The PL011's identification as the binding wants it, since the chip's own register does not say so.
const PL011_ID: u32 = 0x0034_1011;

/// Those blocks of `device` that the guest is told of.
fn of<'a>(device: &Device, guest: &Guest<'a>) -> impl Iterator<Item = &'static Block> + use<'a> {
    let name = device.name;
    guest.blocks.iter().copied().filter(move |block| block.device == name)
}

/// Whether blocks describe this device.
pub(super) fn describe(device: &Device, guest: &Guest<'_>) -> bool {
    of(device, guest).next().is_some()
}

/// Adds the blocks of `device` to the root.
pub(super) fn add(mut root: DeviceTreeNode, device: &Device, guest: &Guest<'_>) -> DeviceTreeNode {
    if of(device, guest).any(|block| block.kind == Kind::AuxSpi) {
        root = root.with_child(auxiliary(device));
    }
    of(device, guest).map(|block| one(block, device)).fold(root, Chain::with_child)
}

/// Adds the clocks that the guest's blocks name.
pub(super) fn clocks(root: DeviceTreeNode, guest: &Guest<'_>) -> DeviceTreeNode {
    let needs = |phandle| guest.blocks.iter().any(|block| clocks_of(block.kind).contains(&phandle));
    let clocks = [
        (CORE_PHANDLE, "core-clock", clock::CORE_HZ),
        (PWM_PHANDLE, "pwm-clock", clock::PWM_HZ),
        (UART_PHANDLE, "uart-clock", clock::UART_HZ),
    ];
    let needed = clocks.into_iter().filter(|(phandle, ..)| needs(*phandle));
    needed.map(|(phandle, name, hz)| fixed_clock(phandle, name, hz)).fold(root, Chain::with_child)
}

fn clocks_of(kind: Kind) -> &'static [u32] {
    match kind {
        Kind::I2c | Kind::Spi | Kind::AuxSpi => &[CORE_PHANDLE],
        Kind::Pwm => &[PWM_PHANDLE],
        Kind::Uart => &[UART_PHANDLE, CORE_PHANDLE],
        Kind::Ethernet => &[],
    }
}

fn fixed_clock(phandle: u32, name: &str, hz: u32) -> DeviceTreeNode {
    node(name)
        .with("compatible", "fixed-clock")
        .with("#clock-cells", 0u32)
        .with("clock-frequency", hz)
        .with("phandle", phandle)
}

/// What switches the auxiliary devices on, by clocks of its own.
fn auxiliary(device: &Device) -> DeviceTreeNode {
    let start = device.start.as_u64();
    node(&unit("aux", start))
        .with("compatible", device.compatible)
        .with("reg", reg(start, AUX_BYTES))
        .with("#clock-cells", 1u32)
        .with("clocks", CORE_PHANDLE)
        .with("phandle", AUX_PHANDLE)
}

fn one(block: &Block, device: &Device) -> DeviceTreeNode {
    let (name, compatible): (_, &[&str]) = match block.kind {
        Kind::I2c => ("i2c", &["brcm,bcm2711-i2c", "brcm,bcm2835-i2c"]),
        Kind::Spi => ("spi", &["brcm,bcm2835-spi"]),
        Kind::AuxSpi => ("spi", &["brcm,bcm2835-aux-spi"]),
        Kind::Pwm => ("pwm", &["brcm,bcm2835-pwm"]),
        Kind::Uart => ("serial", &["arm,pl011", "arm,primecell"]),
        Kind::Ethernet => ("ethernet", &["brcm,bcm2711-genet-v5"]),
    };
    let start = block.start.as_u64();
    let mut described =
        node(&unit(name, start)).with("compatible", compatible.to_vec()).with("reg", reg(start, block.size));
    let intids: Vec<u32> = device.intids.iter().flat_map(|intid| spi(*intid)).collect();
    if !intids.is_empty() {
        described = described.with("interrupts", intids);
    }
    match block.kind {
        Kind::I2c => bus(described).with("clocks", CORE_PHANDLE).with("clock-frequency", I2C_HZ),
        Kind::Spi => bus(described).with("clocks", CORE_PHANDLE),
        Kind::AuxSpi => bus(described).with("clocks", [AUX_PHANDLE, AUX_SPI1]),
        Kind::Pwm => described.with("clocks", PWM_PHANDLE).with("#pwm-cells", 3u32),
        Kind::Uart => described
            .with("arm,primecell-periphid", PL011_ID)
            .with("clocks", [UART_PHANDLE, CORE_PHANDLE])
            .with("clock-names", ["uartclk", "apb_pclk"].as_slice()),
        Kind::Ethernet => ethernet(described),
    }
}

/// A bus whose devices have one address cell: an I2C address, a chip select.
fn bus(node: DeviceTreeNode) -> DeviceTreeNode {
    node.with("#address-cells", 1u32).with("#size-cells", 0u32)
}

/// The controller with the board's PHY, a BCM54213 at address 1 of its own MDIO bus.
fn ethernet(controller: DeviceTreeNode) -> DeviceTreeNode {
    let phy = node("ethernet-phy@1").with("reg", 1u32).with("phandle", PHY_PHANDLE);
    let mdio =
        node("mdio@e14").with("compatible", "brcm,genet-mdio-v5").with("reg", [0xe14u32, 8]).with("reg-names", "mdio");
    controller
        .with("#address-cells", 1u32)
        .with("#size-cells", 1u32)
        .with("phy-handle", PHY_PHANDLE)
        .with("phy-mode", "rgmii-rxid")
        .with_child(bus(mdio).with_child(phy))
}
