//! Model of the PL031 real time clock that each guest sees where somebody knows the time of day.
//!
//! Follows "ARM PrimeCell Real Time Clock (PL031) Technical Reference Manual" (DDI 0224). It counts seconds since 1970,
//! as QEMU's does. A guest that sets it changes its own clock and nobody else's, until its next life.
//!
//! Deliberately absent: the alarm. Its registers are stored, and it never matches: the device tree gives the clock no
//! interrupt. A [`Pl031`] is a plain value without a clock of its own: the caller brings the time.
#![no_std]
#![forbid(unsafe_code)]

/// Data: the time. Read-only.
const RTCDR: u64 = 0x000;
/// Match: the alarm's time.
const RTCMR: u64 = 0x004;
/// Load: a store sets the time.
const RTCLR: u64 = 0x008;
/// Control: it always runs.
const RTCCR: u64 = 0x00c;
/// Interrupt mask.
const RTCIMSC: u64 = 0x010;
/// First of eight identification registers.
const PERIPH_ID0: u64 = 0xfe0;
/// RTCPeriphID0-3 and RTCPCellID0-3.
const IDENTIFICATION: [u8; 8] = [0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

/// A PL031.
#[derive(Clone, Debug, Default)]
pub struct Pl031 {
    /// What the guest's clock is ahead of the caller's, in seconds, modulo 2^32 as its registers.
    ahead: u32,
    load: u32,
    alarm: u32,
    mask: u32,
}

impl Pl031 {
    /// As at power-on: it shows the caller's time.
    pub const fn new() -> Self {
        Self { ahead: 0, load: 0, alarm: 0, mask: 0 }
    }

    /// A load at `offset`; the caller's time is `now` seconds since 1970. Registers have 32 bits, others read 0.
    pub fn read(&self, offset: u64, now: u64) -> u32 {
        match offset {
            RTCDR => (now as u32).wrapping_add(self.ahead),
            RTCMR => self.alarm,
            RTCLR => self.load,
            RTCCR => 1,
            RTCIMSC => self.mask,
            _ if offset & 3 == 0 => {
                let place = offset.wrapping_sub(PERIPH_ID0) / 4;
                IDENTIFICATION.get(place as usize).map_or(0, |id| u32::from(*id))
            }
            _ => 0,
        }
    }

    /// A store at `offset`. Others than these registers are ignored.
    pub fn write(&mut self, offset: u64, value: u32, now: u64) {
        match offset {
            RTCMR => self.alarm = value,
            RTCLR => {
                self.load = value;
                self.ahead = value.wrapping_sub(now as u32);
            }
            RTCIMSC => self.mask = value & 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_the_time_and_goes_on() {
        let clock = Pl031::new();
        assert_eq!(
            (clock.read(RTCDR, 1_796_000_000), clock.read(RTCDR, 1_796_000_007)),
            (1_796_000_000, 1_796_000_007)
        );
        assert_eq!(clock.read(RTCCR, 0), 1, "it runs");
    }

    #[test]
    fn a_guest_sets_it_back_and_forth() {
        let mut clock = Pl031::new();
        for set in [5, 1_796_000_000, u32::MAX] {
            clock.write(RTCLR, set, 1_000);
            assert_eq!((clock.read(RTCDR, 1_000), clock.read(RTCDR, 1_003)), (set, set.wrapping_add(3)));
            assert_eq!(clock.read(RTCLR, 0), set);
        }
    }

    #[test]
    fn linux_and_u_boot_recognise_it() {
        let id = |n: u64| Pl031::new().read(PERIPH_ID0 + 4 * n, 0);
        assert_eq!((0..4).map(id).fold(0, |all, byte| all >> 8 | byte << 24) & 0x000f_ffff, 0x0004_1031);
        assert_eq!((4..8).map(id).fold(0, |all, byte| all >> 8 | byte << 24), 0xb105_f00d);
    }

    #[test]
    fn anything_may_be_read_and_written() {
        let mut clock = Pl031::new();
        for offset in 0..0x1000 {
            clock.write(offset, u32::MAX, u64::MAX);
            clock.read(offset, u64::MAX);
        }
    }
}
