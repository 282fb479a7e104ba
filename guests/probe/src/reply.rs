//! A command's arguments and what it answers.

use core::fmt;
use core::str::SplitWhitespace;
use rt::trap::Fault;

/// What a command returns after it printed its own `ok` line.
pub type Reply = Result<(), Refusal>;

/// An answer other than `ok`.
#[derive(Debug)]
pub enum Refusal {
    /// The operation took an exception.
    Fault(Fault),
    /// The command was refused or a check failed.
    Error(&'static str),
    /// A check failed at this place, with this value.
    Wrong(&'static str, u64, u64),
}

impl From<&'static str> for Refusal {
    fn from(words: &'static str) -> Self {
        Self::Error(words)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "fault {fault}"),
            Self::Error(why) => write!(f, "error {why}"),
            Self::Wrong(what, place, value) => write!(f, "error {what} 0x{place:x} 0x{value:x}"),
        }
    }
}

/// `Ok` or the check's message.
pub fn check(is_so: bool, otherwise: &'static str) -> Reply {
    if is_so { Ok(()) } else { Err(Refusal::Error(otherwise)) }
}

/// The words of a command line.
pub struct Arguments<'a> {
    words: SplitWhitespace<'a>,
}

impl<'a> Arguments<'a> {
    /// The words of this line.
    pub fn new(line: &'a str) -> Self {
        Self { words: line.split_whitespace() }
    }

    /// The next word.
    pub fn next(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    /// The next word as a number.
    pub fn number(&mut self) -> Result<u64, Refusal> {
        self.optional()?.ok_or(Refusal::Error("a number is missing"))
    }

    /// The next word as a number, if there is one.
    pub fn optional(&mut self) -> Result<Option<u64>, Refusal> {
        let Some(word) = self.next() else { return Ok(None) };
        parse(word).map(Some).ok_or(Refusal::Error("not a number"))
    }
}

/// A decimal or `0x` hexadecimal number with `_` anywhere in it.
pub fn parse(word: &str) -> Option<u64> {
    let (digits, radix) = match word.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    let mut value = None;
    for digit in digits.bytes().filter(|&byte| byte != b'_') {
        let digit = (digit as char).to_digit(radix)?;
        value = Some(value.unwrap_or(0_u64).checked_mul(radix.into())?.checked_add(digit.into())?);
    }
    value
}
