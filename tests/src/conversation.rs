//! Talking on a console: wait for text, type bytes. The same over QEMU's pipes and over a pseudo-terminal.

use crate::counters::CTRL_T;
use crate::transcript::{Transcript, position};
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A console with a place in it: everything up to there has been waited for.
pub struct Conversation {
    transcript: Arc<Transcript>,
    input: Box<dyn Write + Send>,
    seen: usize,
    limit: Instant,
    /// Whose the keyboard was when it was last looked, and up to where that was.
    keyboard: Option<(&'static str, usize)>,
}

/// Seconds until EL2 has said whose the keyboard is: the line waits behind an open prompt.
const FOCUS_S: u64 = 30;
/// How EL2's line about the keyboard begins.
const KEYBOARD: &[u8] = b"keyboard: ";

impl Conversation {
    /// A console read from `output` and typed on at `input`; no wait goes beyond `limit`.
    pub fn new(output: impl Read + Send + 'static, input: impl Write + Send + 'static, limit: Instant) -> Self {
        Self { transcript: Transcript::record(output), input: Box::new(input), seen: 0, limit, keyboard: None }
    }

    /// What was said.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The time `seconds` from now, at most the scenario's end.
    pub fn deadline(&self, seconds: u64) -> Instant {
        self.limit.min(Instant::now() + Duration::from_secs(seconds))
    }

    /// Waits for `text` behind what was already waited for; returns what stood between.
    pub fn expect(&mut self, text: &str, seconds: u64) -> Result<String> {
        self.expect_any(&[text], seconds).map(|(_, before)| before)
    }

    /// Waits for the first of `texts` to appear; returns its index and what stood before it.
    pub fn expect_any(&mut self, texts: &[&str], seconds: u64) -> Result<(usize, String)> {
        let wanted = texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" or ");
        let (at, which) = self.transcript.wait(self.seen, self.deadline(seconds), &wanted, |bytes| {
            let places = texts.iter().enumerate();
            places.filter_map(|(n, text)| Some((position(bytes, text.as_bytes())?, n))).min()
        })?;
        let before = self.transcript.bytes_from(self.seen);
        let before = String::from_utf8_lossy(before.get(..at).unwrap_or_default()).replace('\r', "");
        self.seen += at + texts.get(which).map_or(0, |text| text.len());
        Ok((which, before))
    }

    /// Waits for a complete line that `choose` accepts; it sees the line without its line end.
    pub fn expect_line<T>(
        &mut self,
        wanted: &str,
        seconds: u64,
        mut choose: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let (chosen, end) = self.transcript.wait(self.seen, self.deadline(seconds), wanted, |bytes| {
            let mut end = 0;
            bytes.split_inclusive(|&byte| byte == b'\n').find_map(|line| {
                end += line.len();
                let line = line.strip_suffix(b"\n")?;
                choose(String::from_utf8_lossy(line).trim_end_matches('\r')).map(|chosen| (chosen, end))
            })
        })?;
        self.seen += end;
        Ok(chosen)
    }

    /// Waits for one complete line for each of `choices`, in any order: those of several speakers have none. Returns the
    /// lines, without their line ends, in the order of `choices`.
    pub fn expect_lines(
        &mut self,
        wanted: &str,
        seconds: u64,
        choices: &[&dyn Fn(&str) -> bool],
    ) -> Result<Vec<String>> {
        let (lines, end) = self.transcript.wait(self.seen, self.deadline(seconds), wanted, |bytes| {
            let mut found = vec![None; choices.len()];
            let (mut end, mut last) = (0, 0);
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                end += line.len();
                let Some(line) = line.strip_suffix(b"\n") else { break };
                let line = String::from_utf8_lossy(line);
                let line = line.trim_end_matches('\r');
                for (slot, is_it) in found.iter_mut().zip(choices) {
                    if slot.is_none() && is_it(line) {
                        *slot = Some(line.to_owned());
                        last = end;
                    }
                }
            }
            Some((found.into_iter().collect::<Option<Vec<_>>>()?, last))
        })?;
        self.seen += end;
        Ok(lines)
    }

    /// Waits until `find` finds something in what was said from `from` on, and where it ends there: that counts as waited for.
    pub fn expect_behind<T>(
        &mut self,
        from: usize,
        wanted: &str,
        seconds: u64,
        find: impl FnMut(&[u8]) -> Option<(T, usize)>,
    ) -> Result<T> {
        let (found, end) = self.transcript.wait(from, self.deadline(seconds), wanted, find)?;
        self.seen = from + end;
        Ok(found)
    }

    /// Up to where the console has been waited for.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Everything said so far counts as waited for.
    pub fn skip(&mut self) {
        self.seen = self.transcript.len();
    }

    /// Every whole line said so far counts as waited for: a prompt is left, and what will stand behind it is read with its tag.
    pub fn skip_lines(&mut self) {
        self.seen = self.seen.max(self.transcript.open_line());
    }

    /// From here on the keyboard is known to be this partition's.
    pub fn note_keyboard(&mut self, partition: &'static str) {
        self.keyboard = Some((partition, self.seen));
    }

    /// Whether the keyboard was this partition's when it was last looked, and nobody has moved it since. To move it costs
    /// the time for which EL2's line about it waits behind an open prompt.
    pub fn has_keyboard(&mut self, partition: &str) -> bool {
        let Some((owner, looked)) = self.keyboard.filter(|(owner, _)| *owner == partition) else { return false };
        let news = self.transcript.bytes_from(looked);
        let is_kept = position(&news, KEYBOARD).is_none();
        // The beginning of a line may be there without its end.
        self.keyboard = is_kept.then_some((owner, looked + news.len().saturating_sub(KEYBOARD.len())));
        is_kept
    }

    /// Gives the keyboard to `owner`, whose key behind Ctrl-T this is, and waits for EL2's line about it: in the middle of what
    /// is typed next it would be mistaken for an answer.
    pub fn focus(&mut self, key: u8, owner: &str) -> Result<()> {
        self.send([CTRL_T, key])?;
        self.expect(&format!("keyboard: {owner}\r\n"), FOCUS_S).map(drop)
    }

    /// Types.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        if bytes.as_ref().windows(2).any(|keys| keys[0] == CTRL_T && keys[1].is_ascii_digit()) {
            self.keyboard = None;
        }
        let written = self.input.write_all(bytes.as_ref()).and_then(|()| self.input.flush());
        written.with_context(|| format!("the machine takes no input{}", self.transcript.tail()))
    }
}
