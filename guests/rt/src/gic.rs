//! Interrupt controller driver: GICv2 or GICv3, found at boot, behind one set of functions.

mod v2;
mod v3;

use crate::board::{GicFacts, board};
use crate::{IntId, cpu};

/// Priority that `enable` users take unless they compare priorities.
pub const PRIORITY: u8 = 0xa0;
/// INTIDs from here on are special: nothing to acknowledge.
const SPECIAL: u32 = 1020;

/// An acknowledged interrupt, to be ended once.
#[derive(Debug)]
#[must_use = "an interrupt that is not ended stays active"]
pub struct Acknowledged(u32);

impl Acknowledged {
    /// The INTID; on GICv2 the source vCPU of an SGI is in bits above it and not part of it.
    pub const fn intid(&self) -> IntId {
        IntId::new(self.0 & 0x3ff)
    }
    /// The vCPU that sent an SGI, on GICv2; 0 on GICv3, which does not tell.
    pub const fn sender(&self) -> u32 {
        self.0 >> 10 & 7
    }
}

/// Whether this machine has a GICv3.
pub fn is_v3() -> bool {
    matches!(board().gic, GicFacts::V3 { .. })
}

/// Sets the interrupt controller up anew as at the start: everything disabled, inactive, not pending, on this vCPU.
pub fn reset() {
    init_distributor();
    init_vcpu();
}

/// Distributor on, SPIs disabled and inactive.
pub(crate) fn init_distributor() {
    match board().gic {
        GicFacts::V2 { distributor, .. } => v2::init_distributor(distributor),
        GicFacts::V3 { distributor, .. } => v3::init_distributor(distributor),
    }
}

/// This vCPU's banked state and CPU interface on; SGIs and PPIs disabled, all priorities pass.
pub(crate) fn init_vcpu() {
    match board().gic {
        GicFacts::V2 { distributor, cpu_interface } => v2::init_vcpu(distributor, cpu_interface),
        GicFacts::V3 { redistributors, .. } => v3::init_vcpu(redistributors),
    }
}

/// Enables an interrupt with this priority (0 is the highest); an SPI goes to this vCPU.
pub fn enable(intid: IntId, priority: u8) {
    match board().gic {
        GicFacts::V2 { distributor, .. } => v2::enable(distributor, intid, priority),
        GicFacts::V3 { distributor, redistributors } => v3::enable(distributor, redistributors, intid, priority),
    }
}

/// Disables an interrupt.
pub fn disable(intid: IntId) {
    bit_block(intid).write32(ICENABLER + word(intid), bit(intid));
}

/// Whether the interrupt is pending at the distributor.
pub fn is_pending(intid: IntId) -> bool {
    bit_block(intid).read32(ISPENDR + word(intid)) & bit(intid) != 0
}

/// Whether the interrupt is active at the distributor.
pub fn is_active(intid: IntId) -> bool {
    bit_block(intid).read32(ISACTIVER + word(intid)) & bit(intid) != 0
}

/// Makes an SPI, PPI or (GICv3 only) SGI pending at the distributor.
pub fn set_pending(intid: IntId) {
    bit_block(intid).write32(ISPENDR + word(intid), bit(intid));
}

/// Takes the pending state away.
pub fn clear_pending(intid: IntId) {
    bit_block(intid).write32(ICPENDR + word(intid), bit(intid));
}

/// Makes an SPI or PPI edge-triggered; disable it first.
pub fn set_edge(intid: IntId) {
    let block = bit_block(intid);
    let offset = ICFGR + u64::from(intid.number() / 16 * 4);
    let field = 0b10 << (intid.number() % 16 * 2);
    block.write32(offset, block.read32(offset) | field);
}

/// Lets end-of-interrupt drop the priority only (EOImode 1); [`deactivate`] is then a second step.
pub fn split_end(is_split: bool) {
    match board().gic {
        GicFacts::V2 { cpu_interface, .. } => v2::split_end(cpu_interface, is_split),
        GicFacts::V3 { .. } => v3::split_end(is_split),
    }
}

/// The second step of the end of an interrupt under [`split_end`].
pub fn deactivate(intid: IntId) {
    match board().gic {
        GicFacts::V2 { cpu_interface, .. } => v2::deactivate(cpu_interface, intid),
        GicFacts::V3 { .. } => v3::deactivate(intid),
    }
}

/// Lets only interrupts with a priority value below this through (0xff: all).
pub fn set_priority_mask(mask: u8) {
    match board().gic {
        GicFacts::V2 { cpu_interface, .. } => v2::set_priority_mask(cpu_interface, mask),
        GicFacts::V3 { .. } => v3::set_priority_mask(mask),
    }
}

/// Sends SGI `intid` to the vCPU with this index.
pub fn send_sgi(vcpu: usize, intid: IntId) {
    match board().gic {
        GicFacts::V2 { distributor, .. } => v2::send_sgi(distributor, 1 << (vcpu & 7), intid),
        GicFacts::V3 { .. } => v3::send_sgi(board().mpidr[vcpu], intid),
    }
}

/// Acknowledges the highest-priority pending interrupt of this vCPU, if there is one.
#[inline(always)]
pub fn acknowledge() -> Option<Acknowledged> {
    let raw = match board().gic {
        GicFacts::V2 { cpu_interface, .. } => v2::acknowledge(cpu_interface),
        GicFacts::V3 { .. } => v3::acknowledge(),
    };
    (raw & 0x3ff < SPECIAL).then_some(Acknowledged(raw))
}

/// Ends an interrupt: priority drop and deactivation.
#[inline(always)]
pub fn end(acknowledged: Acknowledged) {
    match board().gic {
        GicFacts::V2 { cpu_interface, .. } => v2::end(cpu_interface, acknowledged.0),
        GicFacts::V3 { .. } => v3::end(acknowledged.0),
    }
}

// Offsets that GICD of both versions and the SGI frame of a redistributor share (GIC architecture, "GICD_*").
const IGROUPR: u64 = 0x80;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ISPENDR: u64 = 0x200;
const ICPENDR: u64 = 0x280;
const ISACTIVER: u64 = 0x300;
const ICACTIVER: u64 = 0x380;
const IPRIORITYR: u64 = 0x400;
const ICFGR: u64 = 0xc00;

/// Byte offset of the interrupt's word in a register with one bit each.
const fn word(intid: IntId) -> u64 {
    (intid.number() / 32 * 4) as u64
}
/// The interrupt's bit in that word.
const fn bit(intid: IntId) -> u32 {
    1 << (intid.number() % 32)
}

/// Where this interrupt's enable, pending and active bits are for this vCPU.
fn bit_block(intid: IntId) -> crate::arch::mmio::Registers {
    match board().gic {
        GicFacts::V3 { redistributors, .. } if intid.is_private() => {
            v3::sgi_frame(redistributors, board().mpidr[cpu::index()])
        }
        GicFacts::V2 { distributor, .. } | GicFacts::V3 { distributor, .. } => distributor,
    }
}
