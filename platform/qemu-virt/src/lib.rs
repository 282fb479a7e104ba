//! Facts of QEMU's `virt` board (`-M virt,virtualization=on`), hw/arm/virt.c of QEMU 7.2 to 10.0.
//!
//! Data only: the host tool and the EL2 binary read the same table.
#![no_std]
#![forbid(unsafe_code)]

use abi::IntId;
use abi::plan::Transports;
use addr::Pa;
use manifest::{Board, CoreStart, Device, Gic, GicV2, GicV3, NamedRegion, PowerOff};

/// The transports, in ascending order. QEMU gives them to `-device virtio-...-device` from the highest downwards.
const TRANSPORTS: Transports =
    Transports { start: Pa::new(0x0a00_0000), stride: 0x200, count: 32, first: IntId::spi(16) };

/// An interrupt for each transport.
const TRANSPORT_INTIDS: [IntId; TRANSPORTS.count as usize] = {
    let mut intids = [TRANSPORTS.first; TRANSPORTS.count as usize];
    let mut n = 0;
    while n < intids.len() {
        intids[n] = IntId::new(TRANSPORTS.first.number() + n as u32);
        n += 1;
    }
    intids
};

/// The board.
pub static BOARD: Board = Board {
    name: "qemu-virt",
    compatible: "linux,dummy-virt",
    ram: &[(Pa::new(0x4000_0000), 2 << 30)],
    cores: 4,
    is_variable: true,
    load_address: Pa::new(0x4020_0000),
    reserved: &[NamedRegion {
        // QEMU puts it there when the bundle ends below; behind the bundle otherwise.
        name: "the firmware's device tree",
        start: Pa::new(0x4800_0000),
        size: 2 << 20,
    }],
    gic: Gic {
        v2: Some(GicV2 {
            gicd: Pa::new(0x0800_0000),
            gicc: Pa::new(0x0801_0000),
            gich: Pa::new(0x0803_0000),
            gicv: Pa::new(0x0804_0000),
        }),
        v3: Some(GicV3 { gicd: Pa::new(0x0800_0000), gicr: Pa::new(0x080a_0000), gicr_size: 0x00f6_0000 }),
        maintenance: IntId::ppi(9),
    },
    uart: Pa::new(0x0900_0000),
    uart_intid: IntId::spi(1),
    core_start: CoreStart::PsciSmc,
    power_off: PowerOff::PsciSmc,
    devices: &[
        Device {
            name: "rtc",
            start: Pa::new(0x0901_0000),
            size: 0x1000,
            intids: &[IntId::spi(2)],
            compatible: "arm,pl031",
            is_dma_master: false,
        },
        Device {
            name: "gpio",
            start: Pa::new(0x0903_0000),
            size: 0x1000,
            intids: &[IntId::spi(7)],
            compatible: "arm,pl061",
            is_dma_master: false,
        },
        Device {
            // One owner for all: eight transports share a page, and none has an SMMU in front of it.
            name: "virtio",
            start: TRANSPORTS.start,
            size: TRANSPORTS.stride as u64 * TRANSPORTS.count as u64,
            intids: &TRANSPORT_INTIDS,
            compatible: "virtio,mmio",
            is_dma_master: true,
        },
    ],
    transports: Some(TRANSPORTS),
    soc: None,
};
