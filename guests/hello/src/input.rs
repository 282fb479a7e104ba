//! Typed bytes: taken from the PL011 by its interrupt, read by the main loop, edited into a line.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use rt::{console, gic, print, println};

/// Bytes that wait for the main loop, a power of two; more are dropped.
const WAITING: usize = 256;
/// Longest command line.
const LINE: usize = 80;

/// Written by the interrupt handler at `HEAD`, read by the main loop at `TAIL`; both only count up.
static BYTES: [AtomicU8; WAITING] = [const { AtomicU8::new(0) }; WAITING];
static HEAD: AtomicUsize = AtomicUsize::new(0);
static TAIL: AtomicUsize = AtomicUsize::new(0);

/// Lets the console interrupt.
pub fn enable() {
    gic::enable(console::INTID, gic::PRIORITY);
    console::enable_receive_interrupt();
}

/// Takes all received bytes.
pub fn interrupt() {
    while let Some(byte) = console::receive() {
        let head = HEAD.load(Ordering::Relaxed);
        if head.wrapping_sub(TAIL.load(Ordering::Acquire)) < WAITING {
            BYTES[head % WAITING].store(byte, Ordering::Relaxed);
            HEAD.store(head.wrapping_add(1), Ordering::Release);
        }
    }
    console::clear_interrupt();
}

/// Whether a byte waits.
pub fn is_waiting() -> bool {
    HEAD.load(Ordering::Acquire) != TAIL.load(Ordering::Relaxed)
}

/// The oldest waiting byte.
pub fn take() -> Option<u8> {
    let tail = TAIL.load(Ordering::Relaxed);
    is_waiting().then(|| {
        let byte = BYTES[tail % WAITING].load(Ordering::Relaxed);
        TAIL.store(tail.wrapping_add(1), Ordering::Release);
        byte
    })
}

/// The line that is being typed.
pub struct Line {
    text: [u8; LINE],
    length: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self { text: [0; LINE], length: 0 }
    }

    /// Whether nothing is typed.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets what was typed.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Adds and echoes a byte; returns the line when it is finished. A full line takes no more.
    pub fn type_byte(&mut self, byte: u8) -> Option<&str> {
        match byte {
            b'\r' | b'\n' => {
                println!();
                // Only ASCII was let in.
                return core::str::from_utf8(&self.text[..self.length]).ok();
            }
            0x08 | 0x7f if self.length > 0 => {
                self.length -= 1;
                print!("\x08 \x08");
            }
            b' '..=b'~' if self.length < LINE => {
                self.text[self.length] = byte;
                self.length += 1;
                print!("{}", byte as char);
            }
            _ => {}
        }
        None
    }
}
