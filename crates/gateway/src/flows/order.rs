//! [`Orders`]: lists of a table's items, each in the order in which they were last used.

use alloc::boxed::Box;
use alloc::vec;

const NONE: u16 = u16::MAX;

/// Before and after an item, or first and last of a list.
type Pair = [u16; 2];

/// Lists of items; an item is in at most one.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Last and first of each list: it closes the ring.
    ends: Box<[Pair]>,
    links: Box<[Pair]>,
}

impl Orders {
    pub fn new(lists: usize, capacity: usize) -> Self {
        Self { ends: vec![[NONE; 2]; lists].into_boxed_slice(), links: vec![[NONE; 2]; capacity].into_boxed_slice() }
    }

    /// The item that was not used for longest.
    pub fn first(&self, list: usize) -> Option<usize> {
        self.ends.get(list).map(|ends| ends[1]).filter(|item| *item != NONE).map(|item| item as usize)
    }

    /// Puts an item that is in no list at a list's end.
    pub fn push(&mut self, list: usize, item: usize) {
        let Some(last) = self.ends.get(list).map(|ends| ends[0]) else { return };
        let Some(link) = self.links.get_mut(item) else { return };
        *link = [last, NONE];
        self.connect(list, last, item as u16);
        self.connect(list, item as u16, NONE);
    }

    /// Takes an item out of the list in which it is.
    pub fn remove(&mut self, list: usize, item: usize) {
        let Some([before, after]) = self.links.get(item).copied() else { return };
        self.connect(list, before, after);
    }

    /// Makes two neighbours; NONE is the list's own place in the ring.
    fn connect(&mut self, list: usize, before: u16, after: u16) {
        if let Some(pair) = self.pair(list, before) {
            pair[1] = after;
        }
        if let Some(pair) = self.pair(list, after) {
            pair[0] = before;
        }
    }

    fn pair(&mut self, list: usize, item: u16) -> Option<&mut Pair> {
        match item {
            NONE => self.ends.get_mut(list),
            item => self.links.get_mut(item as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_the_one_not_used_for_longest() {
        let mut orders = Orders::new(2, 3);
        (0..3).for_each(|item| orders.push(1, item));
        orders.remove(1, 0);
        orders.push(1, 0);
        assert_eq!((orders.first(0), orders.first(1)), (None, Some(1)));
        for expected in [Some(1), Some(2), Some(0)] {
            assert_eq!(orders.first(1), expected);
            expected.into_iter().for_each(|item| orders.remove(1, item));
        }
        assert_eq!(orders.first(1), None);
    }
}
