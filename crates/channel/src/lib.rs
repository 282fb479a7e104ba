//! A channel as one of its two ends uses it: a pair of rings of bytes in memory that the other end writes at any time.
//!
//! ```text
//! word 0          the epoch: EL2 changes it when it has cleared the memory (abi::channel), and nobody else can: the ends may
//!                 only read its page
//! word 512, 513   end 0: how far it has written its ring, how far it has taken from the other's
//! word 520, 521   end 1: the same
//! word 528 ...    end 0's ring, then end 1's, of equal size
//! ```
//! Each word but the first has one writer. It holds the writer's epoch and a position: what was said in another epoch is not
//! heard, so an end that has not noticed yet that the other lives anew disturbs nothing. The other end is hostile: its
//! positions are believed only as far as they can be, its bytes are copied before anybody looks at them, and the worst that
//! it can do is to say nonsense or nothing. Nothing here waits, and nothing here rings: that is the caller's.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// Words before the ends' lines: the page of the epoch.
const LINES: usize = abi::channel::ENDS / WORD as usize;
/// Words of an end's line, which no other end's words share.
const LINE: usize = 8;
/// Words before the rings.
const HEADER: usize = LINES + 2 * LINE;
/// Words of a line in use: how far the end has written, and how far it has taken.
const WRITTEN: usize = 0;
const TAKEN: usize = 1;
/// Bytes of a word.
const WORD: u32 = 8;
/// Most bytes of a channel that is of use: positions go up to twice a ring, and epoch and position share a word.
const MAX_BYTES: usize = 1 << 30;

/// One end of a channel.
#[derive(Debug)]
pub struct End<'m> {
    memory: &'m [AtomicU64],
    side: Side,
    /// Bytes of each ring, whole words.
    capacity: u32,
    /// Its epoch as a word has it; 0: none.
    epoch: u32,
    /// How far it has written. Positions count from 0 to twice the capacity, so that full and empty differ.
    written: u32,
    /// How far it has taken.
    taken: u32,
}

/// Which of the two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The first that the system file names.
    First,
    /// The other.
    Second,
}

impl Side {
    /// From its number, 0 or 1.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::First),
            1 => Some(Self::Second),
            _ => None,
        }
    }
    const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Whether an end goes on as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "after a new beginning nothing of what was said before counts"]
pub enum Continuity {
    /// It does.
    Same,
    /// The channel was cleared: both rings are empty.
    Anew,
}

impl<'m> End<'m> {
    /// An end of the channel that is all of `memory`; `None` where that is too small or too large to be one. It is in no epoch
    /// until [`End::renew`].
    pub fn new(memory: &'m [AtomicU64], side: Side) -> Option<Self> {
        let words = memory.len().checked_sub(HEADER)? / 2;
        let capacity = words * WORD as usize;
        let is_useful = capacity != 0 && capacity <= MAX_BYTES;
        is_useful.then_some(Self { memory, side, capacity: capacity as u32, epoch: 0, written: 0, taken: 0 })
    }

    /// Bytes that fit each ring.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Looks whether the channel was cleared since the last call, and begins anew if so. Until it is called, an end whose
    /// epoch is over reads and writes nothing.
    pub fn renew(&mut self) -> Continuity {
        let epoch = self.current();
        if epoch == self.epoch {
            return Continuity::Same;
        }
        (self.epoch, self.written, self.taken) = (epoch, 0, 0);
        if epoch != 0 {
            self.publish(WRITTEN, 0);
            self.publish(TAKEN, 0);
        }
        Continuity::Anew
    }

    /// Whether its epoch is over: [`End::renew`] would begin anew.
    pub fn is_over(&self) -> bool {
        self.current() != self.epoch
    }

    /// Whether the other end has begun in this epoch.
    pub fn has_peer(&self) -> bool {
        self.is_current() && self.epoch_of(self.side.other(), WRITTEN) == self.epoch
    }

    /// Bytes that can be read now.
    pub fn available(&self) -> u32 {
        if self.is_current() {
            self.said(WRITTEN).and_then(|end| self.distance(self.taken, end)).unwrap_or(0)
        } else {
            0
        }
    }

    /// Bytes that can be written now.
    pub fn free(&self) -> u32 {
        self.unread().map_or(0, |unread| self.capacity - unread)
    }

    /// Bytes written in this epoch that the other end has not taken. `None`: what it says about that cannot be, or the epoch is
    /// over.
    pub fn unread(&self) -> Option<u32> {
        let taken = self.said(TAKEN).filter(|_| self.is_current())?;
        self.distance(taken, self.written)
    }

