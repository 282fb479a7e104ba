//! The board's virtio-mmio transports (virtio section 4.2): which devices there are, and that all of them are reset.

use crate::arch::mmio::Registers;
use crate::{say, timer};
use abi::IntId;
use abi::plan::Transports;
use addr::Pa;
use core::ptr::NonNull;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

const MAGIC_VALUE: u64 = 0x000;
const VERSION: u64 = 0x004;
const DEVICE_ID: u64 = 0x008;
const STATUS: u64 = 0x070;
/// The interface of virtio 1.0 and later.
const MODERN: u32 = 2;
const MAGIC: u32 = u32::from_le_bytes(*b"virt");
/// How long a device may take for a reset.
const RESET_MS: u64 = 1000;
/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;

/// One place for a device.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its number in the row.
    pub number: u32,
    /// Where its registers are.
    at: Pa,
    bytes: u32,
    /// Its interrupt, level.
    pub intid: IntId,
}

/// All places of the board.
pub fn places(row: Option<Transports>) -> impl Iterator<Item = Place> {
    row.into_iter().flat_map(|row| {
        (0..row.count).map(move |number| Place {
            number,
            at: Pa::new(row.start.as_u64().saturating_add(u64::from(row.stride) * u64::from(number))),
            bytes: row.stride,
            intid: IntId::new(row.first.number().saturating_add(number)),
        })
    })
}

impl Place {
    fn registers(&self) -> Registers {
        // SAFETY: the plan says that a transport is there, and map.rs maps it. Only identification and Status are used.
        unsafe { Registers::new(self.at.as_u64()) }
    }

    /// Whether a device is here.
    fn is_occupied(&self) -> bool {
        let registers = self.registers();
        registers.read32(MAGIC_VALUE) == MAGIC && registers.read32(DEVICE_ID) != 0
    }

    /// Resets the device and waits until it says that it is: it touches no memory after that.
    fn reset(&self) -> bool {
        let registers = self.registers();
        let until = timer::now() + timer::ticks(RESET_MS);
        registers.write32(STATUS, 0);
        while registers.read32(STATUS) != 0 {
            if timer::now() > until {
                return false;
            }
        }
        true
    }

    /// The driver's side of the transport, if a device of this kind with the modern interface is here. Asked before the
    /// transport is opened: dropping one resets its device, which somebody may use.
    fn open(&self, wanted: DeviceType) -> Option<MmioTransport<'static>> {
        let registers = self.registers();
        if registers.read32(DEVICE_ID) != wanted as u32 || registers.read32(VERSION) != MODERN {
            return None;
        }
        let header = NonNull::new(self.at.as_u64() as *mut _)?;
        // SAFETY: a transport's registers, mapped as Device for good (map.rs); each place is opened for one kind only, and
        // nothing else writes to it after the reset.
        unsafe { MmioTransport::new(header, self.bytes as usize) }.ok()
    }
}

/// Resets every device that the life before may have used: none of them touches memory afterwards.
///
/// # Panics
/// A device does not answer. What it would write over is not known, so this life must end.
pub fn reset_all(row: Option<Transports>) {
    for place in places(row).filter(Place::is_occupied) {
        assert!(place.reset(), "the virtio device at transport {} does not become reset", place.number);
        if place.registers().read32(VERSION) != MODERN {
            say!(
                "warn: the virtio device at transport {} has the legacy interface and is not used \
                 (QEMU: -global virtio-mmio.force-legacy=false)",
                place.number
            );
        }
    }
}

/// All devices of a kind that can be used.
pub fn devices(row: Option<Transports>, kind: DeviceType) -> impl Iterator<Item = (Place, MmioTransport<'static>)> {
    places(row).filter(Place::is_occupied).filter_map(move |place| {
        let transport = place.open(kind)?;
        Some((place, transport))
    })
}

/// Negotiates features (virtio section 3.1.1, steps 2 to 6): those that the device offers of `wanted`.
pub fn negotiate(transport: &mut impl Transport, wanted: u64) -> Option<u64> {
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
    let features = transport.read_device_features() & (wanted | VERSION_1);
    transport.write_driver_features(features);
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK);
    let is_taken = transport.get_status().contains(DeviceStatus::FEATURES_OK);
    (is_taken && features & VERSION_1 != 0).then_some(features)
}
