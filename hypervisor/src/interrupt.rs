//! Physical interrupts, and the way virtual ones reach the list registers.
//!
//! The fast paths touch only this core's state: a forwarded interrupt writes its template to list register 0, an SGI
//! writes its own. Whatever they cannot do goes through [`with_vgic`]: partition lock, list registers into the model,
//! the change, the model back into list registers.

use crate::arch::{self, barrier, guest};
use crate::board_watchdog;
use crate::console;
use crate::core_local::{self, Assignment, Core, Doorbell, SGI_SENDERS};
use crate::exit::power;
use crate::fault::Place;
use crate::gic::{self, DOORBELL, Gic, MAX_LIST_REGISTERS, V2, V3};
use crate::lock::Lock;
use crate::partition::{self, Partition};
use crate::uart;
use abi::{IntId, VcpuId, machine};
use core::sync::atomic::{AtomicU32, Ordering};
use psci::PowerState;
use vgic::{Effects, ListRegister, ListRegisters, SgiTargets, Version, Vgic};

/// First INTID that is not an interrupt: 1020 to 1023, spurious among them.
const SPECIAL: u32 = 1020;

static MAINTENANCE: AtomicU32 = AtomicU32::new(25);

/// Notes the board's maintenance interrupt.
pub fn set_maintenance_intid(intid: IntId) {
    MAINTENANCE.store(intid.number(), Ordering::Relaxed);
}

/// The hottest path: a PPI of the guest becomes list register 0.
#[inline(always)]
pub fn forward<G: Gic>() {
    let acknowledged = G::acknowledge();
    let core = core_local::this();
    let intid = G::intid(acknowledged);
    if (16..32).contains(&intid) {
        let word = core.templates[intid as usize & 31].load(Ordering::Relaxed);
        if word != 0 && G::empty_list_registers() & 1 != 0 {
            G::set_list_register(0, word);
            G::drop_priority(acknowledged);
            core.counters.forwarded.count();
            return;
        }
    }
    other::<G>(core, acknowledged);
}

/// Everything but the hottest path.
#[inline(never)]
fn other<G: Gic>(core: &'static Core, acknowledged: u32) {
    take::<G>(core, acknowledged);
    if core.is_asked() {
        handle_doorbells(core);
    }
}

/// At EL2's idle loop: takes one pending interrupt, if there is one.
pub fn poll(core: &'static Core) {
    match gic::version() {
        Version::V2 => take::<V2>(core, V2::acknowledge()),
        Version::V3 => take::<V3>(core, V3::acknowledge()),
    }
}

fn take<G: Gic>(core: &'static Core, acknowledged: u32) {
    let intid = G::intid(acknowledged);
    if intid >= SPECIAL {
        return;
    }
    G::drop_priority(acknowledged);
    let is_running = core.power.state() == PowerState::On;
    match intid {
        n if n == DOORBELL.number() => {
            G::deactivate(acknowledged);
            core.counters.doorbell.count();
            // What the sender stored before it rang is read after the acknowledge, not before.
            barrier::isb();
            barrier::dsb_sy();
            take_sgis::<G>(core);
        }
        n if n == MAINTENANCE.load(Ordering::Relaxed) => {
            core.counters.maintenance.count();
            if is_running {
                refill::<G>(core);
            }
            G::deactivate(acknowledged);
        }
        n if n == uart::intid() && !console::is_taken() => {
            core.counters.own.count();
            console::uart_interrupt();
            G::deactivate(acknowledged);
        }
        n if n == machine::HYPERVISOR_TIMER.number() => {
            core.counters.own.count();
            console::timer_interrupt(core);
            board_watchdog::timer_interrupt(core);
            let ended = core.assignment.filter(|own| partition::tell_timer(own.partition, core));
            G::deactivate(acknowledged);
            if gic::needs_nudges() {
                // A deadline may have come meanwhile: such a GIC has forgotten the line that is high, unless it is
                // enabled anew. The nudges themselves hang on this timer.
                G::set_enabled(core, machine::HYPERVISOR_TIMER, true);
            }
            if let Some(Assignment { partition, .. }) = ended {
                partition.left(core, place(core));
            }
        }
        n => guest_interrupt::<G>(core, acknowledged, IntId::new(n), is_running),
    }
}

