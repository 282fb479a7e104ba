//! A partition's life after life: carries out what `life` decides.
//!
//! Whoever learns that something happened (a core that leaves the guest, a key, a timer, the loader) [`tell`]s it; the
//! answer is carried out at once, under the lock, so that no core can be asked to stop a life that is over. What takes
//! time happens elsewhere and is told when it is done: cores leave by doorbell, [`crate::load`] works from the cores'
//! idle loop. Nothing here runs on a core of another partition, except a key's decision on the console core: what the
//! service partition says of a device is a doorbell, too.
//!
//! [`tell`]: Partition::tell

use super::Partition;
use crate::arch::{barrier, tlb};
use crate::core_local::{self, Core, Doorbell};
use crate::fault::{self, Cause, Faults, Place};
use crate::gic;
use crate::interrupt::Edge;
use crate::load::Job;
use crate::lock::Lock;
use crate::timer::{self, Slot};
use crate::virtio::{self, Served};
use crate::{console, memory, service, vcpu};
use aarch64_cpu::registers::VTTBR_EL2;
use abi::{Policy, VcpuId};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub use life::State;
use life::{Action, Event, Life, Reason, Refused, Why};
use spin::mutex::SpinMutex;
use tock_registers::interfaces::{Readable, Writeable};
use vgic::Effects;

/// How long a core may take to answer its doorbell, in milliseconds: it is in the guest, where nothing masks it, or in a
/// piece of EL2 that ends.
pub const ANSWER_MS: u32 = 20;

/// A partition's lives.
pub struct Lives {
    status: SpinMutex<Status>,
    /// Cores that have not left this life yet.
    leaving: AtomicU32,
    /// The tick at which [`Action::Wait`] ends.
    wake_at: AtomicU64,
    /// The devices know that this life has ended.
    has_told_devices: AtomicBool,
    /// Its stage 2 was taken away.
    is_cut: AtomicBool,
    /// What ended lives that were not meant to end.
    pub faults: Faults,
}

struct Status {
    life: Life,
    /// Why it stays stopped.
    why: Option<Why>,
    /// What ended this life, and the vCPU that it happened on.
    cause: Option<(Cause, VcpuId)>,
    /// At which tick.
    ended_at: u64,
}

impl Lives {
    /// None yet.
    pub const fn new(policy: Policy) -> Self {
        Self {
            status: SpinMutex::new(Status { life: Life::new(policy), why: None, cause: None, ended_at: 0 }),
            leaving: AtomicU32::new(0),
            wake_at: AtomicU64::new(u64::MAX),
            has_told_devices: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            faults: Faults::new(),
        }
    }
}

/// What `Ctrl-T s` says of a partition's lives.
pub struct History {
    state: State,
    restarts: u32,
    faults: u32,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, restarts, faults } = self;
        write!(f, "{}: {} restarts, {} faults", state.name(), u64::from(*restarts), u64::from(*faults))
    }
}

