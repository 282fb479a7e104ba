//! virtio-mmio transports as a driver sees them (virtio 1.2, section 4.2.2), by hand: a driver from a library would not
//! do what a hostile one does.
//!
//! The device tree says where the transports are, so that the probe also runs on QEMU without a hypervisor.

pub mod ring;

use crate::reply::{Refusal, check};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use fdt::Fdt;
use rt::arch::mmio::Registers;
use rt::board::board;
use rt::{IntId, gic, machine};

/// Most transports that are looked at: QEMU's board has 32.
const MAX: usize = 32;
/// Bit of Status: the device cannot go on.
pub const NEEDS_RESET: u32 = 64;
/// Bit of Status: the driver is ready.
pub const DRIVER_OK: u32 = 4;
const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const FEATURES_OK: u32 = 8;
/// "virt".
const MAGIC: u32 = 0x7472_6976;

/// Feature: a device of version 1.
pub const VERSION_1: u64 = 1 << 32;
/// Feature: the device reaches a part of RAM only, where this driver's rings and buffers are ([`crate::shared`]).
const ACCESS_PLATFORM: u64 = 1 << 33;
/// Feature: tables of descriptors.
pub const INDIRECT: u64 = 1 << 28;
/// Feature: event indices.
pub const EVENT_IDX: u64 = 1 << 29;

/// Offsets of registers.
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
use register::*;

/// A transport.
#[derive(Clone, Copy)]
pub struct Transport {
    registers: Registers,
    intid: IntId,
}

/// The transport whose interrupts are taken: its address, 0 for none, its INTID, and how many there were.
static WATCHED: AtomicU64 = AtomicU64::new(0);
static WATCHED_INTID: AtomicU32 = AtomicU32::new(0);
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);

/// Interrupts of the watched transport so far.
pub fn interrupts() -> u64 {
    INTERRUPTS.load(Relaxed)
}

/// An interrupt: acknowledged, if it is the watched transport's.
pub fn taken(intid: IntId) {
    let base = WATCHED.load(Relaxed);
    if base != 0 && intid.number() == WATCHED_INTID.load(Relaxed) {
        INTERRUPTS.fetch_add(1, Relaxed);
        let registers = at(base);
        registers.write32(INTERRUPT_ACK, registers.read32(INTERRUPT_STATUS));
    }
}

fn at(base: u64) -> Registers {
    // SAFETY: a transport by the device tree, or by the guest machine's map; the first GiB is mapped Device. Its DMA
    // goes where rings in free RAM say.
    unsafe { Registers::new(base) }
}

impl Transport {
    /// The transport in this place, by address.
    pub fn find(slot: u64) -> Result<Self, Refusal> {
        let transport = all().nth(slot as usize).flatten().ok_or(Refusal::Error("no such transport"))?;
        check(transport.read(register::MAGIC) == self::MAGIC, "no virtio transport is there")?;
        check(transport.read(VERSION) == 2, "a legacy transport")?;
        Ok(transport)
    }

    /// Its first register's address.
    pub fn base(self) -> u64 {
        self.registers.base()
    }

    /// A register.
    pub fn read(self, offset: u64) -> u32 {
        self.registers.read32(offset)
    }

    /// Writes a register.
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
    pub fn begin(self, features: u64) -> Result<u64, Refusal> {
        self.reset();
        check(self.read(STATUS) == 0, "the device is not reset")?;
        self.write(STATUS, ACKNOWLEDGE | DRIVER);
        let agreed = self.features() & (features | ACCESS_PLATFORM);
        for select in [0, 1] {
            self.write(DRIVER_FEATURES_SEL, select);
            self.write(DRIVER_FEATURES, (agreed >> (32 * select)) as u32);
        }
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        check(self.read(STATUS) & FEATURES_OK != 0, "the device refuses the features")?;
        Ok(agreed)
    }

    /// Hands over queue 0 with these parts, whatever they are, and says that the driver is ready.
    pub fn hand_over(self, size: u32, descriptors: u64, driver: u64, device: u64) {
        self.hand_over_queue(0, size, [descriptors, driver, device]);
        self.ready();
    }

    /// Hands over a queue: its descriptors, the driver's area and the device's, whatever they are.
    pub fn hand_over_queue(self, queue: u32, size: u32, [descriptors, driver, device]: [u64; 3]) {
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

    /// Takes its interrupts on this vCPU from now on, and no other's.
    pub fn watch(self) {
        WATCHED.store(self.base(), Relaxed);
        WATCHED_INTID.store(self.intid.number(), Relaxed);
        gic::set_edge(self.intid);
        gic::enable(self.intid, gic::PRIORITY);
    }
}

/// All transports, in the order of their addresses.
pub fn all() -> impl Iterator<Item = Option<Transport>> {
    let mut found = [None::<Transport>; MAX];
    match board().device_tree {
        Some(tree) => in_tree(tree, &mut found),
        None => in_map(&mut found),
    }
    // Few: by selection.
    for n in 0..MAX {
        for other in n + 1..MAX {
            if found[other].is_some_and(|other| found[n].is_none_or(|first| other.base() < first.base())) {
                found.swap(n, other);
            }
        }
    }
    found.into_iter().take_while(Option::is_some)
}

fn in_tree(tree: u64, found: &mut [Option<Transport>; MAX]) {
    // SAFETY: `board()` has read a device tree there, and nobody writes to it.
    let Ok(tree) = (unsafe { Fdt::from_ptr(tree as *const u8) }) else { return };
    let nodes = tree
        .all_nodes()
        .filter(|node| node.compatible().is_some_and(|compatible| compatible.all().any(|name| name == "virtio,mmio")));
    for (slot, node) in found.iter_mut().zip(nodes) {
        let base = node.reg().and_then(|mut reg| reg.next()).map(|region| region.starting_address as u64);
        // <0 = SPI, number, trigger>
        let interrupt = node.property("interrupts").and_then(|property| property.value.get(4..8)?.try_into().ok());
        *slot = base.zip(interrupt).map(|(base, interrupt)| Transport {
            registers: at(base),
            intid: IntId::spi(u32::from_be_bytes(interrupt)),
        });
    }
}

fn in_map(found: &mut [Option<Transport>; MAX]) {
    for (n, slot) in found.iter_mut().enumerate().take(16) {
        let base = machine::VIRTIO.as_u64() + n as u64 * machine::VIRTIO_STRIDE;
        *slot = Some(Transport { registers: at(base), intid: machine::virtio_intid(n as u32) });
    }
}
