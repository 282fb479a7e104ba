//! Barriers and waits (Arm ARM B2.3.12 and D1.6).

use core::arch::asm;

macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: a barrier or hint changes no register and no memory.
            unsafe { asm!($text, options(nostack, preserves_flags)) }
        }
    };
}

instruction!(
    /// Later instructions see the effect of earlier system register writes.
    isb,
    "isb"
);
instruction!(
    /// All earlier accesses and maintenance are complete for the whole system.
    dsb_sy,
    "dsb sy"
);
instruction!(
    /// All earlier accesses and maintenance are complete for the inner shareable domain: every core.
    dsb_ish,
    "dsb ish"
);
instruction!(
    /// Earlier stores are visible to every core before later ones, and before an SGI that follows.
    dsb_ishst,
    "dsb ishst"
);
instruction!(
    /// Earlier accesses are observed by every core before later ones.
    dmb_ish,
    "dmb ish"
);
instruction!(
    /// Sleeps until an event: SEV of another core or an interrupt.
    wait_for_event,
    "wfe"
);
instruction!(
    /// Wakes every core that sleeps in WFE.
    send_event,
    "sev"
);
instruction!(
    /// Sleeps until an interrupt is pending, masked or not.
    wait_for_interrupt,
    "wfi"
);
instruction!(
    /// This core waits for another one: an emulator may run that one first.
    yield_core,
    "yield"
);

/// ISR_EL1: physical interrupts that are pending for this core now; bit 7 is IRQ.
pub fn pending_interrupts() -> u64 {
    let value;
    // SAFETY: reading it has no side effect.
    unsafe { asm!("mrs {}, isr_el1", out(reg) value, options(nostack, preserves_flags)) };
    value
}
