//! The shell of a Linux partition: runs a command, returns its status and what it printed.
//!
//! Other partitions' tagged lines may stand anywhere between, even inside a word: they are cut out before matching.

use crate::conversation::Conversation;
use anyhow::{Context, Result, ensure};

/// How a partition's output appears on the shared console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Focused in interactive mode, or alone on a plain machine: raw.
    Raw,
    /// With `linux| ` at the start of each line.
    Tagged,
}

/// A shell prompt of busybox ash at the end of a conversation.
pub struct Shell<'a> {
    console: &'a mut Conversation,
    view: View,
    commands: u32,
}

/// Numbers that no other text on the console has by chance.
const FIRST_MARK: u32 = 7_310_000;

impl<'a> Shell<'a> {
    /// A shell that is there already, or comes within `seconds`.
    pub fn attach(console: &'a mut Conversation, view: View, seconds: u64) -> Result<Self> {
        console.expect("GUEST-READY", seconds)?;
        console.expect("# ", 20).context("no prompt after GUEST-READY")?;
        Ok(Self::at_prompt(console, view))
    }

    /// The shell whose prompt was just seen. At most one for each machine: its marks count from the start.
    pub fn at_prompt(console: &'a mut Conversation, view: View) -> Self {
        Self { console, view, commands: 0 }
    }

    /// The console below.
    pub fn console(&mut self) -> &mut Conversation {
        self.console
    }

    /// Types `command`, waits for its end and returns its output; fails if its status is not 0.
    pub fn run(&mut self, command: &str, seconds: u64) -> Result<String> {
        let (status, output) = self.status(command, seconds)?;
        ensure!(status == 0, "`{command}` ended with status {status}:\n{output}");
        Ok(output)
    }

    /// Types `command`, waits for its end and returns its status and output.
    pub fn status(&mut self, command: &str, seconds: u64) -> Result<(i32, String)> {
        self.commands += 1;
        let (begin, end) = (FIRST_MARK + self.commands * 2, FIRST_MARK + self.commands * 2 + 1);
        // Sums, so that the echo of what is typed does not look like what is printed.
        let line = format!("echo \"<$(({begin}-1+1))>\"; {command}; echo \"<$?:$(({end}-1+1))>\"\n");
        self.console.send(line)?;
        let (begin, end) = (format!("<{begin}>"), format!(":{end}>"));
        let view = self.view;
        let deadline = self.console.deadline(seconds);
        let seen = self.console.seen();
        let (status, output) =
            self.console.transcript().wait(seen, deadline, &format!("the end of `{command}`"), |bytes| {
                let text = own_text(&String::from_utf8_lossy(bytes), view);
                // A mark may have been broken by another partition's line.
                let squeezed: String = text.chars().filter(|&c| c != '\n').collect();
                squeezed.contains(&end).then_some(())?;
                let (_, from) = text.split_once(&begin)?;
                let (output, _) = from.split_once(&end).unwrap_or((from, ""));
                let (output, status) = output.rsplit_once('<')?;
                let output: String = output.split_inclusive('\n').filter(|line| !is_kernels(line)).collect();
                Some((status.trim().parse().unwrap_or(-1), output.trim_matches('\n').to_owned()))
            })?;
        self.console.skip();
        Ok((status, output))
    }
}

/// A Linux whose terminal has IXOFF, as busybox's init sets it, asks for silence with XOFF and ends it with XON, wherever
/// its output is then. A terminal shows neither.
const FLOW_CONTROL: [char; 2] = ['\x11', '\x13'];

/// What one partition said: other partitions' lines, tags, carriage returns and flow control taken out.
pub fn own_text(text: &str, view: View) -> String {
    let mut own = String::new();
    for line in text.split_inclusive('\n') {
        let line = line.replace('\r', "").replace(FLOW_CONTROL, "");
        match (view, tag(&line)) {
            (View::Raw, None) => own.push_str(&line),
            (View::Tagged, Some(("linux", rest))) => own.push_str(rest),
            // The rest of a line whose beginning was waited for already.
            (View::Tagged, None) if own.is_empty() => own.push_str(&line),
            _ => {}
        }
    }
    own
}

/// Whether a line is the kernel's log, which has its time in front: `[   40.176230] hrtimer: ...`.
fn is_kernels(line: &str) -> bool {
    let time = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    time.is_some_and(|(time, _)| time.trim_start().parse::<f64>().is_ok())
}

/// The tag of a line and what follows it.
pub fn tag(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once("| ")?;
    // A partition's, or that of its virtio console.
    let own = name.strip_suffix("/hvc0").unwrap_or(name);
    let is_name = !own.is_empty() && own.len() <= abi::MAX_NAME;
    (is_name && own.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_are_cut_out_of_the_shells_text() {
        let text = "1\r\ncontrol| beat 5\r\n2\r\n";
        assert_eq!(own_text(text, View::Raw), "1\n2\n");
        let text = "linux| 1\r\ncontrol| beat 5\r\nlinux| 2\r\nbulkhead| x\r\n";
        assert_eq!(own_text(text, View::Tagged), "1\n2\n");
    }

    #[test]
    fn flow_control_in_the_middle_of_a_word_is_cut_out() {
        assert_eq!(own_text("63 0000\x1340206\x1195695\r\n", View::Raw), "63 00004020695695\n");
    }

    #[test]
    fn the_kernels_lines_are_told_from_a_programs() {
        assert!(is_kernels("[   40.176230] hrtimer: interrupt took 34578048 ns\n"));
        assert!(!is_kernels("[ok] 40.1\n") && !is_kernels("ok [ 40.1]\n"));
    }

    #[test]
    fn a_pipe_in_a_sentence_is_no_tag() {
        assert_eq!(tag("this or that| x"), None);
        assert_eq!(tag("control| x"), Some(("control", "x")));
        assert_eq!(tag("linux/hvc0| x"), Some(("linux/hvc0", "x")));
    }
}
