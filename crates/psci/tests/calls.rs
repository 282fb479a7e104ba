//! Function ids and their fixed answers.

use addr::Ipa;
use proptest::prelude::*;
use psci::{Call, Error, Workaround, Workarounds, check_power_state, function};

const NOT_SUPPORTED: u64 = u64::MAX;
const HIGH: u64 = 0xdead_beef_0000_0000;

fn answer(function: u32, argument: u64) -> Option<u64> {
    Call::decode(function, [argument, 0, 0]).fixed_answer()
}

#[test]
fn versions_are_psci_1_1_and_smccc_1_1() {
    assert_eq!(answer(0x8400_0000, 0), Some(0x1_0001));
    assert_eq!(answer(0x8000_0000, 0), Some(0x1_0001));
    assert_eq!(answer(0x8400_0006, 0), Some(2));
}

#[test]
fn arguments_of_32_bit_calls_lose_their_upper_half() {
    let narrow = Call::decode(0x8400_0003, [HIGH | 1, HIGH | 0x4008_0000, HIGH | 7]);
    assert_eq!(narrow, Call::CpuOn { target: 1, entry: Ipa::new(0x4008_0000), context: 7 });
    let wide = Call::decode(0xc400_0003, [HIGH | 1, HIGH | 0x4008_0000, HIGH | 7]);
    assert_eq!(wide, Call::CpuOn { target: HIGH | 1, entry: Ipa::new(HIGH | 0x4008_0000), context: HIGH | 7 });
    assert_eq!(Call::decode(0x8400_0004, [HIGH | 1, HIGH, 0]), Call::AffinityInfo { target: 1, level: 0 });
    assert_eq!(Call::decode(0xc400_0004, [1, HIGH | 2, 0]), Call::AffinityInfo { target: 1, level: 2 });
    let suspend = Call::CpuSuspend { power_state: 0x1_0000, entry: Ipa::new(4), context: 5 };
    assert_eq!(Call::decode(0x8400_0001, [HIGH | 0x1_0000, HIGH | 4, HIGH | 5]), suspend);
    assert_eq!(Call::decode(0xc400_0001, [HIGH | 0x1_0000, 4, 5]), suspend);
}

#[test]
fn features_lists_exactly_what_exists() {
    let exists: [u32; 15] = [
        0x8400_0000,
        0x8400_0001,
        0xc400_0001,
        0x8400_0002,
        0x8400_0003,
        0xc400_0003,
        0x8400_0004,
        0xc400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000a,
        0x8400_0012,
        0xc400_0012,
        0x8000_0000,
    ];
    let all = (0x8400_0000..0x8400_0020u32).chain(0xc400_0000..0xc400_0020).chain(0x8000_0000..0x8000_0004);
    for function in all {
        let expected = if exists.contains(&function) { 0 } else { NOT_SUPPORTED };
        assert_eq!(answer(function::PSCI_FEATURES, function.into()), Some(expected), "{function:#x}");
    }
}

#[test]
fn functions_that_do_not_exist_are_not_supported() {
    // 64-bit forms of 32-bit functions, MIGRATE, SYSTEM_SUSPEND, MEM_PROTECT, TRNG_VERSION, vendor UID, fast-call bit clear.
    for function in [
        0xc400_0000,
        0xc400_0002,
        0x8400_0005,
        0x8400_000e,
        0x8400_0013,
        0xc400_0013,
        0x8400_0050,
        0x8600_ff01,
        0x0400_0000,
        0,
        u32::MAX,
    ] {
        assert_eq!(answer(function, 0), Some(NOT_SUPPORTED), "{function:#x}");
    }
}

#[test]
fn calls_that_change_something_have_no_fixed_answer() {
    for function in [0x8400_0001, 0x8400_0002, 0x8400_0003, 0x8400_0004, 0x8400_0008, 0x8400_0009, 0x8000_8000] {
        assert_eq!(answer(function, 0), None, "{function:#x}");
    }
}

