//! From the entry code to the first guest: one function reads like a table of contents. Nothing is written outside
//! EL2's own image and the firmware's tree before the manifest, the board and every overlap are checked, and each refusal is one line on the
//! console that names the thing, the value and the mend.

use crate::arch::{self, barrier, cache, el1, guest};
use crate::board_watchdog;
use crate::console;
use crate::core_local::{self, Assignment, Core};
use crate::exit::power;
use crate::firmware::{self, DeviceTree};
use crate::gic;
use crate::hooks::Hooks;
use crate::interrupt;
use crate::memory;
use crate::partition;
use crate::service;
use crate::step::{self, Step};
use crate::uart;
use crate::vcpu;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTPCT_EL0, ID_AA64MMFR0_EL1, MPIDR_EL1, VBAR_EL2};
use abi::bundle::{BUNDLE_MAX, IMAGE_SIZE, MANIFEST_HEADER};
use abi::{CoreId, VcpuId};
use addr::{ByteSize, Pa, Region};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use life::Event;
use manifest::{Board, CoreStart, System};
use spin::Once;
use tock_registers::interfaces::{Readable, Writeable};
use vgic::Version;

/// What a starting core takes: its `Core` and the top of its stack. Cores start one at a time.
#[repr(C)]
pub struct Handoff {
    core: AtomicU64,
    stack: AtomicU64,
}
/// Read by entry.s.
pub static HANDOFF: Handoff = Handoff { core: AtomicU64::new(0), stack: AtomicU64::new(0) };
static IS_STARTED: AtomicBool = AtomicBool::new(false);
static SYSTEM: Once<System> = Once::new();

/// Affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

unsafe extern "Rust" {
    safe static BULKHEAD_BOARD: &'static Board;
    safe static BULKHEAD_HOOKS: &'static Hooks;
}
unsafe extern "C" {
    static secondary: u8;
}

/// Refuses to go on: one line, then this core halts.
macro_rules! refuse {
    ($($text:tt)*) => {
        refuse(format_args!($($text)*))
    };
}

#[cold]
fn refuse(text: fmt::Arguments<'_>) -> ! {
    uart::emergency(format_args!("bulkhead: error: {text}\r\nbulkhead: nothing was started\r\n"));
    step::blink();
    arch::halt()
}

/// The boot core arrives from entry.s with the MMU on: `device_tree` is what the firmware left in x0.
#[unsafe(no_mangle)]
extern "C" fn boot_primary(device_tree: u64, load: u64) -> ! {
    VBAR_EL2.set(guest::vectors(Version::V3));
    memory::init(Pa::new(load));
    step::done(Step::Memory);
    let board = BULKHEAD_BOARD;
    let mut tree = find_tree(board, Pa::new(device_tree));
    step::done(Step::Tree);
    open_console(board);
    if tree.has_argument(step::DEBUG) {
        step::print();
    }
    step::done(Step::Console);
    let (system, bundle) = read_manifest(board);
    step::done(Step::Manifest);
    let image = Region::new(memory::image().start(), bundle.len() as u64).unwrap_or(tree.region);
    if let Err(error) = tree.check_cores(system) {
        refuse!("{error}");
    }
    if let Err(error) = tree.check_memory(system, image) {
        refuse!("{error}");
    }
    let version = tree.gic(board).unwrap_or_else(|error| refuse!("{error}"));
    gic::found(version);
    if !el1::has_simd() {
        refuse!("this core has no Advanced SIMD, which guests are copied with");
    }
    step::done(Step::Board);
    memory::open_pool(system.pool, system.partitions.iter().map(|partition| partition.virtio.len()).sum());
    start_all(board, system, bundle, &tree, version)
}

fn open_console(board: &Board) {
    if let Some(prepare) = BULKHEAD_HOOKS.before_console {
        prepare();
    }
    uart::open(board.uart, board.uart_intid);
    step::open_lamp();
}

fn find_tree(board: &'static Board, x0: Pa) -> DeviceTree {
    let tree = DeviceTree::map(x0).unwrap_or_else(|error| {
        open_console(board);
        refuse!("{error}")
    });
    if let Err(error) = tree.check_board(board) {
        // This board's console is elsewhere: where its own tree says.
        uart::open(tree.console().unwrap_or(board.uart), board.uart_intid);
        refuse!("{error}");
    }
    tree
}

