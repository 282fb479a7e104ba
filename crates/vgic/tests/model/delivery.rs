//! Delivery: priorities, levels and edges, active state, more interrupts than list registers.

use crate::machine::*;
use abi::IntId;
use vgic::{Maintenance, State, Version};

fn spi(n: u32) -> IntId {
    IntId::spi(n)
}

#[test]
fn the_most_urgent_comes_first_then_the_lowest_intid() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[spi(10), spi(11), spi(12)]);
        machine.set_priority(0, spi(12), 0x40);
        for n in [12, 11, 10] {
            machine.set_bit(0, ISPENDR, spi(n));
        }
        let order: Vec<_> = (0..4).map(|_| machine.take(0)).collect();
        assert_eq!(order, [Some(spi(12)), Some(spi(10)), Some(spi(11)), None], "{version:?}");
    }
}

#[test]
fn five_bits_of_priority_stick() {
    for version in BOTH {
        let mut machine = Machine::new(version, 1, 4);
        machine.write(0, 0x420, 4, 0xff07_0881);
        assert_eq!(machine.read(0, 0x420, 4), 0xf800_0880);
        assert_eq!(machine.read(0, 0x423, 1), 0xf8);
    }
}

#[test]
fn a_level_interrupt_comes_again_while_its_line_is_high() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[UART]);
        machine.level(0, UART, true);
        assert_eq!(machine.take(0), Some(UART));
        assert!(machine.bit(0, ISPENDR, UART));
        assert_eq!(machine.acknowledge(0), Some((UART, 0)));
        machine.level(0, UART, false);
        assert!(!machine.bit(0, ISPENDR, UART));
        machine.end(0);
        assert_eq!(machine.take(0), None);
    }
}

#[test]
fn a_level_interrupt_is_withdrawn_with_its_line() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[UART]);
        machine.level(0, UART, true);
        machine.level(0, UART, false);
        assert_eq!(machine.take(0), None);
    }
}

#[test]
fn clearing_pending_does_not_lower_a_line() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[UART]);
        machine.level(0, UART, true);
        machine.set_bit(0, ICPENDR, UART);
        assert_eq!(machine.take(0), Some(UART));
    }
}

#[test]
fn only_a_high_level_and_a_second_source_cost_an_exit_at_the_end() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[UART, spi(9), IntId::sgi(1), TIMER]);
        machine.level(0, UART, true);
        machine.set_bit(0, ISPENDR, spi(9));
        machine.sgi(0, 0, 1);
        assert!(machine.physical(0, TIMER));
        for (intid, wanted) in [(UART, true), (spi(9), false), (IntId::sgi(1), false), (TIMER, false)] {
            let register = machine.find(0, intid).unwrap();
            assert_eq!(register.eoi_maintenance, wanted, "{version:?} {intid}");
        }
        // With the line low nothing would be done at the end.
        machine.acknowledge(0);
        machine.level(0, UART, false);
        assert!(!machine.find(0, UART).unwrap().eoi_maintenance);
    }
}

#[test]
fn an_edge_while_active_is_delivered_again_without_an_exit() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[spi(9)]);
        machine.write(0, 0xc08, 4, 0xaaaa_aaaa);
        machine.level(0, spi(9), true);
        machine.acknowledge(0);
        machine.level(0, spi(9), false);
        machine.level(0, spi(9), true);
        assert_eq!(machine.find(0, spi(9)).unwrap().state, State::PendingActive);
        let exits = machine.cores[0].exits;
        machine.end(0);
        assert_eq!(machine.take(0), Some(spi(9)));
        assert_eq!((machine.take(0), machine.cores[0].exits), (None, exits));
    }
}

