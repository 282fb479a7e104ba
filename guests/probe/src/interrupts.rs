//! Interrupts: counts of every one taken, SGIs on demand, and self-tests of the interrupt controller.
//!
//! The self-tests use SPIs that no device of the guest machine has and make them pending by hand, so that more can be
//! pending than there are list registers.

use crate::assigned;
use crate::reply::{Arguments, Refusal, Reply, check};
use crate::virtio;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use rt::arch::{insn, sysreg};
use rt::board::{GicFacts, board};
use rt::timer::{self, Timer};
use rt::{IntId, console, cpu, gic, print, println};

/// vCPUs that are counted.
const VCPUS: usize = 8;
/// INTIDs that are counted: all that the guest machine implements.
const INTIDS: usize = 32 + abi_spis();
/// Interrupts that the log of one self-test holds.
const LOG: usize = 64;
/// GICD_SGIR.
const SGIR: u64 = 0xf00;
/// Acknowledge attempts: hardware may take a moment to forward what became pending.
const PATIENCE: u32 = 1000;
/// SPIs of the self-tests.
const FIRST_SPI: u32 = 100;
/// How many `storm` makes pending: more than any GIC has list registers.
const STORM: u32 = 40;

const fn abi_spis() -> usize {
    rt::machine::SPIS as usize
}

static TAKEN: [[AtomicU32; INTIDS]; VCPUS] = [const { [const { AtomicU32::new(0) }; INTIDS] }; VCPUS];
/// vCPU 0's interrupts other than timers, in the order in which they were taken; the length may pass the end.
static ORDER: [AtomicU32; LOG] = [const { AtomicU32::new(0) }; LOG];
static TIMER_TAKEN_AT: AtomicU64 = AtomicU64::new(0);
static ORDER_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// The handler. Timers and the console's interrupt are turned off, so that their level goes away; a virtio device's is
/// acknowledged.
pub fn taken(intid: IntId) {
    let timer = [Timer::Virtual, Timer::Physical].into_iter().find(|timer| timer.intid() == intid);
    if let Some(timer) = timer {
        TIMER_TAKEN_AT.store(timer.count(), Relaxed);
        timer.stop();
    }
    if intid == console::INTID {
        console::init();
    }
    virtio::taken(intid);
    assigned::taken(intid);
    if let Some(count) = TAKEN.get(cpu::index()).and_then(|vcpu| vcpu.get(intid.index())) {
        count.fetch_add(1, Relaxed);
    }
    // A timer that was stopped too late to take its interrupt back is no part of a self-test.
    if cpu::index() == 0 && timer.is_none() {
        let place = ORDER_LENGTH.fetch_add(1, Relaxed);
        if let Some(slot) = ORDER.get(place) {
            slot.store(intid.number(), Relaxed);
        }
    }
}

/// What a timer's own counter said in the handler of its last interrupt.
pub fn timer_taken_at() -> u64 {
    TIMER_TAKEN_AT.load(Relaxed)
}

/// How often vCPU 0 took this interrupt.
pub fn count(intid: IntId) -> u32 {
    TAKEN[0].get(intid.index()).map_or(0, |count| count.load(Relaxed))
}

/// Enables all SGIs on this vCPU.
pub fn enable_sgis() {
    for id in 0..16 {
        gic::enable(IntId::sgi(id), gic::PRIORITY);
    }
}

/// `irqs`
pub fn counts(_: &mut Arguments) -> Reply {
    print!("ok");
    for (vcpu, counts) in TAKEN.iter().enumerate().take(board().vcpus) {
        print!(" v{vcpu}:");
        for (intid, count) in counts.iter().enumerate() {
            let count = count.load(Relaxed);
            if count != 0 {
                print!(" {intid}={count}");
            }
        }
    }
    println!();
    Ok(())
}