#[test]
fn a_warm_reset_is_a_reset_in_both_forms() {
    for function in [0x8400_0012, 0xc400_0012] {
        for cookie in [0, 1, u64::MAX] {
            assert_eq!(Call::decode(function, [0, cookie, 0]), Call::SystemReset);
            assert_eq!(Call::decode(function, [HIGH & !0xffff_ffff, cookie, 0]), Call::SystemReset, "the type is W1");
        }
    }
}

#[test]
fn other_types_of_reset_are_refused() {
    // Reserved architectural types, then vendors'.
    for reset_type in [1, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ffff, HIGH | 1] {
        for function in [0x8400_0012, 0xc400_0012] {
            assert_eq!(answer(function, reset_type), Some(Error::InvalidParameters.code()), "{reset_type:#x}");
        }
    }
}

#[test]
fn arch_features_passes_on_what_the_firmware_said() {
    let firmware = Workarounds { branch_predictor: 0, store_bypass: 1, branch_history: -1 };
    let answers = [0x8000_8000, 0x8000_7fff, 0x8000_3fff].map(|function| firmware.arch_features(function));
    assert_eq!(answers, [0, 1, NOT_SUPPORTED]);
    assert_eq!(firmware.arch_features(0x8000_0000), 0);
    assert_eq!(firmware.arch_features(0x8000_0001), 0);
    assert_eq!(firmware.arch_features(0x8000_0002), NOT_SUPPORTED);
    assert_eq!(firmware.arch_features(0x8400_0000), NOT_SUPPORTED);
    assert_eq!(Workarounds::NONE.arch_features(0x8000_8000), NOT_SUPPORTED);
}

#[test]
fn a_workaround_is_issued_by_its_own_id_and_only_where_the_firmware_has_it() {
    let firmware = Workarounds { branch_predictor: -1, store_bypass: 0, branch_history: 0 };
    for function in [0x8000_8000, 0x8000_7fff, 0x8000_3fff] {
        let Call::Workaround(workaround) = Call::decode(function, [u64::MAX; 3]) else { panic!("no workaround") };
        assert_eq!(workaround.function(), function);
        assert_eq!(firmware.has(workaround), function != 0x8000_8000);
    }
    let off = Call::decode(0x8000_7fff, [HIGH, 0, 0]);
    assert_eq!(off, Call::Workaround(Workaround::StoreBypass { enable: false }));
    let arguments = [false, true].map(|enable| Workaround::StoreBypass { enable }.argument());
    assert_eq!((arguments, Workaround::BranchHistory.argument()), ([0, 1], 0));
}

#[test]
fn what_an_earlier_life_switched_off_is_on_where_a_vcpu_starts() {
    let on = Workaround::StoreBypass { enable: true };
    for (store_bypass, issued) in [(-1, None), (-2, None), (0, Some(on)), (1, Some(on))] {
        let firmware = Workarounds { branch_predictor: 0, store_bypass, branch_history: 0 };
        assert_eq!(firmware.at_start(), issued, "SMCCC_ARCH_FEATURES says {store_bypass}");
    }
}

#[test]
fn suspend_takes_core_states_only() {
    for power_state in [0, 1, 0xffff, 0x1_0000, 0x1_ffff] {
        assert_eq!(check_power_state(power_state), Ok(()));
    }
    for power_state in [0x2_0000, 0x0100_0000, 0x0300_0000, 0x8000_0000] {
        assert_eq!(check_power_state(power_state), Err(Error::InvalidParameters), "{power_state:#x}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any registers decode, and every unknown function answers NOT_SUPPORTED.
    #[test]
    fn any_call_decodes(function: u32, arguments: [u64; 3]) {
        let call = Call::decode(function, arguments);
        if let Call::Unknown { .. } = call {
            prop_assert_eq!(call.fixed_answer(), Some(NOT_SUPPORTED));
        }
        Workarounds::NONE.arch_features(function);
    }
}
