//! [`Ring`]: bytes from one source to the console, one producer and one consumer, no lock between them.
//!
//! A producer stores characters at once, so that a prompt appears, and never waits. When the ring is full it drops the
//! rest of the line, and then whole lines, until the consumer has emptied the ring and taken their number: so what was
//! dropped lies exactly where its number is reported.
//!
//! All fields are atomics: a wrong use (two producers without a lock) mixes bytes up and breaks nothing else.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// A dropped line that goes on for this long without a newline may resume in its middle: a full-screen program sends
/// none, and would stay dark.
const ENDLESS: usize = 256;

/// A ring of `N` bytes, a power of two.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    bytes: [AtomicU8; N],
    /// Bytes ever taken; only the consumer stores it.
    taken: AtomicUsize,
    /// Bytes ever stored; only the producer stores it.
    stored: AtomicUsize,
    /// Lines dropped and not reported. The producer adds, the consumer takes.
    dropped: AtomicU32,
    /// Producer only: the next byte does not start a line. All fields start as zero, so that rings lie in .bss.
    in_line: AtomicBool,
    /// Producer only: bytes dropped of the line that is being dropped; 0 means none is.
    dropping: AtomicUsize,
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring<N> {
    /// An empty ring.
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two(), "indexes wrap with the counters") };
        Self {
            bytes: [const { AtomicU8::new(0) }; N],
            taken: AtomicUsize::new(0),
            stored: AtomicUsize::new(0),
            dropped: AtomicU32::new(0),
            in_line: AtomicBool::new(false),
            dropping: AtomicUsize::new(0),
        }
    }

    /// Producer: stores or drops one byte. Several producers take turns under a lock of the caller's.
    pub fn push(&self, byte: u8) {
        let is_line_end = byte == b'\n';
        let starts_line = !self.in_line.load(Ordering::Relaxed);
        self.in_line.store(!is_line_end, Ordering::Relaxed);
        let dropping = self.dropping.load(Ordering::Relaxed);
        if dropping > 0 {
            let goes_on = !is_line_end && (dropping < ENDLESS || self.has_dropped());
            self.dropping.store(if goes_on { dropping.saturating_add(1) } else { 0 }, Ordering::Relaxed);
            return;
        }
        if (starts_line && self.has_dropped()) || !self.store(byte) {
            self.dropped.fetch_add(1, Ordering::Release);
            self.dropping.store(usize::from(!is_line_end), Ordering::Relaxed);
        }
    }

    /// Producer: [`Ring::push`] for each byte.
    pub fn write(&self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.push(byte));
    }

    /// Producer: how many bytes [`Ring::push`] stores for certain.
    pub fn room(&self) -> usize {
        let stored = self.stored.load(Ordering::Relaxed).wrapping_sub(self.taken.load(Ordering::Acquire));
        N.saturating_sub(stored)
    }

    /// Producer: ends the line that it left open, if it did: what comes next is somebody else's.
    pub fn end_line(&self) {
        if self.in_line.load(Ordering::Relaxed) {
            self.write(b"\r\n");
        }
    }

    /// Producer: lines were lost on their way here, behind everything pushed so far.
    pub fn lose(&self, lines: u32) {
        self.dropped.fetch_add(lines, Ordering::Release);
    }

    fn store(&self, byte: u8) -> bool {
        let stored = self.stored.load(Ordering::Relaxed);
        if stored.wrapping_sub(self.taken.load(Ordering::Acquire)) >= N {
            return false;
        }
        self.bytes[stored % N].store(byte, Ordering::Relaxed);
        self.stored.store(stored.wrapping_add(1), Ordering::Release);
        true
    }

    /// Consumer: takes the next byte.
    pub fn pop(&self) -> Option<u8> {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken == self.stored.load(Ordering::Acquire) {
            return None;
        }
        let byte = self.bytes[taken % N].load(Ordering::Relaxed);
        self.taken.store(taken.wrapping_add(1), Ordering::Release);
        Some(byte)
    }

    /// Consumer: takes as many bytes as there are and fit; how many.
    pub fn read(&self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        for place in buffer {
            let Some(byte) = self.pop() else { break };
            *place = byte;
            count += 1;
        }
        count
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Acquire) == self.stored.load(Ordering::Acquire)
    }
    /// Whether lines were dropped that [`Ring::take_dropped`] has not taken.
    pub fn has_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire) > 0
    }
    /// Consumer: how many lines were dropped since the last call. 0 while bytes stored before them wait.
    pub fn take_dropped(&self) -> u32 {
        if !self.has_dropped() || !self.is_empty() {
            return 0;
        }
        self.dropped.swap(0, Ordering::AcqRel)
    }
}