/// `sgi`
pub fn sgi(arguments: &mut Arguments) -> Reply {
    let (list, id) = (arguments.number()?, arguments.optional()?.unwrap_or(1));
    check(id < 16, "SGIs are 0 to 15")?;
    check(list >> board().vcpus.min(63) == 0, "a bit for a vCPU that this guest does not have; sgi1r sends anything")?;
    for vcpu in (0..board().vcpus).filter(|&vcpu| list >> vcpu & 1 != 0) {
        gic::send_sgi(vcpu, IntId::sgi(id as u32));
    }
    println!("ok");
    Ok(())
}

/// `sgi1r`
pub fn sgi_raw(arguments: &mut Arguments) -> Reply {
    let value = arguments.number()?;
    match board().gic {
        GicFacts::V2 { distributor, .. } => distributor.write32(SGIR, value as u32),
        GicFacts::V3 { .. } => sysreg::write_icc_sgi1r(value),
    }
    insn::synchronise();
    println!("ok");
    Ok(())
}

/// `gic`
pub fn self_test(arguments: &mut Arguments) -> Reply {
    let test = match arguments.next() {
        Some("order") => order,
        Some("storm") => storm,
        Some("state") => state,
        Some("disabled") => disabled,
        Some("spurious") => spurious,
        Some("split") => split,
        Some("mask") => mask,
        _ => return Err(Refusal::Error("gic order, storm, state, disabled, spurious, split or mask")),
    };
    insn::mask_irq();
    ORDER_LENGTH.store(0, Relaxed);
    let result = test();
    insn::unmask_irq();
    result?;
    println!("ok");
    Ok(())
}

/// 12 SGIs of different priorities, sent while masked, are taken in the order of their priorities.
fn order() -> Reply {
    let sgis = (0..12).map(IntId::sgi);
    for sgi in sgis.clone() {
        gic::enable(sgi, sgi_priority(sgi));
        gic::send_sgi(0, sgi);
    }
    let result = taken_in_order(12, sgi_priority);
    enable_sgis();
    result
}

/// Different for each SGI and unlike the order of their numbers.
fn sgi_priority(sgi: IntId) -> u8 {
    (sgi.number() * 7 % 16) as u8 * 0x10
}

/// 40 SPIs at once: each is taken once, in the order of their priorities.
fn storm() -> Reply {
    let spis = (FIRST_SPI..FIRST_SPI + STORM).map(IntId::spi);
    for spi in spis.clone() {
        gic::set_edge(spi);
        gic::enable(spi, spi_priority(spi));
        gic::set_pending(spi);
    }
    let result = taken_in_order(STORM as usize, spi_priority);
    for spi in spis {
        gic::disable(spi);
        gic::clear_pending(spi);
    }
    result
}

/// Several SPIs share one.
fn spi_priority(spi: IntId) -> u8 {
    (spi.number() * 5 % 8) as u8 * 0x20
}

/// Unmasks; checks that exactly these interrupts come, once each, never a lower priority before a higher one.
fn taken_in_order(expected: usize, priority: fn(IntId) -> u8) -> Reply {
    insn::unmask_irq();
    let end = timer::now() + 10 * timer::frequency();
    while ORDER_LENGTH.load(Relaxed) < expected && timer::now() < end {}
    insn::mask_irq();
    let length = ORDER_LENGTH.load(Relaxed);
    if length != expected {
        return Err(Refusal::Wrong("interrupts expected, taken", expected as u64, length as u64));
    }
    let taken = || ORDER.iter().take(length).map(|slot| IntId::new(slot.load(Relaxed)));
    for (at, intid) in taken().enumerate() {
        if taken().skip(at + 1).any(|other| other == intid) {
            return Err(Refusal::Wrong("taken twice: INTID, place", intid.number().into(), at as u64));
        }
    }
    for (before, after) in taken().zip(taken().skip(1)) {
        if priority(before) > priority(after) {
            return Err(Refusal::Wrong("out of order: INTIDs", before.number().into(), after.number().into()));
        }
    }
    Ok(())
}

