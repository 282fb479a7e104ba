//! [`GuestHal`]: gives the driver memory in the guest's RAM, and copies its buffers there and back.

use crate::guest::Guest;
use std::ptr::NonNull;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// The guest's side of the driver.
pub struct GuestHal;

// SAFETY: `dma_alloc` answers with zeroed, page-aligned memory that `Guest` gives to nobody else until it is freed; the
// addresses of `share` lie in RAM that is the buffer's alone until `unshare`.
unsafe impl Hal for GuestHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        Guest::allocate(pages * PAGE_SIZE, PAGE_SIZE)
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        Guest::free(paddr);
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("only PCI devices ask")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let (at, copy) = Guest::allocate(buffer.len(), 1);
        if direction == BufferDirection::DriverToDevice {
            // SAFETY: the caller has the buffer for this call, and the copy is as long and not handed out yet.
            unsafe { copy.as_ptr().copy_from(buffer.as_ptr().cast(), buffer.len()) };
        }
        at
    }

    unsafe fn unshare(paddr: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        if direction == BufferDirection::DeviceToDriver {
            let copy = Guest::pointer(paddr, buffer.len());
            // SAFETY: the caller has the buffer for this call, and the copy was allocated as long by `share`.
            unsafe { copy.as_ptr().copy_to(buffer.as_ptr().cast(), buffer.len()) };
        }
        Guest::free(paddr);
    }
}
