//! [`State`]: what a record says, and the store that brings it and the used ring together again.

use super::{HEADS, Mark, Record, Word, place};
use crate::Unusable;
use crate::head::Heads;

/// The changing part of a record, copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub taken: Mark,
    pub done: Mark,
    pub heads: [u64; HEADS],
}

impl State {
    pub(crate) fn of(record: &impl Record) -> Self {
        Self {
            taken: Mark::of(record.load(Word::Taken)),
            done: Mark::of(record.load(Word::Done)),
            heads: core::array::from_fn(|index| record.load(Word::Heads(index))),
        }
    }

    /// How many chains from used index `used` on were about to be used together, and are not. Their elements are written.
    pub(crate) fn unfinished(&self, used: u16) -> u16 {
        let batch = self.done.batch;
        if self.done.index.wrapping_sub(batch) == used { batch } else { 0 }
    }

    /// The one store that makes the record agree with the used ring's index, if it takes one.
    pub(crate) fn repair(&self, size: u32, used: u16) -> Result<Option<(Word, u64)>, Unusable> {
        self.check_heads(size)?;
        let expected = self.taken.index.wrapping_sub(used);
        let found = self.heads.iter().map(|word| word.count_ones()).sum::<u32>();
        let wrong = Err(Unusable::Count { expected, found });
        if u32::from(expected) > size {
            return wrong;
        }
        // Stopped before the used ring's index: the chain counts as not used.
        let step = self.done.batch.max(1);
        if used == self.done.index.wrapping_sub(step) {
            let back = Mark { index: used, head: self.done.head, batch: 0 };
            return if found == u32::from(expected) { Ok(Some((Word::Done, back.word()))) } else { wrong };
        }
        if used != self.done.index {
            return Err(Unusable::Used { recorded: self.done.index, found: used });
        }
        if found == u32::from(expected) {
            Ok(None)
        } else if found + 1 == u32::from(expected) {
            self.flip(self.taken.head, size, false)
        } else if found == u32::from(expected) + 1 {
            self.flip(self.done.head, size, true)
        } else {
            wrong
        }
    }

    /// No heads that the queue does not have.
    fn check_heads(&self, size: u32) -> Result<(), Unusable> {
        match Heads::new(self.heads).map(|head| head.number()).find(|&head| u32::from(head) >= size) {
            Some(head) => Err(Unusable::Head(head)),
            None => Ok(()),
        }
    }

    /// The store that turns a head's bit around, which must be set or not before.
    fn flip(&self, head: u16, size: u32, is_set: bool) -> Result<Option<(Word, u64)>, Unusable> {
        let bit = 1 << (head % 64);
        match self.heads.get(usize::from(head / 64)) {
            Some(word) if u32::from(head) < size && (word & bit != 0) == is_set => {
                Ok(Some((place(head).0, word ^ bit)))
            }
            _ => Err(Unusable::Head(head)),
        }
    }
}

#[cfg(test)]
mod tests;
