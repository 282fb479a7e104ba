//! The service's own translation tables (stage 1): identity, and nothing is both writable and executable.
//!
//! Registers are Device-nGnRE. Memory that the service shares with devices and guests is Normal write-back and inner
//! shareable, as its other owners have it. What is not listed here is not mapped.

use crate::arch::entry::{image, switch_tables};
use crate::hypercall::Hello;
use aarch64_paging::descriptor::El1Attributes;
use aarch64_paging::idmap::IdMap;
use aarch64_paging::paging::{El1And0, MemoryRegion};
use abi::machine;
use abi::plan::Plan;
use addr::{Address, PAGE_SIZE, Pa, Region};

/// 48 bits of address.
const ROOT_LEVEL: usize = 0;

const VALID: El1Attributes = El1Attributes::VALID.union(El1Attributes::ACCESSED);
const NORMAL: El1Attributes = VALID.union(El1Attributes::ATTRIBUTE_INDEX_1).union(El1Attributes::INNER_SHAREABLE);
const NO_CODE: El1Attributes = El1Attributes::PXN.union(El1Attributes::UXN);
const CODE: El1Attributes = NORMAL.union(El1Attributes::READ_ONLY).union(El1Attributes::UXN);
const READ: El1Attributes = NORMAL.union(El1Attributes::READ_ONLY).union(NO_CODE);
const WRITE: El1Attributes = NORMAL.union(NO_CODE);
const DEVICE: El1Attributes = VALID.union(El1Attributes::ATTRIBUTE_INDEX_0).union(NO_CODE);

struct Tables(IdMap<El1And0>);

impl Tables {
    fn map(&mut self, what: &str, start: u64, end: u64, attributes: El1Attributes) {
        if start >= end {
            return;
        }
        let range = MemoryRegion::new(start as usize, end as usize);
        if let Err(error) = self.0.map_range(&range, attributes) {
            panic!("{what} [0x{start:x}..0x{end:x}) cannot be mapped: {error}");
        }
    }

    fn region(&mut self, what: &str, region: &Region<Pa>, attributes: El1Attributes) {
        self.map(what, region.start().as_u64(), region.end().as_u64(), attributes);
    }

    fn bytes(&mut self, what: &str, start: u64, bytes: u64, attributes: El1Attributes) {
        self.map(what, start, start.saturating_add(bytes), attributes);
    }
}

/// Maps what the plan names, and goes on with these tables.
///
/// # Safety
/// The plan and EL2's answer name what is there. Called once, before anything but the image and the heap is used.
pub unsafe fn enter(plan: &Plan, hello: &Hello) {
    let image = image();
    let mut tables = Tables(IdMap::with_asid(0, ROOT_LEVEL, El1And0));
    let ram = plan.ram.end().as_u64();
    tables.map("code", image.text, image.rodata, CODE);
    tables.map("constants", image.rodata, image.data, READ);
    tables.map("variables", image.data, image.guard, WRITE);
    tables.map("stack and heap", image.stack, ram, WRITE);
    tables.region("kept memory", &plan.kept, WRITE);
    for memory in plan.partitions.iter().flat_map(|partition| &partition.ram) {
        tables.region("a partition's RAM", &memory.pa, WRITE);
    }
    for channel in &plan.channels {
        tables.region("a channel", &channel.memory, WRITE);
    }
    for page in [hello.events, hello.devices] {
        tables.bytes("an event page", page.as_u64(), PAGE_SIZE, READ);
    }
    tables.bytes("the service page", hello.service.as_u64(), PAGE_SIZE, WRITE);
    devices(&mut tables, plan);
    // The tables stay for ever.
    let tables = core::mem::ManuallyDrop::new(tables);
    // SAFETY: image, stack and heap are mapped above, at their addresses; so is all that the caller's plan names.
    unsafe { switch_tables(tables.0.root_address().0 as u64) }
}

fn devices(tables: &mut Tables, plan: &Plan) {
    tables.bytes("the distributor", machine::GICD.as_u64(), machine::GICD_SIZE, DEVICE);
    tables.bytes("the CPU interface", machine::GICC.as_u64(), machine::GICC_SIZE, DEVICE);
    tables.bytes("the redistributor", machine::GICR.as_u64(), machine::GICR_STRIDE, DEVICE);
    tables.bytes("the UART", plan.uart.0.as_u64(), PAGE_SIZE, DEVICE);
    if let Some(rtc) = plan.rtc {
        tables.bytes("the clock", rtc.as_u64(), PAGE_SIZE, DEVICE);
    }
    if plan.watchdog_ms != 0 {
        for frame in [machine::WATCHDOG, machine::WATCHDOG_REFRESH] {
            tables.bytes("the watchdog", frame.as_u64(), machine::WATCHDOG_SIZE, DEVICE);
        }
    }
    if let Some(soc) = plan.soc {
        let [first, second] = soc.hosts.map(|host| host.registers);
        for (what, page) in
            [("the mailbox", soc.mailbox), ("the generator", soc.random), ("an SD host", first), ("an SD host", second)]
        {
            tables.bytes(what, page.as_u64(), PAGE_SIZE, DEVICE);
        }
    }
    if let Some(transports) = plan.transports {
        let bytes = u64::from(transports.stride) * u64::from(transports.count);
        let start = transports.start.align_down(PAGE_SIZE).as_u64();
        tables.map("the transports", start, transports.start.as_u64().saturating_add(bytes), DEVICE);
    }
}
