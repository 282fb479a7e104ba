//! Gives orders to a `probe` guest over the shared console, one line each, and reads its answers.

use crate::conversation::Conversation;
use crate::shell::{said_by, tag};
use anyhow::{Context, Result, bail, ensure};

/// Seconds for an order that is not said to take longer.
const SHORT: u64 = 20;

/// Asks for the answer to the last `io` again.
const LAST: &str = "last";

/// A probe in a partition.
pub struct Probe {
    /// The partition's name.
    pub name: &'static str,
    /// Its digit for Ctrl-T.
    pub digit: u8,
}

/// What a probe answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, and what it says about itself.
    Ok(String),
    /// The operation took an exception.
    Fault(Fault),
    /// A check failed, or the order was not understood.
    Error(String),
}

/// An exception that a guest took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Exception class.
    pub ec: u64,
    /// Fault status code.
    pub dfsc: u64,
    /// Fault address.
    pub far: u64,
}

impl Answer {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some(match kind {
            "ok" => Self::Ok(rest.trim().to_owned()),
            "error" => Self::Error(rest.trim().to_owned()),
            "fault" => {
                Self::Fault(Fault { ec: field(rest, "ec")?, dfsc: field(rest, "dfsc")?, far: field(rest, "far")? })
            }
            _ => return None,
        })
    }
}

/// The number of `name=NUMBER` in a line.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let word = text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    number(word)
}

/// A decimal or `0x` hexadecimal number.
pub fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

impl Probe {
    /// Waits until it takes orders.
    pub fn ready(&self, console: &mut Conversation) -> Result<()> {
        let prompt = format!("\n{}| probe> ", self.name);
        // The prompts of several probes come in any order: what was said before counts too.
        let deadline = console.deadline(SHORT);
        console.transcript().wait(0, deadline, &format!("{prompt:?}"), |bytes| {
            String::from_utf8_lossy(bytes).contains(&prompt).then_some(())
        })
    }

    /// Whether this line says that a life of this guest has begun.
    pub fn begins(&self, line: &str) -> bool {
        tag(line).is_some_and(|(name, text)| name == self.name && text.contains("probe: ready"))
    }

    /// Gives an order, whatever comes of it.
    pub fn ask(&self, console: &mut Conversation, order: &str) -> Result<Answer> {
        self.ask_for(console, order, SHORT)
    }

    /// Gives an order that may take `seconds`.
    pub fn ask_for(&self, console: &mut Conversation, order: &str, seconds: u64) -> Result<Answer> {
        self.take_keyboard(console)?;
        self.ask_on(console, order, seconds)
    }

    /// Gives an order, when it has the keyboard already: without the line about that, which may take a tenth of a second.
    pub fn ask_on(&self, console: &mut Conversation, order: &str, seconds: u64) -> Result<Answer> {
        self.give(console, order)?;
        let own = |line: &str| tag(line).filter(|(name, _)| *name == self.name).map(|(_, text)| text.to_owned());
        let wanted = format!("{}'s answer to `{order}`", self.name);
        console.expect_line(&wanted, seconds, |line| Answer::parse(&own(line)?))
    }

    /// Gives an order and waits until it has begun, which is when the probe has repeated it. Its answer comes behind the place
    /// that this returns.
    pub fn begin(&self, console: &mut Conversation, order: &str) -> Result<usize> {
        self.take_keyboard(console)?;
        self.give(console, order)
    }

    fn give(&self, console: &mut Conversation, order: &str) -> Result<usize> {
        let from = console.transcript().open_line();
        console.send(format!("{order}\n"))?;
        console.expect_behind(from, &format!("{} to repeat `{order}`", self.name), SHORT, |bytes| {
            self.repeated(bytes, order).map(|end| ((), end))
        })?;
        Ok(from)
    }

