//! GICv2 (Arm IHI 0048B): distributor and memory-mapped CPU interface. Group 0 only, as a guest without Security
//! Extensions sees it.

use super::{ICACTIVER, ICENABLER, ICPENDR, IPRIORITYR, ISENABLER, bit, word};
use crate::IntId;
use crate::arch::insn::synchronise;
use crate::arch::mmio::Registers;

const GICD_CTLR: u64 = 0x000;
const GICD_TYPER: u64 = 0x004;
const GICD_ITARGETSR: u64 = 0x800;
const GICD_SGIR: u64 = 0xf00;
const GICC_CTLR: u64 = 0x000;
const GICC_PMR: u64 = 0x004;
const GICC_BPR: u64 = 0x008;
const GICC_IAR: u64 = 0x00c;
const GICC_EOIR: u64 = 0x010;
const GICC_DIR: u64 = 0x1000;
/// GICC_CTLR: EnableGrp0, and EOImode as the Non-secure or only copy has it (bit 9).
const CTLR_ENABLE: u32 = 1;
const CTLR_EOI_MODE: u32 = 1 << 9;

pub(super) fn init_distributor(distributor: Registers) {
    let words = u64::from(distributor.read32(GICD_TYPER) & 0x1f) + 1;
    for word in 1..words {
        distributor.write32(ICENABLER + 4 * word, !0);
        distributor.write32(ICPENDR + 4 * word, !0);
        distributor.write32(ICACTIVER + 4 * word, !0);
    }
    distributor.write32(GICD_CTLR, 1);
}

pub(super) fn init_vcpu(distributor: Registers, cpu_interface: Registers) {
    distributor.write32(ICENABLER, !0);
    distributor.write32(ICPENDR, !0);
    distributor.write32(ICACTIVER, !0);
    cpu_interface.write32(GICC_PMR, 0xff);
    cpu_interface.write32(GICC_BPR, 0);
    cpu_interface.write32(GICC_CTLR, CTLR_ENABLE);
}

pub(super) fn enable(distributor: Registers, intid: IntId, priority: u8) {
    distributor.write8(IPRIORITYR + u64::from(intid.number()), priority);
    if !intid.is_private() {
        // ITARGETSR0 reads as the interface number of whoever reads it.
        let this = distributor.read8(GICD_ITARGETSR);
        distributor.write8(GICD_ITARGETSR + u64::from(intid.number()), this);
    }
    distributor.write32(ISENABLER + word(intid), bit(intid));
}

pub(super) fn send_sgi(distributor: Registers, targets: u32, intid: IntId) {
    // What the receiver will read is visible before it is told.
    synchronise();
    distributor.write32(GICD_SGIR, targets << 16 | intid.number());
}

#[inline(always)]
pub(super) fn acknowledge(cpu_interface: Registers) -> u32 {
    cpu_interface.read32(GICC_IAR)
}

#[inline(always)]
pub(super) fn end(cpu_interface: Registers, raw: u32) {
    cpu_interface.write32(GICC_EOIR, raw);
}

pub(super) fn split_end(cpu_interface: Registers, is_split: bool) {
    cpu_interface.write32(GICC_CTLR, CTLR_ENABLE | if is_split { CTLR_EOI_MODE } else { 0 });
}

pub(super) fn deactivate(cpu_interface: Registers, intid: IntId) {
    cpu_interface.write32(GICC_DIR, intid.number());
}

pub(super) fn set_priority_mask(cpu_interface: Registers, mask: u8) {
    cpu_interface.write32(GICC_PMR, mask.into());
}
