//! Everything that needs assembly: entry, vectors, system registers, barriers, cache and TLB maintenance.
//!
//! The only folder with `asm!`. Each function names the rule of the Arm ARM that it satisfies; no policy here.

pub mod barrier;
pub mod cache;
pub mod el1;
pub mod firmware;
pub mod guest;
pub mod sysreg;
pub mod tlb;

use core::arch::global_asm;

/// Where the image is linked (link.ld).
pub const IMAGE_BASE: u64 = 0x40_0000_0000;

global_asm!(
    include_str!("arch/entry.s"),
    FORMAT = const abi::bundle::FORMAT,
    TEXT = const stage2::Attributes::TEXT.bits() | 3,
    RODATA = const stage2::Attributes::RODATA.bits() | 3,
    DATA = const stage2::Attributes::DATA.bits() | 3,
    IMAGE_BASE = const IMAGE_BASE,
    MAIR = const stage2::MAIR_EL2,
    HANDOFF = sym crate::boot::HANDOFF,
);
global_asm!(include_str!("arch/vectors.s"));
global_asm!(include_str!("arch/memory.s"));

/// Halts this core for good.
pub fn halt() -> ! {
    loop {
        barrier::wait_for_event();
    }
}