    /// Behind which line it has repeated an order: others may have spoken in its middle.
    fn repeated(&self, bytes: &[u8], order: &str) -> Option<usize> {
        let (mut own, mut end) = (String::new(), 0);
        bytes.split_inclusive(|&byte| byte == b'\n').find_map(|line| {
            end += line.len();
            let line = String::from_utf8_lossy(line);
            let line = line.strip_suffix('\n')?.trim_end_matches('\r');
            own += tag(line).filter(|(name, _)| *name == self.name)?.1;
            own.ends_with(order).then_some(end)
        })
    }

    /// Waits for the answer to an order that was given behind `from`, whatever else is said meanwhile, even in the middle of
    /// its lines. What was waited for stays so.
    pub fn answer_behind(&self, console: &Conversation, from: usize, order: &str, seconds: u64) -> Result<Answer> {
        let (deadline, wanted) = (console.deadline(seconds), format!("{}'s answer to `{order}`", self.name));
        console.transcript().wait(from, deadline, &wanted, |bytes| {
            self.answer_in(&String::from_utf8_lossy(bytes).replace('\r', ""), order)
        })
    }

    /// Waits for the answer to an `io` that was given behind `from`, while the service's lives end: the text that one holds
    /// is lost with it, so the probe is asked again.
    pub fn work_behind(&self, console: &mut Conversation, from: usize, order: &str) -> Result<Answer> {
        /// Seconds before it is asked again, and how often it is.
        const AGAIN: u64 = 20;
        const TIMES: u32 = 8;
        let wanted = format!("{}'s answer to `{order}`", self.name);
        for _ in 0..TIMES {
            let said = console.transcript().wait(from, console.deadline(AGAIN), &wanted, |bytes| {
                let text = String::from_utf8_lossy(bytes).replace('\r', "");
                let answer = self.answer_in(&text, order).or_else(|| self.answer_in(&text, LAST))?;
                // Its middle may have been lost with a life.
                let is_whole = !matches!(&answer, Answer::Ok(said) if field(said, "lost").is_none());
                is_whole.then_some(answer)
            });
            if said.is_ok() {
                return said;
            }
            console.skip();
            self.order(console, LAST)?;
        }
        self.answer_behind(console, from, LAST, AGAIN).with_context(|| wanted)
    }

    /// Whether the order that was given behind `from` has been answered.
    pub fn has_answered(&self, console: &Conversation, from: usize, order: &str) -> bool {
        self.answer_in(&console.transcript().text_from(from).replace('\r', ""), order).is_some()
    }

    fn answer_in(&self, text: &str, order: &str) -> Option<Answer> {
        let own = said_by(text, self.name);
        let (answer, _) = own.split_once(order)?.1.split_once("probe> ")?;
        Answer::parse(answer)
    }

    /// Gives an order that must succeed within `seconds`; returns what it says.
    pub fn ok_within(&self, console: &mut Conversation, order: &str, seconds: u64) -> Result<String> {
        match self.ask_for(console, order, seconds)? {
            Answer::Ok(text) => Ok(text),
            other => bail!("{}: `{order}` ended in {other:x?}", self.name),
        }
    }

    /// Gives an order that must succeed, and whose answer is so long that others may speak in its middle.
    pub fn long_answer(&self, console: &mut Conversation, order: &str) -> Result<String> {
        let from = self.order(console, order)?;
        match self.answer_behind(console, from, order, SHORT)? {
            Answer::Ok(text) => Ok(text),
            other => bail!("{}: `{order}` ended in {other:x?}", self.name),
        }
    }

    /// Gives an order and waits for nothing. Returns the place behind which its answer comes, if it has one: with the prompt
    /// that may have been waited for, since its tag says whose line the order is in.
    pub fn order(&self, console: &mut Conversation, order: &str) -> Result<usize> {
        self.take_keyboard(console)?;
        let from = console.transcript().open_line();
        console.send(format!("{order}\n"))?;
        Ok(from)
    }

