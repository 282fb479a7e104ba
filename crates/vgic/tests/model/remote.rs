//! What one vCPU does to interrupts that another one has in its list registers, and SPIs that move.

use crate::machine::*;
use abi::IntId;
use vgic::{State, Version};

const SPI: IntId = IntId::spi(9);

/// Sends an SPI to a vCPU, from vCPU 0.
fn route(machine: &mut Machine, intid: IntId, to: usize) {
    match machine.version {
        Version::V2 => machine.write(0, 0x800 + u64::from(intid.number()), 1, 1 << to),
        Version::V3 => machine.write(0, 0x6000 + 8 * u64::from(intid.number()), 8, to as u64),
    }
}

#[test]
fn an_spi_of_another_vcpu_kicks_it() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[SPI]);
        route(&mut machine, SPI, 1);
        machine.prompt = false;
        machine.level(0, SPI, true);
        assert_eq!(machine.edge.kicks, [1].into());
        machine.serve_kicks();
        assert_eq!(machine.take(0), None);
        assert_eq!(machine.acknowledge(1), Some((SPI, 0)));
    }
}

#[test]
fn what_needs_nobody_kicks_nobody() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[TIMER, IntId::sgi(0)]);
        machine.prompt = false;
        for n in 0..9 {
            for register in [0x080, ISENABLER, ICENABLER, ISPENDR, ICPENDR, ICACTIVER] {
                let bits = if register == ISPENDR { 0 } else { !0 };
                machine.write_word(0, 0, register, n, bits);
            }
        }
        machine.set_bit(0, ISENABLER, TIMER);
        machine.physical(0, TIMER);
        machine.take(0);
        assert_eq!(machine.edge.kicks, [].into());
    }
}

#[test]
fn an_spi_is_never_in_two_vcpus_list_registers() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[SPI]);
        machine.prompt = false;
        machine.set_bit(0, ISPENDR, SPI);
        route(&mut machine, SPI, 0);
        machine.slow(1, |vgic, edge| match version {
            Version::V2 => vgic.distributor_write(vcpu(1), 0x800 + 41, 1, 2, edge),
            Version::V3 => vgic.distributor_write(vcpu(1), 0x6000 + 8 * 41, 8, 1, edge),
        });
        assert_eq!((machine.registers(0).len(), machine.registers(1).len()), (1, 0), "vCPU 0 still has it");
        assert_eq!(machine.edge.kicks, [0].into());
        machine.serve_kicks();
        assert_eq!((machine.registers(0).len(), machine.registers(1).len()), (0, 1));
    }
}

#[test]
fn an_active_spi_stays_where_it_is_and_goes_elsewhere_next_time() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[SPI]);
        machine.level(0, SPI, true);
        machine.acknowledge(0);
        route(&mut machine, SPI, 1);
        assert_eq!(machine.find(0, SPI).unwrap().state, State::Active);
        assert_eq!(machine.take(1), None, "active elsewhere");
        machine.end(0);
        assert_eq!(machine.take(0), None);
        assert_eq!(machine.acknowledge(1), Some((SPI, 0)));
    }
}

#[test]
fn a_line_that_falls_is_withdrawn_from_another_vcpu() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[UART]);
        machine.level(1, UART, true);
        assert_eq!(machine.registers(0).len(), 1);
        machine.level(1, UART, false);
        assert_eq!(machine.registers(0), []);
    }
}

#[test]
fn clearing_another_vcpus_list_register_deactivates_the_physical_interrupt() {
    for version in BOTH {
        for acknowledged in [false, true] {
            let mut machine = Machine::ready(version, 2, 4, &[DISK]);
            assert!(machine.physical(0, DISK_PHYSICAL));
            if acknowledged {
                machine.acknowledge(0);
            }
            machine.prompt = false;
            machine.set_bit(1, if acknowledged { ICACTIVER } else { ICPENDR }, DISK);
            assert_eq!(machine.edge.kicks, [0].into());
            machine.serve_kicks();
            assert_eq!(machine.registers(0), []);
            assert!(machine.edge.active.is_empty(), "{version:?} {acknowledged}");
        }
    }
}

#[test]
fn gicv3_reaches_another_vcpus_private_interrupts() {
    let mut machine = Machine::ready(Version::V3, 2, 4, &[TIMER]);
    assert!(machine.physical(1, TIMER));
    machine.write_redistributor(0, 1, 0x1_0180, 4, 1 << 27);
    assert_eq!(machine.registers(1), []);
    assert_eq!(machine.read_redistributor(0, 1, 0x1_0200, 4), 1 << 27);
    machine.write_redistributor(0, 1, 0x1_0280, 4, 1 << 27);
    assert!(machine.edge.active.is_empty());
    machine.write_redistributor(0, 1, 0x1_0100, 4, 1 << 27);
    assert!(machine.physical(1, TIMER));
    assert_eq!(machine.take(1), Some(TIMER));
}

#[test]
fn another_vcpu_reads_what_was_loaded() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[SPI]);
        machine.set_bit(0, ISPENDR, SPI);
        assert!(machine.bit(1, ISPENDR, SPI));
        machine.acknowledge(0);
        machine.slow(0, |_, _| ());
        assert!(!machine.bit(1, ISPENDR, SPI) && machine.bit(1, ISACTIVER, SPI));
    }
}

#[test]
fn a_moved_device_takes_its_template_along() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[DISK]);
        route(&mut machine, DISK, 1);
        assert_eq!(machine.edge.routes[&170], 1);
        assert!(!machine.edge.templates.contains_key(&(0, DISK.number())));
        assert!(machine.edge.templates.contains_key(&(1, DISK.number())));
        let exits = machine.cores[1].exits;
        assert!(machine.physical(0, DISK_PHYSICAL));
        assert_eq!((machine.take(1), machine.cores[1].exits), (Some(DISK), exits));
    }
}

#[test]
fn a_device_that_moves_while_pending_arrives_at_its_new_vcpu() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[DISK]);
        assert!(machine.physical(0, DISK_PHYSICAL));
        route(&mut machine, DISK, 1);
        assert_eq!(machine.take(0), None);
        assert_eq!(machine.take(1), Some(DISK));
        assert!(machine.edge.active.is_empty());
    }
}

#[test]
fn an_spi_routed_to_nobody_waits() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[SPI]);
        match version {
            Version::V2 => machine.write(0, 0x800 + 41, 1, 0),
            Version::V3 => machine.write(0, 0x6000 + 8 * 41, 8, 2),
        }
        machine.set_bit(0, ISPENDR, SPI);
        assert_eq!((machine.take(0), machine.take(1)), (None, None));
        route(&mut machine, SPI, 1);
        assert_eq!(machine.take(1), Some(SPI));
    }
}

#[test]
fn a_spilled_interrupt_that_another_vcpu_deactivates_is_delivered_again() {
    for version in BOTH {
        let all: Vec<IntId> = (0..5).map(|n| IntId::spi(40 + n)).collect();
        let mut machine = Machine::ready(version, 2, 4, &all);
        machine.set_priority(0, all[4], 0xf0);
        all.iter().for_each(|intid| machine.set_bit(0, ISACTIVER, *intid));
        machine.set_bit(0, ISPENDR, all[4]);
        assert_eq!((machine.find(0, all[4]), machine.registers(0).len()), (None, 4));
        machine.set_bit(1, ICACTIVER, all[4]);
        assert_eq!(machine.acknowledge(0), Some((all[4], 0)));
    }
}