fn read_manifest(board: &Board) -> (&'static System, &'static [u8]) {
    let image = memory::image();
    // SAFETY: the Image header lies at the image's linked start, which is mapped.
    let bytes = unsafe { ((arch::IMAGE_BASE as usize + IMAGE_SIZE) as *const u64).read() };
    if bytes < image.size() + MANIFEST_HEADER as u64 || bytes > BUNDLE_MAX {
        refuse!("the image header says {bytes} bytes: this is EL2 alone, build a bundle with `bulkhead build`");
    }
    let bundle = memory::map_bundle(bytes);
    let decoded = manifest::decode(&bundle[image.size() as usize..]);
    let system = SYSTEM.call_once(|| decoded.unwrap_or_else(|error| refuse!("{error}")));
    let mut broken = None;
    // Only an image that this version's tool did not build gets here with one: the texts stay on the host.
    manifest::validate(board, system, &mut |mistake| broken = Some(mistake.subject()));
    if let Some(subject) = broken {
        name_shared_cores(system);
        refuse!("the manifest breaks a rule about {}: build the image with this version", subject.word());
    }
    if system.bundle_size != bytes {
        refuse!("the image header says {bytes} bytes, the manifest {}: build the image again", system.bundle_size);
    }
    console::configure(system);
    (system, bundle)
}

/// The worst of the rules, told with both owners; `validate` has found that one is broken.
fn name_shared_cores(system: &System) {
    for partition in &system.partitions {
        for core in &partition.cores {
            if let Some(first) = system.partitions.iter().find(|other| other.cores.contains(core))
                && !core::ptr::eq(first, partition)
            {
                let (first, second) = (first.name.as_str(), partition.name.as_str());
                uart::emergency(format_args!("bulkhead: error: {core} belongs to '{first}' and '{second}'\r\n"));
            }
        }
    }
}

fn start_all(
    board: &'static Board,
    system: &'static System,
    bundle: &'static [u8],
    tree: &DeviceTree,
    version: Version,
) -> ! {
    VBAR_EL2.set(guest::vectors(version));
    interrupt::set_maintenance_intid(board.gic.maintenance);
    gic::init_distributor(board);
    let pa_range = ID_AA64MMFR0_EL1.get() & 0xf;
    // Whoever panics behind this may reset the board.
    board_watchdog::open(system);
    partition::create_all(system, bundle, board, version, pa_range);
    step::done(Step::Partitions);
    if board.core_start == CoreStart::PsciSmc {
        power::find_workarounds();
    }
    let boot_core = start_cores(board, system, tree);
    step::done(Step::Cores);
    memory::drop_identity_map();
    memory::freeze();
    describe(board, system, version);
    step::started();
    service::start();
    console::start(system, board);
    board_watchdog::start();
    for partition in partition::all() {
        // Only keys are refused.
        let _ = partition.tell(Event::Start);
    }
    vcpu::leave(boot_core)
}

/// Who runs on core `n`.
fn assignment(system: &System, n: CoreId) -> Option<Assignment> {
    system.partitions.iter().zip(partition::all()).find_map(|(manifest, partition)| {
        let vcpu = manifest.cores.iter().position(|core| *core == n)?;
        Some(Assignment { partition, vcpu: VcpuId::new(vcpu as u16) })
    })
}

