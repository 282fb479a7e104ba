//! Registers: what reads as what, which accesses are ignored (IHI 0048 chapter 4, IHI 0069 chapter 12).

use crate::machine::*;
use abi::IntId;
use vgic::{Version, Vgic};

#[test]
fn v2_identifies_itself() {
    let mut machine = Machine::new(Version::V2, 3, 4);
    assert_eq!(machine.read(0, 0x004, 4), 2 << 5 | 8, "GICD_TYPER: 3 CPUs, 288 INTIDs");
    assert_eq!(machine.read(0, 0x008, 4), 0x43b);
    assert_eq!(machine.read(0, 0xfe8, 4) >> 4 & 15, 2, "architecture revision");
    assert_eq!([0xff0, 0xff4, 0xff8, 0xffc].map(|offset| machine.read(0, offset, 4)), [0x0d, 0xf0, 0x05, 0xb1]);
    machine.write(0, 0x004, 4, !0);
    assert_eq!(machine.read(0, 0x004, 4), 0x48);
}

#[test]
fn v3_identifies_itself() {
    let mut machine = Machine::new(Version::V3, 3, 4);
    let typer = machine.read(0, 0x004, 4);
    assert_eq!((typer & 31, typer >> 19 & 31), (8, 9), "288 INTIDs of 10 bits");
    assert_eq!(typer & (1 << 16 | 1 << 17 | 1 << 10), 0, "no MBIS, LPIS, security");
    assert_eq!(machine.read(0, 0xffe8, 4) >> 4 & 15, 3, "architecture revision");
    assert_eq!(machine.read_redistributor(0, 1, 0xffe8, 4) >> 4 & 15, 3);
}

#[test]
fn v3_has_affinity_routing_and_one_security_state_for_good() {
    let mut machine = Machine::new(Version::V3, 1, 4);
    assert_eq!(machine.read(0, 0, 4), 0x50);
    machine.write(0, 0, 4, 0xffff_ffff);
    assert_eq!(machine.read(0, 0, 4), 0x53, "RWP stays 0");
    machine.write(0, 0, 4, 0);
    assert_eq!(machine.read(0, 0, 4), 0x50);
}

#[test]
fn redistributors_tell_affinity_number_and_last() {
    let mut machine = Machine::new(Version::V3, 18, 4);
    let typer = |machine: &mut Machine, v| machine.read_redistributor(0, v, 8, 8);
    assert_eq!(typer(&mut machine, 0), 0);
    assert_eq!(typer(&mut machine, 16), 0x100 << 32 | 16 << 8, "Aff1 = 1, Aff0 = 0");
    assert_eq!(typer(&mut machine, 17), 0x101 << 32 | 17 << 8 | 1 << 4);
    assert_eq!(machine.read_redistributor(0, 17, 8, 4), 17 << 8 | 1 << 4);
    assert_eq!(machine.read_redistributor(0, 17, 12, 4), 0x101);
    assert_eq!(machine.read_redistributor(0, 18, 8, 8), 0, "no such vCPU");
}

#[test]
fn a_redistributor_wakes_when_asked() {
    let mut machine = Machine::new(Version::V3, 1, 4);
    assert_eq!(machine.read_redistributor(0, 0, 0x14, 4), 6);
    machine.write_redistributor(0, 0, 0x14, 4, 0);
    assert_eq!(machine.read_redistributor(0, 0, 0x14, 4), 0);
}

#[test]
fn accesses_of_other_sizes_are_ignored() {
    for version in BOTH {
        let mut machine = Machine::new(version, 2, 4);
        for bytes in [0, 1, 2, 3, 8, 12, 255] {
            machine.write(0, 0x104, bytes, !0);
            assert_eq!(machine.read(0, 0x104, bytes), 0, "{bytes} bytes");
        }
        machine.write(0, 0x105, 4, !0);
        assert_eq!(machine.read(0, 0x104, 4), 0, "unaligned");
        machine.write(0, 0x420, 2, !0);
        machine.write(0, 0x420, 8, !0);
        assert_eq!(machine.read(0, 0x420, 4), 0, "GICD_IPRIORITYR by halfword or doubleword");
        for offset in [u64::MAX, 1 << 32, 0x1_0000] {
            machine.write(0, offset, 4, !0);
            assert_eq!(machine.read(0, offset, 4), 0);
        }
    }
}