impl Partition {
    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.lives.status.hold().life.state()
    }
    /// Its lives so far.
    pub fn history(&self) -> History {
        let life = &self.lives.status.hold().life;
        History { state: life.state(), restarts: life.restarts(), faults: self.lives.faults.count() }
    }
    /// What ended lives that were not meant to end.
    pub fn faults(&self) -> &Faults {
        &self.lives.faults
    }

    /// Lives after the first.
    pub fn restarts(&self) -> u64 {
        u64::from(self.lives.status.hold().life.restarts())
    }

    /// Tells what happened, and carries out what follows.
    ///
    /// # Errors
    /// A key that makes no sense now.
    pub fn tell(&'static self, event: Event) -> Result<(), Refused> {
        self.tell_cause(event, None)
    }

    /// This life ends for `cause`, which happened on `vcpu`. The caller's core, if it is one of the partition's, leaves
    /// next ([`Partition::left`]).
    pub fn end(&'static self, reason: Reason, cause: Cause, vcpu: VcpuId) {
        // Only keys are refused.
        let _ = self.tell_cause(Event::Ended(reason), Some((cause, vcpu)));
    }

    fn tell_cause(&'static self, event: Event, cause: Option<(Cause, VcpuId)>) -> Result<(), Refused> {
        let mut status = self.lives.status.hold();
        if event == Event::CoresLeft && !self.is_quiet() {
            return Ok(());
        }
        let number = status.life.restarts();
        let action = status.life.event(event, timer::now_ms())?;
        let first = VcpuId::new(0);
        if matches!(action, Action::StopCores) {
            status.cause = Some(cause.unwrap_or((Cause::RestartKey, first)));
            status.ended_at = timer::now();
        }
        // It counts while the end of another reason is under way, too.
        if event == Event::Ended(Reason::StopKey)
            && let Some((cause, _)) = &mut status.cause
            && (cause.is_key() || cause.is_wish())
        {
            *cause = Cause::StopKey;
        }
        let ended = match (event, action, status.why) {
            (Event::CoresLeft, Action::Clear(Why::Limit), _) => status.cause.take().map(refused),
            (Event::CoresLeft, ..) => status.cause.take(),
            // It was not to begin: no core has been in it.
            (Event::Cleared, _, Some(Why::Damaged)) => Some((Cause::Damaged, first)),
            (Event::Cleared, _, Some(Why::Unserved)) => Some((Cause::Unserved, first)),
            _ => None,
        };
        if let Some((cause, vcpu)) = ended {
            self.lives.faults.note(self, cause, vcpu, number, status.ended_at);
        }
        self.carry_out(&mut status, action);
        let is_stopped = status.life.state() == State::Stopped;
        let why = status.why.take_if(|_| is_stopped);
        drop(status);
        if let Some(why) = why {
            self.say_stopped(why);
        }
        Ok(())
    }

    fn carry_out(&'static self, status: &mut Status, action: Action) {
        match action {
            Action::None => {}
            Action::StopCores if self.lives.leaving.load(Ordering::Acquire) == 0 => {
                // It waited for its devices and was never entered.
                status.cause = None;
                if let Ok(action) = status.life.event(Event::CoresLeft, timer::now_ms()) {
                    self.carry_out(status, action);
                }
            }
            Action::StopCores => self.cores().for_each(|core| core.ask(Doorbell::Stop, gic::ring)),
            Action::Wait { ms } => {
                let number = u64::from(status.life.restarts());
                info!("partition '{}' restarts in {} ms: restart {number}", self.name(), u64::from(ms));
                self.lives.wake_at.store(timer::now() + timer::ticks(ms), Ordering::Release);
                if let Some(core) = self.core(VcpuId::new(0)) {
                    core.ask(Doorbell::Timer, gic::ring);
                }
            }
            Action::Load => self.begin(if status.life.restarts() == 0 && !scrubs_at_boot() {
                Job::LoadOnly
            } else {
                Job::ScrubAndLoad
            }),
            Action::Clear(why) => {
                status.why = Some(why);
                self.begin(Job::Scrub);
            }
            Action::Enter => self.enter_if_served(status),
        }
    }

    /// Whether no core runs in it and no device reads or writes its RAM.
    fn is_quiet(&self) -> bool {
        self.lives.leaving.load(Ordering::Acquire) == 0
            && self.lives.has_told_devices.load(Ordering::Acquire)
            && self.virtio.iter().all(virtio::Device::is_idle)
    }

    /// A device was offered, is absent, or has become quiet. A partition that waits for that has no core in its guest, and
    /// goes on by itself: on vCPU 0's core, which waits at EL2. While one has still to leave it is not asked: the last to
    /// leave counts itself out and then takes each device's lock to look at it. This change was made under that lock, before
    /// the count is read here, so one of the two sees what the other did.
    pub fn tell_of_device(&self) {
        if !self.is_silent()
            && let Some(core) = self.core(VcpuId::new(0))
        {
            core.ask(Doorbell::Devices, gic::ring);
        }
    }

    /// What [`Self::tell_of_device`] asks for. It may come late, when nothing waits any more.
    pub fn look_at_devices(&'static self) {
        let mut status = self.lives.status.hold();
        if status.life.state() == State::Loaded {
            return self.enter_if_served(&mut status);
        }
        drop(status);
        // Only keys are refused.
        let _ = self.tell(Event::CoresLeft);
    }

    fn enter_if_served(&'static self, status: &mut Status) {
        match virtio::are_served(&self.virtio) {
            Served::Yes => self.enter(status),
            Served::NotYet => {}
            Served::Never => {
                if let Ok(action) = status.life.event(Event::Unserved, timer::now_ms()) {
                    self.carry_out(status, action);
                }
            }
        }
    }

    /// Puts the cores, which wait at EL2, to work on the RAM.
    fn begin(&'static self, job: Job) {
        self.work.begin(job);
        self.cores().for_each(|core| core.ask(Doorbell::Work, gic::ring));
    }

    /// Everything outside RAM as at first boot, and vCPU 0's core into the guest. No core is in it now.
    fn enter(&'static self, status: &mut Status) {
        let here = core_local::this();
        if self.lives.is_cut.swap(false, Ordering::AcqRel) {
            self.set_stage2_valid(true);
        }
        self.cores().for_each(Core::begin_life);
        self.lives.has_told_devices.store(false, Ordering::Release);
        self.lives.leaving.store(u32::from(self.vcpus()), Ordering::Release);
        self.counter_offset.store(timer::now(), Ordering::Relaxed);
        self.terminal.reset(self.id);
        self.devices.reset();
        // After them: the console core may be late with a key or a byte for the old life, and the line it drove goes too.
        self.vgic.hold().reset(&mut Edge::new(self, here) as &mut dyn Effects);
        // The model has disabled them; what the hardware still holds of the old life goes too.
        self.spis().for_each(|intid| gic::forget(here, intid));
        if self.serves {
            service::forget(here);
        }
        // Entered is what it is as soon as nothing can keep vCPU 0 from it.
        let started = status.life.event(Event::Started, timer::now_ms());
        assert!(started.is_ok(), "a loaded partition starts");
        let number = status.life.restarts();
        if number != 0 {
            info!("partition '{}' restarts: life {}", self.name(), u64::from(number) + 1);
        }
        if let Some(core) = self.core(VcpuId::new(0)) {
            // It was off since `begin_life`.
            let _ = core.power.cpu_on(self.manifest.entry.as_u64(), self.manifest.device_tree.as_u64());
            core.ask(Doorbell::Start, gic::ring);
        }
    }

    /// This core leaves the life that ends; `place`: where its vCPU was, if it was on. The last one to leave tells.
    pub fn left(&'static self, core: &'static Core, place: Option<Place>) -> ! {
        // It was asked before anybody could leave, and may come here for another reason. Taken later, from the idle loop,
        // the bit would bring it here again, and what was asked along with it would be lost.
        core.forget_doorbells(Doorbell::Stop as u32);
        if !core.has_left.swap(true, Ordering::AcqRel) {
            fault::note_place(core, place);
            vcpu::wipe(core);
            if self.lives.leaving.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.virtio.iter().for_each(|device| device.end_life(core));
                self.release_lines(core);
                self.lives.has_told_devices.store(true, Ordering::Release);
                if self.serves {
                    service::forget(core);
                } else if !self.is_quiet() && !service::is_up() {
                    self.say_waiting();
                }
                // Only keys are refused.
                let _ = self.tell(Event::CoresLeft);
            } else {
                timer::set_in(core, Slot::Life, ANSWER_MS);
            }
        }
        vcpu::leave(core)
    }

    /// EL2's timer on this core rang for the partition's life.
    fn life_timer(&'static self, core: &'static Core) {
        let status = self.lives.status.hold();
        match status.life.state() {
            // Under the lock: the next life must not begin meanwhile and lose its stage 2.
            State::Stopping if core.has_left.load(Ordering::Acquire) && self.is_silent() => {
                self.cut_off(core, Slot::Life);
            }
            // Only vCPU 0's core waits; a stale deadline comes too early and is ignored.
            State::Crashed if timer::now() >= self.lives.wake_at.load(Ordering::Acquire) => {
                drop(status);
                // Only keys are refused.
                let _ = self.tell(Event::Waited);
            }
            _ => {}
        }
    }

    /// A key on the console core, `core`, wanted an end that should have come by now: a partition whose cores are all silent
    /// has nobody else to see it.
    pub fn see_silence(&'static self, core: &'static Core) {
        let status = self.lives.status.hold();
        let is_outside = core.assignment.is_none_or(|own| !core::ptr::eq(own.partition, self));
        if status.life.state() == State::Stopping && is_outside && self.is_silent() {
            self.cut_off(core, Slot::Silence);
        }
    }

    /// Whether a core has still to leave: what is awaited else are devices.
    fn is_silent(&self) -> bool {
        self.lives.leaving.load(Ordering::Acquire) != 0
    }

    /// A core does not answer its doorbell: without a stage 2 its next instruction is an abort to EL2, which nothing masks
    /// (Arm ARM D1.3.6). Under the life's lock, on another core; `slot` is when it looks again.
    fn cut_off(&'static self, core: &'static Core, slot: Slot) {
        if !self.lives.is_cut.swap(true, Ordering::AcqRel) {
            warn!("partition '{}': a core does not answer, its stage 2 is taken away", self.name());
            self.set_stage2_valid(false);
        }
        // The TLB operation takes its VMID from there; this core may run another guest, or may never have run one.
        let own = VTTBR_EL2.get();
        VTTBR_EL2.set(self.vttbr);
        barrier::isb();
        tlb::invalidate_guest();
        VTTBR_EL2.set(own);
        barrier::isb();
        // One that sleeps has no next instruction: let it hear the doorbell again (GICv3; on GICv2 nobody can disable it).
        for sibling in self.cores().filter(|sibling| !sibling.has_left.load(Ordering::Acquire)) {
            gic::set_enabled(sibling, gic::DOORBELL, true);
            gic::ring(sibling);
        }
        timer::set_in(core, slot, ANSWER_MS);
    }

    /// Makes every entry of the root table valid or invalid; its other bits stay.
    fn set_stage2_valid(&self, valid: bool) {
        let (root, geometry) = self.stage2;
        memory::set_table_valid(root, geometry.root_bytes() as usize / 8, valid);
    }

    fn say_waiting(&self) {
        warn!("partition '{}' waits for the service partition, which does not run", self.name());
    }

    fn say_stopped(&self, why: Why) {
        let name = self.name();
        let limit = self.manifest.policy.limit;
        match (why, limit) {
            (Why::Limit, Some(limit)) => {
                let (restarts, seconds) = (u64::from(limit.restarts), u64::from(limit.window_ms / 1000));
                error!("partition '{name}' stopped: {restarts} restarts in {seconds} s: restart_limit");
            }
            (why, _) => info!("partition '{name}' stopped: {}", words(why)),
        }
        if self.serves {
            let waits = |state| matches!(state, State::Loaded | State::Stopping);
            super::all().iter().filter(|other| waits(other.state())).for_each(|other| other.say_waiting());
        }
        if super::all_stopped() {
            console::all_stopped();
        }
    }
}

