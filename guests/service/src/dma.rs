//! The DMA arena: memory that the board's devices read and write, besides the guests' own.
//!
//! It lies in the kept memory: when the service dies, devices go on with what they were told, and nothing else must be
//! there by then. So rings and headers come from here and never from the heap, and nothing is handed out before all
//! devices were reset ([`crate::transports::reset_all`]).

use addr::{PAGE_SIZE, Pa, Region};
use core::ptr::NonNull;
use spin::mutex::SpinMutex;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// What is left, from front to end.
static LEFT: SpinMutex<(u64, u64)> = SpinMutex::new((0, 0));

/// Opens the arena.
///
/// # Safety
/// The region is mapped as Normal memory, page-aligned, nobody else uses it, no device does any more, and this is called
/// once.
pub unsafe fn open(arena: &Region<Pa>) {
    *LEFT.lock() = (arena.start().as_u64(), arena.end().as_u64());
}

/// Pages of zeroes, for good: devices are set up once.
pub fn allocate(pages: usize) -> Option<NonNull<u8>> {
    let mut left = LEFT.lock();
    let (start, end) = *left;
    let bytes = u64::try_from(pages).ok()?.checked_mul(PAGE_SIZE)?;
    let next = start.checked_add(bytes).filter(|next| *next <= end)?;
    left.0 = next;
    let pointer = NonNull::new(start as *mut u8)?;
    // SAFETY: by the contract of `open` these pages are mapped and ours, and each is handed out once.
    unsafe { pointer.write_bytes(0, bytes as usize) };
    Some(pointer)
}

/// The arena as `virtio-drivers` asks for it. Addresses are physical already.
pub struct Arena;

// SAFETY: `allocate` returns zeroed pages that are aligned, valid and nobody else's. The map is the identity.
unsafe impl Hal for Arena {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // Address 0 is how the crate is told that there is none.
        allocate(pages).map_or((0, NonNull::dangling()), |pointer| (pointer.as_ptr() as PhysAddr, pointer))
    }

    /// Given back to nobody: only a device whose start fails does this.
    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(paddr as *mut u8).expect("only PCI asks, and there is none")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
