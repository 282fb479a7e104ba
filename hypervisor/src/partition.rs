//! A partition at run time: its stage 2, vGIC, console and life.
//!
//! `Running -> Stopping -> Stopped`; one [`Partition::start`] sets up everything that a life needs, so that a later
//! life can start the same way. Stopping is asked of every core of the partition by doorbell; the last core to leave
//! the guest completes it.

use crate::arch::el1;
use crate::console::Terminal;
use crate::core_local::{self, Core, Doorbell};
use crate::gic::{self, Gic};
use crate::interrupt::Edge;
use crate::{console, load, memory, vcpu};
use aarch64_cpu::registers::CNTPCT_EL0;
use abi::{PartitionId, VcpuId, Vmid, machine};
use addr::{Address, Ipa, Pa};
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use manifest::{Board, System};
use spin::{Once, mutex::SpinMutex};
use stage2::{Attributes, Geometry};
use tock_registers::interfaces::Readable;
use vgic::{Bank, Effects, Version, Vgic};

/// Where a partition is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum State {
    /// Not started yet.
    Loaded,
    /// At least one vCPU may run.
    Running,
    /// Its cores are leaving the guest.
    Stopping,
    /// No core runs it, for good.
    Stopped,
}

impl State {
    fn of(value: u32) -> Self {
        match value {
            0 => Self::Loaded,
            1 => Self::Running,
            2 => Self::Stopping,
            _ => Self::Stopped,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loaded => "loaded",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        })
    }
}

/// A partition.
pub struct Partition {
    /// Its place in the system file.
    pub id: PartitionId,
    /// What the manifest gives it.
    pub manifest: &'static manifest::Partition,
    /// VTTBR_EL2.
    pub vttbr: u64,
    /// VTCR_EL2.
    pub vtcr: u64,
    /// The distributor and redistributors that it sees.
    pub vgic: SpinMutex<Vgic<'static>>,
    /// Its console.
    pub terminal: Terminal,
    /// CNTVOFF_EL2 of this life: one value, so that all vCPUs see one virtual counter.
    pub counter_offset: AtomicU64,
    state: AtomicU32,
    /// Cores that have not left this life yet.
    leaving: AtomicU32,
}

static PARTITIONS: Once<heapless::Vec<&'static Partition, { abi::MAX_PARTITIONS }>> = Once::new();
static SYSTEM: Once<(&'static System, &'static [u8])> = Once::new();

/// All partitions, in the system file's order.
pub fn all() -> &'static [&'static Partition] {
    PARTITIONS.get().map_or(&[], |list| list)
}

/// Makes the partitions of `system`; `bundle` holds their payloads. Once, before [`memory::freeze`].
pub fn create_all(system: &'static System, bundle: &'static [u8], board: &Board, version: Version, pa_range: u64) {
    SYSTEM.call_once(|| (system, bundle));
    PARTITIONS.call_once(|| {
        let make = |(n, manifest)| &*memory::place(create(n, manifest, board, version, pa_range));
        (0u8..).zip(&system.partitions).map(make).collect()
    });
}

fn create(n: u8, manifest: &'static manifest::Partition, board: &Board, version: Version, pa_range: u64) -> Partition {
    let geometry = Geometry::stage2(stage2::choose_ipa_bits(pa_range)).expect("39 and 40 bits are supported");
    let root = memory::allocate(geometry.root_bytes(), geometry.root_bytes()).expect("the pool holds every root");
    let map = |ipa: Ipa, pa: Pa, size: u64, attributes| {
        stage2::map(&mut memory::Tables, root, geometry, ipa, pa, size, attributes)
            .unwrap_or_else(|error| panic!("stage 2 of partition '{}': {error}", manifest.name));
    };
    for bank in &manifest.banks {
        map(bank.ipa, bank.pa.start(), bank.pa.size(), Attributes::NORMAL_RWX);
    }
    if let Some(v2) = board.gic.v2.filter(|_| version == Version::V2) {
        map(machine::GICC, v2.gicv, machine::GICC_SIZE, Attributes::DEVICE_RW);
    }
    let mut vgic = Vgic::new(version, memory::place_slice::<Bank>(manifest.cores.len()));
    for private in [machine::VIRTUAL_TIMER, machine::PHYSICAL_TIMER, machine::PMU] {
        vgic.forward_private(private);
    }
    for device in manifest.devices.iter().filter_map(|id| board.devices.get(usize::from(id.0))) {
        map(Ipa::new(device.start.as_u64()), device.start, device.size, Attributes::DEVICE_RW);
        for intid in device.intids {
            vgic.forward_spi(*intid, *intid);
        }
    }
    Partition {
        id: PartitionId::new(n),
        manifest,
        vttbr: stage2::vttbr(root, Vmid::new(n + 1)),
        vtcr: stage2::vtcr(stage2::choose_ipa_bits(pa_range), pa_range),
        vgic: SpinMutex::new(vgic),
        terminal: Terminal::new(),
        counter_offset: AtomicU64::new(0),
        state: AtomicU32::new(State::Loaded as u32),
        leaving: AtomicU32::new(0),
    }
}

