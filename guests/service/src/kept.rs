//! The memory that no restart touches: survivor pages at its start, behind them the arena for DMA.
//!
//! The service before this one may have died anywhere, so what it left is judged like a guest's input: a page counts
//! only with the right magic and version, and [`Kept::open`] zeroes what does not count.

use crate::hooks::Survivor;
use abi::service::MAX_DEVICES;
use abi::{PartitionId, VirtioId};
use addr::{Address, PAGE_SIZE, Pa, Region};
use core::sync::atomic::{AtomicU32, Ordering};

/// Magic of the first page, the layout's version in its last byte.
const MAGIC: u32 = u32::from_le_bytes(*b"BHS\x01");
/// Survivor pages: one for the service as a whole, one for each device.
const SURVIVORS: u64 = 1 + MAX_DEVICES as u64;

const _: () = assert!(size_of::<Survivor>() as u64 <= PAGE_SIZE && size_of::<Common>() as u64 <= PAGE_SIZE);

/// The first page: what belongs to no device.
#[repr(C)]
struct Common {
    magic: AtomicU32,
    /// The partition with the keyboard.
    focus: AtomicU32,
}

/// The partition with the keyboard, which outlives the service.
#[derive(Clone, Copy)]
pub struct Focus(&'static AtomicU32);

impl Focus {
    /// The partition; what a past life left there may name none that exists.
    pub fn get(self) -> PartitionId {
        PartitionId::new(self.0.load(Ordering::Relaxed) as u8)
    }
    /// Moves the keyboard.
    pub fn set(self, partition: PartitionId) {
        self.0.store(partition.number().into(), Ordering::Relaxed);
    }
}

/// The kept memory, divided.
pub struct Kept {
    start: u64,
    common: &'static Common,
    arena: Region<Pa>,
}

impl Kept {
    /// Divides the kept memory. In the first life, and where the layout is another's, all survivor pages become zero.
    ///
    /// # Safety
    /// The region is mapped, nothing else in this life uses it, and this is called once.
    pub unsafe fn open(kept: &Region<Pa>, is_first_life: bool) -> Option<Self> {
        let arena = Region::new(
            kept.start().checked_add(SURVIVORS * PAGE_SIZE)?,
            kept.size().checked_sub(SURVIVORS * PAGE_SIZE)?,
        )?;
        let start = kept.start().as_u64();
        // SAFETY: inside the region, which is page-aligned, mapped and nobody else's; all fields are atomics.
        let common = unsafe { &*(start as *const Common) };
        if is_first_life || common.magic.load(Ordering::Acquire) != MAGIC {
            // SAFETY: as above; no reference but `common` exists yet, and atomics may change under it.
            unsafe { core::ptr::write_bytes(start as *mut u8, 0, (SURVIVORS * PAGE_SIZE) as usize) };
            common.magic.store(MAGIC, Ordering::Release);
        }
        Some(Self { start, common, arena })
    }

    /// The partition with the keyboard.
    pub fn focus(&self) -> Focus {
        Focus(&self.common.focus)
    }

    /// The survivor record of a virtio device.
    pub fn record(&self, device: VirtioId) -> Option<&'static Survivor> {
        if device.index() >= MAX_DEVICES {
            return None;
        }
        let at = self.start + (1 + device.index() as u64) * PAGE_SIZE;
        // SAFETY: a page of the survivor pages, mapped by the contract of `open`; a record is atomics only, any content is
        // a valid value.
        Some(unsafe { &*(at as *const Survivor) })
    }

    /// Memory for DMA.
    pub fn arena(&self) -> &Region<Pa> {
        &self.arena
    }
}
