//! GICv2 hardware with virtualization extensions (Arm IHI 0048): GICD, GICC, and the virtual interface GICH. The
//! guest's CPU interface GICV is mapped into its stage 2, so acknowledging and ending interrupts never traps.
//!
//! Boards show it in two ways, and every write here is right for both. With security extensions EL2 is on the
//! non-secure side: firmware has put the interrupts into group 1, IGROUPR and what is in group 0 read as zero, the
//! control registers are the non-secure copies, and priorities are shifted (sections 4.3 and 4.4, 3.8.3). Without them
//! (as in QEMU) everything shows, and all interrupts are kept in group 0.

use super::{DOORBELL, Gic, PRIORITY, ReadOnly, ReadWrite, WriteOnly};
use crate::arch::barrier;
use crate::arch::sysreg::{CNTHP_CTL_EL2, CNTHP_CVAL_EL2};
use crate::core_local::{self, Core};
use crate::memory;
use abi::{IntId, machine};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use vgic::{ListRegister, Maintenance, Version};

register_structs! {
    /// GICD_*: the registers that EL2 uses. Those of INTIDs below 32 are banked by core.
    Distributor {
        (0x000 => ctlr: ReadWrite<u32>),
        (0x004 => typer: ReadOnly<u32>),
        (0x008 => _reserved0),
        (0x080 => igroupr: [ReadWrite<u32>; 32]),
        (0x100 => isenabler: [ReadWrite<u32>; 32]),
        (0x180 => icenabler: [ReadWrite<u32>; 32]),
        (0x200 => ispendr: [ReadWrite<u32>; 32]),
        (0x280 => icpendr: [ReadWrite<u32>; 32]),
        (0x300 => _isactiver: [ReadWrite<u32>; 32]),
        (0x380 => icactiver: [ReadWrite<u32>; 32]),
        (0x400 => ipriorityr: [ReadWrite<u32>; 256]),
        (0x800 => itargetsr: [ReadWrite<u8>; 1024]),
        (0xc00 => icfgr: [ReadWrite<u32>; 64]),
        (0xd00 => _reserved1),
        (0xf00 => sgir: WriteOnly<u32>),
        (0xf04 => _reserved2),
        (0x1000 => @END),
    }
}
register_structs! {
    /// GICC_*.
    CpuInterface {
        (0x0000 => ctlr: ReadWrite<u32>),
        (0x0004 => pmr: ReadWrite<u32>),
        (0x0008 => bpr: ReadWrite<u32>),
        (0x000c => iar: ReadOnly<u32>),
        (0x0010 => eoir: WriteOnly<u32>),
        (0x0014 => _reserved0),
        (0x1000 => dir: WriteOnly<u32>),
        (0x1004 => _reserved1),
        (0x2000 => @END),
    }
}
register_structs! {
    /// GICH_*.
    VirtualInterface {
        (0x000 => hcr: ReadWrite<u32>),
        (0x004 => vtr: ReadOnly<u32>),
        (0x008 => vmcr: ReadWrite<u32>),
        (0x00c => _reserved0),
        (0x030 => elsr: [ReadOnly<u32>; 2]),
        (0x038 => _reserved1),
        (0x0f0 => apr: ReadWrite<u32>),
        (0x0f4 => _reserved2),
        (0x100 => lr: [ReadWrite<u32>; 64]),
        (0x200 => @END),
    }
}

/// GICD_CTLR and GICC_CTLR with group 1 enabled, from the non-secure side and, without security extensions, both
/// groups; GICC: EOImodeNS of both views (bits 9 and 10).
const GICD_ON: u32 = 3;
const GICC_ON: u32 = 3 | 1 << 9 | 1 << 10;

static GICD: AtomicUsize = AtomicUsize::new(0);
static GICC: AtomicUsize = AtomicUsize::new(0);
static GICH: AtomicUsize = AtomicUsize::new(0);
static GICV: AtomicUsize = AtomicUsize::new(0);
static LIST_REGISTERS: AtomicUsize = AtomicUsize::new(0);
static LOSES_LEVELS: AtomicBool = AtomicBool::new(false);

fn distributor() -> &'static Distributor {
    // SAFETY: init_distributor mapped the block there as device memory before anyone calls this.
    unsafe { &*(GICD.load(Ordering::Relaxed) as *const Distributor) }
}
#[inline(always)]
fn interface() -> &'static CpuInterface {
    // SAFETY: as above.
    unsafe { &*(GICC.load(Ordering::Relaxed) as *const CpuInterface) }
}
#[inline(always)]
fn virtual_interface() -> &'static VirtualInterface {
    // SAFETY: as above.
    unsafe { &*(GICH.load(Ordering::Relaxed) as *const VirtualInterface) }
}

