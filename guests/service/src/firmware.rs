//! The board's firmware on the GPU, by the property interface of its mailbox (channel 8).
//!
//! Both sides leave their words in one buffer. The GPU sees the first GiB of RAM, at a place where it uses no cache, and none
//! of the Arm cores' caches. What an earlier life asked may be answered late: the buffer is the first page of the arena in
//! every life, so such an answer meets nothing else, and its word in the mailbox is taken out with the others.

use crate::arch::insn;
use crate::arch::mmio::Registers;
use crate::{dma, say, timer};
use abi::plan::Soc;
use core::ptr::NonNull;

/// From the GPU: data, and status. To it: data, and status.
const READ: u64 = 0x880;
const READ_STATUS: u64 = 0x898;
const WRITE: u64 = 0x8a0;
const WRITE_STATUS: u64 = 0x8b8;
const FULL: u32 = 1 << 31;
const EMPTY: u32 = 1 << 30;
/// Channel of the property interface, in the low four bits of a word.
const PROPERTIES: u32 = 8;
/// Where the GPU sees RAM without its cache.
const ALIAS: u32 = 0xc000_0000;
/// A whole answer's code, and the bit of a tag that was answered.
const ANSWERED: u32 = 1 << 31;
/// How long an answer may take.
const PATIENCE_MS: u64 = 200;
/// Words of a question with one tag of two values.
const WORDS: usize = 8;

const GET_MAC: u32 = 0x0001_0003;
const GET_SERIAL: u32 = 0x0001_0004;
const GET_CLOCK_RATE: u32 = 0x0003_0002;
const GET_TEMPERATURE: u32 = 0x0003_0006;
const SET_PIN: u32 = 0x0003_8041;

/// The firmware.
pub struct Firmware {
    registers: Registers,
    buffer: NonNull<u32>,
}

impl Firmware {
    /// The plan's firmware. The first that takes memory of the arena.
    pub fn open(soc: Option<Soc>) -> Option<Self> {
        let soc = soc?;
        let buffer = dma::allocate(1).filter(|page| (page.as_ptr() as u64) < soc.reach.as_u64());
        let Some(buffer) = buffer else {
            say!("error: the firmware is not asked anything: it does not reach the service's kept memory");
            return None;
        };
        // SAFETY: the plan says that the mailbox is there, and map.rs maps it. The memory that the firmware is told of is a
        // page of the arena.
        let registers = unsafe { Registers::new(soc.mailbox.as_u64()) };
        Some(Self { registers, buffer: buffer.cast() })
    }

    /// Says which board this is.
    #[inline(never)]
    pub fn introduce(&mut self) {
        let serial = self.ask(GET_SERIAL, [0, 0]);
        let mac = self.ask(GET_MAC, [0, 0]);
        let temperature = self.ask(GET_TEMPERATURE, [0, 0]);
        if serial.is_none() && mac.is_none() {
            return say!("warn: the firmware does not answer");
        }
        let [low, high] = serial.unwrap_or_default();
        let [first, second] = mac.unwrap_or_default();
        let ([a, b, c, d], [e, f, ..]) = (first.to_le_bytes(), second.to_le_bytes());
        let milli = temperature.unwrap_or_default()[1];
        say!(
            "board: serial number {high:08x}{low:08x}, MAC address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, \
             {}.{} degrees",
            milli / 1000,
            milli % 1000 / 100
        );
    }

    /// The rate of a clock.
    pub fn clock_hz(&mut self, clock: u32) -> Option<u32> {
        let [_, hz] = self.ask(GET_CLOCK_RATE, [clock, 0])?;
        (hz != 0).then_some(hz)
    }

    /// Sets a pin of the GPU's own. A firmware without such pins is none with a card's voltage behind one.
    pub fn set_pin(&mut self, pin: u32, is_high: bool) {
        /// What is behind the pin needs this long (bcm2711-rpi-4-b.dts: regulator-settling-time-us).
        const SETTLE_MS: u64 = 5;
        if self.ask(SET_PIN, [pin, is_high.into()]).is_some() {
            let until = timer::now() + timer::ticks(SETTLE_MS);
            while timer::now() < until {}
        }
    }

    /// Asks with one tag of two values; its two values.
    fn ask(&mut self, tag: u32, values: [u32; 2]) -> Option<[u32; 2]> {
        let until = timer::now() + timer::ticks(PATIENCE_MS);
        let question = [4 * WORDS as u32, 0, tag, 8, 0, values[0], values[1], 0];
        for (place, word) in question.into_iter().enumerate() {
            // SAFETY: one of the first words of the page.
            let place = unsafe { self.buffer.add(place) };
            // SAFETY: as above; nothing is being asked.
            unsafe { place.write_volatile(word) };
        }
        let at = self.buffer.as_ptr() as u64;
        insn::clean_invalidate(at, 4 * WORDS as u64);
        // Below 1 GiB, so it fits.
        let word = at as u32 | ALIAS | PROPERTIES;
        while self.registers.read32(WRITE_STATUS) & FULL != 0 {
            self.discard(until)?;
        }
        self.registers.write32(WRITE, word);
        loop {
            // All words are alike: this one may be the answer to a question that was given up.
            if self.take() == Some(word) {
                insn::clean_invalidate(at, 4 * WORDS as u64);
                let answer = [1, 2, 4, 5, 6].map(|place| {
                    // SAFETY: one of the first words of the page.
                    let place = unsafe { self.buffer.add(place) };
                    // SAFETY: as above; the firmware may still write, and is believed only when it says that it has answered.
                    unsafe { place.read_volatile() }
                });
                let [code, asked, length, first, second] = answer;
                if code != 0 {
                    let is_answer = code == ANSWERED && asked == tag && length & ANSWERED != 0;
                    return is_answer.then_some([first, second]);
                }
            }
            if timer::now() > until {
                return None;
            }
        }
    }

    /// The next word from the GPU.
    fn take(&self) -> Option<u32> {
        (self.registers.read32(READ_STATUS) & EMPTY == 0).then(|| self.registers.read32(READ))
    }

    /// Takes out a word that nobody waits for. `None`: it is too late for that.
    fn discard(&self, until: u64) -> Option<()> {
        let _ = self.take();
        (timer::now() <= until).then_some(())
    }
}
