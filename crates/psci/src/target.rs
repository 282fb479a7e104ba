//! Arguments that name a vCPU or an address: checked against the partition, never trusted.

use crate::Error;
use abi::VcpuId;
use addr::{Address, Ipa};

/// A partition's vCPUs as its guest names them: see [`abi::machine::mpidr`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topology {
    vcpus: u16,
    per_cluster: u16,
}

impl Topology {
    /// `vcpus` vCPUs, `per_cluster` of them (16 on GICv3, 8 on GICv2) share an Aff1.
    pub const fn new(vcpus: u16, per_cluster: u16) -> Self {
        Self { vcpus, per_cluster }
    }

    /// The vCPU whose MPIDR affinity is `target`.
    ///
    /// # Errors
    /// [`Error::InvalidParameters`] for a vCPU that does not exist; vCPUs of other partitions do not.
    pub const fn vcpu(self, target: u64) -> Result<VcpuId, Error> {
        let (aff0, aff1) = (target & 0xff, target >> 8);
        // Bits above Aff1 are zero for each vCPU; where one is set, `aff1` exceeds 0xff.
        if aff0 >= self.per_cluster as u64 || aff1 > 0xff {
            return Err(Error::InvalidParameters);
        }
        let index = aff1 * self.per_cluster as u64 + aff0;
        if index >= self.vcpus as u64 {
            return Err(Error::InvalidParameters);
        }
        Ok(VcpuId::new(index as u16))
    }
}

/// Checks an entry point for AArch64: an instruction's address, in the partition's RAM by `is_ram`.
///
/// # Errors
/// [`Error::InvalidAddress`].
pub fn entry_point(entry: Ipa, is_ram: impl FnOnce(Ipa) -> bool) -> Result<Ipa, Error> {
    if entry.is_aligned(4) && is_ram(entry) { Ok(entry) } else { Err(Error::InvalidAddress) }
}

/// Checks AFFINITY_INFO's lowest level: since PSCI 1.0 only 0 has to exist, and only 0 does.
///
/// # Errors
/// [`Error::InvalidParameters`].
pub const fn affinity_level(level: u32) -> Result<(), Error> {
    if level == 0 { Ok(()) } else { Err(Error::InvalidParameters) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vcpu_is_found_by_its_mpidr() {
        for (vcpus, per_cluster) in [(1, 16), (64, 16), (8, 8), (20, 8)] {
            let topology = Topology::new(vcpus, per_cluster);
            for n in 0..vcpus {
                assert_eq!(topology.vcpu(abi::machine::mpidr(n, per_cluster)), Ok(VcpuId::new(n)));
            }
            let beyond = abi::machine::mpidr(vcpus, per_cluster);
            assert_eq!(topology.vcpu(beyond), Err(Error::InvalidParameters));
        }
    }

    #[test]
    fn no_two_affinities_name_one_vcpu() {
        let topology = Topology::new(20, 8);
        let found = (0..1 << 17).filter(|&target| topology.vcpu(target).is_ok()).count();
        assert_eq!(found, 20);
    }

    #[test]
    fn foreign_and_impossible_targets_are_refused() {
        let topology = Topology::new(2, 16);
        for target in [2, 15, 16, 0x100, 1 << 16, 1 << 24, 1 << 31, 1 << 32, (1 << 32) | 1, 1 << 40, u64::MAX] {
            assert_eq!(topology.vcpu(target), Err(Error::InvalidParameters), "{target:#x}");
        }
        assert_eq!(Topology::new(2, 0).vcpu(0), Err(Error::InvalidParameters));
    }

    #[test]
    fn an_entry_point_is_an_aligned_address_in_ram() {
        let is_ram = |ipa: Ipa| (0x4000_0000..0x4080_0000).contains(&ipa.as_u64());
        assert_eq!(entry_point(Ipa::new(0x4008_0000), is_ram), Ok(Ipa::new(0x4008_0000)));
        for entry in [0x4008_0001, 0x4008_0002, 0x4080_0000, 0x3fff_fffc, 0, !3] {
            assert_eq!(entry_point(Ipa::new(entry), is_ram), Err(Error::InvalidAddress), "{entry:#x}");
        }
    }

    #[test]
    fn only_level_0_can_be_asked_about() {
        assert_eq!(affinity_level(0), Ok(()));
        for level in [1, 2, 3, u32::MAX] {
            assert_eq!(affinity_level(level), Err(Error::InvalidParameters));
        }
    }
}
