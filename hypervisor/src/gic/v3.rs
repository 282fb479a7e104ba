//! GICv3 hardware (Arm IHI 0069): distributor, this core's redistributor, system-register CPU interface, and the
//! virtual interface ICH_*. No LPIs, no ITS.

use super::{DOORBELL, Gic, MAX_LIST_REGISTERS, PRIORITY, ReadOnly, ReadWrite};
use crate::arch::barrier;
use crate::arch::sysreg::{
    ICC_BPR1_EL1, ICC_CTLR1_EL1, ICC_DIR_EL1, ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_SGI1R_EL1,
    ICC_SRE_EL1, ICH_ELRSR_EL2,
};
use crate::core_local::Core;
use crate::memory;
use aarch64_cpu::registers::*;
use abi::IntId;
use core::sync::atomic::{AtomicUsize, Ordering};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use vgic::{ListRegister, Maintenance, Version};

register_structs! {
    /// GICD_*: the registers that EL2 uses.
    Distributor {
        (0x0000 => ctlr: ReadWrite<u32>),
        (0x0004 => typer: ReadOnly<u32>),
        (0x0008 => _reserved0),
        (0x0080 => igroupr: [ReadWrite<u32>; 32]),
        (0x0100 => isenabler: [ReadWrite<u32>; 32]),
        (0x0180 => icenabler: [ReadWrite<u32>; 32]),
        (0x0200 => _ispendr: [ReadWrite<u32>; 32]),
        (0x0280 => icpendr: [ReadWrite<u32>; 32]),
        (0x0300 => _isactiver: [ReadWrite<u32>; 32]),
        (0x0380 => icactiver: [ReadWrite<u32>; 32]),
        (0x0400 => ipriorityr: [ReadWrite<u32>; 256]),
        (0x0800 => _reserved1),
        (0x0c00 => icfgr: [ReadWrite<u32>; 64]),
        (0x0d00 => _reserved2),
        (0x6000 => irouter: [ReadWrite<u64>; 1024]),
        (0x8000 => @END),
    }
}
register_structs! {
    /// GICR_*: RD frame and SGI frame of one core.
    Redistributor {
        (0x0_0000 => ctlr: ReadWrite<u32>),
        (0x0_0004 => _reserved0),
        (0x0_0008 => typer: ReadOnly<u64>),
        (0x0_0010 => _reserved1),
        (0x0_0014 => waker: ReadWrite<u32>),
        (0x0_0018 => _reserved2),
        (0x1_0080 => igroupr0: ReadWrite<u32>),
        (0x1_0084 => _reserved3),
        (0x1_0100 => isenabler0: ReadWrite<u32>),
        (0x1_0104 => _reserved4),
        (0x1_0180 => icenabler0: ReadWrite<u32>),
        (0x1_0184 => _reserved5),
        (0x1_0200 => ispendr0: ReadOnly<u32>),
        (0x1_0204 => _reserved9),
        (0x1_0280 => icpendr0: ReadWrite<u32>),
        (0x1_0284 => _reserved6),
        (0x1_0380 => icactiver0: ReadWrite<u32>),
        (0x1_0384 => _reserved7),
        (0x1_0400 => ipriorityr: [ReadWrite<u32>; 8]),
        (0x1_0420 => _reserved8),
        (0x2_0000 => @END),
    }
}

const REDISTRIBUTOR_BYTES: u64 = 0x2_0000;
/// GICD_CTLR: ARE_NS, EnableGrp1A, EnableGrp1 (the non-secure view; with one security state, ARE and both groups).
const CTLR_ON: u32 = 0x13;
const CTLR_RWP: u32 = 1 << 31;
/// GICR_CTLR.RWP.
const GICR_RWP: u32 = 1 << 3;
/// Bounded waits: the GIC clears these bits within microseconds.
const PATIENCE: u32 = 1_000_000;

static GICD: AtomicUsize = AtomicUsize::new(0);
static GICR: AtomicUsize = AtomicUsize::new(0);
static GICR_END: AtomicUsize = AtomicUsize::new(0);
static LIST_REGISTERS: AtomicUsize = AtomicUsize::new(0);

fn distributor() -> &'static Distributor {
    // SAFETY: init_distributor mapped 64 KiB of distributor there as device memory before anyone calls this.
    unsafe { &*(GICD.load(Ordering::Relaxed) as *const Distributor) }
}

fn redistributor(core: &Core) -> &'static Redistributor {
    // SAFETY: init_core mapped this core's two frames there as device memory before anyone calls this.
    unsafe { &*(core.redistributor.load(Ordering::Relaxed) as *const Redistributor) }
}

fn wait_for(mut done: impl FnMut() -> bool, what: &str) {
    for _ in 0..PATIENCE {
        if done() {
            return;
        }
    }
    panic!("GICv3: {what} does not finish");
}

