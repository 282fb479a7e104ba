//! [`Kept`]: the gateway's memory that outlives the service, in the survivor pages.

use crate::kept::Slot;
use core::sync::atomic::{Ordering, compiler_fence};
use gateway::Slots;

/// Its slots.
pub struct Kept {
    slots: &'static [Slot],
}

impl Kept {
    /// In these pages.
    pub fn new(slots: &'static [Slot]) -> Self {
        Self { slots }
    }
}

impl Slots for Kept {
    fn count(&self) -> usize {
        self.slots.len()
    }

    fn load(&self, slot: usize) -> [u64; 4] {
        let Some(words) = self.slots.get(slot) else { return [0; 4] };
        words.each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    fn store(&self, slot: usize, words: [u64; 4]) {
        let Some(place) = self.slots.get(slot) else { return };
        // The order of a program is enough: who reads comes after the exception that ended it.
        compiler_fence(Ordering::SeqCst);
        place.iter().zip(words).for_each(|(place, word)| place.store(word, Ordering::Relaxed));
        compiler_fence(Ordering::SeqCst);
    }
}
