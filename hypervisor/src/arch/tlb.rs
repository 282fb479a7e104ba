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

/// Walks stage 1 of the guest for a read at EL1 (AT S1E1R) and returns PAR_EL1; the guest's PAR_EL1 is preserved.
pub fn translate_stage1(va: u64) -> u64 {
    let result;
    // SAFETY: AT writes only PAR_EL1, which is put back.
    unsafe {
        asm!(
            "mrs {saved}, par_el1", "at s1e1r, {va}", "isb", "mrs {result}, par_el1", "msr par_el1, {saved}",
            saved = out(reg) _, va = in(reg) va, result = lateout(reg) result, options(nostack, preserves_flags)
        );
    }
    result
}
