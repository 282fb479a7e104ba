//! [`Feed`]: choices made from a string of bytes; the same bytes make the same choices.

use std::cell::Cell;

/// Bytes that are used up one after the other. After the last one every choice is 0.
pub struct Feed<'b> {
    bytes: Cell<&'b [u8]>,
}

impl<'b> Feed<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes: Cell::new(bytes) }
    }
    pub fn is_empty(&self) -> bool {
        self.bytes.get().is_empty()
    }
    pub fn byte(&self) -> u8 {
        let Some((first, rest)) = self.bytes.get().split_first() else { return 0 };
        self.bytes.set(rest);
        *first
    }
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }
    /// Below `bound`, which is not above 256.
    pub fn below(&self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }
    /// True once in `n` times.
    pub fn one_in(&self, n: usize) -> bool {
        self.below(n) == n - 1
    }
    pub fn pick<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
