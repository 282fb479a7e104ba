//! A virtio-mmio transport as its driver sees it (virtio 1.2, section 4.2.2), and in [`queue`] a split queue.
//!
//! Drivers of devices are the guests' own. Nothing here trusts the device more than the guest that measures or attacks it
//! wants, so what the device says is given as it is.

pub mod queue;

use crate::arch::mmio::Registers;
use abi::{IntId, machine};
pub use queue::Queue;
use register::*;

/// Offsets of registers.
#[expect(missing_docs, reason = "the specification's names")]
pub mod register {
    pub const MAGIC: u64 = 0x00;
    pub const VERSION: u64 = 0x04;
    pub const DEVICE_ID: u64 = 0x08;
    pub const DEVICE_FEATURES: u64 = 0x10;
    pub const DEVICE_FEATURES_SEL: u64 = 0x14;
    pub const DRIVER_FEATURES: u64 = 0x20;
    pub const DRIVER_FEATURES_SEL: u64 = 0x24;
    pub const QUEUE_SEL: u64 = 0x30;
    pub const QUEUE_NUM_MAX: u64 = 0x34;
    pub const QUEUE_NUM: u64 = 0x38;
    pub const QUEUE_READY: u64 = 0x44;
    pub const QUEUE_NOTIFY: u64 = 0x50;
    pub const INTERRUPT_STATUS: u64 = 0x60;
    pub const INTERRUPT_ACK: u64 = 0x64;
    pub const STATUS: u64 = 0x70;
    pub const QUEUE_DESC: u64 = 0x80;
    pub const QUEUE_DRIVER: u64 = 0x90;
    pub const QUEUE_DEVICE: u64 = 0xa0;
    pub const CONFIG: u64 = 0x100;
}

/// Device ID of a network device (section 5.1).
pub const NETWORK: u32 = 1;
/// Device ID of a disk (section 5.2).
pub const DISK: u32 = 2;

/// Bits of Status (section 2.1).
const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
/// Bit of Status: the driver is ready.
pub const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
/// Bit of Status: the device cannot go on.
pub const NEEDS_RESET: u32 = 64;

/// Feature: tables of descriptors.
pub const INDIRECT_DESC: u64 = 1 << 28;
/// Feature: event indexes.
pub const EVENT_IDX: u64 = 1 << 29;
/// Feature: a device of version 1.
pub const VERSION_1: u64 = 1 << 32;

/// A transport.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    registers: Registers,
    intid: IntId,
}

impl Transport {
    /// The transport with these registers, which interrupts with this INTID.
    pub const fn new(registers: Registers, intid: IntId) -> Self {
        Self { registers, intid }
    }

    /// Transport `n` of the guest machine.
    pub fn of_machine(n: u32) -> Self {
        let base = machine::VIRTIO.as_u64() + u64::from(n) * machine::VIRTIO_STRIDE;
        // SAFETY: the guest machine has its transports there, and the first GiB is mapped Device. Its DMA goes where
        // queues in free RAM say.
        Self::new(unsafe { Registers::new(base) }, machine::virtio_intid(n))
    }

    /// Its first register's address.
    pub fn base(self) -> u64 {
        self.registers.base()
    }

    /// Its interrupt.
    pub fn intid(self) -> IntId {
        self.intid
    }

    /// A register.
    #[inline(always)]
    pub fn read(self, offset: u64) -> u32 {
        self.registers.read32(offset)
    }

    /// Writes a register.
    #[inline(always)]
    pub fn write(self, offset: u64, value: u32) {
        self.registers.write32(offset, value);
    }

    fn write_wide(self, offset: u64, value: u64) {
        self.write(offset, value as u32);
        self.write(offset + 4, (value >> 32) as u32);
    }

    /// Eight bytes of the device's configuration, at a multiple of four.
    pub fn config64(self, offset: u64) -> u64 {
        u64::from(self.read(CONFIG + offset)) | u64::from(self.read(CONFIG + offset + 4)) << 32
    }

    /// What the device can do.
    pub fn features(self) -> u64 {
        let half = |select| {
            self.write(DEVICE_FEATURES_SEL, select);
            u64::from(self.read(DEVICE_FEATURES))
        };
        half(0) | half(1) << 32
    }

    /// Resets the device: when this returns it touches no memory.
    pub fn reset(self) {
        self.write(STATUS, 0);
    }

    /// Resets the device and agrees on `features` of those it has; returns what was agreed.
    ///
    /// # Errors
    /// In words: the device is not reset, or refuses a choice of what it offers.
    pub fn begin(self, features: u64) -> Result<u64, &'static str> {
        self.reset();
        if self.read(STATUS) != 0 {
            return Err("the device is not reset");
        }
        self.write(STATUS, ACKNOWLEDGE | DRIVER);
        let agreed = self.features() & features;
        for select in [0, 1] {
            self.write(DRIVER_FEATURES_SEL, select);
            self.write(DRIVER_FEATURES, (agreed >> (32 * select)) as u32);
        }
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        if self.read(STATUS) & FEATURES_OK == 0 {
            return Err("the device refuses the features");
        }
        Ok(agreed)
    }

    /// Hands over a queue: its descriptors, the driver's area and the device's, whatever they are.
    pub fn hand_over(self, queue: u32, size: u32, [descriptors, driver, device]: [u64; 3]) {
        self.write(QUEUE_SEL, queue);
        self.write(QUEUE_NUM, size);
        self.write_wide(QUEUE_DESC, descriptors);
        self.write_wide(QUEUE_DRIVER, driver);
        self.write_wide(QUEUE_DEVICE, device);
        self.write(QUEUE_READY, 1);
    }

    /// Says that the driver is ready, after [`Self::begin`] and its queues.
    pub fn ready(self) {
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    }

    /// Tells the device of a queue.
    #[inline(always)]
    pub fn notify(self, queue: u32) {
        self.write(QUEUE_NOTIFY, queue);
    }

    /// Takes its interrupt away.
    pub fn acknowledge(self) {
        self.write(INTERRUPT_ACK, self.read(INTERRUPT_STATUS));
    }

    /// Whether the device says that it cannot go on.
    pub fn is_broken(self) -> bool {
        self.read(STATUS) & NEEDS_RESET != 0
    }
}
