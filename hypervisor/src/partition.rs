//! A partition at run time: its stage 2, vGIC, console and devices. Its life after life is in [`life`].

mod lives;

use crate::board_watchdog;
use crate::console::Terminal;
use crate::core_local::{self, Core};
use crate::devices::Devices;
use crate::firmware;
use crate::load::Work;
use crate::memory;
use crate::service;
use crate::virtio;
use abi::channel::ENDS;
use abi::{IntId, PartitionId, VcpuId, Vmid, machine};
use addr::{Ipa, PAGE_SIZE, Pa};
use core::sync::atomic::AtomicU64;
use lives::Lives;
pub use lives::{ANSWER_MS, State, tell_timer};
use manifest::{Board, OnPanic, PowerOff, System};
use spin::{Once, mutex::SpinMutex};
use stage2::{Attributes, Geometry};
use vgic::{Bank, Version, Vgic};

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
    /// Its other emulated devices.
    pub devices: Devices,
    /// Its virtio devices, by slot.
    pub virtio: virtio::Devices,
    /// Whether it is the service partition.
    pub serves: bool,
    /// CNTVOFF_EL2 of this life: one value, so that all vCPUs see one virtual counter.
    pub counter_offset: AtomicU64,
    /// What its cores do between two lives.
    pub work: Work,
    /// Root of its stage 2.
    stage2: (Pa, Geometry),
    lives: Lives,
}

static PARTITIONS: Once<heapless::Vec<&'static Partition, { abi::MAX_PARTITIONS }>> = Once::new();
static SYSTEM: Once<(&'static System, &'static Board, &'static [u8])> = Once::new();

/// All partitions, in the system file's order.
pub fn all() -> &'static [&'static Partition] {
    PARTITIONS.get().map_or(&[], |list| list)
}

/// Whether every partition has stopped for good that is there for its own sake.
pub fn all_stopped() -> bool {
    all().iter().all(|partition| partition.serves || partition.state() == State::Stopped)
}

/// The image, with every payload.
pub fn bundle() -> &'static [u8] {
    SYSTEM.get().map_or(&[], |(_, _, bundle)| bundle)
}

/// The system, once its partitions are made.
pub fn system() -> Option<&'static System> {
    SYSTEM.get().map(|(system, ..)| *system)
}

/// What resets the board at EL2's own end, where the system file says so and the board can.
pub fn reset_on_panic() -> Option<fn()> {
    let (_, board, _) = SYSTEM.get().filter(|(system, ..)| system.on_hypervisor_panic == OnPanic::Reset)?;
    match board.power_off {
        PowerOff::PsciSmc => Some(firmware::reset),
        PowerOff::None => Some(board_watchdog::reset),
    }
}

/// Makes the partitions of `system`; `bundle` holds their payloads. Once, before [`memory::freeze`].
pub fn create_all(
    system: &'static System,
    bundle: &'static [u8],
    board: &'static Board,
    version: Version,
    pa_range: u64,
) {
    SYSTEM.call_once(|| (system, board, bundle));
    PARTITIONS.call_once(|| {
        let make = |(n, manifest)| &*memory::place(create(n, manifest, system, board, version, pa_range));
        (0u8..).zip(&system.partitions).map(make).collect()
    });
}

/// The service partition.
pub fn service() -> Option<&'static Partition> {
    all().last().copied().filter(|last| last.serves)
}

fn create(
    n: u8,
    manifest: &'static manifest::Partition,
    system: &System,
    board: &Board,
    version: Version,
    pa_range: u64,
) -> Partition {
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
    let before = system.partitions.iter().take(usize::from(n)).map(|partition| partition.virtio.len()).sum::<usize>();
    let devices = virtio::create(manifest, before as u8);
    for (slot, device) in (0..).zip(&devices) {
        let ipa = Ipa::new(machine::VIRTIO.as_u64() + slot * machine::VIRTIO_STRIDE);
        map(ipa, device.pa, machine::VIRTIO_STRIDE, Attributes::TRANSPORT_RO);
    }
    for (number, channel) in system.channels.iter().enumerate() {
        let Some(memory) = channel.memory() else { continue };
        let (start, size) = (memory.start(), memory.size());
        if let Some(end) = channel.ends.iter().find(|end| end.user.number() == n) {
            let ipa = if end.is_brokered() { Ipa::new(start.as_u64()) } else { machine::channel_ipa(number) };
            // The epoch is EL2's word alone.
            let front = ENDS as u64;
            map(ipa, start, front, Attributes::NORMAL_RO);
            let (ipa, start) = (Ipa::new(ipa.as_u64() + front), Pa::new(start.as_u64() + front));
            map(ipa, start, size - front, Attributes::NORMAL_RW);
        }
    }
    let own = system.service.filter(|_| usize::from(n) + 1 == system.partitions.len());
    if let Some(facts) = own {
        let (read_only, writable) = service::create();
        let identity = |pa: Pa, size, attributes| map(Ipa::new(pa.as_u64()), pa, size, attributes);
        identity(read_only, 2 * PAGE_SIZE, Attributes::NORMAL_RO);
        identity(writable, PAGE_SIZE, Attributes::NORMAL_RW);
        identity(facts.kept.start(), facts.kept.size(), Attributes::NORMAL_RW);
        identity(board.uart, machine::UART_SIZE, Attributes::DEVICE_RW);
        vgic.forward_spi(board.uart_intid, board.uart_intid);
        for bank in system.partitions.iter().flat_map(manifest::Partition::served) {
            identity(bank.pa.start(), bank.pa.size(), Attributes::NORMAL_RW);
        }
    }
    Partition {
        id: PartitionId::new(n),
        manifest,
        vttbr: stage2::vttbr(root, Vmid::new(n + 1)),
        vtcr: stage2::vtcr(stage2::choose_ipa_bits(pa_range), pa_range),
        vgic: SpinMutex::new(vgic),
        terminal: Terminal::new(),
        devices: Devices::new(manifest, board, system.service.is_some()),
        virtio: devices,
        serves: own.is_some(),
        counter_offset: AtomicU64::new(0),
        work: Work::new(),
        stage2: (root, geometry),
        lives: Lives::new(manifest.policy),
    }
}

impl Partition {
    /// Its name.
    pub fn name(&self) -> &'static str {
        &self.manifest.name
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
        self.pa(ipa).is_some()
    }
    /// Where `ipa` is in the board's RAM, if it is in the partition's.
    pub fn pa(&self, ipa: Ipa) -> Option<Pa> {
        self.manifest.pa_of(ipa)
    }
    /// Every physical SPI of its assigned devices.
    fn spis(&self) -> impl Iterator<Item = IntId> {
        let board = SYSTEM.get().map(|(_, board, _)| *board);
        let devices = self.manifest.devices.iter().filter_map(move |id| board?.devices.get(usize::from(id.0)));
        let uart = board.filter(|_| self.serves).map(|board| board.uart_intid);
        devices.flat_map(|device| device.intids.iter().copied()).chain(uart)
    }
}