/// What ends a life of which `restart_limit` allows no other: the guest's wish was to come back.
const fn refused((cause, vcpu): (Cause, VcpuId)) -> (Cause, VcpuId) {
    (if cause.is_wish() { Cause::Limit } else { cause }, vcpu)
}

const fn words(why: Why) -> &'static str {
    match why {
        Why::Off => "switched off",
        Why::Reset => "reset, on_reset = \"stop\"",
        Why::Crash => "crashed, on_crash = \"stop\"",
        Why::Key => "by key",
        Why::Damaged => Cause::Damaged.text(),
        Why::Limit => Cause::Limit.text(),
        Why::Unserved => Cause::Unserved.text(),
    }
}

fn scrubs_at_boot() -> bool {
    super::system().is_some_and(|system| system.scrub_at_boot)
}

/// EL2's timer rang on `core`, one of the partition's. Whether the life is over, so that the core must leave.
pub fn tell_timer(partition: &'static Partition, core: &'static Core) -> bool {
    if timer::take_due(core, Slot::Life) {
        partition.life_timer(core);
    }
    if timer::take_due(core, Slot::Watchdog) && partition.state() == State::Running && partition.watchdog_expired(core)
    {
        partition.end(Reason::Watchdog, Cause::Watchdog, VcpuId::new(0));
        return true;
    }
    false
}

impl Partition {
    /// Another core changed a deadline that this core, vCPU 0's, keeps.
    pub fn rearm(&'static self, core: &'static Core) {
        match self.state() {
            State::Crashed => timer::set(core, Slot::Life, self.lives.wake_at.load(Ordering::Acquire)),
            State::Running => self.arm_watchdog(core),
            _ => {}
        }
    }
}

impl Core {
    /// Nothing of an earlier life is left in what other cores tell this one.
    fn begin_life(&'static self) {
        self.sgis.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.forget_doorbells(Doorbell::Refill as u32 | Doorbell::Start as u32 | Doorbell::Stop as u32);
        self.power.turn_off();
        self.has_left.store(false, Ordering::Release);
    }
}