/// A physical interrupt of this core's guest that the fast path left.
fn guest_interrupt<G: Gic>(core: &'static Core, acknowledged: u32, intid: IntId, is_running: bool) {
    core.counters.forwarded.count();
    match core.assignment {
        Some(_) if is_running => {
            with_vgic::<G, _>(core, |vgic, vcpu, edge| vgic.forwarded(vcpu, intid, edge));
        }
        Some(Assignment { partition, vcpu }) if !intid.is_private() => {
            // Its vCPU is off: the model keeps it.
            partition.vgic.lock().forwarded(vcpu, intid, &mut Edge::new(partition, core) as &mut dyn Effects);
        }
        Some(_) => G::deactivate(acknowledged),
        None => {
            G::set_enabled(core, intid, false);
            G::deactivate(acknowledged);
        }
    }
}

/// SGIs that siblings left in this core's words.
fn take_sgis<G: Gic>(core: &'static Core) {
    // By number: the compiler makes three calls for a turn of an iterator here.
    for source in 0..sgi_senders::<G>(core) {
        if core.sgis[source].load(Ordering::Relaxed) != 0 {
            take_sgis_of::<G>(core, source);
        }
    }
}

#[inline(never)]
fn take_sgis_of<G: Gic>(core: &'static Core, source: usize) {
    let mut sgis = core.sgis[source].swap(0, Ordering::AcqRel);
    let source = VcpuId::new(source as u16);
    let is_running = core.power.state() == PowerState::On;
    while sgis != 0 {
        let intid = IntId::new(sgis.trailing_zeros());
        sgis &= sgis - 1;
        // ICH_ELRSR_EL2 knows of a list register written just before only after a synchronisation.
        barrier::isb();
        if !is_running || !inject_sgi::<G>(core, intid, source) {
            pend_sgi::<G>(core, intid, source);
        }
    }
}

/// How many of [`Core::sgis`] may hold something. GICv2 tells the receiver who sent an SGI, so each vCPU of the partition
/// has a word of its own; on GICv3 all share the first.
fn sgi_senders<G: Gic>(core: &'static Core) -> usize {
    match core.assignment {
        Some(Assignment { partition, .. }) if G::VERSION == Version::V2 => {
            usize::from(partition.vcpus()).min(SGI_SENDERS)
        }
        _ => 1,
    }
}

#[cold]
fn pend_sgi<G: Gic>(core: &'static Core, intid: IntId, source: VcpuId) {
    let Some(Assignment { partition, vcpu }) = core.assignment else { return };
    if core.power.state() == PowerState::On {
        with_vgic::<G, _>(core, |vgic, vcpu, edge| vgic.make_pending(vcpu, intid, source, edge));
    } else {
        // The vCPU is off: the model keeps it, list registers are filled when it starts.
        partition.vgic.lock().make_pending(vcpu, intid, source, &mut Edge::new(partition, core) as &mut dyn Effects);
    }
}

/// Writes this core's template of `intid` to an empty list register. `false`: the model must decide.
#[inline(always)]
fn inject_sgi<G: Gic>(core: &'static Core, intid: IntId, source: VcpuId) -> bool {
    let mut word = core.templates[intid.index() & 31].load(Ordering::Relaxed);
    if word == 0 {
        return false;
    }
    if G::VERSION == Version::V2 {
        // GICH_LR.CPUID.
        word |= u64::from(source.number() & 7) << 10;
    }
    let all = (1u32 << G::list_registers()) - 1;
    let empty = G::empty_list_registers() & all;
    if empty != all {
        // With something in a list register it might be this INTID, which must not stand in two.
        return empty != 0 && inject_beside::<G>(word, empty, all);
    }
    G::set_list_register(0, word);
    true
}

#[inline(never)]
fn inject_beside<G: Gic>(word: u64, empty: u32, all: u32) -> bool {
    let intid = G::decode(word).intid;
    let mut used = !empty & all;
    while used != 0 {
        let n = used.trailing_zeros() as usize;
        used &= used - 1;
        if G::decode(G::list_register(n)).intid == intid {
            return false;
        }
    }
    G::set_list_register(empty.trailing_zeros() as usize, word);
    true
}

/// Sends an SGI from this core's vCPU to `targets`, all of its own partition.
#[inline(always)]
pub fn send_sgi<G: Gic>(core: &'static Core, partition: &'static Partition, from: VcpuId, targets: SgiTargets) {
    core.counters.sgi.count();
    let intid = targets.intid;
    let word = if G::VERSION == Version::V2 { from.index() % SGI_SENDERS } else { 0 };
    for vcpu in targets {
        let Some(target) = partition.core(vcpu) else { continue };
        if core::ptr::eq(target, core) {
            if !inject_sgi::<G>(core, intid, from) {
                pend_sgi::<G>(core, intid, from);
            }
        } else if target.sgis[word].fetch_or(1 << intid.number(), Ordering::AcqRel) == 0 {
            barrier::dsb_ishst();
            G::ring(target);
        }
    }
}

