//! The memory that no restart touches: survivor pages at its start, behind them the arena for DMA.
//!
//! The service before this one may have died anywhere, so what it left is judged like a guest's input: a page counts
//! only with the right magic, version and boot, and [`Kept::open`] zeroes what does not count.

use crate::hooks::Survivor;
use abi::VirtioId;
use abi::service::{MAX_DEVICES, MAX_QUEUES};
use addr::{Address, PAGE_SIZE, Pa, Region};
use core::sync::atomic::{AtomicU64, Ordering};

/// Magic of the first page, the layout's version in its last byte.
const MAGIC: u64 = u64::from_le_bytes(*b"BHKEPT\x00\x04");
/// Pages for what the network keeps: 2048 of [`Slot`].
const NETWORK: u64 = 16;
/// Survivor pages: one for the service as a whole, one for each device, then the network's.
const SURVIVORS: u64 = 1 + MAX_DEVICES as u64 + NETWORK;
/// Bytes of a device's page for each of its queues.
const QUEUE: u64 = PAGE_SIZE / MAX_QUEUES as u64;

/// The part of a console's page that holds what is typed, behind the parts for its two queues.
const TYPED: u64 = 2;

const _: () = assert!(TYPED < MAX_QUEUES as u64 && size_of::<Typed>() as u64 <= QUEUE);
const _: () = assert!(size_of::<Survivor>() as u64 <= QUEUE && size_of::<Common>() as u64 <= PAGE_SIZE);

/// What is typed for a console, from the UART to its driver.
pub type Typed = console::Typed<512>;

/// What the network keeps of one thing; the gateway knows what that is.
pub type Slot = [AtomicU64; 4];

/// The first page: what belongs to no device.
#[repr(C)]
struct Common {
    magic: AtomicU64,
    /// EL2's number of the boot in which the pages were divided.
    boot: AtomicU64,
}

/// The kept memory, divided.
pub struct Kept {
    start: u64,
    arena: Region<Pa>,
}

impl Kept {
    /// Divides the kept memory. Where it was not divided so in this boot, all survivor pages become zero.
    ///
    /// # Safety
    /// The region is mapped, nothing else in this life uses it, and this is called once.
    pub unsafe fn open(kept: &Region<Pa>, boot: u64) -> Option<Self> {
        let arena = Region::new(
            kept.start().checked_add(SURVIVORS * PAGE_SIZE)?,
            kept.size().checked_sub(SURVIVORS * PAGE_SIZE)?,
        )?;
        let start = kept.start().as_u64();
        // SAFETY: inside the region, which is page-aligned, mapped and nobody else's; all fields are atomics.
        let common = unsafe { &*(start as *const Common) };
        if common.magic.load(Ordering::Acquire) != MAGIC || common.boot.load(Ordering::Relaxed) != boot {
            // SAFETY: as above; no reference but `common` exists yet, and atomics may change under it.
            unsafe { core::ptr::write_bytes(start as *mut u8, 0, (SURVIVORS * PAGE_SIZE) as usize) };
            common.boot.store(boot, Ordering::Relaxed);
            common.magic.store(MAGIC, Ordering::Release);
        }
        Some(Self { start, arena })
    }

    /// The survivor record of a virtio device's queue.
    pub fn record(&self, device: VirtioId, queue: u16) -> Option<&'static Survivor> {
        if device.index() >= MAX_DEVICES || usize::from(queue) >= MAX_QUEUES {
            return None;
        }
        let at = self.start + (1 + device.index() as u64) * PAGE_SIZE + u64::from(queue) * QUEUE;
        // SAFETY: in a page of the survivor pages, mapped by the contract of `open`; a record is atomics only, any content
        // is a valid value.
        Some(unsafe { &*(at as *const Survivor) })
    }

    /// What is typed for a console, in its page where a third queue would have its record.
    pub fn typed(&self, device: VirtioId) -> Option<&'static Typed> {
        if device.index() >= MAX_DEVICES {
            return None;
        }
        let at = self.start + (1 + device.index() as u64) * PAGE_SIZE + TYPED * QUEUE;
        // SAFETY: as in `record`: of a console's device, whose records lie before it.
        Some(unsafe { &*(at as *const Typed) })
    }

    /// What the network keeps.
    pub fn slots(&self) -> &'static [Slot] {
        let at = self.start + (1 + MAX_DEVICES as u64) * PAGE_SIZE;
        let count = (NETWORK * PAGE_SIZE) as usize / size_of::<Slot>();
        // SAFETY: the last of the survivor pages, mapped by the contract of `open`; atomics only.
        unsafe { core::slice::from_raw_parts(at as *const Slot, count) }
    }

    /// Memory for DMA.
    pub fn arena(&self) -> &Region<Pa> {
        &self.arena
    }
}