impl Partition {
    /// Its name.
    pub fn name(&self) -> &'static str {
        &self.manifest.name
    }
    /// Where it is in its life.
    pub fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire))
    }
    /// How many vCPUs it has.
    #[inline(always)]
    pub fn vcpus(&self) -> u16 {
        self.manifest.cores.len() as u16
    }
    /// The core of a vCPU.
    #[inline(always)]
    pub fn core(&self, vcpu: VcpuId) -> Option<&'static Core> {
        core_local::core(*self.manifest.cores.get(vcpu.index())?)
    }
    /// Every core of the partition.
    pub fn cores(&self) -> impl Iterator<Item = &'static Core> {
        self.manifest.cores.iter().filter_map(|id| core_local::core(*id))
    }
    /// Whether `ipa` is in its RAM.
    pub fn owns(&self, ipa: Ipa) -> bool {
        self.manifest.banks.iter().any(|bank| ipa.offset_from(bank.ipa).is_some_and(|at| at < bank.pa.size()))
    }

    /// Starts a life, on the core of vCPU 0: loads RAM, resets vGIC, console and counter, enters the guest.
    pub fn start<G: Gic>(&'static self, core: &'static Core) -> ! {
        let (system, bundle) = *SYSTEM.get().expect("create_all ran");
        self.leaving.store(self.manifest.cores.len() as u32, Ordering::Release);
        for each in self.cores() {
            each.has_left.store(false, Ordering::Release);
        }
        if !el1::has_crc32() {
            log::error!(
                "partition '{}' does not start: {} has no CRC32 instructions (FEAT_CRC32)",
                self.name(),
                core.id
            );
            self.stop::<G>(core);
        }
        if let Err(error) = load::load(self.manifest, bundle, core.id.number(), G::VERSION, system.scrub_at_boot) {
            log::error!("partition '{}' does not start: {error}", self.name());
            self.stop::<G>(core);
        }
        self.counter_offset.store(CNTPCT_EL0.get(), Ordering::Relaxed);
        self.vgic.lock().reset(&mut Edge::<G>::new(self, core) as &mut dyn Effects);
        self.terminal.reset();
        self.state.store(State::Running as u32, Ordering::Release);
        core.power.reset(psci::PowerState::On);
        let entry = self.manifest.entry.as_u64();
        vcpu::enter::<G>(core, entry, self.manifest.device_tree.as_u64())
    }

    /// Stops the partition for good and leaves the guest on this core.
    pub fn stop<G: Gic>(&'static self, core: &'static Core) -> ! {
        let was = self.state.fetch_max(State::Stopping as u32, Ordering::AcqRel);
        if matches!(State::of(was), State::Loaded | State::Running) {
            for sibling in self.cores().filter(|sibling| sibling.id != core.id) {
                sibling.ask(Doorbell::Stop, gic::ring);
            }
        }
        self.left::<G>(core)
    }

    /// This core leaves the guest because the partition stops.
    pub fn left<G: Gic>(&'static self, core: &'static Core) -> ! {
        if core.has_left.swap(true, Ordering::AcqRel) {
            vcpu::leave::<G>(core);
        }
        vcpu::quiet::<G>(core);
        if self.leaving.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.state.store(State::Stopped as u32, Ordering::Release);
            log::info!("partition '{}' stopped", self.name());
            if all().iter().all(|partition| partition.state() == State::Stopped) {
                console::all_stopped();
            }
        }
        vcpu::leave::<G>(core)
    }
}
