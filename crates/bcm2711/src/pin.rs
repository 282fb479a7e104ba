//! The pins of the header: what each can do, and the registers GPFSEL0 to 5 and GPIO_PUP_PDN_CNTRL_REG0 to 3 that select
//! it (BCM2711 ARM Peripherals, sections 5.2 and 5.3).
//!
//! Of the alternate functions only those that a partition can use are listed. Pins 28 to 57 do not reach the header:
//! the board's own Ethernet, wireless, card, sound and light use them.

use abi::plan::{Pin, Pull};

/// Pins that the chip has.
pub const PINS: u8 = 58;
/// Pins that the header has: 0 to 27.
pub const HEADER: u8 = 28;
/// Transmit and receive of the hypervisor's console.
pub const CONSOLE: [u8; 2] = [14, 15];
/// Offset of GPFSEL0 in the block of GPIO registers; the others follow.
pub const GPFSEL: u64 = 0x00;
/// How many of them there are: ten pins each.
pub const GPFSELS: usize = 6;
/// Offset of GPIO_PUP_PDN_CNTRL_REG0 in the block; the others follow.
pub const PULLS: u64 = 0xe4;
/// How many of them there are: 16 pins each.
pub const PULL_REGISTERS: usize = 4;

/// GPFSEL's codes for alternate functions 0 to 5.
const CODES: [u8; 6] = [0b100, 0b101, 0b110, 0b111, 0b011, 0b010];

/// A line of a block, and a pin that can be it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The block's name: `i2c1`.
    pub block: &'static str,
    /// The line: `sda`.
    pub line: &'static str,
    /// The pin.
    pub pin: u8,
    /// The alternate function, 0 to 5.
    alternate: u8,
}

impl Signal {
    /// Whether `name` is its name: `i2c1.sda`.
    pub fn is_called(&self, name: &str) -> bool {
        name.split_once('.') == Some((self.block, self.line))
    }

    /// What the pin is set to: lines of an open-drain bus are pulled up, all others are driven.
    pub fn setting(&self) -> Pin {
        let pull = if self.block.starts_with("i2c") { Pull::Up } else { Pull::None };
        let code = CODES.get(usize::from(self.alternate)).copied().unwrap_or_default();
        Pin { number: self.pin, code, pull }
    }
}

const fn signal(block: &'static str, line: &'static str, pin: u8, alternate: u8) -> Signal {
    Signal { block, line, pin, alternate }
}

/// Every line of a block in [`crate::BLOCKS`] that reaches the header, by pin.
pub const SIGNALS: &[Signal] = &[
    signal("i2c0", "sda", 0, 0),
    signal("spi3", "ce0", 0, 3),
    signal("uart2", "txd", 0, 4),
    signal("i2c6", "sda", 0, 5),
    signal("i2c0", "scl", 1, 0),
    signal("spi3", "miso", 1, 3),
    signal("uart2", "rxd", 1, 4),
    signal("i2c6", "scl", 1, 5),
    signal("i2c1", "sda", 2, 0),
    signal("spi3", "mosi", 2, 3),
    signal("uart2", "cts", 2, 4),
    signal("i2c3", "sda", 2, 5),
    signal("i2c1", "scl", 3, 0),
    signal("spi3", "sclk", 3, 3),
    signal("uart2", "rts", 3, 4),
    signal("i2c3", "scl", 3, 5),
    signal("spi4", "ce0", 4, 3),
    signal("uart3", "txd", 4, 4),
    signal("i2c3", "sda", 4, 5),
    signal("spi4", "miso", 5, 3),
    signal("uart3", "rxd", 5, 4),
    signal("i2c3", "scl", 5, 5),
    signal("spi4", "mosi", 6, 3),
    signal("uart3", "cts", 6, 4),
    signal("i2c4", "sda", 6, 5),
    signal("spi0", "ce1", 7, 0),
    signal("spi4", "sclk", 7, 3),
    signal("uart3", "rts", 7, 4),
    signal("i2c4", "scl", 7, 5),
    signal("spi0", "ce0", 8, 0),
    signal("uart4", "txd", 8, 4),
    signal("i2c4", "sda", 8, 5),
    signal("spi0", "miso", 9, 0),
    signal("uart4", "rxd", 9, 4),
    signal("i2c4", "scl", 9, 5),
    signal("spi0", "mosi", 10, 0),
    signal("uart4", "cts", 10, 4),
    signal("i2c5", "sda", 10, 5),
    signal("spi0", "sclk", 11, 0),
    signal("uart4", "rts", 11, 4),
    signal("i2c5", "scl", 11, 5),
    signal("pwm0", "0", 12, 0),
    signal("spi5", "ce0", 12, 3),
    signal("uart5", "txd", 12, 4),
    signal("i2c5", "sda", 12, 5),
    signal("pwm0", "1", 13, 0),
    signal("spi5", "miso", 13, 3),
    signal("uart5", "rxd", 13, 4),
    signal("i2c5", "scl", 13, 5),
    signal("uart0", "txd", 14, 0),
    signal("spi5", "mosi", 14, 3),
    signal("uart0", "rxd", 15, 0),
    signal("spi5", "sclk", 15, 3),
    signal("spi1", "ce2", 16, 4),
    signal("spi1", "ce1", 17, 4),
    signal("spi6", "ce0", 18, 3),
    signal("spi1", "ce0", 18, 4),
    signal("pwm0", "0", 18, 5),
    signal("spi6", "miso", 19, 3),
    signal("spi1", "miso", 19, 4),
    signal("pwm0", "1", 19, 5),
    signal("spi6", "mosi", 20, 3),
    signal("spi1", "mosi", 20, 4),
    signal("spi6", "sclk", 21, 3),
    signal("spi1", "sclk", 21, 4),
    signal("i2c6", "sda", 22, 5),
    signal("i2c6", "scl", 23, 5),
    signal("spi3", "ce1", 24, 5),
    signal("spi4", "ce1", 25, 5),
    signal("spi5", "ce1", 26, 5),
    signal("spi6", "ce1", 27, 5),
];

