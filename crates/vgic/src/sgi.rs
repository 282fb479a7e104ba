//! Whom a guest's SGI reaches: ICC_SGI1R_EL1 (IHI 0069) and GICD_SGIR (IHI 0048). Needs no lock and no model.
//!
//! vCPU `n` has Aff0 = n mod 16 and Aff1 = n / 16, as `abi::machine::mpidr` says. Whoever does not exist in the
//! partition gets nothing, silently.

use abi::{IntId, MAX_CORES, VcpuId};

/// The vCPUs that an SGI goes to, lowest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SgiTargets {
    /// Which SGI.
    pub intid: IntId,
    mask: u64,
}

impl SgiTargets {
    const fn new(intid: u64, mask: u64, vcpus: u16) -> Self {
        Self { intid: IntId::new(intid as u32 & 15), mask: mask & everyone(vcpus) }
    }
    /// One bit for each vCPU that is still to come.
    pub const fn mask(&self) -> u64 {
        self.mask
    }
}

impl Iterator for SgiTargets {
    type Item = VcpuId;

    #[inline]
    fn next(&mut self) -> Option<VcpuId> {
        if self.mask == 0 {
            return None;
        }
        let lowest = self.mask.trailing_zeros();
        self.mask &= self.mask - 1;
        Some(VcpuId::new(lowest as u16))
    }
}

/// Decodes ICC_SGI1R_EL1 (and ICC_SGI0R_EL1): Aff3 55:48, RS 47:44, IRM 40, Aff2 39:32, INTID 27:24, Aff1 23:16,
/// TargetList 15:0. IRM means everyone but the sender.
#[inline]
pub const fn sgi_targets(value: u64, from: VcpuId, vcpus: u16) -> SgiTargets {
    let intid = value >> 24;
    if value & 1 << 40 != 0 {
        return SgiTargets::new(intid, everyone_but(from), vcpus);
    }
    let cluster = value >> 16 & 0xff;
    let elsewhere = value & (0xff << 48 | 0xf << 44 | 0xff << 32);
    let mask = if elsewhere != 0 || cluster >= MAX_CORES as u64 / 16 { 0 } else { (value & 0xffff) << (cluster * 16) };
    SgiTargets::new(intid, mask, vcpus)
}

/// Decodes GICD_SGIR: TargetListFilter 25:24 (0 the list, 1 everyone but the sender, 2 the sender), CPUTargetList 23:16,
/// SGIINTID 3:0.
#[inline]
pub const fn sgir_targets(value: u32, from: VcpuId, vcpus: u16) -> SgiTargets {
    let mask = match value >> 24 & 3 {
        0 => value as u64 >> 16 & 0xff,
        1 => everyone_but(from),
        2 => !everyone_but(from),
        _ => 0,
    };
    SgiTargets::new(value as u64, mask, if vcpus < 8 { vcpus } else { 8 })
}

const fn everyone(vcpus: u16) -> u64 {
    if vcpus as usize >= MAX_CORES { u64::MAX } else { (1 << vcpus) - 1 }
}

const fn everyone_but(from: VcpuId) -> u64 {
    !(1 << (from.number() % MAX_CORES as u16))
}