macro_rules! list_registers {
    ($($n:literal $register:ident)*) => {
        #[inline(always)]
        fn read_list_register(n: usize) -> u64 {
            match n { $($n => $register.get(),)* _ => 0 }
        }
        #[inline(always)]
        fn write_list_register(n: usize, word: u64) {
            match n { $($n => $register.set(word),)* _ => {} }
        }
    };
}
list_registers! {
    0 ICH_LR0_EL2 1 ICH_LR1_EL2 2 ICH_LR2_EL2 3 ICH_LR3_EL2 4 ICH_LR4_EL2 5 ICH_LR5_EL2 6 ICH_LR6_EL2 7 ICH_LR7_EL2
    8 ICH_LR8_EL2 9 ICH_LR9_EL2 10 ICH_LR10_EL2 11 ICH_LR11_EL2 12 ICH_LR12_EL2 13 ICH_LR13_EL2 14 ICH_LR14_EL2
    15 ICH_LR15_EL2
}

/// GICv3.
pub struct V3;

impl Gic for V3 {
    const VERSION: Version = Version::V3;

    fn init_distributor(facts: &manifest::Gic) {
        let facts = facts.v3.expect("found on this board");
        GICD.store(memory::map_device(facts.gicd, 0x1_0000), Ordering::Relaxed);
        GICR.store(facts.gicr.as_u64() as usize, Ordering::Relaxed);
        GICR_END.store((facts.gicr.as_u64() + facts.gicr_size) as usize, Ordering::Relaxed);
        let gicd = distributor();
        gicd.ctlr.set(0);
        wait_for(|| gicd.ctlr.get() & CTLR_RWP == 0, "GICD_CTLR.RWP");
        let words = (gicd.typer.get() as usize & 0x1f) + 1;
        for word in 1..words {
            gicd.icenabler[word].set(!0);
            gicd.icpendr[word].set(!0);
            gicd.icactiver[word].set(!0);
            gicd.igroupr[word].set(!0);
        }
        for word in 8..words * 8 {
            gicd.ipriorityr[word].set(PRIORITY * 0x0101_0101);
        }
        gicd.ctlr.set(CTLR_ON);
        wait_for(|| gicd.ctlr.get() & CTLR_RWP == 0, "GICD_CTLR.RWP");
    }

    fn init_core(core: &'static Core, maintenance: IntId) {
        let affinity = core.mpidr & 0xff_ffff | (core.mpidr >> 32 & 0xff) << 24;
        let mut at = GICR.load(Ordering::Relaxed);
        let found = loop {
            if at + REDISTRIBUTOR_BYTES as usize > GICR_END.load(Ordering::Relaxed) {
                panic!("GICv3: no redistributor for {} (MPIDR {:#x})", core.id, core.mpidr);
            }
            let va = memory::map_device(addr::Pa::new(at as u64), REDISTRIBUTOR_BYTES);
            core.redistributor.store(va as u64, Ordering::Relaxed);
            if redistributor(core).typer.get() >> 32 == affinity {
                break redistributor(core);
            }
            at += REDISTRIBUTOR_BYTES as usize;
        };
        found.waker.set(found.waker.get() & !2);
        wait_for(|| found.waker.get() & 4 == 0, "GICR_WAKER.ChildrenAsleep");
        found.icenabler0.set(!0);
        found.icactiver0.set(!0);
        found.icpendr0.set(!0);
        found.igroupr0.set(!0);
        for word in &found.ipriorityr {
            word.set(PRIORITY * 0x0101_0101);
        }
        found.isenabler0.set(1 << DOORBELL.number() | 1 << maintenance.number());

        ICC_SRE_EL2.set(0xf);
        barrier::isb();
        ICC_SRE_EL1.set(7);
        ICC_PMR_EL1.set(0xf8);
        ICC_BPR1_EL1.set(0);
        ICC_CTLR1_EL1.set(1 << 1);
        ICC_IGRPEN1_EL1.set(1);
        barrier::isb();
        LIST_REGISTERS.store((ICH_VTR_EL2.get() as usize & 0x1f) + 1, Ordering::Relaxed);
        Self::reset_vcpu();
        // Aff3.Aff2.Aff1 and the target list of ICC_SGI1R_EL1; targets of one write share 16 Aff0 values.
        let (aff0, aff1, aff2, aff3) =
            (core.mpidr & 0xff, core.mpidr >> 8 & 0xff, core.mpidr >> 16 & 0xff, core.mpidr >> 32 & 0xff);
        let target = aff3 << 48 | (aff0 >> 4) << 44 | aff2 << 32 | aff1 << 16 | 1 << (aff0 & 15);
        core.doorbell_target.store(target | u64::from(DOORBELL.number()) << 24, Ordering::Relaxed);
    }

