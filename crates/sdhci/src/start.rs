//! A card's start: from whatever it was doing to transfers (physical layer specification, sections 4.2 and 4.3.10).
//!
//! The card may have been left in the middle of a write, by firmware or by whoever drove it before and ended: it is told to
//! stop, and may finish what it has, before it is told to forget everything.

use crate::card::{Description, Long};
use crate::command::Command;
use crate::host::{SLOW_HZ, Time};
use crate::register::{self, Registers, present, status};
use crate::{Card, Fault, Host, Slot};

/// Most sectors of a card whose commands count in bytes: 4 GiB.
const BYTE_SECTORS: u64 = 1 << 23;
/// How long a card may be busy with a write of an earlier driver.
const LEFTOVER_US: u64 = 500_000;
/// How long power and clock may take: one millisecond, and 74 cycles.
const POWER_US: u32 = 1200;
/// How long a card may be busy with its own start.
const START_US: u64 = 1_200_000;
/// The bus: default speed and high speed.
const DEFAULT_HZ: u32 = 25_000_000;
const HIGH_HZ: u32 = 50_000_000;
/// [`Command::operate`]'s answer: the card has started; it counts in blocks; its voltages.
const HAS_STARTED: u32 = 1 << 31;
const COUNTS_BLOCKS: u32 = 1 << 30;
const VOLTAGES: u32 = 0x00ff_8000;

impl<R: Registers> Host<R> {
    /// Starts the card behind a controller that was just reset. `time` gives microseconds; it is called in every wait.
    ///
    /// # Errors
    /// The controller comes back with the reason; [`Fault::NoCard`] where there is no card.
    pub fn start(mut self, time: &mut dyn FnMut() -> u64) -> Result<Slot<R>, (Self, Fault)> {
        match self.wake(time) {
            Ok(card) => Ok(Slot::new(self, card)),
            Err(fault) => Err((self, fault)),
        }
    }

    #[inline(never)]
    fn wake(&mut self, time: Time<'_>) -> Result<Card, Fault> {
        self.set_clock(SLOW_HZ, time)?;
        self.enable();
        self.rest(POWER_US);
        // Refused by a card that was doing nothing.
        let _ = self.run(Command::STOP, time);
        self.wait(register::PRESENT, present::DAT0, present::DAT0, LEFTOVER_US, time);
        self.run(Command::IDLE, time)?;
        self.rest(POWER_US);
        let counts_sectors = self.operate(time)?;
        let name = Long(self.run(Command::NAME, time)?);
        let address = self.run(Command::ADDRESS, time)?[0] & 0xffff_0000;
        let description = Description(Long(self.run(Command::describe(address), time)?));
        let mut card = Card {
            capacity: description.capacity()?,
            serial: name.bits(24, 32),
            name: [96, 88, 80, 72, 64].map(|at| name.bits(at, 8) as u8),
            is_read_only: description.is_read_only(),
            is_fast: false,
            address,
            counts_sectors,
        };
        if !counts_sectors && card.capacity > BYTE_SECTORS {
            return Err(Fault::Capacity);
        }
        self.run(Command::select(address), time)?;
        self.set_clock(DEFAULT_HZ, time)?;
        self.run(Command::application(address), time)?;
        self.run(Command::FOUR_BITS, time)?;
        self.widen();
        self.run(Command::BLOCK_LENGTH, time)?;
        if description.can_switch() && self.switch(time) {
            self.hasten();
            self.set_clock(HIGH_HZ, time)?;
            card.is_fast = true;
        }
        Ok(card)
    }

    /// Has the card start; whether it counts in sectors.
    fn operate(&mut self, time: Time<'_>) -> Result<bool, Fault> {
        // Cards of version 1 do not know this command.
        let is_new = match self.run(Command::CONDITION, time) {
            Ok([answer, ..]) if answer & 0xfff == Command::CONDITION.argument => true,
            Ok(_) => return Err(Fault::Unfit),
            Err(Fault::Command(_, errors)) if errors & status::SILENT != 0 => false,
            // A new card whose answer was disturbed would wait for ever to be asked as one.
            Err(_) => self.run(Command::CONDITION, time).is_ok(),
        };
        let until = time().saturating_add(START_US);
        loop {
            self.run(Command::application(0), time).map_err(|_| Fault::NoCard)?;
            let [answer, ..] = self.run(Command::operate(is_new), time).map_err(|_| Fault::NoCard)?;
            if answer & VOLTAGES == 0 {
                return Err(Fault::Unfit);
            }
            if answer & HAS_STARTED != 0 {
                return Ok(answer & COUNTS_BLOCKS != 0);
            }
            if time() >= until {
                return Err(Fault::NotReady);
            }
        }
    }

    /// Has the card change to high speed; whether it has. A card that does not stays at default speed.
    fn switch(&mut self, time: Time<'_>) -> bool {
        /// Words of its data, and where function group 1 says what it is now: in the low half of byte 16.
        const WORDS: usize = 16;
        const GROUP: usize = 4;
        if self.run(Command::HIGH_SPEED, time).is_err() {
            return false;
        }
        let limit = crate::host::COMMAND_US;
        if !self.wait(register::STATUS, status::READ_READY, status::READ_READY, limit, time) {
            self.reset_lines();
            return false;
        }
        let mut group = 0;
        for word in 0..WORDS {
            let value = self.read(register::BUFFER);
            if word == GROUP {
                group = value & 0xf;
            }
        }
        let has_ended = self.wait(register::STATUS, status::TRANSFER_COMPLETE, status::TRANSFER_COMPLETE, limit, time);
        if !has_ended {
            self.reset_lines();
        }
        has_ended && group == 1
    }

    /// Pauses in pieces, as [`Registers::pause`] wants them.
    fn rest(&mut self, microseconds: u32) {
        const PIECE_US: u32 = 20;
        (0..microseconds.div_ceil(PIECE_US)).for_each(|_| self.registers.pause(PIECE_US));
    }
}
