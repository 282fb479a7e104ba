//! [`Keyboard`]: what was typed for a console, on its way to the driver.
//!
//! It waits in memory that no restart touches, so a life that ends between UART and driver loses nothing and gives nothing
//! twice. What was typed for a driver goes when the driver does.

use super::link::Link;
use crate::kept::Typed;
use crate::memory::Ram;
use crate::timer;
use core::sync::atomic::Ordering;
use virtio::console::{self, CHUNK, Reading};
use virtio::{Broken, Chain};

/// How long after a restart of the service a driver that has offered fewer buffers than it could is thought to read one.
const READING_MS: u64 = 100;

/// What was typed, and what the driver does.
pub(super) struct Keyboard {
    kept: &'static Typed,
    /// What the driver does with the last buffer, and until when that is believed.
    reading: (Reading, u64),
}

impl Keyboard {
    pub(super) fn new(kept: &'static Typed) -> Self {
        Self { kept, reading: (Reading::default(), 0) }
    }

    /// A driver is ready, and its queue in `link` was taken or taken over.
    pub(super) fn begin(&mut self, link: &mut Link, ram: &Ram) -> Result<(), Broken> {
        let Some((size, used)) = link.resumed() else {
            self.forget();
            return Ok(());
        };
        let (count, index) = Typed::parts(self.kept.giving.load(Ordering::Relaxed));
        if count > 0 && index == used {
            // The life before ended behind the used ring's index.
            self.kept.bytes.skip(count);
        }
        self.kept.giving.store(0, Ordering::Relaxed);
        self.reading = (Reading::resumed(link.held(ram)?, size), timer::now() + timer::ticks(READING_MS));
        Ok(())
    }

    /// Nobody reads what was typed.
    pub(super) fn forget(&mut self) {
        self.kept.bytes.skip(usize::MAX);
        self.kept.giving.store(0, Ordering::Relaxed);
        self.reading = (Reading::default(), 0);
    }

    /// Takes a typed byte, if there is room for it; whether there was.
    pub(super) fn type_byte(&self, byte: u8) -> bool {
        let has_room = self.kept.bytes.room() > 0;
        if has_room {
            self.kept.bytes.push(byte);
        }
        has_room
    }

    /// Gives the driver what was typed, unless it reads something; it kicks when it does not any more. Whether it has got
    /// something.
    pub(super) fn hand_over(&mut self, link: &mut Link, ram: &Ram, chain: &mut Chain) -> Result<bool, Broken> {
        if self.kept.bytes.is_empty() || !link.is_running() {
            return Ok(false);
        }
        let (reading, until) = self.reading;
        let takes_none = |held| held == 0 || (reading.goes_on(held) && timer::now() < until);
        let mut held = link.held(ram)?;
        if takes_none(held) {
            link.request_kicks(ram)?;
            held = link.held(ram)?;
            if takes_none(held) {
                return Ok(false);
            }
        }
        let Some(head) = link.next(ram, chain)? else { return Ok(false) };
        let mut typed = [0; CHUNK];
        let count = self.kept.bytes.peek(&mut typed);
        let written = console::put(ram, chain, typed.get(..count).unwrap_or_default())?;
        let used = link.queue().map_or(0, |queue| queue.used().wrapping_add(1));
        self.kept.giving.store(Typed::word(written, used), Ordering::Release);
        link.give_back(ram, head, written)?;
        self.kept.bytes.skip(written as usize);
        self.kept.giving.store(0, Ordering::Release);
        self.reading = (Reading::one_of(held), u64::MAX);
        Ok(true)
    }
}
