//! Devices of the BCM2711 that a partition can have, as the Arm sees them (Linux's bcm2711.dtsi and bcm283x.dtsi).
//!
//! Each is whole pages, because stage 2 maps no less: `bcm2711::BLOCKS` names what is in them. The others are in
//! `bcm2711::KEPT`, with the reason.

use crate::service;
use abi::IntId;
use addr::Pa;
use manifest::Device;

/// One page of registers of a device that writes no memory.
const fn page(name: &'static str, start: u64, intids: &'static [IntId], compatible: &'static str) -> Device {
    Device { name, start: Pa::new(start), size: 0x1000, intids, compatible, is_dma_master: false }
}

/// The devices.
pub const DEVICES: &[Device] = &[
    // The hypervisor's console is in it, so it is named to be refused.
    page("uart", 0xfe20_1000, &[IntId::spi(121)], "arm,pl011"),
    page("spi", 0xfe20_4000, &[IntId::spi(118)], "brcm,bcm2835-spi"),
    page("i2c", 0xfe20_5000, &[IntId::spi(117)], "brcm,bcm2835-i2c"),
    page("pwm", 0xfe20_c000, &[], "brcm,bcm2835-pwm"),
    page("aux", 0xfe21_5000, &[IntId::spi(93)], "brcm,bcm2835-aux"),
    page("i2c1", 0xfe80_4000, &[IntId::spi(117)], "brcm,bcm2835-i2c"),
    // For the service partition alone. The interrupt is that of the header's bank of pins.
    page(manifest::PINS, 0xfe20_0000, &[IntId::spi(113)], "brcm,bcm2711-gpio"),
    page(manifest::CLOCKS, 0xfe10_1000, &[], "brcm,bcm2711-cprman"),
    service::MAILBOX_DEVICE,
    service::RANDOM_DEVICE,
    service::EMMC2_DEVICE,
    service::SDHCI_DEVICE,
    Device {
        name: "ethernet",
        start: Pa::new(0xfd58_0000),
        size: 0x1_0000,
        intids: &[IntId::spi(157), IntId::spi(158)],
        compatible: "brcm,bcm2711-genet-v5",
        is_dma_master: true,
    },
];