/// Whether this GIC forgets an interrupt line that is still high when a list register's end of interrupt deactivates
/// it: the architecture makes it pending again (IHI 0048, 3.2.4), QEMU's model only when something else touches the
/// distributor. Tried out with EL2's own timer and the virtual CPU interface, on the boot core, before any guest.
fn loses_levels(gicv: &CpuInterface) -> bool {
    const TIMER: u32 = machine::HYPERVISOR_TIMER.number();
    let (gicd, gicc, gich) = (distributor(), interface(), virtual_interface());
    CNTHP_CVAL_EL2.set(0);
    CNTHP_CTL_EL2.set(1);
    gicd.isenabler[0].set(1 << TIMER);
    barrier::dsb_sy();
    let mut is_lost = false;
    if gicc.iar.get() & 0x3ff == TIMER {
        gicc.eoir.set(TIMER);
        // Pending, hardware, priority 0.
        gich.lr[0].set(1 << 31 | 1 << 28 | TIMER << 10 | TIMER);
        gicv.pmr.set(0xf8);
        gicv.ctlr.set(1);
        gicv.eoir.set(gicv.iar.get());
        barrier::dsb_sy();
        barrier::isb();
        is_lost = barrier::pending_interrupts() & 1 << 7 == 0;
    }
    CNTHP_CTL_EL2.set(0);
    gicd.icenabler[0].set(1 << TIMER);
    gicd.icactiver[0].set(1 << TIMER);
    gicd.icpendr[0].set(1 << TIMER);
    gicv.ctlr.set(0);
    is_lost
}

/// GICv2.
pub struct V2;

impl Gic for V2 {
    const VERSION: Version = Version::V2;

    fn init_distributor(facts: &manifest::Gic) {
        let facts = facts.v2.expect("found on this board");
        GICD.store(memory::map_device(facts.gicd, 0x1000), Ordering::Relaxed);
        GICC.store(memory::map_device(facts.gicc, 0x2000), Ordering::Relaxed);
        GICH.store(memory::map_device(facts.gich, 0x1000), Ordering::Relaxed);
        GICV.store(memory::map_device(facts.gicv, 0x2000), Ordering::Relaxed);
        let gicd = distributor();
        gicd.ctlr.set(0);
        let words = (gicd.typer.get() as usize & 0x1f) + 1;
        for word in 1..words {
            gicd.icenabler[word].set(!0);
            gicd.icpendr[word].set(!0);
            gicd.icactiver[word].set(!0);
            gicd.igroupr[word].set(0);
        }
        for word in 8..words * 8 {
            gicd.ipriorityr[word].set(PRIORITY * 0x0101_0101);
        }
        gicd.ctlr.set(GICD_ON);
    }

    fn init_core(core: &'static Core, maintenance: IntId) {
        let gicd = distributor();
        gicd.icenabler[0].set(!0);
        gicd.icactiver[0].set(!0);
        gicd.icpendr[0].set(0xffff_0000);
        gicd.igroupr[0].set(0);
        for word in &gicd.ipriorityr[..8] {
            word.set(PRIORITY * 0x0101_0101);
        }
        // What is secure reads as zero: nobody has moved this core's interrupts to group 1, and none would ever come.
        assert!(gicd.ipriorityr[0].get() != 0, "GICv2: all interrupts are secure");
        // ITARGETSR0 reads as this core's own bit (IHI 0048 4.3.12).
        core.doorbell_target.store(u64::from(gicd.itargetsr[0].get()) << 16, Ordering::Relaxed);
        gicd.isenabler[0].set(1 << DOORBELL.number() | 1 << maintenance.number());
        let gicc = interface();
        gicc.pmr.set(0xf8);
        gicc.bpr.set(0);
        gicc.ctlr.set(GICC_ON);
        LIST_REGISTERS.store((virtual_interface().vtr.get() as usize & 0x3f) + 1, Ordering::Relaxed);
        Self::reset_vcpu();
        // SAFETY: init_distributor mapped the block there as device memory.
        let gicv = unsafe { &*(GICV.load(Ordering::Relaxed) as *const CpuInterface) };
        LOSES_LEVELS.fetch_or(loses_levels(gicv), Ordering::Relaxed);
        Self::reset_vcpu();
    }

