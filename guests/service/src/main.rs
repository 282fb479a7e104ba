//! The service partition: a small unikernel that owns the board's devices and serves the other partitions.
//!
//! One core, EL1, identity-mapped, no scheduler and no interrupt handlers: a loop looks at what EL2, the guests' rings and
//! the devices say, and sleeps in WFI when nothing does. Guests are hostile; EL2 and the plan are not. When the service
//! itself is wrong it ends its life (fault.rs), EL2 starts the next, and the guests see a slow disk meanwhile.
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod clock;
mod console;
mod devices;
mod disk;
mod dma;
mod entropy;
mod events;
mod fault;
mod firmware;
mod gic;
mod heap;
mod hooks;
mod hypercall;
mod kept;
mod lines;
mod map;
mod memory;
mod network;
mod pins;
mod plan;
mod say;
mod service;
mod timer;
mod transports;
mod uart;
mod uplink;
mod volumes;
mod watchdog;

use abi::plan::Plan;
use alloc::boxed::Box;

/// Called by the entry code, on the first tables: memory is Normal, nothing else is mapped for certain.
#[unsafe(no_mangle)]
extern "C" fn service_main(plan: u64) -> ! {
    let hello = match hypercall::hello() {
        Ok(hello) => hello,
        // Nothing can be said to an EL2 of another version.
        Err(_) => arch::crash(),
    };
    // SAFETY: EL2 has loaded the plan there, and nobody else uses this partition's RAM.
    let found = unsafe { plan::read(plan) };
    let found = found.unwrap_or_else(|error| panic!("the plan at 0x{plan:x} cannot be read: {error:?}"));
    // The plan lies near the end of RAM; it has been copied.
    let end = if plan > arch::entry::image().end { plan } else { found.ram.end().as_u64() };
    // SAFETY: RAM behind the image, up to the plan: nothing else is there.
    unsafe { heap::open(arch::entry::image().end, end) };
    let plan: &'static Plan = Box::leak(Box::new(found));
    // SAFETY: the plan and EL2 name what is there; only image and heap have been used so far.
    unsafe { map::enter(plan, &hello) };
    service::run(plan, &hello)
}
