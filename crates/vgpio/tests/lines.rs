//! Plain lines of the board: what a guest's outputs say to the outside, and what inputs and a reset keep.

use vgpio::Pl061;
use vgpio::register::*;

/// Two lines, and the power key's pin.
const LINES: u8 = 0x11;
const KEY: u8 = 0x08;

fn output(pins: u8, high: u8) -> Pl061 {
    let mut gpio = Pl061::new();
    // As Linux does: the level cannot be written before the pin is an output.
    gpio.write(GPIODIR, 1, pins.into());
    gpio.write(GPIODATA + (u64::from(pins) << 2), 1, high.into());
    gpio
}

#[test]
fn outputs_are_driven_and_inputs_are_not() {
    let mut gpio = output(LINES, 0x10);
    assert_eq!(gpio.driven(), (LINES, 0x10));
    gpio.write(GPIODATA_ALL, 1, 0xff);
    assert_eq!(gpio.driven(), (LINES, LINES));
    gpio.write(GPIODATA + (0x01 << 2), 1, 0);
    assert_eq!(gpio.driven(), (LINES, 0x10), "by the offset's mask alone");
    gpio.write(GPIODIR, 1, 0x01);
    assert_eq!(gpio.driven(), (0x01, 0), "an input drives nothing, whatever was written");
    gpio.write(GPIODIR, 1, LINES.into());
    assert_eq!(gpio.driven(), (LINES, 0x10), "and drives it again as an output");
}

#[test]
fn nothing_else_changes_what_is_driven() {
    let mut gpio = output(LINES, LINES);
    for register in [GPIOIS, GPIOIBE, GPIOIEV, GPIOIE, GPIORIS, GPIOMIS, GPIOIC, GPIOAFSEL, PERIPH_ID0, 0x800] {
        gpio.write(register, 4, 0xff);
        assert_eq!(gpio.driven(), (LINES, LINES), "{register:#x}");
    }
    gpio.set_pins(0xff, 0);
    assert_eq!(gpio.driven(), (LINES, LINES), "levels from outside");
}

#[test]
fn levels_from_outside_reach_inputs_of_the_mask_alone() {
    let mut gpio = Pl061::new();
    gpio.write(GPIOIBE, 1, 0xff);
    gpio.write(GPIOIE, 1, 0x10);
    gpio.set_pins(LINES, 0xff);
    assert_eq!((gpio.read(GPIODATA_ALL, 1), gpio.read(GPIORIS, 1)), (LINES.into(), LINES.into()));
    assert!(gpio.irq_level());
    gpio.write(GPIOIC, 1, 0xff);
    gpio.set_pins(0x01, 0x10);
    assert_eq!((gpio.read(GPIODATA_ALL, 1), gpio.read(GPIORIS, 1)), (0x10, 0x01));
    assert!(!gpio.irq_level(), "masked");
    gpio.set_pins(LINES, 0x10);
    assert_eq!(gpio.read(GPIORIS, 1), 0x01, "the same level is no edge");
}

#[test]
fn an_output_that_becomes_an_input_shows_the_level_outside() {
    let mut gpio = output(LINES, LINES);
    gpio.set_pins(LINES, 0x01);
    assert_eq!(gpio.read(GPIODATA_ALL, 1), LINES.into());
    gpio.write(GPIODIR, 1, 0);
    assert_eq!(gpio.read(GPIODATA_ALL, 1), 0x01);
}

#[test]
fn a_reset_drives_nothing_and_keeps_the_levels_outside() {
    let mut gpio = output(LINES, LINES);
    for register in [GPIOIS, GPIOIBE, GPIOIEV, GPIOIE, GPIOAFSEL] {
        gpio.write(register, 1, 0xff);
    }
    gpio.write(GPIOIS, 1, 0);
    gpio.set_pins(KEY | 0x02, KEY | 0x02);
    assert!(gpio.irq_level());
    gpio.reset();
    assert_eq!((gpio.driven(), gpio.irq_level()), ((0, 0), false));
    let settings = [GPIODIR, GPIOIS, GPIOIBE, GPIOIEV, GPIOIE, GPIORIS, GPIOAFSEL];
    assert_eq!(settings.map(|register| gpio.read(register, 1)), [0; 7]);
    assert_eq!(gpio.read(GPIODATA_ALL, 1), u32::from(KEY | 0x02));
    gpio.write(GPIODIR, 1, 0xff);
    assert_eq!(gpio.driven(), (0xff, 0), "what the life before wrote is forgotten");
}
