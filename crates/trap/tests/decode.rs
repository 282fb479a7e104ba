//! Syndromes as hardware writes them, and every other value.

use addr::Ipa;
use proptest::prelude::*;
use trap::{Abort, Access, Encoding, Exit, Fault, Injection, Wait, inject, is_32_bit_instruction, skip};

const ISV: u32 = 1 << 24;
const SSE: u32 = 1 << 21;
const SF: u32 = 1 << 15;
const S1PTW: u32 = 1 << 7;
const WRITE: u32 = 1 << 6;

fn access(size_log2: u32, bits: u32) -> Access {
    Abort::new(ISV | size_log2 << 22 | bits).access().expect("ISV is set")
}

#[test]
fn hypercalls_carry_their_immediate() {
    assert_eq!(Exit::decode(0x5a00_0000), Exit::Hvc { immediate: 0 });
    assert_eq!(Exit::decode(0x5a00_4a48), Exit::Hvc { immediate: 0x4a48 });
    assert_eq!(Exit::decode(0x5e00_ffff), Exit::Smc { immediate: 0xffff });
}

#[test]
fn a_word_load_from_an_unmapped_page() {
    // ldr w5, [x0] as a Cortex-A72 reports it: ISV, SAS 2, SRT 5, level 3 translation fault.
    let Exit::DataAbort(abort) = Exit::decode(0x9385_0007) else { panic!("no data abort") };
    assert_eq!(abort.fault(), Fault::Translation { level: 3 });
    let access = abort.access().expect("ISV is set");
    assert_eq!((access.bytes(), access.register(), access.is_write()), (4, 5, false));
    assert!(abort.far_is_valid() && abort.hpfar_is_valid() && !abort.is_on_table_walk());
    assert_eq!(Exit::DataAbort(abort).to_string(), "data abort, load of 4 bytes, translation fault at level 3");
}

#[test]
fn a_load_extends_as_the_instruction_says() {
    let value = 0xdead_beef_89ab_cdf0;
    // ldrb, ldrsb w, ldrsb x, ldrh, ldrsh w, ldrsw, ldr w, ldr x.
    let cases = [
        (access(0, 0), 0xf0),
        (access(0, SSE), 0xffff_fff0),
        (access(0, SSE | SF), 0xffff_ffff_ffff_fff0),
        (access(1, 0), 0xcdf0),
        (access(1, SSE), 0xffff_cdf0),
        (access(2, SSE | SF), 0xffff_ffff_89ab_cdf0),
        (access(2, 0), 0x89ab_cdf0),
        (access(3, SF), value),
    ];
    for (access, expected) in cases {
        assert_eq!(access.extend(value), expected, "{access:?}");
    }
}

#[test]
fn a_store_moves_only_its_bytes() {
    let moved = [0, 1, 2, 3].map(|size| access(size, WRITE).truncate(0x0123_4567_89ab_cdef));
    assert_eq!(moved, [0xef, 0xcdef, 0x89ab_cdef, 0x0123_4567_89ab_cdef]);
}

#[test]
fn register_31_is_told_apart() {
    assert_eq!(access(2, 31 << 16 | WRITE).register(), 31);
}

#[test]
fn accesses_the_hardware_does_not_describe_have_none() {
    assert_eq!(Abort::new(0x07 | WRITE).access(), None);
    assert_eq!(Exit::decode(0x9200_0047).to_string(), "data abort, write, translation fault at level 3");
}

#[test]
fn hpfar_is_not_believed_for_permission_faults() {
    assert!(!Abort::new(0x0f).hpfar_is_valid());
    assert!(Abort::new(0x0f | S1PTW).hpfar_is_valid());
    assert!(Abort::new(0x0b).hpfar_is_valid());
    assert!(!Abort::new(0x10).hpfar_is_valid());
    assert!(!Abort::new(0x30).hpfar_is_valid());
}

#[test]
fn the_ipa_joins_page_and_offset() {
    let hpfar = 0x0900_0000 >> 8;
    let far = 0xffff_8000_1234_5018;
    assert_eq!(Abort::new(0x07).ipa(hpfar, far), Ipa::new(0x0900_0018));
    assert_eq!(Abort::new(0x07 | S1PTW).ipa(hpfar, far), Ipa::new(0x0900_0000), "FAR is not the table's address");
    assert_eq!(
        Abort::new(0x07).ipa(u64::MAX, 0).as_u64(),
        0x000f_ffff_ffff_f000,
        "NS and reserved bits are no address"
    );
}

