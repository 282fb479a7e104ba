//! The heap: what the image leaves of the service's RAM. Filled while the service starts, then almost constant.

use buddy_system_allocator::Heap;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use spin::mutex::SpinMutex;

/// Orders of blocks: up to 2 GiB.
const ORDERS: usize = 32;

/// One core, no interrupt handlers: the lock is never contended, it only makes the static sound.
struct LockedHeap(SpinMutex<Heap<ORDERS>>);

#[global_allocator]
static HEAP: LockedHeap = LockedHeap(SpinMutex::new(Heap::new()));

// SAFETY: `Heap` hands out blocks of the memory that `open` gave it, aligned and each once, or a null pointer.
unsafe impl GlobalAlloc for LockedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().alloc(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(pointer) = NonNull::new(pointer) {
            // SAFETY: the caller's promise: the block came from `alloc` with this layout.
            unsafe { self.0.lock().dealloc(pointer, layout) }
        }
    }
}

/// Gives `[start, end)` to the heap.
///
/// # Safety
/// The memory is mapped and writable, nothing else uses it, and it is given once.
pub unsafe fn open(start: u64, end: u64) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.0.lock().add_to_heap(start as usize, end as usize) }
}

/// Bytes handed out, and bytes there are.
pub fn usage() -> (usize, usize) {
    let heap = HEAP.0.lock();
    (heap.stats_alloc_actual(), heap.stats_total_bytes())
}
