//! Twins of what the driver uses of the hypervisor: one core, its timer, the map of devices.

/// `hypervisor::arch`.
pub mod arch {
    /// Barriers: the model does everything at once.
    pub mod barrier {
        pub fn dsb_sy() {}
        pub fn isb() {}
        /// ISR_EL1: IRQ is bit 7.
        pub fn pending_interrupts() -> u64 {
            u64::from(crate::model::is_signalled()) << 7
        }
    }

    /// EL2's timer, whose line the model has.
    pub mod sysreg {
        use crate::model;
        use abi::machine;
        use tock_registers::interfaces::Writeable;

        /// CNTHP_CTL_EL2.
        pub struct Control;
        /// CNTHP_CVAL_EL2: always passed.
        pub struct Compare;

        pub static CNTHP_CTL_EL2: Control = Control;
        pub static CNTHP_CVAL_EL2: Compare = Compare;

        impl Writeable for Control {
            type T = u64;
            type R = ();
            fn set(&self, value: u64) {
                model::set_line(machine::HYPERVISOR_TIMER, value & 1 != 0);
            }
        }
        impl Writeable for Compare {
            type T = u64;
            type R = ();
            fn set(&self, _: u64) {}
        }
    }
}

/// `hypervisor::core_local`.
pub mod core_local {
    use std::sync::atomic::AtomicU64;

    /// A core.
    pub struct Core {
        pub doorbell_target: AtomicU64,
    }

    static CORE: Core = Core { doorbell_target: AtomicU64::new(0) };

    /// The only one.
    pub fn this() -> &'static Core {
        &CORE
    }
}

/// `hypervisor::memory`.
pub mod memory {
    use crate::model;
    use addr::Pa;

    /// Where the model answers for `pa`.
    pub fn map_device(pa: Pa, _: u64) -> usize {
        model::address_of(pa)
    }
}
