//! A partition's console: its PL011 model, what was typed for it, and the way of its output into the ring.

use super::{OUTPUTS, is_paused, ring_console};
use crate::core_local::Core;
use crate::interrupt;
use crate::lock::Lock;
use crate::partition::Partition;
use abi::{PartitionId, machine};
use console::{Ring, Source};
use core::sync::atomic::{AtomicUsize, Ordering};
use spin::mutex::SpinMutex;
use vuart::Pl011;

/// Bytes of pasted input that wait for a guest before the UART is throttled.
const INPUT: usize = 1024;

/// A partition's console.
pub struct Terminal {
    uart: SpinMutex<Line>,
    input: Ring<INPUT>,
    /// Bytes that `input` takes yet: a full [`Ring`] would drop lines, so the console core asks first.
    input_room: AtomicUsize,
}

/// The model and the interrupt line it drove last.
struct Line {
    model: Pl011,
    level: bool,
}

impl Line {
    const fn new() -> Self {
        Self { model: Pl011::new(), level: false }
    }

    /// Carries a change of the interrupt line to the vGIC.
    fn drive(&mut self, core: &'static Core, partition: &'static Partition) {
        let level = self.model.irq_level();
        if level != self.level {
            self.level = level;
            interrupt::set_line(core, partition, machine::UART_INTID, level);
        }
    }
}

impl Terminal {
    /// A console with nothing in it.
    pub const fn new() -> Self {
        Self { uart: SpinMutex::new(Line::new()), input: Ring::new(), input_room: AtomicUsize::new(INPUT) }
    }

    /// As at power-on, for a new life: what was typed for the old one is gone, output that waits for the UART stays, and the
    /// line that the old life left open ends.
    pub fn reset(&self, partition: PartitionId) {
        let mut line = self.uart.hold();
        if let Some(output) = Source::partition(partition).and_then(|source| OUTPUTS.get(source.index())) {
            output.end_line();
        }
        *line = Line::new();
        while self.take_input().is_some() {}
    }

    /// Whether it takes no more input.
    pub fn is_full(&self) -> bool {
        self.input_room.load(Ordering::Acquire) == 0
    }

    /// A typed byte, for a guest that has room for it. On the console core, `core`.
    pub fn type_byte(&self, core: &'static Core, partition: &'static Partition, byte: u8) {
        let mut line = self.uart.hold();
        self.input_room.fetch_sub(1, Ordering::AcqRel);
        self.input.push(byte);
        self.feed(&mut line);
        line.drive(core, partition);
    }

    /// The next typed byte; under the line's lock.
    fn take_input(&self) -> Option<u8> {
        let byte = self.input.pop()?;
        self.input_room.fetch_add(1, Ordering::AcqRel);
        Some(byte)
    }

    /// Moves waiting input into the model, under its lock.
    fn feed(&self, line: &mut Line) {
        while line.model.room() > 0 {
            let Some(byte) = self.take_input() else { return };
            if line.model.receive(byte).is_err() {
                return;
            }
        }
    }
}

/// A guest writes to its PL011, on its own core.
pub fn guest_write(core: &'static Core, partition: &'static Partition, offset: u64, bytes: u8, value: u32) {
    core.counters.uart.count();
    let mut line = partition.terminal.uart.hold();
    let source = Source::partition(partition.id);
    if let Some(byte) = line.model.write(offset, u32::from(bytes), value)
        && let Some(output) = source.and_then(|source| OUTPUTS.get(source.index()))
    {
        output.push(byte);
        ring_console();
    }
    line.drive(core, partition);
}

/// A guest reads its PL011, on its own core.
pub fn guest_read(core: &'static Core, partition: &'static Partition, offset: u64, bytes: u8) -> u32 {
    core.counters.uart.count();
    let terminal = &partition.terminal;
    let mut line = terminal.uart.hold();
    let value = line.model.read(offset, u32::from(bytes));
    terminal.feed(&mut line);
    line.drive(core, partition);
    if is_paused() && terminal.input.is_empty() {
        ring_console();
    }
    value
}
