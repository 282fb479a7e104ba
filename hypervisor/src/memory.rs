//! EL2's own address space and the frame pool.
//!
//! | virtual address | what | rights |
//! |---|---|---|
//! | 0x40_0000_0000 | the image, by section | RX, RO, RW |
//! | 0x48_0000_0000 | the boot bundle, for copying payloads | RO |
//! | 0x4c_0000_0000 | the firmware's device tree, read at boot | RW |
//! | 0x50_0000_0000 | the frame pool | RW |
//! | 0x54_0000_0000 | the pool's last pages: transport pages | RW, non-cacheable |
//! | 0x60_0000_0000 + PA | device registers | RW, device |
//! | 0x70_0000_0000 + 2 MiB per core | short-lived window onto guest RAM | RW |
//! | 0x78_0000_0000 + 64 KiB per core | stacks, each above an unmapped guard page | RW |
//!
//! Guest RAM is mapped nowhere except through [`with_window`], to be written only while its partition does not run.
//! Frames come from sixteen pages of .bss until the manifest says where the pool is, then from the pool, which
//! [`freeze`] closes before the first guest starts.

use crate::arch::{IMAGE_BASE, barrier, cache, tlb};
use crate::lock::Lock;
use abi::MAX_CORES;
use addr::{Address, BLOCK_2M, PAGE_SIZE, Pa, Region, Va};
use buddy_system_allocator::Heap;
use core::alloc::Layout;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, Ordering};
use spin::{Once, mutex::SpinMutex};
use stage2::{Attributes, Geometry, TableMemory};

const BUNDLE_BASE: u64 = 0x48_0000_0000;
const DEVICE_TREE_BASE: u64 = 0x4c_0000_0000;
const POOL_BASE: u64 = 0x50_0000_0000;
const TRANSPORT_BASE: u64 = 0x54_0000_0000;
const DEVICE_BASE: u64 = 0x60_0000_0000;
const WINDOW_BASE: u64 = 0x70_0000_0000;
const STACK_BASE: u64 = 0x78_0000_0000;
const STACK_STRIDE: u64 = 0x1_0000;
/// Bytes of a core's stack. The deepest path is a log line from the partition loader, below 4 KiB.
const STACK_BYTES: u64 = 16 * 1024;
/// Bytes of the stack that an exception from EL2 itself is reported on.
const EMERGENCY_BYTES: u64 = 8 * 1024;
/// Highest device register + 1: what fits between the virtual bases.
const DEVICE_END: u64 = 64 << 30;

const EARLY_PAGES: usize = 16;

#[repr(C, align(4096))]
struct Page([AtomicU64; 512]);

static EARLY: [Page; EARLY_PAGES] = [const { Page([const { AtomicU64::new(0) }; 512]) }; EARLY_PAGES];
/// Physical address of the image.
static LOAD: AtomicU64 = AtomicU64::new(0);
static POOL_START: AtomicU64 = AtomicU64::new(0);
/// 0 until the pool is open.
static POOL_BYTES: AtomicU64 = AtomicU64::new(0);
static POOL_VA: AtomicU64 = AtomicU64::new(0);
static FRAMES: SpinMutex<Frames> = SpinMutex::new(Frames { early: 0, heap: Heap::new(), is_frozen: false });
static TRANSPORTS: AtomicU64 = AtomicU64::new(0);
static WINDOW_TABLE: Once<Pa> = Once::new();

struct Frames {
    early: usize,
    heap: Heap<24>,
    is_frozen: bool,
}

unsafe extern "C" {
    static __boot_tables: u8;
    static __image_end: u8;
    static __rodata_start: u8;
    static __boot_stack_guard: u8;
    static __boot_stack_bottom: u8;
    static __boot_stack_top: u8;
}

/// Where the image was loaded, all of it.
pub fn image() -> Region<Pa> {
    let bytes = &raw const __image_end as u64 - IMAGE_BASE;
    Region::new(Pa::new(LOAD.load(Ordering::Relaxed)), bytes).expect("the image is not empty")
}

/// The physical address of something in the image.
pub fn image_pa(address: usize) -> Pa {
    Pa::new(address as u64 - IMAGE_BASE + LOAD.load(Ordering::Relaxed))
}

/// Notes where the image lies and guards the boot stack; the first thing that boot does.
pub fn init(load: Pa) {
    LOAD.store(load.as_u64(), Ordering::Relaxed);
    // entry.s mapped the image by pages: the level-3 table is the last of its four.
    let guard = &raw const __boot_stack_guard as u64;
    let pages = Pa::new(root().as_u64() + 3 * PAGE_SIZE);
    Tables.write(pages, ((guard - IMAGE_BASE) / PAGE_SIZE) as usize, 0);
    tlb::invalidate_own(guard);
}

