//! What the firmware tells: its device tree, and PSCI.
//!
//! The tree is trusted (it comes from whoever owns EL3) but read defensively: a board that does not say what the
//! manifest was made for is refused by name before anything is written.

use crate::arch::firmware::smc;
use crate::memory;
use addr::{BLOCK_2M, Pa, Region};
use core::fmt;
use fdt::Fdt;
use fdt::node::FdtNode;
use manifest::{Board, System};
use vgic::Version;

const MAGIC: u32 = 0xd00d_feed;

/// Why the board cannot run this image.
pub enum BoardError<'a> {
    NoDeviceTree(Pa),
    WrongBoard { expected: &'a Board, found: &'a str },
    Gic,
    GicElsewhere { version: Version, expected: Pa },
    Cores { expected: u16, found: usize },
    Memory { what: &'a str, region: Region<Pa> },
}

impl fmt::Display for BoardError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDeviceTree(x0) => write!(
                f,
                "no device tree at {x0} (x0): start this file as an arm64 Linux kernel, by QEMU -kernel, U-Boot booti or a Raspberry Pi's firmware with device_tree= set"
            ),
            Self::WrongBoard { expected, found } => write!(
                f,
                "this image is for board '{}' ({}), the firmware says '{found}': build it with board = the right name",
                expected.name, expected.compatible
            ),
            Self::Gic => f.write_str("the firmware's device tree names no GICv2 or GICv3 that this board may have"),
            Self::GicElsewhere { version, expected } => {
                write!(f, "the firmware's GIC{version:?} is not at {expected}, where this board has it")
            }
            Self::Cores { expected, found } => write!(
                f,
                "the system needs {expected} cores, the board has {found}: start QEMU with -smp {expected} or set machine = {{ cores = {found} }}"
            ),
            Self::Memory { what, region } => write!(
                f,
                "the board has no RAM at {region}, which the system gives to {what}: give QEMU the -m that `bulkhead qemu-args` prints, or set machine = {{ memory = ... }}"
            ),
        }
    }
}

/// The firmware's device tree.
pub struct DeviceTree {
    fdt: Fdt<'static>,
    /// Where it lies.
    pub region: Region<Pa>,
}

