//! What the device tree says about this guest's machine, or the guest machine's own map where there is no tree.
//!
//! QEMU passes no device tree to a bare ELF in x0 but leaves one at the RAM base; both places are tried.

use crate::arch::mmio::Registers;
use crate::arch::{access, insn};
use abi::machine;
use fdt::Fdt;
use fdt::node::FdtNode;
use spin::Once;

/// Most vCPUs that the runtime has stacks for.
pub const MAX_VCPUS: usize = 32;
const MAGIC: u64 = 0xedfe_0dd0; // big-endian 0xd00dfeed as a little-endian word

/// Interrupt controller and where its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicFacts {
    /// GICv2: distributor and CPU interface.
    V2 {
        /// GICD.
        distributor: Registers,
        /// GICC.
        cpu_interface: Registers,
    },
    /// GICv3: distributor and the first redistributor.
    V3 {
        /// GICD.
        distributor: Registers,
        /// GICR of the first vCPU.
        redistributors: Registers,
    },
}

/// Facts of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// The interrupt controller.
    pub gic: GicFacts,
    /// How many vCPUs there are, at most [`MAX_VCPUS`].
    pub vcpus: usize,
    /// MPIDR affinity of each vCPU.
    pub mpidr: [u64; MAX_VCPUS],
    /// RAM: base and bytes. The bank with the device tree, where there are two.
    pub ram: (u64, u64),
    /// The other bank: all that virtio devices reach.
    pub window: Option<(u64, u64)>,
    /// Address of the device tree, if there is one.
    pub device_tree: Option<u64>,
}

static BOARD: Once<Board> = Once::new();

/// Facts of this machine.
pub fn board() -> &'static Board {
    BOARD.get().expect("rt_primary calls discover() before any guest code")
}

/// Reads the device tree at `x0` or at the RAM base.
pub(crate) fn discover(x0: u64) {
    let tree = [x0, machine::RAM.as_u64()].into_iter().find(|&at| at != 0 && at % 8 == 0 && has_magic(at));
    BOARD.call_once(|| match tree.and_then(|at| Some((at, parse(at)?))) {
        Some((at, board)) => Board { device_tree: Some(at), ..board },
        None => fallback(),
    });
}

fn has_magic(at: u64) -> bool {
    // The tree lies in RAM by the boot protocol; anything else may be unmapped, and then the boot ends here.
    let in_ram = at >= machine::RAM.as_u64();
    // SAFETY: a load of RAM that Rust owns no object in.
    in_ram && unsafe { access::rt_load32(at, 0) } == MAGIC
}

fn parse(at: u64) -> Option<Board> {
    // SAFETY: `has_magic` saw a device tree there; nobody writes to it while the guest runs.
    let tree = unsafe { Fdt::from_ptr(at as *const u8) }.ok()?;
    let mut board = Board { gic: gic(&tree)?, vcpus: 0, ..fallback() };
    for (slot, cpu) in board.mpidr.iter_mut().zip(tree.cpus()) {
        *slot = cpu.ids().first() as u64;
        board.vcpus += 1;
    }
    let nodes = tree.all_nodes().filter(|node| node.name.split('@').next() == Some("memory"));
    for bank in nodes.filter_map(|node| node.reg()).flatten() {
        let (base, bytes) = (bank.starting_address as u64, bank.size? as u64);
        let has_tree = at.checked_sub(base).is_some_and(|offset| offset < bytes);
        if has_tree {
            board.ram = (base, bytes);
        } else {
            board.window = Some((base, bytes));
        }
    }
    (board.ram.1 != 0).then_some(board)
}

fn gic(tree: &Fdt) -> Option<GicFacts> {
    let (node, is_v3) = match tree.find_compatible(&["arm,gic-v3"]) {
        Some(node) => (node, true),
        None => (tree.find_compatible(&["arm,cortex-a15-gic", "arm,gic-400"])?, false),
    };
    let (distributor, second) = (block(node, 0)?, block(node, 1)?);
    Some(if is_v3 {
        GicFacts::V3 { distributor, redistributors: second }
    } else {
        GicFacts::V2 { distributor, cpu_interface: second }
    })
}

fn block(node: FdtNode, index: usize) -> Option<Registers> {
    let region = node.reg()?.nth(index)?;
    // SAFETY: the device tree says that the GIC is there; guests map the first GiB as Device.
    Some(unsafe { Registers::new(region.starting_address as u64) })
}

/// One vCPU and the guest machine's map; the GIC version from ID_AA64PFR0_EL1.GIC.
fn fallback() -> Board {
    // SAFETY: the guest machine's map (abi::machine) is the same on every board.
    let at = |address: u64| unsafe { Registers::new(address) };
    let distributor = at(machine::GICD.as_u64());
    let gic = if insn::has_gic_system_registers() {
        GicFacts::V3 { distributor, redistributors: at(machine::GICR.as_u64()) }
    } else {
        GicFacts::V2 { distributor, cpu_interface: at(machine::GICC.as_u64()) }
    };
    Board { gic, vcpus: 1, mpidr: [0; MAX_VCPUS], ram: (machine::RAM.as_u64(), 0), window: None, device_tree: None }
}
