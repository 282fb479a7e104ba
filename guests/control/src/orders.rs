//! Orders from the channel `ctl`: one line each, looked for between beats, and never waited for.
//!
//! ```text
//! TAG rate HZ       TAG ok 500
//! TAG rate          TAG ok 500
//! TAG beats         TAG ok beats 5000 expected 5000 lost 0 doubled 0 rate 500 max_late_us 40
//! TAG histogram     TAG ok late <1us 4990 <2us 8 <64us 2
//! TAG what          TAG error no order 'what': use rate, rate HZ, beats or histogram
//! ```
//! A look costs the same whatever the other end does: it takes what is there, up to a line's length, and obeys one order. An
//! answer that finds no room is dropped, since whoever asked does not read. The doorbell's interrupt stays disabled: one that
//! rings without end takes nothing of this core's time.

use crate::beat::{self, Account, Lateness, RATES};
use core::fmt::{self, Write};
use rt::channel::{self, Channel, Continuity};
use rt::cpu;

/// The channel's name in the system file.
const NAME: &str = "ctl";
/// Longest order, and longest answer: what does not fit of the one is no order, and none of the other is longer.
const ORDER: usize = 64;
const ANSWER: usize = 512;

/// What came and is not obeyed yet.
pub struct Orders {
    channel: Channel,
    came: [u8; ORDER],
    len: usize,
    /// The line at hand is longer than an order.
    is_too_long: bool,
    /// How often the other end was rung.
    rings: u64,
}

/// An answer in the making.
struct Answer {
    bytes: [u8; ANSWER],
    len: usize,
}

impl Write for Answer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

impl Orders {
    /// `None`: this guest has no such channel.
    pub fn open() -> Option<Self> {
        let mut channel = channel::find(NAME)?;
        let _ = channel.end.renew();
        Some(Self { channel, came: [0; ORDER], len: 0, is_too_long: false, rings: 0 })
    }

    /// How often the other end was rung.
    pub fn rings(&self) -> u64 {
        self.rings
    }

    /// Takes what has come, and obeys at most one order.
    pub fn look(&mut self) {
        if self.channel.end.renew() == Continuity::Anew {
            (self.len, self.is_too_long) = (0, false);
        }
        let read = self.channel.end.read(self.came.get_mut(self.len..).unwrap_or_default());
        self.len += read;
        let has_answered = self.obey();
        if read > 0 || has_answered {
            self.channel.ring_doorbell();
            self.rings += 1;
        }
    }

    /// Whether an answer was written.
    fn obey(&mut self) -> bool {
        let came = self.came.get(..self.len).unwrap_or_default();
        let Some(end) = came.iter().position(|byte| *byte == b'\n') else {
            if self.len == ORDER {
                (self.len, self.is_too_long) = (0, true);
            }
            return false;
        };
        let mut answer = Answer { bytes: [0; ANSWER], len: 0 };
        let order = core::str::from_utf8(came.get(..end).unwrap_or_default()).unwrap_or("");
        let written = match self.is_too_long {
            true => answer.write_str("? error too long\n").map(|()| Step::Answered),
            false => reply(order, &mut answer),
        };
        if let Ok(Step::Later) = written {
            return false;
        }
        self.is_too_long = false;
        self.came.copy_within(end + 1..self.len, 0);
        self.len -= end + 1;
        let bytes = answer.bytes.get(..answer.len).unwrap_or_default();
        let fits = written.is_ok() && bytes.len() <= self.channel.end.free() as usize;
        fits && self.channel.end.write(bytes) > 0
    }
}

/// What came of an order.
enum Step {
    /// It has its answer.
    Answered,
    /// A deadline has passed whose beat is still to come: what was asked can be told at one of the next looks.
    Later,
}

/// Writes the answer to an order.
fn reply(order: &str, answer: &mut Answer) -> Result<Step, fmt::Error> {
    let mut words = order.split_ascii_whitespace();
    let tag = words.next().unwrap_or("?");
    match (words.next(), words.next(), words.next()) {
        (Some("rate"), None, _) => writeln!(answer, "{tag} ok {}", beat::rate())?,
        (Some("rate"), Some(hz), None) => match hz.parse().map(beat::set_rate) {
            Ok(Ok(())) => writeln!(answer, "{tag} ok {}", beat::rate())?,
            _ => writeln!(answer, "{tag} error {hz} is no rate: use {} to {}", RATES.start(), RATES.end())?,
        },
        (Some("beats"), None, _) => {
            let Some(account) = cpu::without_interrupts(Account::at_rest) else { return Ok(Step::Later) };
            let Account { beats, expected, doubled, max_late_us } = account;
            let (lost, rate) = (account.lost(), beat::rate());
            write!(answer, "{tag} ok beats {beats} expected {expected} lost {lost} doubled {doubled} ")?;
            writeln!(answer, "rate {rate} max_late_us {max_late_us}")?;
        }
        (Some("histogram"), None, _) => {
            writeln!(answer, "{tag} ok {}", Lateness::so_far())?;
        }
        (what, ..) => {
            let what = what.unwrap_or_default();
            writeln!(answer, "{tag} error no order '{what}': use rate, rate HZ, beats or histogram")?;
        }
    }
    Ok(Step::Answered)
}