/// Starts every core that a partition owns and one that none owns, one after the other. Returns the boot core.
fn start_cores(board: &'static Board, system: &'static System, tree: &DeviceTree) -> &'static Core {
    let own = MPIDR_EL1.get() & AFFINITY;
    let mut boot_core = None;
    let mut has_free = false;
    let mut others = heapless::Vec::<(&'static Core, Option<Pa>), { abi::MAX_CORES }>::new();
    for n in 0..system.machine.cores {
        let id = CoreId::new(n);
        let Some((mpidr, release)) = tree.core(n) else { refuse!("the firmware's tree does not describe {id}") };
        let assignment = assignment(system, id);
        // Of those that nobody owns, the first becomes the console core.
        if assignment.is_none() && has_free && mpidr != own {
            continue;
        }
        has_free |= assignment.is_none();
        let core = &*memory::place(Core::new(id, mpidr, memory::make_stack(n), assignment));
        core_local::register(core);
        if mpidr == own {
            boot_core = Some(core);
        } else if others.push((core, release)).is_err() {
            refuse!("more cores than EL2 supports");
        }
    }
    let Some(boot_core) = boot_core else {
        refuse!(
            "the firmware started core {own:#x} (MPIDR), which is not among the first {} cores",
            u64::from(system.machine.cores)
        )
    };
    guest::set_core_pointer(core::ptr::from_ref(boot_core) as usize);
    gic::init_core(boot_core, board.gic.maintenance);
    for (core, release) in others {
        start_core(board, core, release);
    }
    boot_core
}

fn start_core(board: &Board, core: &'static Core, release: Option<Pa>) {
    HANDOFF.core.store(core::ptr::from_ref(core) as u64, Ordering::Relaxed);
    HANDOFF.stack.store(core.stack_top as u64, Ordering::Relaxed);
    IS_STARTED.store(false, Ordering::Release);
    barrier::dsb_sy();
    let entry = memory::image_pa(&raw const secondary as usize);
    match (board.core_start, release) {
        (CoreStart::PsciSmc, _) => {
            if let Err(error) = firmware::start_core(core.mpidr, entry) {
                refuse!("{} does not start: PSCI CPU_ON returned -{error}", core.id);
            }
        }
        (CoreStart::SpinTable, Some(release)) => {
            let slot = memory::map_device(release, 8) as *mut u64;
            // SAFETY: the firmware's tree names this address for this purpose, and it is mapped just above.
            unsafe { slot.write_volatile(entry.as_u64()) };
            barrier::dsb_sy();
            barrier::send_event();
        }
        (CoreStart::SpinTable, None) => refuse!("{} has no cpu-release-addr in the firmware's tree", core.id),
    }
    let deadline = CNTPCT_EL0.get() + 2 * CNTFRQ_EL0.get();
    while !IS_STARTED.load(Ordering::Acquire) {
        if CNTPCT_EL0.get() > deadline {
            refuse!("{} (MPIDR {:#x}) was started 2 s ago and does not answer", core.id, core.mpidr);
        }
        barrier::yield_core();
    }
}

/// A further core arrives from entry.s on its own stack, TPIDR_EL2 set.
#[unsafe(no_mangle)]
extern "C" fn boot_secondary() -> ! {
    VBAR_EL2.set(guest::vectors(gic::version()));
    gic::init_core(core_local::this(), BULKHEAD_BOARD.gic.maintenance);
    cache::invalidate_instructions();
    IS_STARTED.store(true, Ordering::Release);
    vcpu::idle()
}

/// The boot log: what was found, and who owns what.
fn describe(board: &Board, system: &System, version: Version) {
    info!(
        "Bulkhead {} on {}: {} cores, {} RAM, {}",
        env!("CARGO_PKG_VERSION"),
        board.name,
        u64::from(system.machine.cores),
        ByteSize(system.machine.memory),
        if version == Version::V2 { "GICv2" } else { "GICv3" },
    );
    info!("EL2: image {}", memory::image());
    if gic::needs_nudges() {
        info!("this GIC forgets lines that stay high (as QEMU's GICv2): nudged");
    }
    info!("EL2: pool {}, {} used", system.pool, ByteSize(memory::pool_used()));
    for partition in &system.partitions {
        let mut line = heapless::String::<64>::new();
        use core::fmt::Write;
        // A line that is too long loses its end: the log is for reading.
        let _ = write!(line, "{}: cores", partition.name);
        for core in &partition.cores {
            let _ = write!(line, " {}", core.number());
        }
        for bank in &partition.banks {
            let _ = write!(line, ", RAM {} at {}", ByteSize(bank.pa.size()), bank.pa.start());
        }
        for device in partition.devices.iter().filter_map(|id| board.devices.get(usize::from(id.0))) {
            let _ = write!(line, ", {}", device.name);
        }
        info!("{line}");
    }
}
