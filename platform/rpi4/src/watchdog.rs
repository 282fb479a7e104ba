//! The hooks of the board's watchdog, and of its green lamp, ACT.

use addr::Pa;
use bcm2711::watchdog;
use hypervisor::{Change, Lamp, Registers, Watchdog};

/// The power management block.
pub const WATCHDOG: Watchdog = Watchdog {
    page: Pa::new(0xfe10_0000),
    seconds: watchdog::SECONDS,
    counts: |registers| watchdog::counts(&Block(registers)),
    feed: |registers| watchdog::feed(&Block(registers)),
    reset: |registers| watchdog::reset(&Block(registers)),
};

/// GPIO 42 (bcm2711-rpi-4-b.dts, led-act): lit while it is high.
pub const ACT: Lamp = Lamp {
    // GPFSEL4: three bits for each pin from 40 on; 1 is an output.
    prepare: &[Change { register: Pa::new(0xfe20_0010), mask: 7 << 6, value: 1 << 6 }],
    page: Pa::new(0xfe20_0000),
    // GPSET1, GPCLR1: a bit for each pin from 32 on.
    on: (0x20, 1 << 10),
    off: (0x2c, 1 << 10),
};

struct Block<'a>(&'a Registers);

impl watchdog::Registers for Block<'_> {
    fn read(&self, offset: u64) -> u32 {
        self.0.read(offset)
    }

    fn write(&self, offset: u64, value: u32) {
        self.0.write(offset, value);
    }
}
