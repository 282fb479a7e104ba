//! GICv3 (Arm IHI 0069): affinity routing, Group 1, system register CPU interface. No ITS, no LPIs.

use super::{ICACTIVER, ICENABLER, ICPENDR, IGROUPR, IPRIORITYR, ISENABLER, bit, word};
use crate::IntId;
use crate::arch::insn::{isb, synchronise};
use crate::arch::mmio::Registers;
use crate::arch::sysreg;
use crate::board::{MAX_VCPUS, board};
use crate::cpu;

const GICD_CTLR: u64 = 0x0000;
const GICD_TYPER: u64 = 0x0004;
const GICD_IROUTER: u64 = 0x6000;
const GICR_TYPER: u64 = 0x0008;
const GICR_WAKER: u64 = 0x0014;
/// From the RD frame to the SGI frame.
const SGI_FRAME: u64 = 0x1_0000;
/// From one redistributor to the next.
const STRIDE: u64 = 0x2_0000;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;
/// GICD_CTLR: ARE_NS, EnableGrp1A, EnableGrp1 (the bits of a system with one Security state are a superset).
const CTLR: u32 = 1 << 4 | 1 << 1 | 1;
/// GICD_CTLR: RWP.
const CTLR_RWP: u32 = 1 << 31;
/// ICC_CTLR_EL1: EOImode.
const ICC_CTLR_EOI_MODE: u64 = 1 << 1;
/// Reads to wait for a bit that hardware changes by itself.
const PATIENCE: u32 = 1 << 20;

pub(super) fn init_distributor(distributor: Registers) {
    let words = u64::from(distributor.read32(GICD_TYPER) & 0x1f) + 1;
    for word in 1..words.min(31) {
        distributor.write32(ICENABLER + 4 * word, !0);
        distributor.write32(ICPENDR + 4 * word, !0);
        distributor.write32(ICACTIVER + 4 * word, !0);
        distributor.write32(IGROUPR + 4 * word, !0);
    }
    distributor.write32(GICD_CTLR, CTLR);
    wait(|| distributor.read32(GICD_CTLR) & CTLR_RWP == 0);
}

pub(super) fn init_vcpu(redistributors: Registers) {
    let mpidr = board().mpidr[cpu::index()];
    let rd = rd_frame(redistributors, mpidr);
    rd.write32(GICR_WAKER, rd.read32(GICR_WAKER) & !WAKER_PROCESSOR_SLEEP);
    wait(|| rd.read32(GICR_WAKER) & WAKER_CHILDREN_ASLEEP == 0);
    let sgi = rd.at(SGI_FRAME);
    sgi.write32(ICENABLER, !0);
    sgi.write32(ICPENDR, !0);
    sgi.write32(ICACTIVER, !0);
    sgi.write32(IGROUPR, !0);
    sysreg::write_icc_sre(sysreg::read_icc_sre() | 1);
    isb();
    sysreg::write_icc_pmr(0xff);
    sysreg::write_icc_bpr1(0);
    sysreg::write_icc_ctlr(0);
    sysreg::write_icc_igrpen1(1);
    isb();
}

pub(super) fn enable(distributor: Registers, redistributors: Registers, intid: IntId, priority: u8) {
    let mpidr = board().mpidr[cpu::index()];
    let block = if intid.is_private() { sgi_frame(redistributors, mpidr) } else { distributor };
    block.write8(IPRIORITYR + u64::from(intid.number()), priority);
    if !intid.is_private() {
        distributor.write64(GICD_IROUTER + 8 * u64::from(intid.number()), mpidr);
    }
    block.write32(ISENABLER + word(intid), bit(intid));
}

/// ICC_SGI1R_EL1: Aff3.Aff2.Aff1, target list of Aff0 values within a range of 16 (RS).
pub(super) fn send_sgi(mpidr: u64, intid: IntId) {
    let (aff0, aff1, aff2, aff3) = (mpidr & 0xff, mpidr >> 8 & 0xff, mpidr >> 16 & 0xff, mpidr >> 32 & 0xff);
    let target = 1 << (aff0 & 15) | (aff0 >> 4) << 44;
    // What the receiver will read is visible before it is told.
    synchronise();
    sysreg::write_icc_sgi1r(aff3 << 48 | aff2 << 32 | aff1 << 16 | u64::from(intid.number()) << 24 | target);
    isb();
}

#[inline(always)]
pub(super) fn acknowledge() -> u32 {
    sysreg::read_icc_iar1() as u32
}

#[inline(always)]
pub(super) fn end(raw: u32) {
    sysreg::write_icc_eoir1(raw.into());
}

/// SGIs and PPIs of the vCPU with this affinity.
pub(super) fn sgi_frame(redistributors: Registers, mpidr: u64) -> Registers {
    rd_frame(redistributors, mpidr).at(SGI_FRAME)
}

/// The redistributor whose GICR_TYPER names this affinity.
fn rd_frame(redistributors: Registers, mpidr: u64) -> Registers {
    let affinity = mpidr & 0xff_ffff | (mpidr >> 32 & 0xff) << 24;
    (0..MAX_VCPUS as u64)
        .map(|n| redistributors.at(n * STRIDE))
        .find(|rd| rd.read64(GICR_TYPER) >> 32 == affinity)
        .expect("the architecture gives every CPU a redistributor")
}

fn wait(mut done: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if done() {
            return;
        }
    }
    panic!("GICv3: a bit that hardware changes by itself did not change");
}

pub(super) fn split_end(is_split: bool) {
    sysreg::write_icc_ctlr(if is_split { ICC_CTLR_EOI_MODE } else { 0 });
    isb();
}

pub(super) fn deactivate(intid: IntId) {
    sysreg::write_icc_dir(intid.number().into());
    isb();
}

pub(super) fn set_priority_mask(mask: u8) {
    sysreg::write_icc_pmr(mask.into());
    isb();
}