fn root() -> Pa {
    image_pa(&raw const __boot_tables as usize)
}

/// The virtual address of a frame of the image or the pool.
#[inline(always)]
fn frame_va(pa: Pa) -> usize {
    let in_image = pa.as_u64().wrapping_sub(LOAD.load(Ordering::Relaxed));
    if in_image < &raw const __image_end as u64 - IMAGE_BASE {
        return (IMAGE_BASE + in_image) as usize;
    }
    let in_pool = pa.as_u64().wrapping_sub(POOL_START.load(Ordering::Relaxed));
    assert!(in_pool < POOL_BYTES.load(Ordering::Relaxed), "{pa} is no frame of EL2");
    (POOL_VA.load(Ordering::Relaxed) + in_pool) as usize
}

/// `base` plus the offset of `pa` in its GiB: blocks of 2 MiB then map blocks of 2 MiB.
fn congruent(base: u64, pa: Pa) -> u64 {
    base + (pa.as_u64() & (addr::BLOCK_1G - 1))
}

/// EL2's translation tables and every partition's stage 2.
pub struct Tables;

impl TableMemory for Tables {
    fn allocate(&mut self) -> Option<Pa> {
        allocate(PAGE_SIZE, PAGE_SIZE)
    }
    fn read(&self, table: Pa, index: usize) -> u64 {
        entry(table, index).load(Ordering::Relaxed)
    }
    fn write(&mut self, table: Pa, index: usize, value: u64) {
        entry(table, index).store(value, Ordering::Relaxed);
        barrier::dsb_ishst();
    }
}

#[inline(always)]
fn entry(table: Pa, index: usize) -> &'static AtomicU64 {
    assert!(index < 1024, "at most two concatenated tables");
    let address = frame_va(table) + index * 8;
    // SAFETY: frame_va answers only for frames of EL2, which stay mapped and are never freed; descriptors are
    // accessed as atomics everywhere.
    unsafe { AtomicU64::from_ptr(address as *mut u64) }
}

/// Zeroed, physically contiguous frames, aligned to `align` (a power of two, at least 4 KiB).
pub fn allocate(bytes: u64, align: u64) -> Option<Pa> {
    let mut frames = FRAMES.hold();
    assert!(!frames.is_frozen, "EL2 allocates at boot only");
    if POOL_BYTES.load(Ordering::Relaxed) == 0 {
        let page = EARLY.get(frames.early)?;
        frames.early += 1;
        return Some(image_pa(ptr::from_ref(page) as usize));
    }
    let layout = Layout::from_size_align(bytes as usize, align as usize).ok()?;
    let start = frames.heap.alloc(layout).ok()?;
    // SAFETY: the allocator hands out mapped pool memory of this size to one owner.
    unsafe { ptr::write_bytes(start.as_ptr(), 0, bytes as usize) };
    let in_pool = start.as_ptr() as u64 - POOL_VA.load(Ordering::Relaxed);
    Some(Pa::new(POOL_START.load(Ordering::Relaxed) + in_pool))
}

/// Places `value` in the pool for ever.
pub fn place<T>(value: T) -> &'static mut T {
    let align = (align_of::<T>() as u64).max(PAGE_SIZE);
    let pa = allocate(size_of::<T>() as u64, align).unwrap_or_else(|| out_of_frames());
    let mut start = NonNull::new(frame_va(pa) as *mut T).expect("the pool is not at 0");
    // SAFETY: fresh memory of the right size and alignment, owned by nobody else.
    unsafe { start.write(value) };
    // SAFETY: just initialised, never freed, and this is its only reference.
    unsafe { start.as_mut() }
}

/// Places `count` default values in the pool for ever.
pub fn place_slice<T: Default>(count: usize) -> &'static mut [T] {
    let pa = allocate((size_of::<T>() * count) as u64, PAGE_SIZE).unwrap_or_else(|| out_of_frames());
    let start = frame_va(pa) as *mut T;
    for i in 0..count {
        // SAFETY: fresh memory of `count` values, owned by nobody else; pages align every T used here.
        unsafe { start.wrapping_add(i).write(T::default()) };
    }
    // SAFETY: all initialised, never freed, and this is the only reference.
    unsafe { core::slice::from_raw_parts_mut(start, count) }
}

fn out_of_frames() -> ! {
    panic!("EL2's frame pool is too small: the tool's pool size is wrong")
}

fn map(va: u64, pa: Pa, size: u64, attributes: Attributes) {
    if let Err(error) = stage2::map(&mut Tables, root(), Geometry::EL2, Va::new(va), pa, size, attributes) {
        panic!("EL2 cannot map {pa} for itself: {error}");
    }
    barrier::isb();
}

