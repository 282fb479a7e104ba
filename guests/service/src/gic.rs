//! The interrupt controller as its one vCPU sees it: GICv2 or GICv3, told apart by the CPU.
//!
//! Interrupts stay masked in PSTATE for ever. They end a WFI, and then [`Gic::take`] acknowledges what is pending: no handler
//! runs behind anybody's back, so nothing in the service needs a lock against one.

use crate::arch::insn;
use crate::arch::mmio::Registers;
use aarch64_cpu::registers::{ID_AA64PFR0_EL1, MPIDR_EL1, Readable as _};
use abi::{IntId, machine};

/// Offsets that GICD of both versions and the SGI frame of a redistributor share (GIC architecture, "GICD_*").
const IGROUPR: u64 = 0x80;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ICPENDR: u64 = 0x280;
const ICACTIVER: u64 = 0x380;
const IPRIORITYR: u64 = 0x400;

const GICD_CTLR: u64 = 0;
const GICD_TYPER: u64 = 4;
/// GICv2: the cores that an SPI goes to.
const GICD_ITARGETSR: u64 = 0x800;
/// GICv3: the affinity that an SPI goes to.
const GICD_IROUTER: u64 = 0x6000;
/// GICD_CTLR of GICv3: ARE_NS, EnableGrp1A, EnableGrp1.
const CTLR_V3: u32 = 1 << 4 | 1 << 1 | 1;
const GICR_WAKER: u64 = 0x14;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
/// From the RD frame to the SGI frame.
const SGI_FRAME: u64 = 0x1_0000;
const GICC_CTLR: u64 = 0;
const GICC_PMR: u64 = 4;
const GICC_BPR: u64 = 8;
const GICC_IAR: u64 = 0xc;
const GICC_EOIR: u64 = 0x10;

/// The same for all: the service takes interrupts one after the other anyway.
const PRIORITY: u8 = 0xa0;
/// INTIDs from here on are special: nothing to acknowledge.
const SPECIAL: u32 = 1020;

// SAFETY: the guest machine's interrupt controller, which map.rs maps; it starts no DMA.
const DISTRIBUTOR: Registers = unsafe { Registers::new(machine::GICD.as_u64()) };
// SAFETY: as above.
const CPU_INTERFACE: Registers = unsafe { Registers::new(machine::GICC.as_u64()) };
// SAFETY: as above; the first redistributor is that of vCPU 0, and there is no other.
const REDISTRIBUTOR: Registers = unsafe { Registers::new(machine::GICR.as_u64()) };

/// The controller.
#[derive(Clone, Copy, Debug)]
pub struct Gic {
    is_v3: bool,
}

impl Gic {
    /// Everything disabled, inactive and not pending; the CPU interface on.
    pub fn start() -> Self {
        let gic = Self { is_v3: ID_AA64PFR0_EL1.get() >> 24 & 0xf != 0 };
        let words = u64::from(DISTRIBUTOR.read32(GICD_TYPER) & 0x1f) + 1;
        for word in 1..words.min(31) {
            gic.clear(DISTRIBUTOR, word);
        }
        DISTRIBUTOR.write32(GICD_CTLR, if gic.is_v3 { CTLR_V3 } else { 1 });
        gic.clear(gic.private(), 0);
        if gic.is_v3 {
            let waker = REDISTRIBUTOR.read32(GICR_WAKER);
            REDISTRIBUTOR.write32(GICR_WAKER, waker & !WAKER_PROCESSOR_SLEEP);
            insn::write_icc_sre(insn::read_icc_sre() | 1);
            insn::isb();
            insn::write_icc_pmr(0xff);
            insn::write_icc_bpr1(0);
            insn::write_icc_ctlr(0);
            insn::write_icc_igrpen1(1);
            insn::isb();
        } else {
            CPU_INTERFACE.write32(GICC_PMR, 0xff);
            CPU_INTERFACE.write32(GICC_BPR, 0);
            CPU_INTERFACE.write32(GICC_CTLR, 1);
        }
        gic
    }

    fn clear(self, block: Registers, word: u64) {
        block.write32(ICENABLER + 4 * word, !0);
        block.write32(ICPENDR + 4 * word, !0);
        block.write32(ICACTIVER + 4 * word, !0);
        if self.is_v3 {
            block.write32(IGROUPR + 4 * word, !0);
        }
    }

    /// Where the bits of SGIs and PPIs are.
    fn private(self) -> Registers {
        if self.is_v3 { REDISTRIBUTOR.at(SGI_FRAME) } else { DISTRIBUTOR }
    }

    /// Enables an SGI, or a level-sensitive interrupt.
    pub fn enable(self, intid: IntId) {
        let number = intid.number();
        let block = if intid.is_private() { self.private() } else { DISTRIBUTOR };
        block.write8(IPRIORITYR + u64::from(number), PRIORITY);
        if !intid.is_private() && self.is_v3 {
            DISTRIBUTOR.write64(GICD_IROUTER + 8 * u64::from(number), MPIDR_EL1.get() & 0xff_00ff_ffff);
        } else if !intid.is_private() {
            // ITARGETSR0 reads as the interface number of whoever reads it.
            let this = DISTRIBUTOR.read8(GICD_ITARGETSR);
            DISTRIBUTOR.write8(GICD_ITARGETSR + u64::from(number), this);
        }
        block.write32(ISENABLER + u64::from(number / 32 * 4), 1 << (number % 32));
    }

    /// Acknowledges the next pending interrupt, has `quiet` take away what asserts it, and ends it. Whether there was one.
    pub fn take(self, quiet: impl FnOnce(IntId)) -> bool {
        let raw = if self.is_v3 { insn::read_icc_iar1() as u32 } else { CPU_INTERFACE.read32(GICC_IAR) };
        let number = raw & 0x3ff;
        if number >= SPECIAL {
            return false;
        }
        quiet(IntId::new(number));
        // What takes the level away has reached the device before the interrupt may come again.
        insn::dsb();
        if self.is_v3 {
            insn::write_icc_eoir1(raw.into());
        } else {
            CPU_INTERFACE.write32(GICC_EOIR, raw);
        }
        true
    }
}
