//! The board's pins, and the clock of its PWM blocks: set once at the start of a life, as the plan says.
//! Plain pins are in lines.rs.
//!
//! Both are registers for all partitions at once, so nobody else reaches them. What is set already stays untouched: a new
//! life of the service disturbs no bus and no motor.

use crate::arch::mmio::Registers;
use crate::{say, timer};
use abi::plan::Pins;
use addr::Pa;
use bcm2711::clock::{BUSY, PWM_CONTROL, PWM_STEPS, PWM_STOP, is_pwm_set};
use bcm2711::pin::{GPFSEL, GPFSELS, PULL_REGISTERS, PULLS, function_select, pull_control};
use core::fmt;

/// How long a clock may take to stop: a period of the slowest.
const STOP_MS: u64 = 10;

/// Sets what `pins` names.
pub fn set(pins: &Pins) {
    let gpio = registers(pins.registers);
    // The resistors first: no line of a bus floats when it is connected.
    change(gpio, PULLS, PULL_REGISTERS, |n, old| pull_control(n, old, &pins.pins));
    change(gpio, GPFSEL, GPFSELS, |n, old| function_select(n, old, &pins.pins));
    if !pins.pins.is_empty() {
        let numbers = fmt::from_fn(|f| pins.pins.iter().try_for_each(|pin| write!(f, " {}", pin.number)));
        say!("pins are set:{numbers}");
    }
    if let Some(clocks) = pins.pwm_clock {
        start_pwm(registers(clocks));
    }
}

/// Writes those of `count` registers from `first` on whose value is to be another.
pub fn change(block: Registers, first: u64, count: usize, value: impl Fn(usize, u32) -> u32) {
    for n in 0..count {
        let at = first + 4 * n as u64;
        let old = block.read32(at);
        let new = value(n, old);
        if new != old {
            block.write32(at, new);
        }
    }
}

/// Gives the PWM blocks their clock, unless they have it.
fn start_pwm(clocks: Registers) {
    if is_pwm_set(|at| clocks.read32(at)) {
        return;
    }
    clocks.write32(PWM_CONTROL, PWM_STOP);
    let end = timer::now().saturating_add(timer::ticks(STOP_MS));
    while clocks.read32(PWM_CONTROL) & BUSY != 0 {
        if timer::now() > end {
            return say!("the clock of PWM does not stop: left as it is");
        }
    }
    PWM_STEPS.iter().for_each(|(at, value)| clocks.write32(*at, *value));
}

/// A page of registers that the plan names.
pub fn registers(at: Pa) -> Registers {
    // SAFETY: the plan says that this page of registers is there, and map.rs maps it; nothing in it starts DMA.
    unsafe { Registers::new(at.as_u64()) }
}