impl DeviceTree {
    /// Maps and checks the tree at `pa`.
    pub fn map(pa: Pa) -> Result<Self, BoardError<'static>> {
        let refused = || BoardError::NoDeviceTree(pa);
        if pa.as_u64() == 0 || pa.as_u64() % 8 != 0 {
            return Err(refused());
        }
        let header = memory::map_device_tree(pa, 8);
        let word = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        if word(0) != Some(MAGIC) {
            return Err(refused());
        }
        let size = u64::from(word(4).ok_or_else(refused)?);
        let region = Region::new(pa, size).filter(|_| size <= BLOCK_2M).ok_or_else(refused)?;
        let fdt = Fdt::new(memory::map_device_tree(pa, size)).map_err(|_| refused())?;
        Ok(Self { fdt, region })
    }

    /// Refuses a board of another kind.
    pub fn check_board<'a>(&'a self, board: &'a Board) -> Result<(), BoardError<'a>> {
        let root = self.fdt.root();
        if root.compatible().all().any(|name| name == board.compatible) {
            return Ok(());
        }
        Err(BoardError::WrongBoard { expected: board, found: root.compatible().first() })
    }

    /// The PL011 that `/chosen` names as console, on whatever board this is.
    pub fn console(&self) -> Option<Pa> {
        let node = self.fdt.chosen().stdout()?;
        if !node.compatible()?.all().any(|name| name == "arm,pl011") {
            return None;
        }
        let bus_address = node.reg()?.next()?.starting_address as u64;
        // One bus with `ranges` above it at most: what boards with a PL011 have.
        for bus in self.fdt.find_node("/soc") {
            if let Some(pa) = through_ranges(bus, bus_address) {
                return Some(Pa::new(pa));
            }
        }
        Some(Pa::new(bus_address))
    }

    /// Which GIC the board has; its distributor must be where the board's facts say.
    pub fn gic(&self, board: &Board) -> Result<Version, BoardError<'static>> {
        let candidates = [
            (Version::V3, board.gic.v3.map(|g| g.gicd), &["arm,gic-v3"] as &[&str]),
            (Version::V2, board.gic.v2.map(|g| g.gicd), &["arm,cortex-a15-gic", "arm,gic-400"]),
        ];
        for (version, expected, names) in candidates {
            let Some((expected, node)) = expected.zip(self.fdt.find_compatible(names)) else { continue };
            let address = node.reg().and_then(|mut reg| reg.next()).map(|r| r.starting_address as u64);
            let bus = self.fdt.find_node("/soc");
            let on_bus = address.and_then(|a| through_ranges(bus?, a));
            if address != Some(expected.as_u64()) && on_bus != Some(expected.as_u64()) {
                return Err(BoardError::GicElsewhere { version, expected });
            }
            return Ok(version);
        }
        Err(BoardError::Gic)
    }

    /// MPIDR affinity and, for a spin table, the release address of core `n`.
    pub fn core(&self, n: u16) -> Option<(u64, Option<Pa>)> {
        let cpu = self.fdt.cpus().nth(usize::from(n))?;
        let release = cpu.property("cpu-release-addr").and_then(|p| p.value.try_into().ok().map(u64::from_be_bytes));
        Some((cpu.ids().first() as u64, release.map(Pa::new)))
    }

    /// Refuses a board with fewer cores or less RAM than the system was placed for.
    pub fn check_resources<'a>(&self, system: &'a System) -> Result<(), BoardError<'a>> {
        let found = self.fdt.cpus().count();
        if found < usize::from(system.machine.cores) {
            return Err(BoardError::Cores { expected: system.machine.cores, found });
        }
        self.check_ram("EL2's frame pool", system.pool)?;
        for partition in &system.partitions {
            for bank in &partition.banks {
                self.check_ram(&partition.name, bank.pa)?;
            }
        }
        Ok(())
    }

    fn check_ram<'a>(&self, what: &'a str, region: Region<Pa>) -> Result<(), BoardError<'a>> {
        let memory = self.fdt.memory();
        let covered = memory.regions().any(|ram| {
            let start = Pa::new(ram.starting_address as u64);
            Region::new(start, ram.size.unwrap_or(0) as u64).is_some_and(|ram| ram.covers(&region))
        });
        if covered { Ok(()) } else { Err(BoardError::Memory { what, region }) }
    }
}

/// `address` on the bus of `node` as the processor sees it: one entry of its `ranges` (Devicetree specification
/// 2.3.8) with one or two child cells, two or one parent cells, one size cell.
fn through_ranges(node: FdtNode<'_, '_>, address: u64) -> Option<u64> {
    let ranges = node.property("ranges")?.value;
    let child_cells = node.property("#address-cells")?.as_usize()?;
    let size_cells = node.property("#size-cells")?.as_usize()?;
    for parent_cells in [2, 1] {
        let entry = (child_cells + parent_cells + size_cells) * 4;
        if entry == 0 || ranges.len() % entry != 0 {
            continue;
        }
        for range in ranges.chunks_exact(entry) {
            let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
            let (child, rest) = range.split_at(child_cells * 4);
            let (parent, size) = rest.split_at(parent_cells * 4);
            if let Some(offset) = address.checked_sub(number(child)).filter(|o| *o < number(size)) {
                return number(parent).checked_add(offset);
            }
        }
    }
    None
}

const CPU_ON: u32 = 0xc400_0003;
const SYSTEM_OFF: u32 = 0x8400_0008;

/// PSCI CPU_ON: starts the core with this affinity at the physical address `entry`.
pub fn start_core(mpidr: u64, entry: Pa) -> Result<(), i64> {
    match smc(CPU_ON, [mpidr, entry.as_u64(), 0]) {
        0 => Ok(()),
        error => Err(error),
    }
}

/// PSCI SYSTEM_OFF. Returns only when the firmware refuses.
pub fn power_off() {
    smc(SYSTEM_OFF, [0; 3]);
}
