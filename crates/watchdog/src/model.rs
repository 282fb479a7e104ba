//! [`Watchdog`]: the register file and the two periods.

use crate::register::*;

/// The two pages of registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Control and status, offset, compare value.
    Control,
    /// Refresh only.
    Refresh,
}

/// What [`Watchdog::expire`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// Nothing new.
    No,
    /// The first period is over: [`Watchdog::irq_level`] rose.
    First,
    /// The second one, too: the guest starved. Reported once, and again only after another refresh.
    Second,
}

/// One watchdog as a guest sees it.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    offset: u64,
    compare: u64,
    is_enabled: bool,
    /// WS0.
    first: bool,
    /// WS1.
    second: bool,
}

impl Watchdog {
    /// Disabled, with periods of `wor` counter ticks (at most [`WOR_MAX`]) unless the guest says otherwise.
    pub const fn new(wor: u64) -> Self {
        let offset = if wor < WOR_MAX { wor } else { WOR_MAX };
        Self { offset, compare: 0, is_enabled: false, first: false, second: false }
    }

    /// The level of the interrupt line: WS0.
    pub const fn irq_level(&self) -> bool {
        self.first
    }
    /// The first counter value at which [`Watchdog::expire`] has something to report. `None`: never, unless the guest
    /// writes a register.
    pub const fn deadline(&self) -> Option<u64> {
        // The counter must be greater than the compare value, not equal.
        if self.is_enabled && !self.second { self.compare.checked_add(1) } else { None }
    }
    /// Looks at the counter: at most one period ends.
    pub fn expire(&mut self, now: u64) -> Expiry {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Expiry::No;
        }
        if self.first {
            self.second = true;
            return Expiry::Second;
        }
        self.first = true;
        self.start_period(now);
        Expiry::First
    }

    /// A load of 4 bytes, or of 8 from two registers, at `offset` in a frame. What is not there, and any other size,
    /// reads as zero. A period that is over at `now` shows as over; [`Watchdog::expire`] still reports it.
    pub fn read(&self, frame: Frame, offset: u64, bytes: u32, now: u64) -> u64 {
        let mut seen = *self;
        seen.expire(now);
        let low = u64::from(seen.register(frame, offset));
        match bytes {
            4 => low,
            8 if is_pair(offset) => low | u64::from(seen.register(frame, offset | 4)) << 32,
            _ => 0,
        }
    }

    /// A store of 4 bytes, or of 8 to two registers, at `offset` in a frame. Anything else is ignored. It may change
    /// [`Watchdog::deadline`] and [`Watchdog::irq_level`].
    pub fn write(&mut self, frame: Frame, offset: u64, bytes: u32, value: u64, now: u64) {
        match bytes {
            4 => self.write_register(frame, offset, value as u32, now),
            8 if is_pair(offset) => {
                self.write_register(frame, offset, value as u32, now);
                self.write_register(frame, offset | 4, (value >> 32) as u32, now);
            }
            _ => {}
        }
    }

    const fn register(&self, frame: Frame, offset: u64) -> u32 {
        match (frame, offset) {
            (_, W_IIDR) => IDENTIFICATION,
            (Frame::Refresh, _) => 0,
            (_, WCS) => {
                let first = if self.first { WCS_WS0 } else { 0 };
                let second = if self.second { WCS_WS1 } else { 0 };
                self.is_enabled as u32 | first | second
            }
            (_, WOR) => self.offset as u32,
            (_, WOR_HIGH) => (self.offset >> 32) as u32,
            (_, WCV) => self.compare as u32,
            (_, WCV_HIGH) => (self.compare >> 32) as u32,
            _ => 0,
        }
    }

    /// Stores to WRR, WCS and WOR refresh; the status bits of WCS are read-only.
    fn write_register(&mut self, frame: Frame, offset: u64, value: u32, now: u64) {
        match (frame, offset) {
            (Frame::Refresh, WRR) => {}
            (Frame::Refresh, _) => return,
            (_, WCS) => self.is_enabled = value & WCS_EN != 0,
            (_, WOR) => self.offset = with_low(self.offset, value),
            (_, WOR_HIGH) => self.offset = with_high(self.offset, value) & WOR_MAX,
            (_, WCV) => return self.compare = with_low(self.compare, value),
            (_, WCV_HIGH) => return self.compare = with_high(self.compare, value),
            _ => return,
        }
        self.first = false;
        self.second = false;
        self.start_period(now);
    }

    fn start_period(&mut self, now: u64) {
        self.compare = now.saturating_add(self.offset);
    }
}

/// Whether two registers start here that can be accessed together.
const fn is_pair(offset: u64) -> bool {
    offset & 7 == 0
}
const fn with_low(register: u64, value: u32) -> u64 {
    register & !0xffff_ffff | value as u64
}
const fn with_high(register: u64, value: u32) -> u64 {
    register & 0xffff_ffff | (value as u64) << 32
}
