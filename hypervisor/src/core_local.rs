//! One [`Core`] for each physical core: what the exit path reaches through TPIDR_EL2 without a lock.

use crate::arch::{barrier, guest};
use crate::counters::Counters;
use crate::fault::Place;
use crate::flight::Recorder;
use crate::partition::Partition;
use crate::timer::Deadlines;
use abi::{CoreId, MAX_CORES, VcpuId};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use psci::Power;
use spin::{Once, mutex::SpinMutex};

/// vCPUs that GICv2 can tell apart as senders of an SGI.
pub const SGI_SENDERS: usize = 8;

/// The state of one core. Written by its own core, except where a field says otherwise.
#[repr(C)]
pub struct Core {
    /// Top of the stack for exceptions from EL2 itself. First: vectors.s loads it from offset 0.
    emergency_top: usize,
    /// Top of the stack.
    pub stack_top: usize,
    /// Not 0 while an SError is awaited; vectors.s clears it at offset 16.
    pub draining: AtomicU64,
    /// List-register words for this vCPU's SGIs and PPIs, ready to write; 0 while not deliverable. Written under the
    /// partition's vGIC lock by any of its cores.
    pub templates: [AtomicU64; 32],
    /// SGIs that sibling vCPUs have sent and this core has not taken yet: a bit each, on GICv2 a word for each sender.
    pub sgis: [AtomicU32; SGI_SENDERS],
    /// What other cores want of this one: [`Doorbell`] bits.
    doorbells: AtomicU32,
    /// Exits by reason.
    pub counters: Counters,
    /// Whose vCPU this core runs.
    pub assignment: Option<Assignment>,
    /// The core's number.
    pub id: CoreId,
    /// MPIDR_EL1's affinity fields.
    pub mpidr: u64,
    /// What the GIC driver writes to ring this core's doorbell: set by its `init_core`.
    pub doorbell_target: AtomicU64,
    /// GICv3: address of this core's redistributor.
    pub redistributor: AtomicU64,
    /// Whether the vCPU is on, and where it starts. Any core of the partition may ask for it (PSCI CPU_ON).
    pub power: Power,
    /// Whether this core has left the partition's present life, or none has begun: it may be asked to and want to at once.
    pub has_left: AtomicBool,
    /// Where the vCPU was when this core left.
    pub place: SpinMutex<Option<Place>>,
    /// The last exits.
    pub recorder: Recorder,
    /// Whether this core has features that are hidden from guests (`el1::hides_anything`), found at its first entry.
    pub hides_features: Once<bool>,
    /// What EL2's timer on this core is set for.
    pub deadlines: Deadlines,
    /// Aborts injected at one place without progress.
    pub abort_loops: AtomicU32,
    /// The number of the last thing that this core told the service partition, times 256, and the core's own number: no
    /// other core tells the same.
    pub told: AtomicU64,
}

/// A vCPU and its partition.
#[derive(Clone, Copy)]
pub struct Assignment {
    /// The partition.
    pub partition: &'static Partition,
    /// The vCPU.
    pub vcpu: VcpuId,
}

/// What one core may ask of another.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Doorbell {
    /// The vGIC holds something for this vCPU: look.
    Refill = 1,
    /// PSCI CPU_ON, or a new life.
    Start = 2,
    /// The partition stops.
    Stop = 4,
    /// A ring has output, or an input buffer has room again.
    Console = 8,
    /// There is RAM to load or to scrub: look from the idle loop.
    Work = 16,
    /// A deadline that this core keeps has changed.
    Timer = 32,
    /// EL2 has come to its end.
    Halt = 64,
    /// The board's watchdog wants to be fed.
    Feed = 128,
    /// The service partition has said something of a device that the partition may be waiting for.
    Devices = 256,
}

static CORES: [Once<&'static Core>; MAX_CORES] = [const { Once::new() }; MAX_CORES];

impl Core {
    /// A core that runs nothing yet.
    pub fn new(id: CoreId, mpidr: u64, stack: (usize, usize), assignment: Option<Assignment>) -> Self {
        Self {
            emergency_top: stack.1,
            stack_top: stack.0,
            draining: AtomicU64::new(0),
            templates: [const { AtomicU64::new(0) }; 32],
            sgis: [const { AtomicU32::new(0) }; SGI_SENDERS],
            doorbells: AtomicU32::new(0),
            counters: Counters::default(),
            assignment,
            id,
            mpidr,
            doorbell_target: AtomicU64::new(0),
            redistributor: AtomicU64::new(0),
            power: Power::new(),
            has_left: AtomicBool::new(true),
            place: SpinMutex::new(None),
            recorder: Recorder::new(),
            hides_features: Once::new(),
            deadlines: Deadlines::new(),
            abort_loops: AtomicU32::new(0),
            told: AtomicU64::new(id.number().into()),
        }
    }

    /// Asks this core for something. `ring` sends the interrupt, and only if the core was not asked already.
    pub fn ask(&'static self, what: Doorbell, ring: impl FnOnce(&'static Core)) {
        let before = self.doorbells.fetch_or(what as u32, Ordering::AcqRel);
        if before & what as u32 == 0 {
            barrier::dsb_ishst();
            ring(self);
        }
    }

    /// Forgets that these [`Doorbell`] bits were asked.
    pub fn forget_doorbells(&self, bits: u32) {
        self.doorbells.fetch_and(!bits, Ordering::AcqRel);
    }

    /// Whether anything was asked.
    #[inline(always)]
    pub fn is_asked(&self) -> bool {
        self.doorbells.load(Ordering::Relaxed) != 0
    }

    /// Takes what was asked.
    pub fn take_doorbells(&self) -> u32 {
        self.doorbells.swap(0, Ordering::AcqRel)
    }
}

/// Makes `core` known under its number.
pub fn register(core: &'static Core) {
    CORES[core.id.index()].call_once(|| core);
}

/// The core with this number, if the system uses it.
#[inline(always)]
pub fn core(id: CoreId) -> Option<&'static Core> {
    CORES.get(id.index())?.get().copied()
}

/// Every core that the system uses.
pub fn all() -> impl Iterator<Item = &'static Core> {
    CORES.iter().filter_map(|slot| slot.get().copied())
}

/// The core that executes this.
#[inline(always)]
pub fn this() -> &'static Core {
    // SAFETY: TPIDR_EL2 is set to a registered, never freed Core before Rust code can call this (boot.rs), and no
    // guest can write it.
    unsafe { &*(guest::core_pointer() as *const Core) }
}

/// The core that executes this, once it has one.
pub fn try_this() -> Option<&'static Core> {
    // SAFETY: as above, or 0 early in boot.
    unsafe { (guest::core_pointer() as *const Core).as_ref() }
}
