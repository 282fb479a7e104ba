//! What the service partition drives, by Linux's bcm2711.dtsi and bcm2711-rpi-4-b.dts.
//!
//! All of it can name any address of the first GiB to the firmware or to a DMA engine, but for the generator.

use abi::IntId;
use abi::plan::{SdHost, Soc};
use addr::{PAGE_SIZE, Pa};
use manifest::Device;

/// Both controllers share it.
const SD_INTID: IntId = IntId::spi(126);
/// On the board the card's slot; empty on QEMU.
const EMMC2: Pa = Pa::new(0xfe34_0000);
/// On the board the wireless module; on QEMU the card.
const SDHCI: Pa = Pa::new(0xfe30_0000);
const MAILBOX: Pa = Pa::new(0xfe00_b000);
const RANDOM: Pa = Pa::new(0xfe10_4000);

/// The service's peripherals.
pub static SOC: Soc = Soc {
    mailbox: MAILBOX,
    random: RANDOM,
    hosts: [
        SdHost { registers: EMMC2, intid: SD_INTID, clock: 12, low_voltage_pin: Some(128 + 4) },
        SdHost { registers: SDHCI, intid: SD_INTID, clock: 1, low_voltage_pin: None },
    ],
    reach: Pa::new(0x4000_0000),
};

const fn device(name: &'static str, start: Pa, intids: &'static [IntId], compatible: &'static str) -> Device {
    Device { name, start, size: PAGE_SIZE, intids, compatible, is_dma_master: true }
}

/// The same as devices. The two controllers have one owner, so their interrupt stands with one of them: it is forwarded once.
pub const DEVICES: [Device; 4] = [
    device("mailbox", MAILBOX, &[], "brcm,bcm2835-mbox"),
    Device { is_dma_master: false, ..device("rng200", RANDOM, &[], "brcm,bcm2711-rng200") },
    device("emmc2", EMMC2, &[SD_INTID], "brcm,bcm2711-emmc2"),
    device("sdhci", SDHCI, &[], "brcm,bcm2835-sdhci"),
];
