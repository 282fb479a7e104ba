//! Devices that are smaller than a page, and devices that stay where they are.

use addr::Pa;

/// A device inside a device of the board's table, which is made of whole pages and so may hold several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its own name: `spi3`.
    pub name: &'static str,
    /// The name of the board's device that it is a part of: `spi`.
    pub device: &'static str,
    /// Its first register.
    pub start: Pa,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
}

/// What a block is: which node describes it to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An I2C master (BSC).
    I2c,
    /// An SPI master.
    Spi,
    /// An SPI master of the auxiliary block, whose first page also switches it on.
    AuxSpi,
    /// Two PWM channels.
    Pwm,
    /// A PL011.
    Uart,
    /// The Ethernet controller (GENET) with its MDIO bus and the board's PHY.
    Ethernet,
}

const fn block(name: &'static str, device: &'static str, start: u64, size: u64, kind: Kind) -> Block {
    Block { name, device, start: Pa::new(start), size, kind }
}

/// Every block, by address within its device.
pub const BLOCKS: &[Block] = &[
    block("uart0", "uart", 0xfe20_1000, 0x200, Kind::Uart),
    block("uart2", "uart", 0xfe20_1400, 0x200, Kind::Uart),
    block("uart3", "uart", 0xfe20_1600, 0x200, Kind::Uart),
    block("uart4", "uart", 0xfe20_1800, 0x200, Kind::Uart),
    block("uart5", "uart", 0xfe20_1a00, 0x200, Kind::Uart),
    block("spi0", "spi", 0xfe20_4000, 0x200, Kind::Spi),
    block("spi3", "spi", 0xfe20_4600, 0x200, Kind::Spi),
    block("spi4", "spi", 0xfe20_4800, 0x200, Kind::Spi),
    block("spi5", "spi", 0xfe20_4a00, 0x200, Kind::Spi),
    block("spi6", "spi", 0xfe20_4c00, 0x200, Kind::Spi),
    block("i2c0", "i2c", 0xfe20_5000, 0x200, Kind::I2c),
    block("i2c3", "i2c", 0xfe20_5600, 0x200, Kind::I2c),
    block("i2c4", "i2c", 0xfe20_5800, 0x200, Kind::I2c),
    block("i2c5", "i2c", 0xfe20_5a00, 0x200, Kind::I2c),
    block("i2c6", "i2c", 0xfe20_5c00, 0x200, Kind::I2c),
    block("pwm0", "pwm", 0xfe20_c000, 0x28, Kind::Pwm),
    block("pwm1", "pwm", 0xfe20_c800, 0x28, Kind::Pwm),
    block("spi1", "aux", 0xfe21_5080, 0x40, Kind::AuxSpi),
    block("i2c1", "i2c1", 0xfe80_4000, 0x1000, Kind::I2c),
    block("ethernet", "ethernet", 0xfd58_0000, 0x1_0000, Kind::Ethernet),
];

/// Devices that no partition gets, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What a system file might call them.
    pub names: &'static [&'static str],
    /// The reason, and what to do.
    pub why: &'static str,
}

/// Every device that a user may look for and does not get.
pub const KEPT: &[Kept] = &[
    Kept {
        names: &["gpio", "pins", "pinctrl"],
        why: "one block of registers holds every pin: say what a pin does with `pins = { 2 = \"i2c1.sda\" }`",
    },
    Kept {
        names: &["sd", "emmc", "emmc2", "sdhci", "sdhost", "mmc"],
        why: "the card is the service partition's: `disk` gives a part of it",
    },
    Kept { names: &["rng", "rng200"], why: "the service partition gives its entropy to all: `rng = true`" },
    Kept { names: &["watchdog", "pm"], why: "it resets the whole board: a partition has `watchdog = \"10s\"`" },
    Kept { names: &["mailbox", "firmware"], why: "it changes clocks, power and memory of the whole board" },
    Kept { names: &["clocks", "cprman"], why: "it holds the clocks of every device" },
    Kept { names: &["timer"], why: "the firmware uses it: a guest has timers of its own" },
    Kept { names: &["uart1", "miniuart"], why: "its pins 14 and 15 are the hypervisor's console" },
    Kept { names: &["i2c2"], why: "it drives the HDMI sockets, and has no pin on the header" },
    Kept { names: &["spi2"], why: "it has no pin on the header: spi1 is beside it" },
    Kept { names: &["i2s", "pcm"], why: "it needs a clock and DMA channels that a partition cannot have" },
    Kept {
        names: &["dma"],
        why: "its channels read and write all memory for whoever holds them, the firmware beside others",
    },
    Kept {
        names: &["usb", "otg", "xhci", "pcie", "pci"],
        why: "it writes memory by itself, and needs power and address windows that a partition cannot have",
    },
    Kept {
        names: &["gpu", "v3d", "hvs", "hdmi", "hdmi0", "hdmi1", "camera", "csi", "dsi", "vec"],
        why: "it writes memory by itself, and only the firmware's mailbox gives it clocks and power",
    },
];

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn blocks_of_one_device_are_apart_and_names_are_unique() {
        for (place, block) in BLOCKS.iter().enumerate() {
            for other in &BLOCKS[..place] {
                assert_ne!(block.name, other.name);
                let (end, other_end) = (block.start.as_u64() + block.size, other.start.as_u64() + other.size);
                assert!(end <= other.start.as_u64() || other_end <= block.start.as_u64(), "{}", block.name);
            }
            assert!(!KEPT.iter().any(|kept| kept.names.contains(&block.name)), "{} is given and kept", block.name);
        }
    }
}
