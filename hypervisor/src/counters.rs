//! Exits by reason, one set for each vCPU. Each counter has one writer, its core; `Ctrl-T s` reads them from another.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// What made a vCPU enter EL2, and how often.
        #[derive(Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
        }
        impl fmt::Display for Counters {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(write!(f, concat!(" ", stringify!($name), "={}"), self.$name.value())?;)*
                Ok(())
            }
        }
    };
}

counters! {
    /// HVC instructions.
    hvc
    /// SMC instructions.
    smc
    /// Trapped system registers, of AArch32 too.
    sysreg
    /// Emulated distributor and redistributor accesses.
    vgic
    /// Emulated console accesses.
    uart
    /// Aborts that were given back to the guest.
    aborts
    /// Anything else synchronous.
    other
    /// Physical interrupts of the guest, forwarded.
    forwarded
    /// SGIs sent by this vCPU.
    sgi
    /// Doorbells of other cores.
    doorbell
    /// Maintenance interrupts.
    maintenance
    /// Interrupts for EL2 itself.
    own
    /// Stores to virtio registers.
    virtio
    /// Hypercalls that were refused.
    refused
}

/// A number with one writer.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    #[inline(always)]
    pub fn count(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
    /// How often so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
