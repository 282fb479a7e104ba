//! [`Pl061`]: the register file.

use crate::register::*;

/// One PL061 as a guest sees it. Each field has one bit for each pin.
#[derive(Clone, Debug, Default)]
pub struct Pl061 {
    /// What is applied from outside.
    pins: u8,
    /// What the guest wrote to its outputs.
    outputs: u8,
    direction: u8,
    sense: u8,
    both_edges: u8,
    event: u8,
    mask: u8,
    mode: u8,
    /// Edges that came and were not cleared. A pin that interrupts on a level has none.
    edges: u8,
}

impl Pl061 {
    /// The state after reset: all pins are inputs and low, all interrupts masked.
    pub const fn new() -> Self {
        Self { pins: 0, outputs: 0, direction: 0, sense: 0, both_edges: 0, event: 0, mask: 0, mode: 0, edges: 0 }
    }

    /// As after reset, but for the levels that are applied from outside: those are nobody's state.
    pub const fn reset(&mut self) {
        *self = Self { pins: self.pins, ..Self::new() };
    }

    /// Which pins are outputs, and which of those are high.
    pub const fn driven(&self) -> (u8, u8) {
        (self.direction, self.outputs & self.direction)
    }

    /// The level of the interrupt line.
    pub const fn irq_level(&self) -> bool {
        self.raw_interrupts() & self.mask != 0
    }

    /// Applies a level to a pin from outside; no such pin: nothing happens.
    ///
    /// Linux looks at a key again 5 ms after its edge, so a press has to last longer; QEMU's takes 100 ms.
    pub const fn set_pin(&mut self, pin: u8, high: bool) {
        let bit = if pin < 8 { 1 << pin } else { 0 };
        self.set_pins(bit, if high { bit } else { 0 });
    }

    /// Applies levels to the pins of `mask` from outside.
    pub const fn set_pins(&mut self, mask: u8, levels: u8) {
        let pins = self.pins & !mask | levels & mask;
        let changed = (self.pins ^ pins) & !self.direction & !self.sense;
        self.edges |= changed & (self.both_edges | !(pins ^ self.event));
        self.pins = pins;
    }

    /// A load of any width at `offset`: registers have 8 bits, the bytes above read as zero, as does what is not there.
    pub fn read(&self, offset: u64, _bytes: u32) -> u32 {
        let value = match offset {
            _ if offset & 3 != 0 => 0,
            GPIODATA..=GPIODATA_ALL => self.levels() & pins_of(offset),
            GPIODIR => self.direction,
            GPIOIS => self.sense,
            GPIOIBE => self.both_edges,
            GPIOIEV => self.event,
            GPIOIE => self.mask,
            GPIORIS => self.raw_interrupts(),
            GPIOMIS => self.raw_interrupts() & self.mask,
            GPIOAFSEL => self.mode,
            PERIPH_ID0.. => IDENTIFICATION.get((offset - PERIPH_ID0) as usize / 4).copied().unwrap_or(0),
            _ => 0,
        };
        value.into()
    }

    /// A store of any width at `offset`: registers have 8 bits. A store that does not begin at a register's first byte
    /// is ignored.
    pub fn write(&mut self, offset: u64, _bytes: u32, value: u32) {
        let value = value as u8;
        match offset {
            _ if offset & 3 != 0 => {}
            GPIODATA..=GPIODATA_ALL => {
                let written = pins_of(offset) & self.direction;
                self.outputs = self.outputs & !written | value & written;
            }
            GPIODIR => self.direction = value,
            GPIOIS => {
                self.sense = value;
                self.edges &= !value;
            }
            GPIOIBE => self.both_edges = value,
            GPIOIEV => self.event = value,
            GPIOIE => self.mask = value,
            GPIOIC => self.edges &= !value,
            GPIOAFSEL => self.mode = value,
            _ => {}
        }
    }

    /// What the data register shows: outputs as written, inputs as applied.
    const fn levels(&self) -> u8 {
        self.outputs & self.direction | self.pins & !self.direction
    }
    /// Edges stay until cleared; levels follow their pins.
    const fn raw_interrupts(&self) -> u8 {
        let at_level = !(self.pins ^ self.event) & !self.direction;
        self.edges | at_level & self.sense
    }
}

/// The pins that an access to this place of the data register concerns.
const fn pins_of(offset: u64) -> u8 {
    (offset >> 2) as u8
}