#[test]
fn faults_have_names() {
    let fault = |code| Abort::new(code).fault();
    assert_eq!(fault(0x00), Fault::AddressSize { level: 0 });
    assert_eq!(fault(0x09), Fault::AccessFlag { level: 1 });
    assert_eq!(fault(0x0e), Fault::Permission { level: 2 });
    assert_eq!(fault(0x15), Fault::ExternalOnWalk);
    assert_eq!(fault(0x18), Fault::Ecc);
    assert_eq!(fault(0x21), Fault::Alignment);
    assert_eq!(fault(0x30), Fault::TlbConflict);
    assert_eq!(fault(0x35), Fault::UnsupportedExclusive);
    assert_eq!(fault(0x3f), Fault::Other(0x3f));
}

#[test]
fn aarch32_traps_keep_class_and_fields() {
    // MRC p14, 0, r3, c0, c1, 0 (DBGDSCRint) under EQ.
    let Exit::Coprocessor(access) = Exit::decode(0x05 << 26 | 1 << 25 | 1 << 24 | 3 << 5 | 1 << 1 | 1) else {
        panic!("no coprocessor access")
    };
    assert_eq!((access.register(), access.is_read(), access.encoding()), (3, true, [0, 0, 1, 0]));
    assert!(access.condition_holds(1 << 30) && !access.condition_holds(0));
    let shown = [0x03u64, 0x04, 0x05, 0x06, 0x08, 0x0c].map(|class| Exit::decode(class << 26).to_string());
    assert!(shown.iter().all(|text| text.starts_with("AArch32 ")), "{shown:?}");
}

#[test]
fn every_other_class_is_told_apart() {
    assert_eq!(Exit::decode(0x0600_0000), Exit::Wfx(Wait::Interrupt));
    assert_eq!(Exit::decode(0x0600_0001), Exit::Wfx(Wait::Event));
    assert_eq!(Exit::decode(0x6600_0000), Exit::Sve);
    assert_eq!(Exit::decode(0x7600_0000), Exit::Sme);
    assert_eq!(Exit::decode(0xbe00_0011), Exit::SError { iss: 0x11 });
    assert_eq!(Exit::decode(0), Exit::Unknown { class: 0 });
    let id = Exit::decode(0x6200_0000 | 3 << 20 | 7 << 17 | 4 << 5 | 1);
    let Exit::SystemRegister(read) = id else { panic!("no system register") };
    assert_eq!((read.encoding(), read.register()), (Encoding::new(3, 0, 0, 0, 7), 4));
    assert!(is_32_bit_instruction(0x6200_0000) && !is_32_bit_instruction(0x6000_0000));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a guest makes the hardware report decodes, prints and can be answered.
    #[test]
    fn any_syndrome_is_handled(esr: u64, spsr: u64, vbar: u64, sctlr: u64, hpfar: u64, far: u64) {
        let exit = Exit::decode(esr);
        prop_assert!(!exit.to_string().is_empty());
        if let Exit::DataAbort(abort) | Exit::InstructionAbort(abort) = exit {
            prop_assert!(abort.ipa(hpfar, far).as_u64() < 1 << 52);
            if let Some(access) = abort.access() {
                prop_assert!(access.register() < 32);
                prop_assert_eq!(access.truncate(access.extend(esr)), access.truncate(access.extend(access.truncate(esr))));
            }
            let injected = inject(Injection::DataAbort(abort), spsr, vbar & !0x7ff, sctlr);
            prop_assert_eq!(injected.spsr & 0x3df, 0x3c5);
            prop_assert!(injected.pc - (vbar & !0x7ff) <= 0x600);
        }
        if let Exit::Coprocessor(access) = exit {
            access.condition_holds(spsr);
        }
        skip(far, spsr, is_32_bit_instruction(esr));
    }
}

#[test]
fn a_refused_store_of_a_word_is_known_by_its_syndrome() {
    // A store of W1 that stage 2 does not allow, at level 3.
    const STORE: u64 = 0x9381_004f;
    assert!(Abort::is_refused_store_of_word(STORE));
    // WnR, S1PTW, CM, FnV, SAS, ISV, EC and the fault status code all count.
    for bit in [6, 7, 8, 10, 22, 24, 26, 3] {
        assert!(!Abort::is_refused_store_of_word(STORE ^ 1 << bit), "bit {bit} does not count");
    }
}
