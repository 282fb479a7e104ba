//! Interrupts forwarded from hardware: the physical one is active exactly while the guest owes an end.

use crate::machine::*;
use vgic::{State, Version};

fn active(machine: &Machine) -> bool {
    !machine.edge.active.is_empty()
}

#[test]
fn a_forwarded_interrupt_needs_no_exit_between_arrival_and_end() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[TIMER]);
        let exits = machine.cores[0].exits;
        for _ in 0..3 {
            assert!(machine.physical(0, TIMER));
            assert_eq!(machine.find(0, TIMER).unwrap().hardware, Some(TIMER));
            assert_eq!(machine.take(0), Some(TIMER));
            assert!(!active(&machine));
        }
        assert_eq!(machine.cores[0].exits, exits);
    }
}

#[test]
fn the_physical_interrupt_is_enabled_with_the_guests() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[TIMER, DISK]);
        assert_eq!(machine.edge.enabled, [(0, 27), (1, 27), (0, 170)].into());
        machine.set_bit(1, ICENABLER, TIMER);
        machine.set_bit(0, ICENABLER, DISK);
        assert_eq!(machine.edge.enabled, [(0, 27)].into());
    }
}

#[test]
fn a_disabled_one_stays_pending_and_returns_when_enabled() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[TIMER]);
        assert!(machine.physical(0, TIMER));
        machine.set_bit(0, ICENABLER, TIMER);
        assert_eq!(machine.registers(0), []);
        assert!(active(&machine) && machine.bit(0, ISPENDR, TIMER));
        machine.set_bit(0, ISENABLER, TIMER);
        assert_eq!(machine.find(0, TIMER).unwrap().hardware, Some(TIMER));
        assert_eq!(machine.take(0), Some(TIMER));
        assert!(!active(&machine));
    }
}

#[test]
fn a_group_that_is_off_keeps_it_in_the_model() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[TIMER]);
        machine.write(0, 0, 4, 2);
        assert!(machine.edge.templates.is_empty());
        assert!(machine.physical(0, TIMER));
        assert_eq!(machine.registers(0), []);
        machine.write(0, 0, 4, 1);
        assert_eq!(machine.take(0), Some(TIMER));
    }
}

/// Bao #371: the physical interrupt stays active for ever.
#[test]
fn clearing_pending_deactivates_the_physical_interrupt() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[TIMER, DISK]);
        assert!(machine.physical(0, TIMER) && machine.physical(0, DISK_PHYSICAL));
        machine.set_bit(0, ICPENDR, TIMER);
        machine.set_bit(0, ICPENDR, DISK);
        assert!(!active(&machine));
        assert!(machine.physical(0, TIMER) && machine.physical(0, DISK_PHYSICAL));
        assert_eq!((machine.take(0), machine.take(0)), (Some(TIMER), Some(DISK)));
    }
}

#[test]
fn clearing_active_deactivates_the_physical_interrupt() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[TIMER]);
        assert!(machine.physical(0, TIMER));
        machine.acknowledge(0);
        machine.set_bit(0, ICACTIVER, TIMER);
        assert!(!active(&machine));
        machine.cores[0].running.clear();
        assert!(machine.physical(0, TIMER));
        assert_eq!(machine.take(0), Some(TIMER));
    }
}

#[test]
fn ending_a_spilled_one_deactivates_the_physical_interrupt() {
    for version in BOTH {
        let spis: Vec<_> = (0..4).map(|n| abi::IntId::spi(60 + n)).collect();
        let mut machine = Machine::ready(version, 1, 4, &spis);
        machine.set_bit(0, ISENABLER, TIMER);
        machine.set_priority(0, TIMER, 0xf0);
        assert!(machine.physical(0, TIMER));
        machine.acknowledge(0);
        for (i, intid) in spis.iter().enumerate() {
            machine.set_priority(0, *intid, 0x80 - 0x10 * i as u8);
            machine.set_bit(0, ISPENDR, *intid);
            machine.acknowledge(0);
        }
        assert_eq!(machine.find(0, TIMER), None, "spilled");
        for _ in 0..5 {
            assert!(active(&machine));
            machine.end(0);
        }
        assert!(!active(&machine));
    }
}

#[test]
fn software_pending_is_delivered_without_a_link_and_takes_the_template_away() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[TIMER]);
        machine.set_bit(0, ISPENDR, TIMER);
        assert_eq!(machine.find(0, TIMER).unwrap().hardware, None);
        assert!(!machine.edge.templates.contains_key(&(0, 27)));
        // It comes while that is in a list register: one list register, linked now.
        assert!(machine.physical(0, TIMER));
        assert_eq!(machine.find(0, TIMER).unwrap().hardware, Some(TIMER));
        assert_eq!((machine.take(0), machine.take(0)), (Some(TIMER), None));
        machine.slow(0, |_, _| ());
        assert!(machine.edge.templates.contains_key(&(0, 27)), "the fast path is back");
    }
}

#[test]
fn pending_again_while_active_breaks_the_link() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[TIMER]);
        assert!(machine.physical(0, TIMER));
        machine.acknowledge(0);
        machine.set_bit(0, ISPENDR, TIMER);
        assert_eq!(machine.find(0, TIMER).unwrap().state, State::PendingActive);
        assert!(!active(&machine), "it could never come again");
        machine.end(0);
        assert_eq!((machine.take(0), machine.take(0)), (Some(TIMER), None));
    }
}

#[test]
fn a_vcpu_that_goes_off_leaves_no_physical_interrupt_behind() {
    for version in BOTH {
        for acknowledged in [false, true] {
            let mut machine = Machine::ready(version, 2, 4, &[TIMER, DISK]);
            assert!(machine.physical(1, TIMER) && machine.physical(0, DISK_PHYSICAL));
            if acknowledged {
                machine.acknowledge(1);
            }
            machine.slow(1, |vgic, edge| vgic.power_off(vcpu(1), edge));
            machine.cores[1].running.clear();
            assert_eq!(machine.edge.active, [(0, 170)].into(), "the device's SPI is not the core's");
            assert_eq!(machine.registers(1), []);
            assert!(machine.physical(1, TIMER));
            assert_eq!((machine.take(1), machine.take(0)), (Some(TIMER), Some(DISK)));
        }
    }
}

#[test]
fn a_physical_interrupt_that_nobody_owns_is_deactivated() {
    let mut machine = Machine::ready(Version::V3, 1, 4, &[]);
    machine.edge.active.extend([(0, 99), (0, 30)]);
    machine.slow(0, |vgic, edge| {
        vgic.forwarded(vcpu(0), abi::IntId::new(99), edge);
        vgic.forwarded(vcpu(0), abi::IntId::new(30), edge);
    });
    assert!(!active(&machine));
}

#[test]
fn templates_carry_what_the_guest_set() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[DISK]);
        machine.set_priority(0, DISK, 0x48);
        machine.set_bit(0, 0x080, DISK);
        let template = machine.edge.templates[&(0, DISK.number())];
        assert_eq!((template.intid, template.hardware), (DISK, Some(DISK_PHYSICAL)));
        assert_eq!((template.state, template.priority, template.group1), (State::Pending, 0x48, true));
        assert!(!template.eoi_maintenance);
    }
}
