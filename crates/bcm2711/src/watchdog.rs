//! The watchdog in the power management block: PM_RSTC, PM_WDOG (Linux's bcm2835_wdt.c; the chip's document leaves them
//! out). It resets the whole board when nobody has set its time anew for so long.

/// Seconds until it resets: nearly all that PM_WDOG holds.
pub const SECONDS: u32 = 15;

/// PM_RSTC: what happens at the end of the time.
const CONTROL: u64 = 0x1c;
/// PM_WDOG: the time that is left, 2^16 ticks a second.
const TIME: u64 = 0x24;
/// The upper byte that every write to the block needs.
const PASSWORD: u32 = 0x5a << 24;
/// PM_RSTC.WRCFG, and its value that resets everything.
const CONFIG: u32 = 0x30;
const FULL_RESET: u32 = 0x20;
/// Bits of PM_WDOG above its 20 of time.
const ABOVE: u32 = 0xf << 20;
/// Ticks until a reset that is wanted now.
const AT_ONCE: u32 = 10;

/// The registers of the block, by their offset.
pub trait Registers {
    /// A load of 32 bits.
    fn read(&self, offset: u64) -> u32;
    /// A store of 32 bits.
    fn write(&self, offset: u64, value: u32);
}

/// Whether the block counts time at all. QEMU's (10.0) does not: it resets as soon as a reset is configured, so to start that
/// watchdog is to reset the board. It is known by the bits that it keeps where PM_WDOG has none.
pub fn counts(registers: &impl Registers) -> bool {
    // The firmware may have started it: the time is a whole one.
    registers.write(TIME, PASSWORD | ABOVE | SECONDS << 16);
    let is_kept = registers.read(TIME) & ABOVE != 0;
    registers.write(TIME, PASSWORD | SECONDS << 16);
    !is_kept
}

/// Starts it, or sets its time anew.
pub fn feed(registers: &impl Registers) {
    reset_in(registers, SECONDS << 16);
}

/// Resets the board.
pub fn reset(registers: &impl Registers) {
    reset_in(registers, AT_ONCE);
}

fn reset_in(registers: &impl Registers, ticks: u32) {
    registers.write(TIME, PASSWORD | ticks);
    let kept = registers.read(CONTROL) & !(CONFIG | 0xff << 24);
    registers.write(CONTROL, PASSWORD | kept | FULL_RESET);
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// The block as Linux's driver takes it, or as QEMU models it.
    struct Block {
        is_qemu: bool,
        time: Cell<u32>,
        control: Cell<u32>,
        resets: Cell<u32>,
    }

    impl Block {
        fn new(is_qemu: bool) -> Self {
            Self { is_qemu, time: Cell::new(0), control: Cell::new(0x102), resets: Cell::new(0) }
        }

        fn is_started(&self) -> bool {
            self.control.get() & CONFIG == FULL_RESET
        }

        fn pass(&self, ticks: u32) {
            if self.is_started() && self.time.get() <= ticks {
                self.resets.set(self.resets.get() + 1);
            }
            self.time.set(self.time.get().saturating_sub(ticks));
        }
    }

    impl Registers for Block {
        fn read(&self, offset: u64) -> u32 {
            if offset == TIME { self.time.get() } else { self.control.get() }
        }

        fn write(&self, offset: u64, value: u32) {
            if value & 0xff << 24 != PASSWORD {
                return;
            }
            let value = value & !(0xff << 24);
            match offset {
                TIME => self.time.set(if self.is_qemu { value } else { value & !ABOVE }),
                CONTROL => {
                    self.control.set(value);
                    if self.is_qemu && self.is_started() {
                        self.resets.set(self.resets.get() + 1);
                    }
                }
                other => panic!("no register at {other:#x}"),
            }
        }
    }

    #[test]
    fn p09_a_watchdog_that_is_fed_never_resets_and_one_that_is_not_does() {
        let block = Block::new(false);
        assert!(counts(&block));
        for _ in 0..100 {
            feed(&block);
            block.pass((SECONDS << 16) - 1);
        }
        assert_eq!(block.resets.get(), 0);
        block.pass(1);
        assert_eq!(block.resets.get(), 1);
    }

    #[test]
    fn p09_a_watchdog_that_the_firmware_started_is_not_starved_by_the_look_at_it() {
        let block = Block::new(false);
        block.control.set(0x122);
        block.time.set(1);
        assert!(counts(&block));
        block.pass(SECONDS << 15);
        assert_eq!(block.resets.get(), 0);
    }

    #[test]
    fn p09_a_block_that_resets_at_once_is_known_before_it_is_started() {
        let block = Block::new(true);
        assert!(!counts(&block));
        assert_eq!(block.resets.get(), 0);
        reset(&block);
        assert_eq!(block.resets.get(), 1);
    }

    #[test]
    fn p09_a_reset_comes_at_once_and_keeps_the_other_bits() {
        let block = Block::new(false);
        reset(&block);
        assert_eq!(block.control.get(), 0x122);
        block.pass(AT_ONCE);
        assert_eq!(block.resets.get(), 1);
    }
}
