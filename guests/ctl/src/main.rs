//! `ctl`: gives the control loop an order over the channel `ctl`, from Linux.
//!
//! ```text
//! ctl [-p PORT] rate             how many beats per second
//! ctl [-p PORT] rate HZ          so many from the next beat on
//! ctl [-p PORT] beats            how many there were, and whether one was lost
//! ctl [-p PORT] histogram        how late they were
//! ctl [-p PORT] flood LINES      so many lines of nonsense, without a look at the answers; says when it has begun
//! ctl [-p PORT] flood LINES ...  and then the order behind that; says when it is given, too
//! ```
//! A stream socket to port 5000 of the host (AF_VSOCK, CID 2) is all that it needs of Linux; it is a static program of a few
//! kilobytes. Each order begins with a number of this process, and so does its answer: what was meant for an earlier
//! connection is not taken for it. A mark and an end of line come before it: a client that was killed may have left the beginning
//! of its own order, which is none with that behind it. Ends with 0, with 1 if the order was refused, with 2 if nobody answered,
//! with 64 if it was used in another way.
#![no_std]
#![no_main]

mod linux;

use core::fmt::{self, Write};
use linux::{ERRORS, Errno, File, OUTPUT, exit};

/// The port of a system's first channel (MANUAL, "Channels").
const PORT: u32 = 5000;
/// Seconds without an answer. The control loop tells its beats at an instant when none is late, which on a busy emulator may
/// not come at once.
const PATIENCE_S: i64 = 30;
/// How it ends: the order was refused, nobody answered, these words are none of its uses (EX_USAGE).
const REFUSED: u64 = 1;
const UNANSWERED: u64 = 2;
const USAGE: u64 = 64;
/// Longest line.
const LINE: usize = 512;
/// A line of nonsense. No whole number of them fills a ring, so that a flood that is killed leaves a piece of one.
const NONSENSE: &[u8; 63] = b"flood flood flood flood flood flood flood flood flood flood fo\n";
/// What ends the line of somebody else, and makes it no order.
const CUT: &[u8] = b"?\n";

/// A line in the making; what does not fit is lost.
struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Line {
    const EMPTY: Self = Self { bytes: [0; LINE], len: 0 };

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }
    fn append(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.push(*byte));
    }
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes());
        Ok(())
    }
}

/// Says why, and ends.
fn fail(status: u64, why: fmt::Arguments<'_>) -> ! {
    let mut line = Line::EMPTY;
    // A line takes what fits.
    let _ = writeln!(line, "ctl: {why}");
    let _ = ERRORS.write(line.bytes());
    exit(status)
}

fn lost(errno: Errno) -> ! {
    fail(UNANSWERED, format_args!("the connection is lost: error {}", errno.0))
}

#[unsafe(no_mangle)]
extern "C" fn ctl_main(stack: *const u64) -> ! {
    // SAFETY: the entry passes the stack pointer as the kernel left it.
    let words = unsafe { linux::arguments(stack) };
    let Some(Command { port, order, flood }) = parse(words) else {
        fail(USAGE, format_args!("use: ctl [-p PORT] rate|rate HZ|beats|histogram|flood LINES"))
    };
    let socket = connect(port);
    let send = |bytes: &[u8]| socket.send(bytes).unwrap_or_else(|errno| lost(errno));
    if let Some(lines) = flood {
        for n in 0..lines {
            if n == 1 {
                let _ = OUTPUT.write(b"flooding\n");
            }
            send(NONSENSE);
        }
        if order.bytes().is_empty() {
            exit(0)
        }
    }
    let (mut line, tag) = (Line::EMPTY, tag());
    line.append(tag.bytes());
    line.append(order.bytes());
    line.push(b'\n');
    send(CUT);
    send(line.bytes());
    if flood.is_some() {
        let _ = OUTPUT.write(b"ordered\n");
    }
    exit(answer(socket, tag.bytes()))
}

/// What the program is to do.
struct Command {
    port: u32,
    /// What is for the control loop to read, each word behind a blank.
    order: Line,
    /// So many lines of nonsense before it.
    flood: Option<u64>,
}

/// `None`: this is not how it is used.
fn parse(words: impl Iterator<Item = &'static str>) -> Option<Command> {
    let mut words = words.peekable();
    let port = match words.next_if_eq(&"-p") {
        Some(_) => words.next()?.parse().ok()?,
        None => PORT,
    };
    let mut command = Command { port, order: Line::EMPTY, flood: None };
    if words.next_if_eq(&"flood").is_some() {
        command.flood = Some(words.next()?.parse().ok()?);
    } else {
        words.peek()?;
    }
    for word in words {
        command.order.push(b' ');
        command.order.append(word.as_bytes());
    }
    Some(command)
}

fn connect(port: u32) -> File {
    File::connect(port).unwrap_or_else(|errno| match errno {
        Errno::CONNECTION_RESET | Errno::CONNECTION_REFUSED => {
            fail(UNANSWERED, format_args!("nobody is at port {port}, or somebody else has it"))
        }
        Errno(errno) => fail(UNANSWERED, format_args!("port {port} cannot be reached: error {errno}")),
    })
}

/// What this process's order and its answer begin with.
fn tag() -> Line {
    let mut tag = Line::EMPTY;
    // A line takes what fits.
    let _ = write!(tag, "{}", linux::process());
    tag
}

/// Reads lines until one has the tag; prints what is behind it. The program's status.
fn answer(socket: File, tag: &[u8]) -> u64 {
    let mut line = Line::EMPTY;
    let mut bytes = [0; 256];
    loop {
        let count = match socket.read(&mut bytes, PATIENCE_S) {
            Ok(Some(0)) => fail(UNANSWERED, format_args!("the connection was closed")),
            Ok(Some(count)) => count,
            Ok(None) => fail(UNANSWERED, format_args!("no answer within {PATIENCE_S} s")),
            Err(errno) => lost(errno),
        };
        for byte in bytes.iter().take(count) {
            line.push(*byte);
            if *byte != b'\n' {
                continue;
            }
            let said = core::mem::replace(&mut line, Line::EMPTY);
            let own = said.bytes().strip_prefix(tag).and_then(|rest| rest.strip_prefix(b" "));
            if let Some(refused) = own.and_then(|own| own.strip_prefix(b"error ")) {
                let _ = ERRORS.write(b"ctl: ");
                let _ = ERRORS.write(refused);
                return REFUSED;
            }
            if let Some(own) = own.and_then(|own| own.strip_prefix(b"ok ")) {
                let _ = OUTPUT.write(own);
                return 0;
            }
        }
    }
}
