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
use flattree::{Malformed, Memory};
use heapless::Vec;
use manifest::{Board, System, Unfit};
use vgic::Version;

const MAGIC: u32 = 0xd00d_feed;

/// Why the board cannot run this image.
pub enum BoardError<'a> {
    NoDeviceTree(Pa),
    Malformed(Pa, Malformed),
    WrongBoard { expected: &'a Board, found: &'a str },
    Gic,
    GicElsewhere { version: Version, expected: Pa },
    Cores { expected: usize, found: usize },
}

impl fmt::Display for BoardError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDeviceTree(x0) => write!(
                f,
                "no device tree at {x0} (x0): start this file as an arm64 Linux kernel, by QEMU -kernel, U-Boot booti or firmware that has a tree"
            ),
            Self::Malformed(pa, error) => write!(f, "the firmware's device tree at {pa} is malformed: {error}"),
            Self::WrongBoard { expected, found } => write!(
                f,
                "this image is for board '{}' ({}), the firmware says '{found}': build it with board = the right name",
                expected.name, expected.compatible
            ),
            Self::Gic => f.write_str("the firmware's device tree names no GICv2 or GICv3 that this board may have"),
            Self::GicElsewhere { version, expected } => {
                let version = if *version == Version::V2 { "2" } else { "3" };
                write!(f, "the firmware's GICv{version} is not at {expected}, where this board has it")
            }
            Self::Cores { expected, found } => write!(
                f,
                "the system needs {expected} cores, the board has {found}: start QEMU with -smp {expected} or set machine = {{ cores = {found} }}"
            ),
        }
    }
}

/// The firmware's device tree, and what EL2 asks of it, collected in one walk: the tree is flat, so each question
/// alone would read all of it again.
pub struct DeviceTree {
    fdt: Fdt<'static>,
    /// Where it lies.
    pub region: Region<Pa>,
    memory: Memory,
    cpus: Vec<Cpu, { abi::MAX_CORES }>,
    gics: Vec<(Version, Pa), 4>,
    uart: Option<Pa>,
    arguments: &'static str,
}

/// MPIDR affinity and, for a spin table, the release address of a core.
type Cpu = (u64, Option<Pa>);
/// What trees call interrupt controllers: reading `compatible` of every node would double the walk.
const GIC_NAMES: [&str; 3] = ["interrupt-controller", "intc", "gic"];
/// What trees call PL011s.
const UART_NAMES: [&str; 3] = ["pl011", "serial", "uart"];
/// `compatible` of GICs by version.
const GICS: [(Version, &[&str]); 2] =
    [(Version::V3, &["arm,gic-v3"]), (Version::V2, &["arm,cortex-a15-gic", "arm,gic-400"])];