/// Sends an SGI to `target`'s vCPU, as from its partition's first, from whichever core.
pub fn ring_sgi(target: &'static Core, intid: IntId) {
    if target.sgis[0].fetch_or(1 << intid.number(), Ordering::AcqRel) == 0 {
        barrier::dsb_ishst();
        gic::ring(target);
    }
}

/// Where the vCPU is that this interrupt stopped; `None` while the core idles.
fn place(core: &'static Core) -> Option<Place> {
    let is_on = core.power.state() == PowerState::On;
    // SAFETY: a core whose vCPU is on is here by an interrupt from the guest.
    is_on.then(|| Place::interrupted(unsafe { guest::interrupted_lr(core.stack_top) }))
}

/// What other cores asked of this one.
pub fn handle_doorbells(core: &'static Core) {
    let asked = core.take_doorbells();
    let is_asked = |what: Doorbell| asked & what as u32 != 0;
    if is_asked(Doorbell::Halt) {
        arch::halt();
    }
    if is_asked(Doorbell::Console) {
        console::doorbell();
    }
    if is_asked(Doorbell::Feed) {
        board_watchdog::feed(core);
    }
    let Some(Assignment { partition, vcpu }) = core.assignment else { return };
    if is_asked(Doorbell::Stop) {
        partition.left(core, place(core));
    }
    if is_asked(Doorbell::Timer) && vcpu.number() == 0 {
        partition.rearm(core);
    }
    if is_asked(Doorbell::Devices) {
        partition.look_at_devices();
    }
    let is_running = core.power.state() == PowerState::On;
    if is_asked(Doorbell::Start) && !is_running {
        power::start_here(core);
    }
    if is_asked(Doorbell::Refill) && is_running {
        refill_any(core);
    }
}

/// The model's wishes for this core's list registers.
pub fn refill<G: Gic>(core: &'static Core) {
    with_vgic::<G, _>(core, |_, _, _| ());
}

/// [`refill`], on whichever GIC the board has.
pub fn refill_any(core: &'static Core) {
    with_vgic_any(core, &mut |_, _, _| ());
}

/// Takes everything out of this core's list registers into the model, for a vCPU that stops.
pub fn release_any(core: &'static Core) {
    match gic::version() {
        Version::V2 => release::<V2>(core),
        Version::V3 => release::<V3>(core),
    }
}

fn release<G: Gic>(core: &'static Core) {
    let Some(Assignment { partition, vcpu }) = core.assignment else { return };
    let mut edge = Edge::new(partition, core);
    let mut vgic = partition.vgic.hold();
    let mut registers = ListRegisters::new(G::list_registers());
    fold::<G>(&mut vgic, vcpu, &mut registers, &mut edge);
    vgic.power_off(vcpu, &mut edge as &mut dyn Effects);
}

/// Carries the level of an emulated device's interrupt line to the vGIC of `partition`, from any core: `core` is this
/// one. A life that has ended has no lines.
pub fn set_line(core: &'static Core, partition: &'static Partition, intid: IntId, level: bool) {
    // A vCPU that is off has no list registers: the model keeps what comes.
    let is_own = core.assignment.is_some_and(|own| core::ptr::eq(own.partition, partition))
        && core.power.state() == PowerState::On;
    if is_own {
        with_vgic_any(core, &mut |vgic, _, edge| vgic.set_level(intid, level, edge));
    } else {
        partition.vgic.hold().set_level(intid, level, &mut Edge::new(partition, core) as &mut dyn Effects);
    }
}

/// An edge of an SPI that nobody's hardware drives, from a core of another partition: `core`, which is this one.
pub fn pulse(core: &'static Core, partition: &'static Partition, intid: IntId) {
    let first = VcpuId::new(0);
    partition.vgic.hold().make_pending(first, intid, first, &mut Edge::new(partition, core) as &mut dyn Effects);
}

/// [`with_vgic`] on whichever GIC the board has: for what is not frequent.
pub fn with_vgic_any(core: &'static Core, change: &mut dyn FnMut(&mut Vgic<'static>, VcpuId, &mut dyn Effects)) {
    match gic::version() {
        Version::V2 => with_vgic::<V2, _>(core, change),
        Version::V3 => with_vgic::<V3, _>(core, change),
    }
}

