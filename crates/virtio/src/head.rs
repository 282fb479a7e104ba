//! [`Head`]: the right and the duty to give one chain back.

use crate::inflight::HEADS;

/// The first descriptor of a chain that the device has. There is one for each chain in flight, and whoever holds it owes
/// the driver a [`Queue::push`](crate::Queue::push).
#[derive(PartialEq, Eq, Debug)]
#[must_use = "the driver waits for the chain"]
pub struct Head(u16);

impl Head {
    pub(crate) const fn new(number: u16) -> Self {
        Self(number)
    }
    /// The descriptor's number, below the queue's size.
    pub const fn number(&self) -> u16 {
        self.0
    }
}

/// The chains that an earlier life of the service took and did not use, by number.
#[derive(Debug)]
pub struct Heads([u64; HEADS]);

impl Heads {
    pub(crate) const fn new(heads: [u64; HEADS]) -> Self {
        Self(heads)
    }
}

impl Iterator for Heads {
    type Item = Head;

    fn next(&mut self) -> Option<Head> {
        let (index, word) = self.0.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros() as u16;
        *word &= *word - 1;
        Some(Head(index as u16 * 64 + bit))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.0.iter().map(|word| word.count_ones() as usize).sum();
        (count, Some(count))
    }
}

impl ExactSizeIterator for Heads {}
