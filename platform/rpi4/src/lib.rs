//! Facts of the Raspberry Pi 4 (BCM2711) as QEMU's `raspi4b` shows them; never run on a real board.
//!
//! Data only: the host tool and the EL2 binary read the same table.
#![no_std]
#![forbid(unsafe_code)]

mod service;

use abi::IntId;
use addr::Pa;
use manifest::{Board, CoreStart, Gic, GicV2, NamedRegion, PowerOff};

/// The board, with the RAM that every firmware's tree names: QEMU's has the first GiB only, whatever `-m` says.
pub static BOARD: Board = Board {
    name: "rpi4",
    compatible: "raspberrypi,4-model-b",
    // The GPU holds the top 76 MiB of the first GiB.
    ram: &[(Pa::new(0), 0x3b40_0000)],
    cores: 4,
    is_variable: false,
    load_address: Pa::new(0x0020_0000),
    reserved: &[
        NamedRegion { name: "the firmware's spin table", start: Pa::new(0), size: 0x8_0000 },
        // The service, identity-mapped, sees the guest machine's interrupt controller there, too.
        NamedRegion { name: "the firmware's device tree", start: Pa::new(0x0800_0000), size: 2 << 20 },
        NamedRegion { name: "the service's view of its watchdog", start: Pa::new(0x0900_0000), size: 2 << 20 },
    ],
    gic: Gic {
        v2: Some(GicV2 {
            gicd: Pa::new(0xff84_1000),
            gicc: Pa::new(0xff84_2000),
            gich: Pa::new(0xff84_4000),
            gicv: Pa::new(0xff84_6000),
        }),
        v3: None,
        maintenance: IntId::ppi(9),
    },
    uart: Pa::new(0xfe20_1000),
    uart_intid: IntId::spi(121),
    core_start: CoreStart::SpinTable,
    power_off: PowerOff::None,
    devices: &service::DEVICES,
    transports: None,
    soc: Some(&service::SOC),
};