impl DeviceTree {
    /// Maps and checks the tree at `pa`.
    pub fn map(pa: Pa) -> Result<Self, BoardError<'static>> {
        let refused = || BoardError::NoDeviceTree(pa);
        if pa.as_u64() == 0 || !pa.as_u64().is_multiple_of(8) {
            return Err(refused());
        }
        let header = memory::map_device_tree(pa, 8);
        let word = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        if word(0) != Some(MAGIC) {
            return Err(refused());
        }
        let size = u64::from(word(4).ok_or_else(refused)?);
        let region = Region::new(pa, size).filter(|_| size <= BLOCK_2M).ok_or_else(refused)?;
        let blob = memory::map_device_tree(pa, size);
        // `fdt` asserts on trees that are malformed or hold FDT_NOP between nodes, as some of QEMU's do.
        flattree::sanitize(blob).map_err(|error| BoardError::Malformed(pa, error))?;
        let blob = &*blob;
        let mut memory = Memory::default();
        memory.note_reservations(blob);
        let fdt = Fdt::new(blob).map_err(|_| refused())?;
        let mut tree = Self { fdt, region, memory, cpus: Vec::new(), gics: Vec::new(), uart: None, arguments: "" };
        tree.collect();
        Ok(tree)
    }

    /// Walks the root's children once.
    fn collect(&mut self) {
        let Self { fdt, memory, cpus, gics, uart, arguments, .. } = self;
        let Some(root) = fdt.find_node("/") else { return };
        for node in root.children() {
            let name = node.name.split('@').next().unwrap_or_default();
            match name {
                "memory" => memory.note_ram(node),
                "chosen" => {
                    let given = node.property("bootargs").and_then(|given| given.as_str());
                    *arguments = given.unwrap_or_default();
                }
                // One loop for all: EL2 has a size budget.
                "cpus" | "soc" | "reserved-memory" => {
                    for child in node.children() {
                        match name {
                            "cpus" => {
                                // More than a system can have are not asked for.
                                let _ = cpu(child).map(|cpu| cpus.push(cpu));
                            }
                            "soc" => note_device(gics, uart, child, Some(node)),
                            _ => memory.note_kept(child),
                        }
                    }
                }
                _ => note_device(gics, uart, node, None),
            }
        }
    }

    /// Refuses a board of another kind.
    pub fn check_board<'a>(&'a self, board: &'a Board) -> Result<(), BoardError<'a>> {
        let compatible = self.fdt.find_node("/").and_then(|root| root.compatible());
        if compatible.is_some_and(|names| names.all().any(|name| name == board.compatible)) {
            return Ok(());
        }
        let found = compatible.and_then(|names| names.all().next()).unwrap_or("nothing");
        Err(BoardError::WrongBoard { expected: board, found })
    }

    /// Whether the boot arguments have this word (Devicetree specification 3.6).
    pub fn has_argument(&self, word: &str) -> bool {
        self.arguments.split_ascii_whitespace().any(|own| own == word)
    }

    /// The first PL011, on whatever board this is.
    pub fn console(&self) -> Option<Pa> {
        self.uart
    }

    /// Which GIC the board has; its distributor must be where the board's facts say.
    pub fn gic(&self, board: &Board) -> Result<Version, BoardError<'static>> {
        for &(version, found) in &self.gics {
            let expected = match version {
                Version::V2 => board.gic.v2.map(|gic| gic.gicd),
                Version::V3 => board.gic.v3.map(|gic| gic.gicd),
            };
            match expected {
                Some(expected) if expected == found => return Ok(version),
                Some(expected) => return Err(BoardError::GicElsewhere { version, expected }),
                None => {}
            }
        }
        Err(BoardError::Gic)
    }

    /// Core `n`, in the tree's order.
    pub fn core(&self, n: u16) -> Option<Cpu> {
        self.cpus.get(usize::from(n)).copied()
    }

    /// Refuses a board with fewer cores than the system was placed for.
    pub fn check_cores(&self, system: &System) -> Result<(), BoardError<'static>> {
        let (expected, found) = (usize::from(system.machine.cores), self.cpus.len());
        if found < expected { Err(BoardError::Cores { expected, found }) } else { Ok(()) }
    }

    /// Refuses a board without RAM that the system gives away, or where that is taken: by `image` with its bundle, by this
    /// tree, or by what the firmware keeps. Either may lie anywhere.
    pub fn check_memory<'a>(&mut self, system: &'a System, image: Region<Pa>) -> Result<(), Unfit<'a>> {
        self.memory.take("this image", image);
        self.memory.take("the firmware's device tree", self.region);
        manifest::fit(system, &self.memory.ram, &self.memory.taken)
    }
}

/// A `/cpus/cpu@` node.
fn cpu(node: FdtNode<'_, '_>) -> Option<Cpu> {
    if !node.name.starts_with("cpu@") {
        return None;
    }
    let release = node.property("cpu-release-addr").map(|p| Pa::new(number(p.value)));
    Some((number(node.property("reg")?.value), release))
}

/// Notes a node that is an interrupt controller or a PL011; `bus` is its parent when that is not the root.
fn note_device(
    gics: &mut Vec<(Version, Pa), 4>,
    uart: &mut Option<Pa>,
    node: FdtNode<'_, '_>,
    bus: Option<FdtNode<'_, '_>>,
) {
    let is_called = |names: &[&str]| names.iter().any(|name| node.name.starts_with(name));
    let is_uart = uart.is_none() && is_called(&UART_NAMES);
    if !is_uart && !is_called(&GIC_NAMES) {
        return;
    }
    let (Some(compatible), Some(registers)) = (node.compatible(), flattree::first_range(node)) else { return };
    let address = registers.start().as_u64();
    let found = Pa::new(bus.and_then(|bus| through_ranges(bus, address)).unwrap_or(address));
    let is_compatible = |known: &[&str]| compatible.all().any(|name| known.contains(&name));
    if is_uart && is_compatible(&["arm,pl011"]) {
        *uart = Some(found);
    }
    for (version, names) in GICS {
        if is_compatible(names) {
            // More controllers than a board can have are ignored: the first that fits the facts wins.
            let _ = gics.push((version, found));
        }
    }
}

/// A big-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
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
pub fn start_core(mpidr: u64, entry: Pa) -> Result<(), u64> {
    match smc(CPU_ON, [mpidr, entry.as_u64(), 0]) {
        0 => Ok(()),
        error => Err(error.unsigned_abs()),
    }
}

const SYSTEM_RESET: u32 = 0x8400_0009;

/// PSCI SYSTEM_RESET. Returns only when there is no such firmware.
pub fn reset() {
    smc(SYSTEM_RESET, [0; 3]);
}

/// PSCI SYSTEM_OFF. Returns only when the firmware refuses.
pub fn power_off() {
    smc(SYSTEM_OFF, [0; 3]);
}