    /// What is typed from here on is for it.
    pub fn take_keyboard(&self, console: &mut Conversation) -> Result<()> {
        if console.has_keyboard(self.name) {
            return Ok(());
        }
        console.focus(b'0' + self.digit, self.name)?;
        console.note_keyboard(self.name);
        Ok(())
    }

    /// Gives an order that must succeed; returns what it says.
    pub fn ok(&self, console: &mut Conversation, order: &str) -> Result<String> {
        self.ok_within(console, order, SHORT)
    }

    /// Gives an order that must succeed, when it has the keyboard already.
    pub fn ok_on(&self, console: &mut Conversation, order: &str) -> Result<String> {
        match self.ask_on(console, order, SHORT)? {
            Answer::Ok(text) => Ok(text),
            other => bail!("{}: `{order}` ended in {other:x?}", self.name),
        }
    }

    /// Gives an order whose result is one number.
    pub fn value(&self, console: &mut Conversation, order: &str) -> Result<u64> {
        let text = self.ok(console, order)?;
        number(text.trim_start_matches("x0=")).with_context(|| format!("`{order}` answered {text:?}"))
    }

    /// Calls a function by `hvc` or `smc`; its x0 as PSCI codes are: 32 bits, signed.
    pub fn call(&self, console: &mut Conversation, order: &str) -> Result<i32> {
        let text = self.ok(console, order)?;
        let x0 = field(&text, "x0").or_else(|| number(&text)).or_else(|| text.parse::<i64>().ok().map(|n| n as u64));
        Ok(x0.with_context(|| format!("`{order}` answered {text:?}"))? as i32)
    }

    /// The operation must be an external abort at this address: nothing is there for this guest.
    pub fn must_abort(&self, console: &mut Conversation, order: &str, address: u64) -> Result<()> {
        /// Synchronous external abort, not on a table walk.
        const EXTERNAL: u64 = 0x10;
        let answer = self.ask(console, order)?;
        let Answer::Fault(fault) = answer else { bail!("`{order}` was not stopped: {answer:x?}") };
        let class = if order.starts_with("exec") { 0x21 } else { 0x25 };
        let is_right = fault.ec == class && fault.dfsc == EXTERNAL && fault.far == address;
        ensure!(is_right, "`{order}` ended in {fault:x?}, expected ec={class:#x} dfsc=0x10 far={address:#x}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_although_others_speak_in_its_middle() {
        let probe = Probe { name: "bob", digit: 2 };
        let text = "bob| io 1 2\nalice| ok 7\nbulkhead| [ 1.0] x\nbob| 0\nbob| ok iobulkhead| [ 1.1] y\nalice| probe> \nbob| s=20\n";
        assert_eq!(probe.answer_in(text, "io 1 20"), None);
        let text = format!("bob| probe> \n{text}bob| probe> ");
        assert_eq!(probe.answer_in(&text, "io 1 20"), Some(Answer::Ok("ios=20".into())));
    }

    #[test]
    fn an_order_is_repeated_although_others_speak_in_its_middle() {
        let probe = Probe { name: "bob", digit: 2 };
        let text = b"bob| probe> io 1\r\nalice| io 1 20\r\nbob|  20\r\nbob| ok ios=20\r\n";
        let end = text.len() - b"bob| ok ios=20\r\n".len();
        assert_eq!(probe.repeated(text, "io 1 20"), Some(end));
        assert_eq!(probe.repeated(&text[..end - 1], "io 1 20"), None);
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(Answer::parse("ok 0x10"), Some(Answer::Ok("0x10".into())));
        assert_eq!(Answer::parse("error no such command"), Some(Answer::Error("no such command".into())));
        let fault = Fault { ec: 0x25, dfsc: 0x10, far: 0x3000_0000 };
        assert_eq!(Answer::parse("fault ec=0x25 dfsc=0x10 far=0x30000000 esr=0x96000010"), Some(Answer::Fault(fault)));
        assert_eq!(Answer::parse("probe> ok"), None);
    }
}
