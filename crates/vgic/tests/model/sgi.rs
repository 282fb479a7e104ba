//! SGIs: whom they reach, and GICv2's one pending state for each sender.

use crate::machine::*;
use abi::{IntId, VcpuId};
use vgic::{State, Version, sgi_targets, sgir_targets};

fn v3(value: u64, from: u16, vcpus: u16) -> Vec<u16> {
    sgi_targets(value, VcpuId::new(from), vcpus).map(VcpuId::number).collect()
}
fn v2(value: u32, from: u16, vcpus: u16) -> Vec<u16> {
    sgir_targets(value, VcpuId::new(from), vcpus).map(VcpuId::number).collect()
}

#[test]
fn an_sgi_never_leaves_the_partition() {
    assert_eq!(v3(0xffff, 0, 2), [0, 1]);
    assert_eq!(v3(0xfffc, 0, 2), [0_u16; 0]);
    assert_eq!(v3(1 << 40 | 0xffff, 1, 3), [0, 2], "IRM: all but self, of this partition");
    for elsewhere in [1 << 16, 1 << 32, 1 << 44, 1 << 48, 0xff << 16] {
        assert_eq!(v3(elsewhere | 0xffff, 0, 16), [0_u16; 0], "{elsewhere:#x}");
    }
    assert_eq!(v2(0xff << 16, 0, 2), [0, 1]);
    assert_eq!(v2(1 << 24, 1, 3), [0, 2]);
    assert_eq!(v2(2 << 24, 1, 3), [1]);
    assert_eq!(v2(3 << 24 | 0xff << 16, 0, 8), [0_u16; 0]);
    assert_eq!(v2(0xff << 16, 0, 60), (0..8).collect::<Vec<_>>());
}

#[test]
fn an_sgi_reaches_each_cluster() {
    assert_eq!(v3(1 << 16 | 0b101, 0, 64), [16, 18]);
    assert_eq!(v3(3 << 16 | 0x8000, 0, 64), [63]);
    assert_eq!(v3(4 << 16 | 0xffff, 0, 64), [0_u16; 0]);
    assert_eq!(v3(1 << 40, 63, 64), (0..63).collect::<Vec<_>>());
    assert_eq!(sgi_targets(0xb << 24 | 1, VcpuId::new(0), 1).intid, IntId::sgi(11));
    assert_eq!(sgir_targets(0x1_800b, VcpuId::new(0), 1).intid, IntId::sgi(11));
}

#[test]
fn an_sgi_to_nobody_leaves_no_trace() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[IntId::sgi(1)]);
        machine.slow(0, |vgic, edge| vgic.make_pending(vcpu(2), IntId::sgi(1), vcpu(0), edge));
        machine.slow(0, |vgic, edge| vgic.make_pending(vcpu(0), IntId::new(288), vcpu(0), edge));
        assert_eq!((machine.take(0), machine.take(1)), (None, None));
    }
}

#[test]
fn gicd_sgir_reaches_own_vcpus_only() {
    let mut machine = Machine::ready(Version::V2, 2, 4, &[]);
    machine.write(0, 0xf00, 4, 0xff << 16 | 3);
    assert_eq!((machine.acknowledge(0), machine.acknowledge(1)), (Some((IntId::sgi(3), 0)), Some((IntId::sgi(3), 0))));
    machine.end(0);
    machine.end(1);
    machine.write(0, 0xf00, 1, 0xff);
    assert_eq!((machine.take(0), machine.take(1)), (None, None), "a byte access is ignored");
}

#[test]
fn gicv2_delivers_one_sgi_from_each_sender() {
    let mut machine = Machine::ready(Version::V2, 4, 4, &[]);
    for from in [3, 1, 2, 1] {
        machine.sgi(from, 0, 5);
    }
    assert_eq!(machine.registers(0).len(), 1, "one list register for one INTID");
    assert!(machine.registers(0)[0].eoi_maintenance);
    let mut senders = Vec::new();
    while let Some((intid, source)) = machine.acknowledge(0) {
        assert_eq!(intid, IntId::sgi(5));
        senders.push(source);
        machine.end(0);
    }
    senders.sort();
    assert_eq!(senders, [1, 2, 3]);
}

#[test]
fn gicv2_active_from_one_and_pending_from_another_are_not_mixed() {
    let mut machine = Machine::ready(Version::V2, 3, 4, &[]);
    machine.sgi(1, 0, 5);
    assert_eq!(machine.acknowledge(0), Some((IntId::sgi(5), 1)));
    machine.sgi(2, 0, 5);
    let register = machine.find(0, IntId::sgi(5)).unwrap();
    assert_eq!((register.state, register.source, register.eoi_maintenance), (State::Active, 1, true));
    machine.end(0);
    assert_eq!(machine.acknowledge(0), Some((IntId::sgi(5), 2)));
    machine.sgi(2, 0, 5);
    assert_eq!(machine.find(0, IntId::sgi(5)).unwrap().state, State::PendingActive);
    machine.end(0);
    assert_eq!(machine.acknowledge(0), Some((IntId::sgi(5), 2)));
}

#[test]
fn gicv2_sgi_pending_registers_work_by_sender() {
    let mut machine = Machine::ready(Version::V2, 3, 4, &[]);
    machine.write(0, 0xf25, 1, 0b110);
    machine.write(0, ISPENDR, 4, 1 << 6);
    assert_eq!(machine.read(0, ISPENDR, 4), 1 << 5, "read-only for SGIs");
    assert_eq!(machine.read(0, 0xf24, 4), 0b110 << 8);
    machine.write(0, ICPENDR, 4, !0);
    machine.write(0, 0xf15, 1, 0b010);
    assert_eq!(machine.read(0, 0xf14, 4), 0b100 << 8);
    assert_eq!(machine.acknowledge(0), Some((IntId::sgi(5), 2)));
    assert_eq!(machine.read(0, 0xf24, 4), 0);
}

#[test]
fn gicv3_sgis_pend_by_register() {
    let mut machine = Machine::ready(Version::V3, 2, 4, &[IntId::sgi(2)]);
    machine.write_redistributor(0, 1, 0x1_0200, 4, 1 << 2);
    assert_eq!(machine.read_redistributor(1, 1, 0x1_0200, 4), 1 << 2);
    assert_eq!(machine.take(1), Some(IntId::sgi(2)));
}

#[test]
fn an_sgi_has_a_template_exactly_while_it_is_deliverable() {
    let mut machine = Machine::new(Version::V3, 2, 4);
    assert!(machine.edge.templates.is_empty());
    machine.write(0, 0, 4, 2);
    machine.write_redistributor(1, 1, 0x1_0100, 4, 1);
    assert!(machine.edge.templates.is_empty(), "group 0 is off");
    machine.write_redistributor(1, 1, 0x1_0080, 4, 1);
    assert!(machine.edge.templates[&(1, 0)].group1);
    machine.write_redistributor(1, 1, 0x1_0180, 4, 1);
    assert!(machine.edge.templates.is_empty());
}

#[test]
fn gicv2_sgis_have_templates_once_their_group_is_on() {
    let mut machine = Machine::new(Version::V2, 2, 4);
    machine.write(0, 0, 4, 1);
    assert_eq!(machine.edge.templates.len(), 32);
}
