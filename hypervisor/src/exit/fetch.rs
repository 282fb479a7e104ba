//! The instruction behind an exit whose syndrome does not describe it, read from the guest's RAM.
//!
//! The one time that EL2 looks into RAM of a partition that runs: four bytes, through this core's window, for this
//! exit. What is read is the guest's word and no more: another of its vCPUs may change it meanwhile, and whatever it
//! then decodes to, the guest could have executed.

use crate::arch::{cache, tlb};
use crate::core_local::Core;
use crate::memory;
use crate::partition::Partition;
use aarch64_cpu::registers::{ELR_EL2, SPSR_EL2};
use addr::{Address, BLOCK_2M, Ipa};
use tock_registers::interfaces::Readable;

/// SPSR_EL2.M\[4\]: AArch32.
const AARCH32: u64 = 1 << 4;

/// The A64 instruction at ELR_EL2 of the guest on this core; `None` where the guest could not read it itself.
#[cold]
#[inline(never)]
pub fn instruction(core: &Core, partition: &Partition) -> Option<u32> {
    let pc = ELR_EL2.get();
    if SPSR_EL2.get() & AARCH32 != 0 {
        return None;
    }
    let par = tlb::translate_stage1(pc);
    if par & 1 != 0 {
        return None;
    }
    let pa = partition.pa(Ipa::new(par & 0x000f_ffff_ffff_f000 | pc & 0xffc))?;
    memory::with_window(core.id.number(), pa.align_down(BLOCK_2M), |block| {
        let at = block.wrapping_add((pa.as_u64() % BLOCK_2M) as usize);
        // SAFETY: the window maps the block while this runs, and `at` is aligned.
        let word = unsafe { at.cast::<u32>().read_volatile() };
        // The guest may write there past its caches: no copy of the line may stay behind.
        // SAFETY: as above.
        unsafe { cache::clean_invalidate(at as usize, size_of::<u32>()) };
        Some(word)
    })
}
