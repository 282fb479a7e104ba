//! The GICv2 driver over a model of the hardware, as a Raspberry Pi 4 shows it and as QEMU does (promise P10).
//!
//! `v2.rs` is compiled as it is. What it uses of the hypervisor has a twin here: registers that ask the model, EL2's
//! timer, a core, the map of devices.
#![cfg(not(target_os = "none"))]

#[path = "../../src/gic/interface.rs"]
#[expect(dead_code, reason = "the hypervisor calls more of it than this test")]
mod interface;
mod model;
mod registers;
mod twins;
#[path = "../../src/gic/v2.rs"]
mod v2;

use abi::{IntId, machine};
use addr::Pa;
use interface::{DOORBELL, Gic, MAX_LIST_REGISTERS, PRIORITY};
use manifest::GicV2;
use model::Firmware;
use registers::{ReadOnly, ReadWrite, WriteOnly};
use twins::{arch, core_local, memory};
use v2::V2;

/// The console of a Raspberry Pi 4.
const UART: IntId = IntId::spi(121);
const MAINTENANCE: IntId = IntId::ppi(9);
/// What GICC_IAR says when there is nothing to acknowledge.
const SPURIOUS: u32 = 1023;

/// Starts the driver on what `firmware` left behind.
fn start(firmware: Firmware) -> &'static core_local::Core {
    model::start(firmware);
    let block = |offset: u64| Pa::new(0xff84_0000 + offset);
    let v2 = GicV2 { gicd: block(0x1000), gicc: block(0x2000), gich: block(0x4000), gicv: block(0x6000) };
    V2::init_distributor(&manifest::Gic { v2: Some(v2), v3: None, maintenance: MAINTENANCE });
    let core = core_local::this();
    V2::init_core(core, MAINTENANCE);
    core
}

/// Gives a level-sensitive SPI to `core`, as for EL2's own UART and for an assigned device.
fn give(core: &'static core_local::Core, intid: IntId) {
    V2::route(core, intid);
    V2::set_level_sensitive(intid, true);
    V2::set_enabled(core, intid, true);
}

/// An SPI from its line to the end, both ways of the priority included.
fn takes_an_interrupt(firmware: Firmware) {
    let core = start(firmware);
    give(core, UART);
    assert!(!model::is_signalled(), "{firmware:?}: something was pending after the start");
    model::set_line(UART, true);
    assert!(model::is_signalled(), "{firmware:?}: the interrupt does not arrive");
    let acknowledged = V2::acknowledge();
    assert_eq!(V2::intid(acknowledged), UART.number(), "{firmware:?}");
    V2::drop_priority(acknowledged);
    // The guest ends it later: until then it is active and does not come again, though its line is high.
    assert!(model::is_active(UART), "{firmware:?}: the end of the priority deactivated it");
    assert!(!model::is_signalled(), "{firmware:?}: it came twice");
    // Others do: the priority is free again.
    V2::ring(core);
    let other = V2::acknowledge();
    assert_eq!(V2::intid(other), DOORBELL.number(), "{firmware:?}");
    V2::drop_priority(other);
    V2::deactivate(other);
    model::set_line(UART, false);
    V2::deactivate(acknowledged);
    assert!(!model::is_active(UART), "{firmware:?}: it stays active for ever");
    assert_eq!(V2::acknowledge(), SPURIOUS, "{firmware:?}");
}

#[test]
fn p10_interrupts_arrive_through_the_non_secure_view() {
    takes_an_interrupt(Firmware::GroupOne);
}

#[test]
fn p10_interrupts_arrive_without_security_extensions() {
    takes_an_interrupt(Firmware::Nothing);
}

/// A boot loader that set everything up for group 1 before.
#[test]
fn p10_groups_that_a_boot_loader_left_behind_do_not_matter() {
    takes_an_interrupt(Firmware::NothingButGroups);
}

#[test]
#[should_panic = "GICv2: all interrupts are secure"]
fn p10_firmware_that_keeps_all_interrupts_is_named() {
    start(Firmware::KeepsAll);
}

#[test]
fn p10_a_disabled_interrupt_does_not_come_and_a_forgotten_one_is_gone() {
    for firmware in [Firmware::GroupOne, Firmware::Nothing] {
        let core = start(firmware);
        give(core, UART);
        V2::set_enabled(core, UART, false);
        model::set_line(UART, true);
        assert!(!model::is_signalled(), "{firmware:?}");
        V2::set_enabled(core, UART, true);
        let acknowledged = V2::acknowledge();
        V2::drop_priority(acknowledged);
        model::set_line(UART, false);
        V2::forget(core, UART);
        assert!(!model::is_active(UART), "{firmware:?}");
    }
}

#[test]
fn p10_private_interrupts_of_the_core_arrive() {
    for firmware in [Firmware::GroupOne, Firmware::Nothing] {
        let core = start(firmware);
        for intid in [machine::VIRTUAL_TIMER, machine::HYPERVISOR_TIMER] {
            V2::set_enabled(core, intid, true);
            model::set_line(intid, true);
            assert_eq!(V2::pending_private(core), 1 << intid.number(), "{firmware:?}");
            let acknowledged = V2::acknowledge();
            assert_eq!(V2::intid(acknowledged), intid.number(), "{firmware:?}");
            model::set_line(intid, false);
            V2::drop_priority(acknowledged);
            V2::clear_private(core, 1 << intid.number());
            assert!(!model::is_active(intid) && !model::is_signalled(), "{firmware:?}");
        }
    }
}

/// The test's own ground: the model is no more lenient than the architecture.
#[test]
fn p10_the_model_hides_what_is_secure_and_shifts_priorities() {
    start(Firmware::GroupOne);
    let priority = model::priority(UART);
    // Written as 0xa0 from the non-secure side: the upper half of the range, one bit lost.
    assert_eq!((PRIORITY, priority), (0xa0, 0xd0));
    start(Firmware::Nothing);
    assert_eq!(model::priority(UART), 0xa0);
}