    fn needs_nudges() -> bool {
        LOSES_LEVELS.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn acknowledge() -> u32 {
        interface().iar.get()
    }
    #[inline(always)]
    fn intid(acknowledged: u32) -> u32 {
        acknowledged & 0x3ff
    }
    #[inline(always)]
    fn drop_priority(acknowledged: u32) {
        interface().eoir.set(acknowledged);
    }
    fn deactivate(acknowledged: u32) {
        interface().dir.set(acknowledged);
    }
    #[inline(always)]
    fn ring(core: &'static Core) {
        distributor().sgir.set(core.doorbell_target.load(Ordering::Relaxed) as u32 | DOORBELL.number());
    }

    fn list_registers() -> usize {
        LIST_REGISTERS.load(Ordering::Relaxed).min(super::MAX_LIST_REGISTERS)
    }
    #[inline(always)]
    fn empty_list_registers() -> u32 {
        virtual_interface().elsr[0].get()
    }
    #[inline(always)]
    fn list_register(n: usize) -> u64 {
        virtual_interface().lr.get(n).map_or(0, |lr| u64::from(lr.get()))
    }
    #[inline(always)]
    fn set_list_register(n: usize, word: u64) {
        if let Some(lr) = virtual_interface().lr.get(n) {
            lr.set(word as u32);
        }
    }
    fn encode(register: ListRegister) -> u64 {
        u64::from(register.to_v2())
    }
    fn decode(word: u64) -> ListRegister {
        ListRegister::from_v2(word as u32)
    }
    fn take_eoi_count() -> u8 {
        let gich = virtual_interface();
        let hcr = gich.hcr.get();
        gich.hcr.set(hcr & !(0x1f << 27));
        (hcr >> 27) as u8
    }
    fn set_maintenance(wanted: Maintenance) {
        // En, NPIE, LRENPIE: refill leaves something pending whenever it asks for `underflow`.
        virtual_interface().hcr.set(1 | u32::from(wanted.underflow) << 3 | u32::from(wanted.eoi_without_register) << 2);
    }
    fn reset_vcpu() {
        let gich = virtual_interface();
        gich.hcr.set(0);
        for n in 0..Self::list_registers() {
            Self::set_list_register(n, 0);
        }
        gich.apr.set(0);
        gich.vmcr.set(0);
        gich.hcr.set(1);
        barrier::dsb_sy();
    }

    fn set_enabled(core: &'static Core, intid: IntId, enabled: bool) {
        if is_banked_elsewhere(core, intid) {
            return;
        }
        let bit = 1 << (intid.number() % 32);
        let word = intid.index() / 32 % 32;
        let gicd = distributor();
        if enabled { gicd.isenabler[word].set(bit) } else { gicd.icenabler[word].set(bit) }
    }
    fn forget(core: &'static Core, intid: IntId) {
        if is_banked_elsewhere(core, intid) {
            return;
        }
        let bit = 1 << (intid.number() % 32);
        let word = intid.index() / 32 % 32;
        distributor().icactiver[word].set(bit);
        distributor().icpendr[word].set(bit);
    }
    fn clear_private(_core: &'static Core, intids: u32) {
        // Banked: this core's own. GICv2 has no RWP bit, its writes are done when the bus says so (IHI 0048, 4.1.4).
        let gicd = distributor();
        gicd.icenabler[0].set(intids);
        barrier::dsb_sy();
        gicd.icactiver[0].set(intids);
        gicd.icpendr[0].set(intids);
    }
    fn pending_private(_core: &'static Core) -> u32 {
        distributor().ispendr[0].get()
    }
    fn route(core: &'static Core, intid: IntId) {
        if let Some(target) = distributor().itargetsr.get(intid.index()) {
            target.set((core.doorbell_target.load(Ordering::Relaxed) >> 16) as u8);
        }
    }
    fn set_level_sensitive(intid: IntId, level: bool) {
        if let Some(word) = distributor().icfgr.get(intid.index() / 16) {
            let bit = 2 << (intid.number() % 16 * 2);
            let rest = word.get() & !bit;
            word.set(if level { rest } else { rest | bit });
        }
    }
}

/// Whether `intid` is a private interrupt of another core than this one, which only that core can reach (IHI 0048,
/// "register banking"). Guests reach their own vCPU's only; a life that begins finds them as `vcpu::wipe` left them.
fn is_banked_elsewhere(core: &Core, intid: IntId) -> bool {
    intid.is_private() && !core::ptr::eq(core, core_local::this())
}
