//! TLB maintenance (Arm ARM D8.14).

use super::barrier;
use core::arch::asm;

/// Forgets EL2's translation of the page at `va`, on every core.
pub fn invalidate_own(va: u64) {
    barrier::dsb_ishst();
    // SAFETY: dropping a translation forces a walk of tables that EL2 keeps valid.
    unsafe { asm!("tlbi vae2is, {}", in(reg) va >> 12, options(nostack, preserves_flags)) };
    barrier::dsb_ish();
    barrier::isb();
}

/// Forgets all of EL2's translations, on every core.
pub fn invalidate_all_own() {
    barrier::dsb_ishst();
    // SAFETY: as above, for all of EL2's translations.
    unsafe { asm!("tlbi alle2is", options(nostack, preserves_flags)) };
    barrier::dsb_ish();
    barrier::isb();
}

/// Forgets stage 1 and stage 2 of the VMID now in VTTBR_EL2, on every core.
pub fn invalidate_guest() {
    barrier::dsb_ishst();
    // SAFETY: as above, for the guest's translations.
    unsafe { asm!("tlbi vmalls12e1is", options(nostack, preserves_flags)) };
    barrier::dsb_ish();
    barrier::isb();
}

unsafe extern "C" {
    #[link_name = "translate_stage1"]
    static TRANSLATE_STAGE1: u8;
}

/// Walks stage 1 of the guest for a read at EL1 (AT S1E1R) and returns PAR_EL1; 1, which is a failed walk, where the walk
/// itself cannot be done. The guest's PAR_EL1 is preserved. In vectors.s, which takes that exception.
#[inline(always)]
pub fn translate_stage1(va: u64) -> u64 {
    let result;
    // SAFETY: a call of that function, which changes these registers only and uses no stack. Not by the C convention, or a
    // caller would save what it leaves alone.
    unsafe {
        asm!(
            "bl {function}", function = sym TRANSLATE_STAGE1, inlateout("x0") va => result, out("x9") _, out("x10") _,
            out("x11") _, out("x12") _, out("x13") _, out("x16") _, out("x17") _, out("x30") _,
            options(nostack, preserves_flags)
        );
    }
    result
}
