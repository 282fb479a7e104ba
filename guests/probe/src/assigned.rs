//! Assigned devices: an interrupt that a register raises and the handler takes away.

use crate::access;
use crate::interrupts;
use crate::reply::{Arguments, Refusal, Reply, check};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use rt::arch::mmio::Registers;
use rt::timer;
use rt::{IntId, gic, println};

/// Which interrupt, and where a zero takes its level away; 0: none.
static WATCHED: AtomicU32 = AtomicU32::new(0);
static QUIET: AtomicU64 = AtomicU64::new(0);

/// An interrupt: taken away at its device, if it is the watched one.
pub fn taken(intid: IntId) {
    let quiet = QUIET.load(Relaxed);
    if quiet != 0 && intid.number() == WATCHED.load(Relaxed) {
        registers(quiet).write32(0, 0);
    }
}

fn registers(at: u64) -> Registers {
    // SAFETY: where the window shows the device that a test has assigned to this guest; what it does is the test's choice.
    unsafe { Registers::new(at) }
}

/// `irq`
pub fn irq(arguments: &mut Arguments) -> Reply {
    let (intid, address, value) = (arguments.number()?, arguments.number()?, arguments.number()?);
    let intid = u32::try_from(intid).ok().filter(|number| (32..1020).contains(number));
    let intid = IntId::new(intid.ok_or(Refusal::Error("INTIDs of devices are 32 to 1019"))?);
    // It must be there before the handler touches it.
    access::touch(rt::arch::access::rt_load32, address, 0, access::Kind::Data)?;
    let at = access::shown(address);
    WATCHED.store(intid.number(), Relaxed);
    QUIET.store(at, Relaxed);
    let before = interrupts::count(intid);
    gic::enable(intid, gic::PRIORITY);
    registers(at).write32(0, value as u32);
    let end = timer::now() + 10 * timer::frequency();
    while interrupts::count(intid) == before && timer::now() < end {}
    gic::disable(intid);
    QUIET.store(0, Relaxed);
    let taken = interrupts::count(intid) - before;
    check(taken != 0, "the interrupt did not come within ten seconds")?;
    println!("ok taken={taken}");
    Ok(())
}
