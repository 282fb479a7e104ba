//! The shell of a Linux partition: runs a command, returns its status and what it printed.
//!
//! Other partitions' tagged lines may stand anywhere between, even inside a word: they are cut out before matching.

use crate::conversation::Conversation;
use anyhow::{Context, Result, ensure};
use std::ops::Range;

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
                let from = text.get(find_broken(&text, &begin)?.end..)?;
                let output = from.get(..find_broken(from, &end)?.start)?;
                let (output, status) = output.rsplit_once('<')?;
                let output: String = output.split_inclusive('\n').filter(|line| !is_kernels(line)).collect();
                Some((status.replace('\n', "").parse::<i32>(), output.trim_matches('\n').to_owned()))
            })?;
        self.console.skip();
        let status = status.with_context(|| format!("the end of `{command}` cannot be read behind:\n{output}"))?;
        Ok((status, output))
    }
}

/// A Linux whose terminal has IXOFF, as busybox's init sets it, asks for silence with XOFF and ends it with XON, wherever
/// its output is then. A terminal shows neither.
const FLOW_CONTROL: [char; 2] = ['\x11', '\x13'];

/// Where `mark` is: another partition's line may have broken it anywhere.
fn find_broken(text: &str, mark: &str) -> Option<Range<usize>> {
    let kept: Vec<(usize, char)> = text.char_indices().filter(|&(_, character)| character != '\n').collect();
    let wanted: Vec<char> = mark.chars().collect();
    let found = kept.windows(wanted.len()).find(|window| window.iter().map(|(_, character)| character).eq(&wanted))?;
    let (&(first, _), &(last, character)) = (found.first()?, found.last()?);
    Some(first..last + character.len_utf8())
}

/// What the partition `name` said, in one piece wherever others have spoken in its middle, or EL2 has taken the console over.
pub fn said_by(text: &str, name: &str) -> String {
    // EL2 does not know that a line is open when it gets the console back from a service that died.
    let text = text.replace('\r', "").replace("bulkhead| [", "\nbulkhead| [");
    text.lines().filter_map(tag).filter(|(owner, _)| *owner == name).map(|(_, line)| line).collect()
}

/// What a full-screen program drew, in one piece: without control sequences (ECMA-48, 5.4: CSI) and line ends.
pub fn drawn(bytes: &[u8]) -> String {
    let text = own_text(&String::from_utf8_lossy(bytes), View::Raw).replace('\n', "");
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |shown, piece| {
        // Its final byte ends a sequence.
        shown + piece.trim_start_matches(|byte| (' '..='?').contains(&byte)).get(1..).unwrap_or_default()
    })
}

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
    fn a_broken_mark_is_found() {
        let text = "# echo \n<73\n10>\na\n<0:73\n11>\n";
        assert_eq!(find_broken(text, "<7310>").map(|at| &text[at.end..]), Some("\na\n<0:73\n11>\n"));
        assert_eq!(find_broken(text, ":7311>").map(|at| &text[..at.start]), Some("# echo \n<73\n10>\na\n<0"));
        assert_eq!(find_broken(text, "<7312>"), None);
    }

    #[test]
    fn what_one_partition_said_is_joined() {
        let text = "control| control: beabulkhead| [ 1.0] core0 x\r\ncontrol| t 1000 Hz\r\nhello| hi\r\n";
        assert_eq!(said_by(text, "control"), "control: beat 1000 Hz");
    }

    #[test]
    fn what_was_drawn_has_no_control_sequences() {
        let screen = b"full\x1b[24;1HI /tmp/note [Modif\r\ncontrol| x\r\nied] 1/1\x1b[K\x1b[1;5H screen\x1b[0m";
        assert_eq!(drawn(screen), "fullI /tmp/note [Modified] 1/1 screen");
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
