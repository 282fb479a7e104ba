//! The BCM2711's random number generator (RNG200), with registers as in Linux's iproc-rng200.c.
//!
//! QEMU's model of the board has none: there the first load is an abort, which is asked for and not died of.

use crate::arch::mmio::Registers;
use crate::arch::probe;
use abi::plan::Soc;

const CONTROL: u64 = 0x00;
/// Enable bits, and the value that enables.
const ENABLE_MASK: u32 = 0x1fff;
const ENABLE: u32 = 1;
/// Resets of the generator, and of its source of bits.
const RESET: u64 = 0x04;
const RESET_BITS: u64 = 0x08;
/// A test of the bits has failed, or it has locked itself.
const HEALTH: u64 = 0x18;
const UNHEALTHY: u32 = 1 << 31 | 1 << 5;
const DATA: u64 = 0x20;
/// Words that are ready, in the low byte.
const COUNT: u64 = 0x24;

/// The generator.
#[derive(Clone, Copy, Debug)]
pub struct Rng200 {
    registers: Registers,
}

impl Rng200 {
    /// The plan's generator, started. `None`: nothing answers there.
    pub fn open(soc: &Soc) -> Option<Self> {
        // SAFETY: map.rs maps it as Device, and to read its control register changes nothing.
        let control = unsafe { probe::load32(soc.random.as_u64() + CONTROL) }?;
        // SAFETY: something is there, which is the generator as the plan says; it knows no DMA.
        let registers = unsafe { Registers::new(soc.random.as_u64()) };
        registers.write32(CONTROL, control & !ENABLE_MASK | ENABLE);
        Some(Self { registers })
    }

    /// The next word, once there is one.
    pub fn take(&self) -> Option<u32> {
        if self.registers.read32(HEALTH) & UNHEALTHY != 0 {
            self.restart();
            return None;
        }
        (self.registers.read32(COUNT) & 0xff != 0).then(|| self.registers.read32(DATA))
    }

    /// Makes it begin anew: what it had is not used.
    fn restart(&self) {
        let control = self.registers.read32(CONTROL) & !ENABLE_MASK;
        self.registers.write32(CONTROL, control);
        self.registers.write32(HEALTH, !0);
        for register in [RESET_BITS, RESET] {
            self.registers.write32(register, self.registers.read32(register) | 1);
        }
        for register in [RESET, RESET_BITS] {
            self.registers.write32(register, self.registers.read32(register) & !1);
        }
        self.registers.write32(CONTROL, control | ENABLE);
    }
}