#[test]
fn priorities_and_targets_take_bytes() {
    let mut machine = Machine::new(Version::V2, 2, 4);
    machine.write(0, 0x421, 1, 0x58);
    assert_eq!(machine.read(0, 0x420, 4), 0x5800);
    machine.write(0, 0x822, 1, 3);
    assert_eq!(machine.read(0, 0x820, 4), 0x3_0000);
    machine.write(0, 0x820, 4, 0x0201_0003);
    assert_eq!([0x820, 0x821, 0x822, 0x823].map(|offset| machine.read(0, offset, 1)), [3, 0, 1, 2]);
}

#[test]
fn bits_of_absent_cpus_read_as_zero() {
    let mut machine = Machine::new(Version::V2, 3, 4);
    machine.write(0, 0x820, 4, 0xffff_ffff);
    assert_eq!(machine.read(0, 0x820, 4), 0x0707_0707);
    machine.write(0, 0xf24, 4, 0xffff_ffff);
    assert_eq!(machine.read(0, 0xf24, 4), 0x0707_0707);
}

#[test]
fn private_targets_read_as_the_readers_own_bit() {
    let mut machine = Machine::new(Version::V2, 3, 4);
    machine.write(2, 0x800, 4, 0);
    assert_eq!(machine.read(2, 0x800, 4), 0x0404_0404);
    assert_eq!(machine.read(0, 0x81f, 1), 1);
}

#[test]
fn targets_are_fixed_with_one_vcpu_and_with_affinity_routing() {
    let mut single = Machine::ready(Version::V2, 1, 4, &[UART]);
    single.write(0, 0x820, 4, !0);
    assert_eq!((single.read(0, 0x820, 4), single.read(0, 0x800, 4)), (0, 0));
    single.level(0, UART, true);
    assert_eq!(single.take(0), Some(UART));
    let mut routed = Machine::new(Version::V3, 2, 4);
    routed.write(0, 0x820, 4, !0);
    assert_eq!(routed.read(0, 0x820, 4), 0);
}

#[test]
fn v2_banks_private_interrupts_by_reader() {
    let mut machine = Machine::new(Version::V2, 2, 4);
    machine.write(1, 0x100, 4, 0x8000_0000);
    machine.write(1, 0x41f, 1, 0x40);
    assert_eq!((machine.read(1, 0x100, 4), machine.read(0, 0x100, 4)), (0x8000_ffff, 0xffff));
    assert_eq!((machine.read(1, 0x41f, 1), machine.read(0, 0x41f, 1)), (0x40, 0));
}

#[test]
fn v2_sgis_cannot_be_disabled() {
    let mut machine = Machine::new(Version::V2, 1, 4);
    machine.write(0, ICENABLER, 4, !0);
    assert_eq!(machine.read(0, ISENABLER, 4), 0xffff);
}

#[test]
fn v3_keeps_private_interrupts_out_of_the_distributor() {
    let mut machine = Machine::new(Version::V3, 2, 4);
    for offset in [0x080, ISENABLER, ISPENDR, ISACTIVER, 0x400, 0xc00, 0xf00, 0xf20] {
        machine.write(0, offset, 4, !0);
        assert_eq!(machine.read(0, offset, 4), 0, "{offset:#x}");
    }
    machine.write_redistributor(0, 1, 0x1_0100, 4, 0xf);
    assert_eq!(machine.read_redistributor(1, 1, 0x1_0180, 4), 0xf);
    assert_eq!(machine.read_redistributor(1, 0, 0x1_0180, 4), 0);
}

#[test]
fn routes_are_kept_whole_and_by_halves() {
    let mut machine = Machine::new(Version::V3, 2, 4);
    machine.write(0, 0x6100, 8, 0xab_80cd_ef12);
    assert_eq!(machine.read(0, 0x6100, 8), 0xab_00cd_ef12, "Interrupt_Routing_Mode is not there");
    machine.write(0, 0x6104, 4, 0x77);
    machine.write(0, 0x6100, 4, 0x1);
    assert_eq!((machine.read(0, 0x6100, 8), machine.read(0, 0x6104, 4)), (0x77_0000_0001, 0x77));
    machine.write(0, 0x6000, 8, 1);
    machine.write(0, 0x6100 + 8 * 256, 8, 1);
    assert_eq!((machine.read(0, 0x6000, 8), machine.read(0, 0x6100 + 8 * 256, 8)), (0, 0));
}

