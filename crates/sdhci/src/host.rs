//! [`Host`]: one controller: reset, clock, and one command at a time.

use crate::Fault;
use crate::command::Command;
use crate::register::{self, Registers, clock, control, present, status};

/// The bus while a card starts (physical layer specification, section 4.2.1). Not slower: the BCM2711's controller hangs
/// when bus and core are too far apart.
pub(crate) const SLOW_HZ: u32 = 400_000;
/// How long a reset, or a change of the clock, may take.
const SETTLE_US: u64 = 150_000;
/// How long a command may wait for its lines and its answer.
pub(crate) const COMMAND_US: u64 = 100_000;
/// Highest divisor: the clock is divided by twice that.
const DIVISOR_MAX: u32 = 1023;

/// Time in microseconds since some moment. It is asked in every wait, so whoever gives it may do what must not wait.
pub(crate) type Time<'t> = &'t mut dyn FnMut() -> u64;

/// A controller.
#[derive(Debug)]
pub struct Host<R> {
    pub(crate) registers: R,
    /// What its clock is divided from.
    base_hz: u32,
    /// Behind each store while the bus is slow or has no clock: four of its cycles.
    gap_us: u32,
}

/// [`Host::gap_us`] of a bus without a clock.
const GAP_US: u32 = 10;

impl<R: Registers> Host<R> {
    /// The controller with these registers, whose clock has `base_hz`; 0: what the controller says itself.
    pub fn new(mut registers: R, base_hz: u32) -> Self {
        let base_hz = match base_hz {
            0 => (registers.read(register::CAPABILITIES) >> 8 & 0xff) * 1_000_000,
            known => known,
        };
        Self { registers, base_hz, gap_us: GAP_US }
    }

    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        self.registers.read(offset)
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        self.registers.write(offset, value);
        if self.gap_us != 0 {
            self.registers.pause(self.gap_us);
        }
    }

    fn set(&mut self, offset: u32, bits: u32) {
        let value = self.read(offset) | bits;
        self.write(offset, value);
    }

    /// Waits until bits of a register are as wanted.
    #[inline(never)]
    pub(crate) fn wait(&mut self, offset: u32, mask: u32, wanted: u32, limit_us: u64, time: Time<'_>) -> bool {
        let until = time().saturating_add(limit_us);
        loop {
            if self.read(offset) & mask == wanted {
                return true;
            }
            if time() >= until {
                return false;
            }
        }
    }

    /// Resets all of it, and reads that back: it has no interrupts then, and moves no data.
    ///
    /// # Errors
    /// [`Fault::Reset`]: it does not become reset.
    pub fn reset(&mut self, time: &mut dyn FnMut() -> u64) -> Result<(), Fault> {
        self.gap_us = GAP_US;
        self.write(register::CLOCK, clock::RESET_ALL);
        let has_ended = self.wait(register::CLOCK, clock::RESET_ALL, 0, SETTLE_US, time);
        let is_quiet = self.read(register::SIGNAL) == 0 && self.read(register::CLOCK) & clock::CARD == 0;
        if has_ended && is_quiet { Ok(()) } else { Err(Fault::Reset) }
    }

    /// Powers the card and gives it this clock, or the next lower one.
    pub(crate) fn set_clock(&mut self, hz: u32, time: Time<'_>) -> Result<(), Fault> {
        let divisor = self.base_hz.div_ceil(hz).div_ceil(2).min(DIVISOR_MAX);
        let divisor = if self.base_hz <= hz { 0 } else { divisor };
        // The card's clock is off while it changes.
        self.gap_us = self.gap_us.max(GAP_US);
        let internal = clock::TIMEOUT | (divisor & 0xff) << 8 | (divisor >> 8) << 6 | clock::INTERNAL;
        let now = self.read(register::CLOCK);
        self.write(register::CLOCK, now & !clock::CARD);
        self.write(register::CLOCK, internal);
        if !self.wait(register::CLOCK, clock::STABLE, clock::STABLE, SETTLE_US, time) {
            return Err(Fault::Clock);
        }
        self.set(register::CONTROL, control::POWER);
        self.write(register::CLOCK, internal | clock::CARD);
        self.gap_us = if hz <= SLOW_HZ { 4_000_000 / hz } else { 0 };
        Ok(())
    }

    /// Four data lines.
    pub(crate) fn widen(&mut self) {
        self.set(register::CONTROL, control::FOUR_BITS);
    }

    /// Data changes with the other edge of the clock.
    pub(crate) fn hasten(&mut self) {
        self.set(register::CONTROL, control::HIGH_SPEED);
    }

    /// What happens shows in the status, and interrupts nobody.
    pub(crate) fn enable(&mut self) {
        self.write(register::ENABLE, status::ALL);
        self.write(register::SIGNAL, 0);
    }

    /// Whether what happens interrupts.
    pub(crate) fn listen(&mut self, is_wanted: bool) {
        self.write(register::SIGNAL, if is_wanted { status::ALL } else { 0 });
    }

    /// Whether the lines that the command needs are free.
    pub(crate) fn is_free(&mut self, command: &Command) -> bool {
        let data = if command.uses_data_lines() { present::DATA_INHIBIT } else { 0 };
        self.read(register::PRESENT) & (present::COMMAND_INHIBIT | data) == 0
    }

    /// Sends a command whose lines are free.
    pub(crate) fn send(&mut self, command: &Command) {
        self.write(register::STATUS, !0);
        self.write(register::BLOCKS, command.blocks());
        self.write(register::ARGUMENT, command.argument);
        self.write(register::COMMAND, command.word());
    }

    /// The answer to a command that was sent, once it is there. The lines are reset after an error.
    pub(crate) fn answer(&mut self, command: &Command) -> Option<Result<[u32; 4], Fault>> {
        let now = self.read(register::STATUS);
        let errors = now & status::COMMAND_ERRORS;
        if errors != 0 {
            self.reset_lines();
            return Some(Err(Fault::Command(command.index, (errors >> 16) as u16)));
        }
        if now & status::COMMAND_COMPLETE == 0 {
            return None;
        }
        self.write(register::STATUS, status::COMMAND_COMPLETE);
        Some(Ok([0, 4, 8, 12].map(|at| self.read(register::RESPONSE + at))))
    }

    /// Sends a command and waits for its answer.
    #[inline(never)]
    pub(crate) fn run(&mut self, command: Command, time: Time<'_>) -> Result<[u32; 4], Fault> {
        let until = time().saturating_add(COMMAND_US);
        let mut is_sent = false;
        loop {
            if !is_sent && self.is_free(&command) {
                self.send(&command);
                is_sent = true;
            }
            if let Some(answer) = is_sent.then(|| self.answer(&command)).flatten() {
                return answer;
            }
            if time() >= until {
                self.reset_lines();
                return Err(Fault::Silent(command.index));
            }
        }
    }

    /// Resets the parts for command and data lines: they forget what was under way.
    pub(crate) fn reset_lines(&mut self) {
        /// Microseconds that it may take; the next command finds out if it took longer.
        const LIMIT_US: u32 = 1000;
        self.set(register::CLOCK, clock::RESET_LINES);
        for _ in 0..LIMIT_US {
            if self.read(register::CLOCK) & clock::RESET_LINES == 0 {
                return;
            }
            self.registers.pause(1);
        }
    }
}
