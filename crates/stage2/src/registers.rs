//! Register values that go with the tables: VTCR_EL2, VTTBR_EL2, TCR_EL2.
//!
//! Arm ARM D24.2 (register descriptions). Walks are Normal Write-Back, Inner Shareable, as EL2 maps its table memory.

use crate::Geometry;
use abi::Vmid;
use addr::Pa;

/// IRGN0, ORGN0 = Write-Back read and write allocate; SH0 = Inner Shareable; TG0 = 4 KiB. Same bits in both registers.
const CACHED_WALK: u64 = 0b01 << 8 | 0b01 << 10 | 0b11 << 12;
/// VTCR_EL2.SL0 for a walk that starts at level 1.
const SL0_LEVEL_1: u64 = 0b01 << 6;
/// RES1 in VTCR_EL2.
const VTCR_RES1: u64 = 1 << 31;
/// RES1 in TCR_EL2 with HCR_EL2.E2H = 0.
const TCR_RES1: u64 = 1 << 31 | 1 << 23;

/// TCR_EL2 for [`Geometry::EL2`] without PS (bits 18:16), which is [`physical_address_size`].
pub const TCR_EL2: u64 = (64 - Geometry::EL2.input_bits() as u64) | CACHED_WALK | TCR_RES1;

/// The PS field for a CPU whose ID_AA64MMFR0_EL1.PARange is `pa_range`: at most 48 bits, all that descriptors hold.
pub const fn physical_address_size(pa_range: u64) -> u64 {
    let field = pa_range & 0xf;
    if field > 0b101 { 0b101 } else { field }
}

/// The width of IPAs for a CPU whose ID_AA64MMFR0_EL1.PARange is `pa_range`: 40 bits, as QEMU's `virt` map needs, or
/// all that a smaller CPU has. An IPA wider than the CPU's physical addresses would be a translation fault.
pub const fn choose_ipa_bits(pa_range: u64) -> u32 {
    match pa_range & 0xf {
        0 => 32,
        1 => 36,
        _ => abi::machine::IPA_BITS,
    }
}

/// VTCR_EL2 for IPAs of `ipa_bits` (see [`choose_ipa_bits`]) on a CPU with `pa_range`. VMIDs have 8 bits (VS = 0).
pub const fn vtcr(ipa_bits: u32, pa_range: u64) -> u64 {
    let t0sz = (64 - ipa_bits as u64) & 0x3f;
    t0sz | SL0_LEVEL_1 | CACHED_WALK | physical_address_size(pa_range) << 16 | VTCR_RES1
}

/// TCR_EL2 for [`Geometry::EL2`] on a CPU with `pa_range`.
pub const fn tcr_el2(pa_range: u64) -> u64 {
    TCR_EL2 | physical_address_size(pa_range) << 16
}

/// VTTBR_EL2: the root of a partition's stage 2 and its VMID.
pub const fn vttbr(root: Pa, vmid: Vmid) -> u64 {
    (vmid.number() as u64) << 48 | root.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vtcr_of_a_cortex_a72() {
        // PARange 44 bits: T0SZ 24, SL0 1, cached inner-shareable walk, PS 4, RES1.
        assert_eq!(vtcr(40, 0b0100), 0x8004_3558);
    }

    #[test]
    fn ipas_are_never_wider_than_the_cpu() {
        assert_eq!(choose_ipa_bits(0), 32);
        assert_eq!(choose_ipa_bits(1), 36);
        for pa_range in 2..=7 {
            assert_eq!(choose_ipa_bits(pa_range), 40);
        }
        for pa_range in 0..=7 {
            assert!(Geometry::stage2(choose_ipa_bits(pa_range)).is_some());
        }
    }

    #[test]
    fn a_cpu_with_52_bits_is_programmed_for_48() {
        assert_eq!(vtcr(40, 6) >> 16 & 7, 5);
        assert_eq!(tcr_el2(6) >> 16 & 7, 5);
    }

    #[test]
    fn tcr_has_its_res1_bits_and_39_bits() {
        assert_eq!(tcr_el2(0b0010), 0x8082_3519);
    }

    #[test]
    fn vttbr_carries_the_vmid_above_the_root() {
        assert_eq!(vttbr(Pa::new(0x4020_2000), Vmid::new(3)), 0x0003_0000_4020_2000);
    }
}