#[test]
fn sgis_are_edge_ppis_level_and_spis_as_set() {
    let mut machine = Machine::new(Version::V3, 1, 4);
    machine.write_redistributor(0, 0, 0x1_0c00, 4, 0);
    machine.write_redistributor(0, 0, 0x1_0c04, 4, !0);
    assert_eq!(machine.read_redistributor(0, 0, 0x1_0c00, 4), 0xaaaa_aaaa);
    assert_eq!(machine.read_redistributor(0, 0, 0x1_0c04, 4), 0);
    machine.write(0, 0xc0c, 4, 0xff00_0002);
    assert_eq!((machine.read(0, 0xc0c, 4), machine.read(0, 0xc08, 4)), (0xaa00_0002, 0));
}

#[test]
fn the_last_spi_exists_and_the_next_does_not() {
    for version in BOTH {
        let mut machine = Machine::new(version, 1, 4);
        machine.write(0, 0x120, 4, !0);
        machine.write(0, 0x124, 4, !0);
        assert_eq!((machine.read(0, 0x120, 4), machine.read(0, 0x124, 4)), (0xffff_ffff, 0));
        machine.write(0, 0x51f, 1, 0x80);
        machine.write(0, 0x520, 1, 0x80);
        assert_eq!((machine.read(0, 0x51f, 1), machine.read(0, 0x520, 1)), (0x80, 0));
    }
}

#[test]
fn only_pending_and_active_reads_need_the_list_registers() {
    let distributor = Vgic::distributor_read_needs_sync;
    let redistributor = Vgic::redistributor_read_needs_sync;
    for offset in [0x004, 0x000, 0x008, 0x080, 0x100, 0x1fc, 0x400, 0x800, 0xc00, 0xfe8, 0x6100] {
        assert!(!distributor(offset), "{offset:#x}");
    }
    for offset in [0x200, 0x280, 0x300, 0x3fc, 0xf10, 0xf2c] {
        assert!(distributor(offset), "{offset:#x}");
    }
    assert!(!redistributor(0x8) && !redistributor(0x14) && !redistributor(0x200) && !redistributor(0x1_0100));
    assert!(redistributor(0x1_0200) && redistributor(0x1_0380));
}

#[test]
fn reset_is_first_boot_whatever_happened() {
    for version in BOTH {
        let mut machine = Machine::ready(version, 2, 4, &[UART, TIMER, DISK]);
        machine.level(0, UART, true);
        machine.set_bit(0, ICENABLER, DISK);
        machine.vgic.forwarded(vcpu(0), DISK_PHYSICAL, &mut Edge { active: [(0, 170)].into(), ..Edge::default() });
        machine.edge.active.insert((0, DISK_PHYSICAL.number()));
        machine.vgic.reset(&mut machine.edge);
        machine.cores.iter_mut().for_each(|core| core.words.fill(0));
        assert!(machine.edge.active.is_empty() && machine.edge.enabled.is_empty());
        assert!(machine.edge.templates.is_empty());
        for offset in (0..0x1000).step_by(4).filter(|offset| *offset < 0xfd0) {
            let fresh = Machine::new(version, 2, 4).read(1, offset, 4);
            assert_eq!(machine.read(1, offset, 4), fresh, "{offset:#x}");
        }
        assert_eq!(machine.take(0), None);
    }
}

#[test]
#[should_panic(expected = "9 vCPUs on a V2 GIC")]
fn gicv2_has_at_most_eight_vcpus() {
    Machine::new(Version::V2, 9, 4);
}

#[test]
#[should_panic(expected = "SPI 300 cannot be forwarded as SPI 300")]
fn an_spi_that_the_guest_machine_lacks_cannot_be_forwarded() {
    let mut machine = Machine::new(Version::V3, 1, 4);
    machine.vgic.forward_spi(IntId::spi(300), IntId::spi(300));
}