/// Runs `change` on the model of this core's partition with this core's list registers folded in, and refills them.
/// The model is compiled once: it sees the edge as a trait object.
#[inline(always)]
pub fn with_vgic<G: Gic, R: Default>(
    core: &'static Core,
    change: impl FnOnce(&mut Vgic<'static>, VcpuId, &mut dyn Effects) -> R,
) -> R {
    let Some(Assignment { partition, vcpu }) = core.assignment else { return R::default() };
    let mut edge = Edge::new(partition, core);
    let mut vgic = partition.vgic.lock();
    let mut registers = ListRegisters::new(G::list_registers());
    let words = fold::<G>(&mut vgic, vcpu, &mut registers, &mut edge);
    let result = change(&mut vgic, vcpu, &mut edge);
    unfold::<G>(&mut vgic, vcpu, &mut registers, &words);
    result
}

/// The list registers' words, 0 for empty ones.
type Words = [u64; MAX_LIST_REGISTERS];

#[inline(never)]
fn fold<G: Gic>(
    vgic: &mut Vgic<'static>,
    vcpu: VcpuId,
    registers: &mut ListRegisters,
    edge: &mut dyn Effects,
) -> Words {
    let words = read_list_registers::<G>(registers);
    vgic.sync(vcpu, registers, G::take_eoi_count(), edge);
    words
}

#[inline(never)]
fn unfold<G: Gic>(vgic: &mut Vgic<'static>, vcpu: VcpuId, registers: &mut ListRegisters, words: &Words) {
    let maintenance = vgic.refill(vcpu, registers);
    for (n, before) in words.iter().enumerate().take(registers.len()) {
        let word = G::encode(registers.get(n));
        if word != *before {
            G::set_list_register(n, word);
        }
    }
    G::set_maintenance(maintenance);
}

fn read_list_registers<G: Gic>(registers: &mut ListRegisters) -> Words {
    let mut words = [0; MAX_LIST_REGISTERS];
    // As in `take_sgis`: an exit may have written list registers before it reads them.
    barrier::isb();
    let empty = G::empty_list_registers();
    for (n, word) in words.iter_mut().enumerate().take(registers.len()) {
        if empty >> n & 1 == 0 {
            *word = G::list_register(n);
            registers.set(n, G::decode(*word));
        }
    }
    words
}

/// Carries the model's wishes to the hardware, for one partition, from one core.
pub struct Edge {
    partition: &'static Partition,
    here: &'static Core,
}

impl Edge {
    /// For a change made on core `here`.
    pub fn new(partition: &'static Partition, here: &'static Core) -> Self {
        Self { partition, here }
    }
}

impl Effects for Edge {
    fn template(&mut self, vcpu: VcpuId, intid: IntId, register: Option<ListRegister>) {
        let is_here = |own: Assignment| own.vcpu == vcpu && core::ptr::eq(own.partition, self.partition);
        // Mostly it is this core's vCPU, and a start or a stop tells all of its templates: no look-up then.
        let core = if self.here.assignment.is_some_and(is_here) { Some(self.here) } else { self.partition.core(vcpu) };
        if let Some(slot) = core.and_then(|core| core.templates.get(intid.index())) {
            slot.store(register.map_or(0, gic::encode), Ordering::Relaxed);
        }
    }
    fn physical_enable(&mut self, vcpu: VcpuId, physical: IntId, enabled: bool) {
        if let Some(core) = self.partition.core(vcpu) {
            gic::set_enabled(core, physical, enabled);
        }
    }
    fn physical_deactivate(&mut self, vcpu: VcpuId, physical: IntId) {
        if physical.is_private() && self.partition.core(vcpu).is_none_or(|core| core.id != self.here.id) {
            // ICC_DIR and GICC_DIR act on this core's private interrupts only; the distributor's clear-active
            // register reaches another's on GICv3, and on GICv2 no guest can ask for another vCPU's.
            if let Some(core) = self.partition.core(vcpu) {
                gic::forget(core, physical);
            }
            return;
        }
        gic::deactivate(physical.number());
    }
    fn physical_route(&mut self, physical: IntId, vcpu: VcpuId) {
        if let Some(core) = self.partition.core(vcpu) {
            gic::route(core, physical);
        }
    }
    fn kick(&mut self, vcpu: VcpuId) {
        if let Some(core) = self.partition.core(vcpu).filter(|core| core.id != self.here.id) {
            core.ask(Doorbell::Refill, gic::ring);
        }
    }
}