    #[inline(always)]
    fn acknowledge() -> u32 {
        ICC_IAR1_EL1.get() as u32
    }
    #[inline(always)]
    fn intid(acknowledged: u32) -> u32 {
        acknowledged
    }
    #[inline(always)]
    fn drop_priority(acknowledged: u32) {
        ICC_EOIR1_EL1.set(u64::from(acknowledged));
    }
    fn deactivate(acknowledged: u32) {
        ICC_DIR_EL1.set(u64::from(acknowledged));
    }
    #[inline(always)]
    fn ring(core: &'static Core) {
        ICC_SGI1R_EL1.set(core.doorbell_target.load(Ordering::Relaxed));
        barrier::isb();
    }

    fn list_registers() -> usize {
        LIST_REGISTERS.load(Ordering::Relaxed)
    }
    #[inline(always)]
    fn empty_list_registers() -> u32 {
        ICH_ELRSR_EL2.get() as u32
    }
    #[inline(always)]
    fn list_register(n: usize) -> u64 {
        read_list_register(n)
    }
    #[inline(always)]
    fn set_list_register(n: usize, word: u64) {
        write_list_register(n, word);
    }
    fn encode(register: ListRegister) -> u64 {
        register.to_v3()
    }
    fn decode(word: u64) -> ListRegister {
        ListRegister::from_v3(word)
    }
    fn take_eoi_count() -> u8 {
        let hcr = ICH_HCR_EL2.get();
        ICH_HCR_EL2.set(hcr & !(0x1f << 27));
        (hcr >> 27) as u8 & 0x1f
    }
    fn set_maintenance(wanted: Maintenance) {
        // En, NPIE, LRENPIE: refill leaves something pending whenever it asks for `underflow`.
        ICH_HCR_EL2.set(1 | u64::from(wanted.underflow) << 3 | u64::from(wanted.eoi_without_register) << 2);
    }
    fn reset_vcpu() {
        ICH_HCR_EL2.set(0);
        for n in 0..Self::list_registers().min(MAX_LIST_REGISTERS) {
            write_list_register(n, 0);
        }
        // PREbits + 1 bits of active priorities: 32 to a register.
        let registers = 1 << ((ICH_VTR_EL2.get() >> 26 & 7).saturating_sub(4));
        for n in 0..registers {
            match n {
                0 => {
                    ICH_AP0R0_EL2.set(0);
                    ICH_AP1R0_EL2.set(0);
                }
                1 => {
                    ICH_AP0R1_EL2.set(0);
                    ICH_AP1R1_EL2.set(0);
                }
                2 => {
                    ICH_AP0R2_EL2.set(0);
                    ICH_AP1R2_EL2.set(0);
                }
                _ => {
                    ICH_AP0R3_EL2.set(0);
                    ICH_AP1R3_EL2.set(0);
                }
            }
        }
        ICH_VMCR_EL2.set(0);
        ICC_SRE_EL1.set(7);
        ICH_HCR_EL2.set(1);
        barrier::isb();
    }

    fn set_enabled(core: &'static Core, intid: IntId, enabled: bool) {
        let bit = 1 << (intid.number() % 32);
        if intid.is_private() {
            let gicr = redistributor(core);
            if enabled { gicr.isenabler0.set(bit) } else { gicr.icenabler0.set(bit) }
        } else if let Some(word) = Some(intid.index() / 32).filter(|word| *word < 32) {
            let gicd = distributor();
            if enabled { gicd.isenabler[word].set(bit) } else { gicd.icenabler[word].set(bit) }
        }
    }
    fn forget(core: &'static Core, intid: IntId) {
        let bit = 1 << (intid.number() % 32);
        if intid.is_private() {
            let gicr = redistributor(core);
            gicr.icactiver0.set(bit);
            gicr.icpendr0.set(bit);
        } else if let Some(word) = Some(intid.index() / 32).filter(|word| *word < 32) {
            // Where it was disabled just before, no core takes it any more once that has had its effect.
            wait_for(|| distributor().ctlr.get() & CTLR_RWP == 0, "GICD_CTLR.RWP");
            distributor().icactiver[word].set(bit);
            distributor().icpendr[word].set(bit);
        }
    }
    fn clear_private(core: &'static Core, intids: u32) {
        let gicr = redistributor(core);
        gicr.icenabler0.set(intids);
        wait_for(|| gicr.ctlr.get() & GICR_RWP == 0, "GICR_CTLR.RWP");
        gicr.icactiver0.set(intids);
        gicr.icpendr0.set(intids);
    }
    fn pending_private(core: &'static Core) -> u32 {
        redistributor(core).ispendr0.get()
    }
    fn route(core: &'static Core, intid: IntId) {
        if let Some(router) = distributor().irouter.get(intid.index()) {
            router.set(core.mpidr & 0xff_00ff_ffff);
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
