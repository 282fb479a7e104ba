//! Whether the board at hand has the RAM that a system gives away: the manifest beside what the firmware tells.
//!
//! `validate` compares a system with the facts of its board; boards of one name differ in size, and firmware keeps what
//! no table knows. EL2 asks at boot, before it writes to any of it.

use crate::{Channel, System};
use addr::{Pa, Region};
use core::fmt;

/// Why a board cannot run a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit<'a> {
    /// What the system gives to `owner` is not all RAM.
    NoRam {
        /// Who would have it.
        owner: &'a str,
        /// What would be given.
        region: Region<Pa>,
    },
    /// What the system gives to `owner` is taken.
    Taken {
        /// Who would have it.
        owner: &'a str,
        /// What would be given.
        region: Region<Pa>,
        /// What the firmware has there.
        what: &'a str,
        /// Where that is.
        other: Region<Pa>,
    },
}

impl fmt::Display for Unfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRam { owner, region } => write!(
                f,
                "the board has no RAM at {region}, which the system gives to {owner}: start QEMU with the right -m, or set machine = {{ memory = ... }}"
            ),
            Self::Taken { owner, region, what, other } => write!(
                f,
                "the firmware put {what} at {other}, which overlaps {region} of {owner}: pin memory_at elsewhere"
            ),
        }
    }
}

/// Whether everything that `system` gives away is `ram`, and nothing of it `taken` by what the name says.
pub fn fit<'a>(system: &'a System, ram: &[Region<Pa>], taken: &[(&'a str, Region<Pa>)]) -> Result<(), Unfit<'a>> {
    let check = |owner, region: Region<Pa>| {
        if let Some(&(what, other)) = taken.iter().find(|(_, other)| other.overlaps(&region)) {
            return Err(Unfit::Taken { owner, region, what, other });
        }
        if !ram.iter().any(|bank| bank.covers(&region)) {
            return Err(Unfit::NoRam { owner, region });
        }
        Ok(())
    };
    // Not one chain of iterators: EL2 has a size budget.
    let check: &dyn Fn(&'a str, Region<Pa>) -> Result<(), Unfit<'a>> = &check;
    for partition in &system.partitions {
        for bank in &partition.banks {
            check(&partition.name, bank.pa)?;
        }
    }
    if let Some(service) = system.service {
        check("the service partition", service.kept)?;
    }
    for memory in system.channels.iter().filter_map(Channel::memory) {
        check("a channel", memory)?;
    }
    check("EL2's frame pool", system.pool)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::validate::tests::served;
    use std::string::ToString;

    fn region(start: u64, end: u64) -> Region<Pa> {
        Region::new(Pa::new(start), end - start).unwrap()
    }

    const IMAGE: (u64, u64) = (0x4020_0000, 0x4040_0000);
    const TREE: (u64, u64) = (0x4800_0000, 0x4801_0000);

    fn found(ram: &[Region<Pa>], kept: &[Region<Pa>]) -> Option<std::string::String> {
        let mut taken =
            std::vec![("this image", region(IMAGE.0, IMAGE.1)), ("the firmware's device tree", region(TREE.0, TREE.1))];
        taken.extend(kept.iter().map(|kept| ("what it keeps", *kept)));
        fit(&served(), ram, &taken).err().map(|unfit| unfit.to_string())
    }

    #[test]
    fn a_board_with_all_of_it_fits() {
        assert_eq!(found(&[region(0x4000_0000, 0x8000_0000)], &[region(0x4000_0000, 0x4000_1000)]), None);
    }

    #[test]
    fn missing_ram_is_named_with_its_owner() {
        let owner = |end| {
            let said = found(&[region(0x4000_0000, end)], &[])?;
            let (_, rest) = said.split_once("which the system gives to ")?;
            Some(rest.split_once(':')?.0.to_string())
        };
        assert_eq!(owner(0x4100_0000).as_deref(), Some("linux"));
        assert_eq!(owner(0x607f_f000).as_deref(), Some("linux"));
        assert_eq!(owner(0x7000_0000).as_deref(), Some("control"));
        assert_eq!(owner(0x7880_0000), None);
    }

    #[test]
    fn the_pool_must_be_ram_too() {
        let said = found(&[region(0x6000_0000, 0x8000_0000)], &[]).unwrap();
        assert!(
            said.contains("no RAM at [0x4100_0000..0x4120_0000), which the system gives to EL2's frame pool"),
            "{said}"
        );
    }

    #[test]
    fn what_the_service_keeps_must_be_ram_too() {
        let ram = [region(0x4000_0000, 0x7700_0000), region(0x7800_0000, 0x8000_0000)];
        assert!(found(&ram, &[]).unwrap().contains("the system gives to the service partition"));
    }

    #[test]
    fn what_the_firmware_keeps_is_never_given_away() {
        let ram = [region(0x4000_0000, 0x8000_0000)];
        let said = found(&ram, &[region(0x6000_0000, 0x6000_1000)]).unwrap();
        assert_eq!(
            said,
            "the firmware put what it keeps at [0x6000_0000..0x6000_1000), which overlaps [0x6000_0000..0x6080_0000) of linux: pin memory_at elsewhere"
        );
    }
}