#[test]
fn a_disabled_interrupt_or_group_stays_pending_and_returns() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[spi(9)]);
        machine.set_bit(0, ISPENDR, spi(9));
        machine.set_bit(0, ICENABLER, spi(9));
        assert_eq!(machine.registers(0), []);
        machine.set_bit(0, ISENABLER, spi(9));
        machine.write(0, 0, 4, 2);
        assert_eq!(machine.registers(0), [], "group 0 is off");
        machine.set_bit(0, 0x080, spi(9));
        assert!(machine.find(0, spi(9)).unwrap().group1);
        assert_eq!(machine.take(0), Some(spi(9)));
    }
}

#[test]
fn more_pending_than_list_registers_all_arrive_in_order() {
    for version in BOTH {
        let all: Vec<IntId> = (0..20).map(|n| spi(40 + n)).collect();
        let mut machine = Machine::ready(version, 1, 4, &all);
        for intid in all.iter().rev() {
            machine.set_bit(0, ISPENDR, *intid);
        }
        assert!(machine.cores[0].maintenance.underflow);
        let taken: Vec<IntId> = std::iter::from_fn(|| machine.take(0)).collect();
        assert_eq!(taken, all);
        assert_eq!(machine.cores[0].maintenance, Maintenance::default());
    }
}

#[test]
fn more_active_than_list_registers_are_spilled_and_ended_innermost_first() {
    for version in BOTH {
        let all: Vec<IntId> = (0..8).map(|n| spi(40 + n)).collect();
        let mut machine = Machine::ready(version, 1, 4, &all);
        for (i, intid) in all.iter().enumerate() {
            machine.set_priority(0, *intid, 0xf0 - 0x10 * i as u8);
            machine.set_bit(0, ISPENDR, *intid);
            assert_eq!(machine.acknowledge(0), Some((*intid, 0)), "each preempts the one before");
        }
        assert!(machine.cores[0].maintenance.eoi_without_register);
        for intid in all.iter().rev() {
            assert!(machine.bit(0, ISACTIVER, *intid));
            assert_eq!(machine.end(0), Some(*intid));
            assert!(!machine.bit(0, ISACTIVER, *intid), "{version:?} {intid}");
        }
        assert_eq!(machine.registers(0), []);
    }
}

#[test]
fn active_interrupts_never_keep_the_only_pending_one_out() {
    let all: Vec<IntId> = (0..5).map(|n| spi(40 + n)).collect();
    let mut machine = Machine::ready(Version::V3, 1, 4, &all);
    for n in 0..4 {
        machine.set_bit(0, ISACTIVER, spi(40 + n));
    }
    machine.set_bit(0, ISPENDR, spi(44));
    assert_eq!(machine.find(0, spi(44)).unwrap().state, State::Pending);
    assert!(machine.cores[0].maintenance.eoi_without_register);
    assert!(!machine.cores[0].maintenance.underflow);
}

#[test]
fn the_guest_may_clear_and_set_active_state() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 1, 4, &[spi(9)]);
        machine.set_bit(0, ISPENDR, spi(9));
        machine.acknowledge(0);
        assert!(machine.bit(0, ISACTIVER, spi(9)) && !machine.bit(0, ISPENDR, spi(9)));
        machine.set_bit(0, ICACTIVER, spi(9));
        assert_eq!(machine.registers(0), []);
        machine.cores[0].running.clear();
        machine.set_bit(0, ISACTIVER, spi(9));
        machine.set_bit(0, ISPENDR, spi(9));
        assert_eq!(machine.take(0), None, "active: not delivered");
        machine.set_bit(0, ICACTIVER, spi(9));
        assert_eq!(machine.take(0), Some(spi(9)));
    }
}

#[test]
fn refill_without_sync_changes_nothing() {
    let mut machine = Machine::ready(Version::V3, 1, 4, &[spi(9)]);
    machine.set_bit(0, ISPENDR, spi(9));
    let mut registers = vgic::ListRegisters::new(4);
    machine.vgic.refill(vcpu(0), &mut registers);
    assert!(registers.is_empty());
    assert_eq!(machine.take(0), Some(spi(9)));
}
