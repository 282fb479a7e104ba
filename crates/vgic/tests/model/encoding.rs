//! List registers in the hardware's formats, against words written down from the specifications.

use abi::IntId;
use proptest::prelude::*;
use vgic::{ListRegister, ListRegisters, State};

fn pending(intid: u32) -> ListRegister {
    ListRegister { intid: IntId::new(intid), state: State::Pending, priority: 0xa0, ..ListRegister::EMPTY }
}

#[test]
fn empty_is_zero_in_both_formats() {
    assert_eq!(ListRegister::EMPTY.to_v2(), 0);
    assert_eq!(ListRegister::EMPTY.to_v3(), 0);
    assert_eq!(ListRegister::from_v2(0), ListRegister::EMPTY);
    assert_eq!(ListRegister::from_v3(0), ListRegister::EMPTY);
}

#[test]
fn a_linked_timer_is_encoded_as_the_specifications_say() {
    let timer = ListRegister { hardware: Some(IntId::new(27)), group1: true, ..pending(27) };
    assert_eq!(timer.to_v3(), 0b0111 << 60 | 0xa0 << 48 | 27 << 32 | 27);
    assert_eq!(timer.to_v2(), 0b1101 << 28 | 0x14 << 23 | 27 << 10 | 27);
}

#[test]
fn an_sgi_with_maintenance_is_encoded_as_the_specifications_say() {
    let sgi = ListRegister { state: State::PendingActive, eoi_maintenance: true, source: 5, ..pending(3) };
    assert_eq!(sgi.to_v2(), 0b0011 << 28 | 0x14 << 23 | 1 << 19 | 5 << 10 | 3);
    assert_eq!(sgi.to_v3(), 0b1100 << 60 | 0xa0 << 48 | 1 << 41 | 3);
}

#[test]
fn list_registers_forget_nothing_and_invent_nothing() {
    let mut registers = ListRegisters::new(4);
    registers.set(3, pending(40));
    registers.set(4, pending(41));
    assert_eq!((registers.len(), registers.occupied()), (4, 8));
    assert_eq!(registers.get(3), pending(40));
    assert_eq!(registers.get(4), ListRegister::EMPTY);
    registers.set(3, ListRegister::EMPTY);
    assert_eq!(registers.get(3), ListRegister::EMPTY);
    assert!(registers.is_empty());
    assert_eq!(ListRegisters::new(99).len(), 16);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Reading a hardware word and writing it back changes no bit that means something.
    #[test]
    fn hardware_words_survive(v3: u64, v2: u32) {
        // v3: [59:56] and [47:45] are RES0; with HW = 0 only EOI [41] of pINTID counts.
        let kept = if v3 & 1 << 61 != 0 { 0xf0ff_1fff_ffff_ffff } else { 0xf0ff_0200_ffff_ffff };
        prop_assert_eq!(ListRegister::from_v3(v3).to_v3(), v3 & kept);
        let kept = if v2 & 1 << 31 != 0 { 0xff8f_ffff } else { 0xff88_1fff };
        prop_assert_eq!(ListRegister::from_v2(v2).to_v2(), v2 & kept);
    }
}
