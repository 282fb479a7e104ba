//! Device registers: plain loads and stores with a valid syndrome (ISS.ISV = 1).
//!
//! The distributor and the watchdog are emulated by EL2, which decodes one plain instruction; a volatile access does not
//! promise that form.

use core::arch::asm;

/// A block of device registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    base: u64,
}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty, $load:literal, $store:literal) => {
        /// Loads the register at `offset` bytes.
        #[inline(always)]
        pub fn $read(self, offset: u64) -> $type {
            let value: $type;
            // SAFETY: a device register by the contract of `Registers::new`, so no Rust object is there.
            unsafe { asm!($load, out(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags)) }
            value
        }
        /// Stores to the register at `offset` bytes.
        #[inline(always)]
        pub fn $write(self, offset: u64, value: $type) {
            // SAFETY: a device register by the contract of `Registers::new`, so no Rust object is there.
            unsafe { asm!($store, in(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags)) }
        }
    };
}

impl Registers {
    /// The registers at `base`.
    ///
    /// # Safety
    /// Device registers are mapped at `base`, no Rust object is there, and what starts DMA is not written through this.
    pub const unsafe fn new(base: u64) -> Self {
        Self { base }
    }

    /// The block at `offset` bytes into this one.
    pub const fn at(self, offset: u64) -> Self {
        Self { base: self.base + offset }
    }

    access!(read8, write8, u8, "ldrb {0:w}, [{1}]", "strb {0:w}, [{1}]");
    access!(read32, write32, u32, "ldr {0:w}, [{1}]", "str {0:w}, [{1}]");

    /// Stores to the 64-bit register at `offset` bytes.
    #[inline(always)]
    pub fn write64(self, offset: u64, value: u64) {
        // SAFETY: as above.
        unsafe { asm!("str {0}, [{1}]", in(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags)) }
    }
}
