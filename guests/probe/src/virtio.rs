//! virtio-mmio transports: where they are, and whose interrupts are taken. What goes over them is done by hand: a driver from
//! a library would not do what a hostile one does.
//!
//! The device tree says where the transports are, so that the probe also runs on QEMU without a hypervisor.

pub mod ring;

use crate::reply::{Refusal, check};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use fdt::Fdt;
use rt::arch::mmio::Registers;
use rt::board::board;
use rt::virtio::{Transport, register};
use rt::{IntId, gic};

/// Most transports that are looked at: QEMU's board has 32.
const MAX: usize = 32;
/// "virt".
const MAGIC: u32 = 0x7472_6976;

/// Feature: the device reaches a part of RAM only, where this driver's rings and buffers are ([`crate::shared`]).
const ACCESS_PLATFORM: u64 = 1 << 33;

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
        Transport::new(at(base), intid).acknowledge();
    }
}

fn at(base: u64) -> Registers {
    // SAFETY: a transport by the device tree; the first GiB is mapped Device. Its DMA goes where rings in free RAM say.
    unsafe { Registers::new(base) }
}

/// The transport in this place, by address.
pub fn find(slot: u64) -> Result<Transport, Refusal> {
    let transport = all().nth(slot as usize).flatten().ok_or(Refusal::Error("no such transport"))?;
    check(transport.read(register::MAGIC) == MAGIC, "no virtio transport is there")?;
    check(transport.read(register::VERSION) == 2, "a legacy transport")?;
    Ok(transport)
}

/// Resets the device and agrees on `features` of those it has; returns what was agreed.
pub fn begin(transport: Transport, features: u64) -> Result<u64, Refusal> {
    Ok(transport.begin(features | ACCESS_PLATFORM)?)
}

/// Takes its interrupts on this vCPU from now on, and no other's.
pub fn watch(transport: Transport) {
    WATCHED.store(transport.base(), Relaxed);
    WATCHED_INTID.store(transport.intid().number(), Relaxed);
    gic::set_edge(transport.intid());
    gic::enable(transport.intid(), gic::PRIORITY);
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
        *slot = base
            .zip(interrupt)
            .map(|(base, interrupt)| Transport::new(at(base), IntId::spi(u32::from_be_bytes(interrupt))));
    }
}

fn in_map(found: &mut [Option<Transport>; MAX]) {
    for (n, slot) in found.iter_mut().enumerate().take(16) {
        *slot = Some(Transport::of_machine(n as u32));
    }
}