/// Maps the device registers around `[pa, pa + size)` and returns the address of `pa`.
pub fn map_device(pa: Pa, size: u64) -> usize {
    assert!(pa.as_u64() + size <= DEVICE_END, "device at {pa} is above 64 GiB");
    let start = pa.align_down(PAGE_SIZE);
    let end = addr::align_up(pa.as_u64() + size, PAGE_SIZE).expect("below 64 GiB");
    let mut page = start;
    while page.as_u64() < end {
        let va = Va::new(DEVICE_BASE + page.as_u64());
        if stage2::walk(&Tables, root(), Geometry::EL2, va).is_none() {
            // Largest piece first: a redistributor range is many pages.
            let rest = end - page.as_u64();
            map(va.as_u64(), page, rest, Attributes::DEVICE);
            break;
        }
        page = Pa::new(page.as_u64() + PAGE_SIZE);
    }
    (DEVICE_BASE + pa.as_u64()) as usize
}

/// Maps `[pa, pa + bytes)` of the firmware's device tree, writable since it may have to be tidied before it is read.
/// Called once for the header and once for the rest: the caller has dropped the first slice by then.
pub fn map_device_tree(pa: Pa, bytes: u64) -> &'static mut [u8] {
    let start = pa.align_down(PAGE_SIZE);
    let end = addr::align_up(pa.as_u64() + bytes, PAGE_SIZE).expect("checked by the caller");
    let mut page = start;
    while page.as_u64() < end {
        let va = congruent(DEVICE_TREE_BASE, start) + (page.as_u64() - start.as_u64());
        if stage2::walk(&Tables, root(), Geometry::EL2, Va::new(va)).is_none() {
            map(va, page, end - page.as_u64(), Attributes::DATA);
            break;
        }
        page = Pa::new(page.as_u64() + PAGE_SIZE);
    }
    let va = congruent(DEVICE_TREE_BASE, start) + (pa.as_u64() - start.as_u64());
    // SAFETY: just mapped; the firmware hands the tree over and nothing else reads or writes it.
    unsafe { core::slice::from_raw_parts_mut(va as *mut u8, bytes as usize) }
}

/// Maps the bundle read-only; it starts at the image.
pub fn map_bundle(bytes: u64) -> &'static [u8] {
    let start = image().start();
    let va = congruent(BUNDLE_BASE, start);
    let size = addr::align_up(bytes, PAGE_SIZE).expect("below BUNDLE_MAX");
    map(va, start, size, Attributes::RODATA);
    // SAFETY: just mapped read-only. The part that is EL2's own image is written by EL2, but its bytes are never
    // read through this slice: payload offsets lie behind the manifest.
    unsafe { core::slice::from_raw_parts(va as *const u8, bytes as usize) }
}

/// Opens the frame pool, whose last `transports` pages are kept for virtio devices: their guests read them without a
/// cache, so EL2 maps them in no other way.
pub fn open_pool(pool: Region<Pa>, transports: usize) {
    let apart = (transports as u64 * PAGE_SIZE).min(pool.size() - PAGE_SIZE);
    let pages = Pa::new(pool.start().as_u64() + pool.size() - apart);
    if apart != 0 {
        map(TRANSPORT_BASE, pages, apart, Attributes::NORMAL_NC);
        TRANSPORTS.store(pages.as_u64(), Ordering::Relaxed);
        // SAFETY: just mapped, and owned by nobody else.
        unsafe { cache::clean_invalidate(TRANSPORT_BASE as usize, apart as usize) };
        barrier::dsb_sy();
        // SAFETY: as above.
        unsafe { (TRANSPORT_BASE as *mut u8).write_bytes(0, apart as usize) };
    }
    let pool = Region::new(pool.start(), pool.size() - apart).unwrap_or(pool);
    map(congruent(POOL_BASE, pool.start()), pool.start(), pool.size(), Attributes::DATA);
    let start = congruent(POOL_BASE, pool.start()) as usize;
    // SAFETY: mapped for this purpose and, by the manifest's validation, owned by nobody else.
    unsafe { FRAMES.hold().heap.init(start, pool.size() as usize) };
    POOL_START.store(pool.start().as_u64(), Ordering::Relaxed);
    POOL_VA.store(start as u64, Ordering::Relaxed);
    POOL_BYTES.store(pool.size(), Ordering::Relaxed);
    let window = allocate(PAGE_SIZE, PAGE_SIZE).unwrap_or_else(|| out_of_frames());
    Tables.write(root(), (WINDOW_BASE >> 30) as usize, window.as_u64() | 3);
    WINDOW_TABLE.call_once(|| window);
}

/// The address of transport page `n` at EL2, and where it is.
pub fn transport_page(n: usize) -> (usize, Pa) {
    let offset = n as u64 * PAGE_SIZE;
    ((TRANSPORT_BASE + offset) as usize, Pa::new(TRANSPORTS.load(Ordering::Relaxed) + offset))
}

