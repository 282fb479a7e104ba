//! What EL2 says about the lives of a partition, and the keys that end and begin them.

use crate::conversation::Conversation;
use crate::counters::CTRL_T;
use anyhow::{Context, Result, ensure};

/// Seconds for a word of EL2's.
const SHORT: u64 = 20;

/// Waits for a line of EL2's with `text` in it.
pub fn el2_says(console: &mut Conversation, text: &str) -> Result<String> {
    console.expect_line(&format!("EL2 to say {text:?}"), SHORT, |line| is_el2(line, text).then(|| line.to_owned()))
}

/// Whether a line is EL2's and has `text` in it.
pub fn is_el2(line: &str, text: &str) -> bool {
    line.starts_with("bulkhead| ") && line.contains(text)
}

/// When EL2 said a line, by its own clock, in microseconds: `bulkhead| [  0.001234] ...`.
pub fn said_at_us(line: &str) -> Option<u64> {
    let (time, _) = line.strip_prefix("bulkhead| [")?.split_once(']')?;
    let (seconds, fraction) = time.trim().split_once('.')?;
    let is_micro = fraction.len() == 6;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction.parse().ok().filter(|_| is_micro)?)
}

/// Presses Ctrl-T and `key` while the partition with this digit has the keyboard; returns the number of the question.
pub fn press(console: &mut Conversation, digit: u8, key: u8, question: &str) -> Result<String> {
    console.send([CTRL_T, b'0' + digit])?;
    console.send([CTRL_T, key])?;
    let line = el2_says(console, question)?;
    let nonce = line.split_whitespace().find_map(|word| word.strip_prefix('#')?.strip_suffix(':'));
    let nonce = nonce.with_context(|| format!("the question has no number: {line:?}"))?;
    ensure!(nonce.len() == 4, "the question's number is {nonce:?}");
    Ok(nonce.to_owned())
}

/// Presses a key and says yes.
pub fn press_yes(console: &mut Conversation, digit: u8, key: u8) -> Result<()> {
    press(console, digit, key, "? y/n")?;
    console.send("y")
}

/// `Ctrl-T f` shows a record of `partition`'s first vCPU with this cause.
pub fn expect_record(console: &mut Conversation, partition: &str, cause: &str) -> Result<()> {
    console.send([CTRL_T, b'f'])?;
    el2_says(console, &format!("{partition}/v0: {cause}")).map(drop)
}

/// What `Ctrl-T s` says of a partition's lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Where it is.
    pub state: String,
    /// How often it came back.
    pub restarts: u32,
    /// Lives that ended by a fault.
    pub faults: u32,
}

impl History {
    /// Asks EL2.
    pub fn ask(console: &mut Conversation, partition: &str) -> Result<Self> {
        console.send([CTRL_T, b's'])?;
        console.expect_line(&format!("the history of {partition}"), SHORT, |line| {
            let (_, rest) = line.strip_prefix("bulkhead| ")?.split_once(&format!(" {partition} "))?;
            Self::parse(rest)
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (state, rest) = text.split_once(": ")?;
        let (restarts, faults) = rest.strip_suffix(" faults")?.split_once(" restarts, ")?;
        Some(Self { state: state.to_owned(), restarts: restarts.parse().ok()?, faults: faults.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read() {
        assert_eq!(said_at_us("bulkhead| [ 12.001234] core0 partition 'a' restarts: life 2"), Some(12_001_234));
        assert_eq!(said_at_us("again| [ 12.001234] core0"), None);
        assert_eq!(said_at_us("bulkhead| [ 12.0012] core0"), None);
    }

    #[test]
    fn a_history_is_read() {
        let expected = History { state: "running".into(), restarts: 3, faults: 1 };
        assert_eq!(History::parse("running: 3 restarts, 1 faults"), Some(expected));
        assert_eq!(History::parse("core1 running on hvc=0"), None);
    }
}
