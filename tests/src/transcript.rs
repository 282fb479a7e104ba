//! What a console has said so far, and waiting for it to say more: a byte buffer with a condition variable.
//!
//! A reader thread appends; a test waits for a piece of text with a deadline. Nothing here sleeps or polls, and
//! nothing knows what is at the other end.

use anyhow::{Result, bail};
use std::borrow::Cow;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Lines of console shown when a test fails.
const TAIL_LINES: usize = 60;

#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    is_closed: bool,
}

/// The bytes of one console, shared with the thread that reads them.
#[derive(Default)]
pub struct Transcript {
    heard: Mutex<Heard>,
    changed: Condvar,
}

impl Transcript {
    /// A transcript that a new thread fills from `source` until it ends.
    pub fn record(mut source: impl Read + Send + 'static) -> Arc<Self> {
        let transcript = Arc::new(Self::default());
        let writer = Arc::clone(&transcript);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A pseudo-terminal whose other side is gone answers with an error instead of an end.
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                writer.lock().bytes.extend_from_slice(&buffer[..count]);
                writer.changed.notify_all();
            }
            writer.lock().is_closed = true;
            writer.changed.notify_all();
        });
        transcript
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        // A panicking test leaves complete bytes behind: the buffer is only ever appended to.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes heard so far.
    pub fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// The bytes from `start` on.
    pub fn bytes_from(&self, start: usize) -> Vec<u8> {
        self.lock().bytes.get(start..).unwrap_or_default().to_vec()
    }

    /// Where the line begins that has not ended, with whatever stands in it.
    pub fn open_line(&self) -> usize {
        self.lock().bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)
    }

    /// The text from `start` on, without carriage returns.
    pub fn text_from(&self, start: usize) -> String {
        printable(&self.bytes_from(start))
    }

    /// Waits until `find` finds something in the bytes from `start` on; `wanted` names it in the error.
    pub fn wait<T>(
        &self,
        start: usize,
        deadline: Instant,
        wanted: &str,
        mut find: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let mut heard = self.lock();
        loop {
            if let Some(found) = find(heard.bytes.get(start..).unwrap_or_default()) {
                return Ok(found);
            }
            let waited = began.elapsed().as_secs_f32();
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                bail!("waited {waited:.1} s for {wanted}{}", tail(&heard.bytes));
            };
            if heard.is_closed {
                bail!("the machine ended after {waited:.1} s of waiting for {wanted}{}", tail(&heard.bytes));
            }
            heard = self.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the other end is gone.
    pub fn wait_end(&self, deadline: Instant) -> Result<()> {
        let mut heard = self.lock();
        while !heard.is_closed {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                bail!("the machine still runs{}", tail(&heard.bytes));
            };
            heard = self.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// The last lines, for a failure's message.
    pub fn tail(&self) -> String {
        tail(&self.lock().bytes)
    }
}

/// Where `needle` first occurs in `hay`.
pub fn position(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len().max(1)).position(|window| window == needle)
}

/// What has come, without a last line that has not ended: more of it may be on its way.
pub fn whole_lines(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default())
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

fn tail(bytes: &[u8]) -> String {
    let text = printable(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
    let mut out = format!("\n  --- last {} lines of console ---", shown.len());
    for line in shown {
        out.push_str("\n  ");
        out.extend(line.escape_debug());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn text_split_over_two_reads_is_found() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let transcript = Transcript::record(reader);
        use std::io::Write;
        writer.write_all(b"GUEST-").unwrap();
        transcript.wait(0, soon(), "GUEST-", |b| position(b, b"GUEST-")).unwrap();
        writer.write_all(b"READY\n").unwrap();
        assert_eq!(transcript.wait(0, soon(), "GUEST-READY", |b| position(b, b"GUEST-READY")).unwrap(), 0);
    }

    #[test]
    fn an_ended_machine_fails_at_once_and_shows_its_console() {
        let transcript = Transcript::record(&b"panic: here\n"[..]);
        let error = transcript.wait(0, soon(), "a prompt", |b| position(b, b"$ ")).unwrap_err().to_string();
        assert!(error.contains("ended") && error.contains("a prompt") && error.contains("panic: here"), "{error}");
    }

    #[test]
    fn a_line_that_has_not_ended_is_none_yet() {
        assert_eq!(whole_lines(b"ok faults=354\r\nok fau"), "ok faults=354\r\n");
        assert_eq!(whole_lines(b"ok faults=354"), "");
    }

    #[test]
    fn silence_fails_at_the_deadline() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let transcript = Transcript::record(reader);
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = transcript.wait(0, deadline, "anything", |b| (!b.is_empty()).then_some(())).unwrap_err();
        assert!(error.to_string().contains("waited"), "{error}");
    }
}