    /// Writes as much of `bytes` as fits; how much.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.free() as usize);
        let mut rest = bytes.get(..count).unwrap_or_default();
        let mut at = self.written;
        while !rest.is_empty() {
            let (index, lane) = self.place(self.side, at);
            let (part, behind) = rest.split_at(count_in_word(rest.len(), lane));
            let Some(word) = self.memory.get(index) else { break };
            // Nobody else writes to this ring.
            let mut word_bytes = word.load(Ordering::Relaxed).to_le_bytes();
            word_bytes.iter_mut().skip(lane as usize).zip(part).for_each(|(place, byte)| *place = *byte);
            word.store(u64::from_le_bytes(word_bytes), Ordering::Relaxed);
            at = self.advance(at, part.len() as u32);
            rest = behind;
        }
        if count > 0 {
            self.written = at;
            self.publish(WRITTEN, at);
        }
        count
    }

    /// Takes bytes, as many as there are and `into` has room for; how many. What was taken while the channel was cleared is
    /// not given to anybody.
    pub fn read(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.available() as usize);
        let mut rest = into.get_mut(..count).unwrap_or_default();
        let mut at = self.taken;
        while !rest.is_empty() {
            let (index, lane) = self.place(self.side.other(), at);
            let (part, behind) = rest.split_at_mut(count_in_word(rest.len(), lane));
            let Some(word) = self.memory.get(index) else { break };
            let word_bytes = word.load(Ordering::Relaxed).to_le_bytes();
            part.iter_mut().zip(word_bytes.iter().skip(lane as usize)).for_each(|(place, byte)| *place = *byte);
            at = self.advance(at, part.len() as u32);
            rest = behind;
        }
        // EL2 takes the epoch away before it clears the first byte: who has read a cleared one sees that here.
        fence(Ordering::Acquire);
        if count == 0 || !self.is_current() {
            return 0;
        }
        self.taken = at;
        self.publish(TAKEN, at);
        count
    }

    /// Takes all that there is, unread; whether there was anything.
    pub fn skip(&mut self) -> bool {
        let count = self.available();
        if count > 0 {
            self.taken = self.advance(self.taken, count);
            self.publish(TAKEN, self.taken);
        }
        count > 0
    }

    /// The epoch that memory says, as words have it.
    fn current(&self) -> u32 {
        self.memory.first().map_or(0, |word| word.load(Ordering::Acquire)) as u32
    }

    fn is_current(&self) -> bool {
        self.epoch != 0 && self.current() == self.epoch
    }

    fn word(&self, side: Side, word: usize) -> Option<&'m AtomicU64> {
        self.memory.get(LINES + LINE * side as usize + word)
    }

    fn publish(&self, word: usize, position: u32) {
        if let Some(word) = self.word(self.side, word) {
            word.store(u64::from(self.epoch) << 32 | u64::from(position), Ordering::Release);
        }
    }

    fn epoch_of(&self, side: Side, word: usize) -> u32 {
        self.word(side, word).map_or(0, |word| (word.load(Ordering::Acquire) >> 32) as u32)
    }

    /// A position that the other end says: 0 as long as it has said nothing in this epoch, `None` for one that cannot be.
    fn said(&self, word: usize) -> Option<u32> {
        let said = self.word(self.side.other(), word)?.load(Ordering::Acquire);
        let position = if (said >> 32) as u32 == self.epoch { said as u32 } else { 0 };
        (position < 2 * self.capacity).then_some(position)
    }

    /// Bytes from one position to another, if a ring can hold as many.
    fn distance(&self, from: u32, to: u32) -> Option<u32> {
        let bytes = if to >= from { to - from } else { to + 2 * self.capacity - from };
        (bytes <= self.capacity).then_some(bytes)
    }

    /// The position behind `bytes`, of which there are no more than in a ring.
    fn advance(&self, from: u32, bytes: u32) -> u32 {
        let to = from + bytes;
        if to >= 2 * self.capacity { to - 2 * self.capacity } else { to }
    }

    /// The word of a ring that has the byte at a position, and which of its bytes that is.
    fn place(&self, ring: Side, position: u32) -> (usize, u32) {
        let offset = if position >= self.capacity { position - self.capacity } else { position };
        let start = HEADER + ring as usize * (self.capacity / WORD) as usize;
        (start + (offset / WORD) as usize, offset % WORD)
    }
}

/// How many of `bytes` are in a word from its byte `lane` on.
fn count_in_word(bytes: usize, lane: u32) -> usize {
    bytes.min((WORD - lane) as usize)
}

const _: () = assert!(abi::channel::EPOCH == 0 && abi::channel::MAX_SIZE <= MAX_BYTES as u64);