/// The value of GPFSEL register `n` that was `old`, with its share of `pins` set: three bits for a pin.
pub fn function_select(n: usize, old: u32, pins: &[Pin]) -> u32 {
    with_fields(n, old, 10, 3, pins.iter().map(|pin| (pin.number, u32::from(pin.code))))
}

/// The value of GPIO_PUP_PDN_CNTRL_REG `n` that was `old`, with its share of `pins` set: two bits for a pin.
pub fn pull_control(n: usize, old: u32, pins: &[Pin]) -> u32 {
    with_fields(n, old, 16, 2, pins.iter().map(|pin| (pin.number, pin.pull as u32)))
}

/// `old` with the fields of those pins whose place is in register `n`: `count` fields of `bits` bits to a register.
pub(crate) fn with_fields(n: usize, old: u32, count: usize, bits: u32, fields: impl Iterator<Item = (u8, u32)>) -> u32 {
    let mask = (1u32 << bits) - 1;
    let own = fields.filter(|(pin, _)| *pin < PINS && usize::from(*pin) / count == n);
    own.fold(old, |value, (pin, field)| {
        let shift = (usize::from(pin) % count) as u32 * bits;
        value & !(mask << shift) | (field & mask) << shift
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::BLOCKS;
    use std::vec::Vec;

    fn setting(name: &str, pin: u8) -> Pin {
        SIGNALS.iter().find(|signal| signal.pin == pin && signal.is_called(name)).unwrap().setting()
    }

    #[test]
    fn every_signal_is_of_a_block_on_the_header_and_has_a_function_of_its_own() {
        for (place, signal) in SIGNALS.iter().enumerate() {
            assert!(BLOCKS.iter().any(|block| block.name == signal.block), "{signal:?}");
            assert!(signal.pin < HEADER && signal.alternate < 6, "{signal:?}");
            for other in &SIGNALS[..place] {
                let is_one = (signal.pin, signal.alternate) == (other.pin, other.alternate);
                assert!(!is_one, "{signal:?} and {other:?} are one function");
            }
        }
        assert!(SIGNALS.is_sorted_by_key(|signal| signal.pin));
    }

    /// From the trees of the board that Linux ships: pin, alternate function.
    #[test]
    fn the_table_says_what_linux_trees_say() {
        for (name, pin, code) in [
            ("i2c1.sda", 2, 0b100),
            ("i2c3.scl", 3, 0b010),
            ("i2c4.sda", 6, 0b010),
            ("i2c6.scl", 23, 0b010),
            ("spi0.sclk", 11, 0b100),
            ("spi3.mosi", 2, 0b111),
            ("spi6.sclk", 21, 0b111),
            ("spi1.miso", 19, 0b011),
            ("uart5.txd", 12, 0b011),
            ("pwm0.0", 18, 0b010),
            ("pwm0.1", 13, 0b100),
        ] {
            assert_eq!(setting(name, pin).code, code, "{name}");
        }
    }

    #[test]
    fn a_pins_bits_change_and_no_others() {
        let pins = [setting("i2c1.sda", 2), setting("i2c1.scl", 3), setting("spi0.sclk", 11)];
        assert_eq!(function_select(0, 0, &pins), 0b100 << 6 | 0b100 << 9);
        assert_eq!(function_select(1, !0, &pins), !(0b011 << 3));
        assert_eq!(function_select(2, 0x1234_5678, &pins), 0x1234_5678);
        // The console's pins share GPFSEL1: set to ALT0 before, they stay so.
        let console = 0b100 << 12 | 0b100 << 15;
        assert_eq!(function_select(1, console, &pins) & console, console);
        assert_eq!(pull_control(0, 0, &pins), 1 << 4 | 1 << 6);
        assert_eq!(pull_control(0, !0, &pins), !(2 << 4 | 2 << 6 | 3 << 22));
        assert_eq!(pull_control(1, 7, &pins), 7);
    }

    #[test]
    fn a_pin_that_the_chip_does_not_have_changes_nothing() {
        let beyond = [PINS, 59, 60, u8::MAX].map(|number| Pin { number, code: 7, pull: Pull::Down });
        let values: Vec<u32> = (0..32).map(|n| function_select(n, 0, &beyond) | pull_control(n, 0, &beyond)).collect();
        assert!(values.iter().all(|value| *value == 0), "{values:?}");
    }
}