/// Pages to share with a guest, zeroed, and their address at EL2.
pub fn shared_pages(count: u64) -> (Pa, usize) {
    let pa = allocate(count * PAGE_SIZE, PAGE_SIZE).unwrap_or_else(|| out_of_frames());
    (pa, frame_va(pa))
}

/// Closes the pool: the first guest starts next.
pub fn freeze() {
    FRAMES.hold().is_frozen = true;
}

/// Bytes of the pool in use.
pub fn pool_used() -> u64 {
    FRAMES.hold().heap.stats_alloc_actual() as u64
}

/// Bytes of the pool.
pub fn pool_bytes() -> u64 {
    POOL_BYTES.load(Ordering::Relaxed)
}

/// Makes the entries of a table that are not zero valid or invalid: their lowest bit. The caller invalidates the TLB.
pub fn set_table_valid(table: Pa, entries: usize, valid: bool) {
    for index in 0..entries {
        let old = Tables.read(table, index);
        if old != 0 {
            Tables.write(table, index, old & !1 | u64::from(valid));
        }
    }
}

/// Whether `va` lies on the page below a stack.
pub fn is_guard(va: u64) -> bool {
    let in_slot = va.wrapping_sub(STACK_BASE) % STACK_STRIDE;
    let is_cores = (STACK_BASE..STACK_BASE + MAX_CORES as u64 * STACK_STRIDE).contains(&va);
    let guards = [0, PAGE_SIZE + EMERGENCY_BYTES];
    (is_cores && guards.iter().any(|guard| in_slot.wrapping_sub(*guard) < PAGE_SIZE))
        || va.wrapping_sub(&raw const __boot_stack_guard as u64) < PAGE_SIZE
}

/// The word at `va`, if it lies on one of EL2's stacks.
pub fn stack_word(va: u64) -> Option<u64> {
    let is_boot = (&raw const __boot_stack_bottom as u64..&raw const __boot_stack_top as u64).contains(&va);
    let is_mapped = || stage2::walk(&Tables, root(), Geometry::EL2, Va::new(va)).is_some();
    if !va.is_multiple_of(8) || !(is_boot || (va >= STACK_BASE && is_mapped())) {
        return None;
    }
    // SAFETY: mapped, as just looked up.
    Some(unsafe { (va as *const u64).read_volatile() })
}

/// Whether the instruction before `address` is a call (BL, BLR) in EL2's text.
pub fn follows_call(address: u64) -> bool {
    let text = IMAGE_BASE + 4..&raw const __rodata_start as u64;
    if !text.contains(&address) || !address.is_multiple_of(4) {
        return false;
    }
    // SAFETY: EL2's text is mapped readable.
    let instruction = unsafe { ((address - 4) as *const u32).read_volatile() };
    instruction & 0xfc00_0000 == 0x9400_0000 || instruction & 0xffff_fc1f == 0xd63f_0000
}

/// A stack of its own for core `n`, above a guard page. Returns its top and the top of its emergency stack.
pub fn make_stack(n: u16) -> (usize, usize) {
    let base = STACK_BASE + u64::from(n) * STACK_STRIDE;
    let mut at = base;
    let mut tops = [0; 2];
    for (top, bytes) in tops.iter_mut().zip([EMERGENCY_BYTES, STACK_BYTES]) {
        at += PAGE_SIZE; // the guard
        let pa = allocate(bytes, PAGE_SIZE).unwrap_or_else(|| out_of_frames());
        map(at, pa, bytes, Attributes::DATA);
        at += bytes;
        *top = at as usize;
    }
    (tops[1], tops[0])
}

/// Drops the identity map that entry needed: every core has left it.
pub fn drop_identity_map() {
    let index = (image().start().as_u64() >> 30) as usize & 511;
    Tables.write(root(), index, 0);
    tlb::invalidate_all_own();
}

/// Runs `work` on the 2 MiB block of guest RAM at `block`, mapped only for core `core` and only meanwhile.
///
/// What is written there is a partition's that does not run, or a channel's, whose other end may write it at the same time.
pub fn with_window<R>(core: u16, block: Pa, work: impl FnOnce(*mut u8) -> R) -> R {
    assert!(block.is_aligned(BLOCK_2M), "windows are blocks");
    let table = *WINDOW_TABLE.get().expect("opened with the pool");
    let va = WINDOW_BASE + u64::from(core) * BLOCK_2M;
    let index = usize::from(core);
    Tables.write(table, index, block.as_u64() | Attributes::DATA.bits() | 1);
    barrier::isb();
    let result = work(va as *mut u8);
    Tables.write(table, index, 0);
    tlb::invalidate_own(va);
    result
}