/// An SPI for one self-test: edge, enabled or not, nothing pending.
fn prepare(offset: u32, is_enabled: bool) -> IntId {
    let spi = IntId::spi(FIRST_SPI + STORM + offset);
    gic::disable(spi);
    gic::clear_pending(spi);
    gic::set_edge(spi);
    // Enabled first in any case: an SPI without a target is pending nowhere on some GICv2.
    gic::enable(spi, gic::PRIORITY);
    if !is_enabled {
        gic::disable(spi);
    }
    spi
}

/// Acknowledges, with patience; the interrupt is ended if it is not the expected one.
fn acknowledge(expected: IntId) -> Result<gic::Acknowledged, Refusal> {
    for _ in 0..PATIENCE {
        let Some(acknowledged) = gic::acknowledge() else { continue };
        if acknowledged.intid() == expected {
            return Ok(acknowledged);
        }
        let other = acknowledged.intid();
        gic::end(acknowledged);
        return Err(Refusal::Wrong("acknowledged another, expected", other.number().into(), expected.number().into()));
    }
    Err(Refusal::Wrong(
        "never acknowledged: INTID, pending",
        expected.number().into(),
        gic::is_pending(expected).into(),
    ))
}

/// Nothing can be acknowledged.
fn nothing(otherwise: &'static str) -> Reply {
    match gic::acknowledge() {
        None => Ok(()),
        Some(acknowledged) => {
            let intid = acknowledged.intid();
            gic::end(acknowledged);
            Err(Refusal::Wrong(otherwise, intid.number().into(), 0))
        }
    }
}

/// Pending, then active, then neither, as the registers show it.
fn state() -> Reply {
    let spi = prepare(0, true);
    gic::set_pending(spi);
    check(gic::is_pending(spi) && !gic::is_active(spi), "set pending: not pending, or active")?;
    let acknowledged = acknowledge(spi)?;
    let (is_pending, is_active) = (gic::is_pending(spi), gic::is_active(spi));
    gic::end(acknowledged);
    check(!is_pending && is_active, "acknowledged: still pending, or not active")?;
    check(!gic::is_pending(spi) && !gic::is_active(spi), "ended: pending or active")?;
    gic::set_pending(spi);
    gic::clear_pending(spi);
    check(!gic::is_pending(spi), "cleared: still pending")?;
    nothing("cleared and still taken")
}

/// Pending but disabled waits until it is enabled.
fn disabled() -> Reply {
    let spi = prepare(1, false);
    gic::set_pending(spi);
    check(gic::is_pending(spi), "disabled: does not become pending")?;
    nothing("disabled and taken")?;
    gic::enable(spi, gic::PRIORITY);
    gic::end(acknowledge(spi)?);
    Ok(())
}

/// Nothing pending: 1023.
fn spurious() -> Reply {
    prepare(2, true);
    nothing("nothing pending and taken")
}

/// EOImode 1: the end drops the priority, deactivation is a second step.
fn split() -> Reply {
    let spi = prepare(3, true);
    gic::split_end(true);
    let result = split_steps(spi);
    gic::split_end(false);
    result
}

fn split_steps(spi: IntId) -> Reply {
    gic::set_pending(spi);
    gic::end(acknowledge(spi)?);
    check(gic::is_active(spi), "priority dropped: no longer active")?;
    gic::set_pending(spi);
    nothing("active and taken again")?;
    gic::deactivate(spi);
    gic::end(acknowledge(spi)?);
    gic::deactivate(spi);
    check(!gic::is_active(spi), "deactivated: still active")
}

/// The priority mask holds back what is not above it.
fn mask() -> Reply {
    let spi = prepare(4, true);
    gic::set_priority_mask(0x40);
    gic::set_pending(spi);
    let held = nothing("masked and taken");
    gic::set_priority_mask(0xff);
    held?;
    gic::end(acknowledge(spi)?);
    Ok(())
}
