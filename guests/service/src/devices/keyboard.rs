//! [`Keyboard`]: what was typed for a console, on its way to the driver.
//!
//! It waits in memory that no restart touches ([`console::Typed`]), so a life that ends between UART and driver loses nothing
//! and gives nothing twice. What was typed for a driver goes when the driver does.

use super::link::Link;
use crate::kept::Typed;
use crate::memory::Ram;
use crate::timer;
use virtio::console::{self, CHUNK, Reading};
use virtio::{Broken, Chain};

/// How long a driver that has offered fewer buffers than it could is thought to read one. One that offers several at a time
/// may have read all of them.
const READING_MS: u64 = 100;

/// What was typed, and what the driver does.
pub(super) struct Keyboard {
    kept: &'static Typed,
    /// What the driver does with the last buffer, and until when that is believed.
    reading: (Reading, u64),
    /// Until when what was typed waits for the driver to have read the last buffer.
    waits_until: Option<u64>,
}

impl Keyboard {
    pub(super) fn new(kept: &'static Typed) -> Self {
        Self { kept, reading: (Reading::default(), 0), waits_until: None }
    }

    /// A driver is ready, and its queue in `link` was taken or taken over.
    pub(super) fn begin(&mut self, link: &mut Link, ram: &Ram) -> Result<(), Broken> {
        let resumed = link.resumed();
        self.kept.begin(link.epoch, resumed.map(|(_, used)| used));
        let reading = match resumed {
            Some((size, _)) => Reading::resumed(link.held(ram)?, size),
            None => Reading::default(),
        };
        self.believe(reading);
        Ok(())
    }

    /// Nobody reads what was typed.
    pub(super) fn forget(&mut self) {
        self.kept.forget();
        self.believe(Reading::default());
    }

    fn believe(&mut self, reading: Reading) {
        self.reading = (reading, timer::now() + timer::ticks(READING_MS));
        self.waits_until = None;
    }

    /// When what was typed is to be handed over although the driver does not kick.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.waits_until
    }

    /// Whether a typed byte is taken.
    pub(super) fn has_room(&self) -> bool {
        self.kept.has_room()
    }

    /// Takes a typed byte, if there is room for it; whether there was.
    pub(super) fn type_byte(&self, byte: u8) -> bool {
        self.kept.push(byte)
    }

    /// Gives the driver what was typed, unless it reads something; it kicks when it does not any more. Whether it has got
    /// something.
    pub(super) fn hand_over(&mut self, link: &mut Link, ram: &Ram, chain: &mut Chain) -> Result<bool, Broken> {
        self.waits_until = None;
        if self.kept.is_empty() || !link.is_running() {
            return Ok(false);
        }
        let (reading, until) = self.reading;
        let takes_none = |held| held == 0 || (reading.goes_on(held) && timer::now() < until);
        let mut held = link.held(ram)?;
        if takes_none(held) {
            link.request_kicks(ram)?;
            held = link.held(ram)?;
            if takes_none(held) {
                self.waits_until = (held > 0).then_some(until);
                return Ok(false);
            }
        }
        let Some(head) = link.next(ram, chain)? else { return Ok(false) };
        let mut typed = [0; CHUNK];
        let count = self.kept.peek(&mut typed);
        let written = console::put(ram, chain, typed.get(..count).unwrap_or_default())?;
        let used = link.queue().map_or(0, |queue| queue.used().wrapping_add(1));
        self.kept.announce(written, used);
        link.give_back(ram, head, written)?;
        self.kept.finish();
        self.believe(Reading::one_of(held));
        Ok(true)
    }
}
