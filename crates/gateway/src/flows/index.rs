//! [`Index`]: finds the items of a table by hash, in chains that need no memory of their own.

use alloc::boxed::Box;
use alloc::vec;

/// No item. Items are numbered by 16 bits: there are no more ports outside for them anyway.
const NONE: u16 = u16::MAX;
/// Most items of a table.
pub(crate) const MAX: usize = NONE as usize;

/// Hashes with a secret key, so that nobody outside can make long chains.
#[derive(Clone, Debug)]
pub(crate) struct Hash(pub [u64; 2]);

impl Hash {
    /// Two rounds of a folded multiplication.
    pub fn of(&self, a: u64, b: u64) -> u64 {
        let [first, second] = self.0;
        let half = fold(a ^ first, b ^ second);
        fold(half ^ second, first | 1)
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Items 0 to `capacity`, in chains by their hash.
#[derive(Debug)]
pub(crate) struct Index {
    /// The first of each chain; a power of two.
    chains: Box<[u16]>,
    /// The next in its chain, of each item.
    next: Box<[u16]>,
}

impl Index {
    pub fn new(capacity: usize) -> Self {
        let chains = capacity.next_power_of_two();
        Self { chains: vec![NONE; chains].into_boxed_slice(), next: vec![NONE; capacity].into_boxed_slice() }
    }

    /// The items that may have this hash.
    pub fn chain(&self, hash: u64) -> impl Iterator<Item = usize> {
        let mut at = self.chains.get(self.place(hash)).copied().unwrap_or(NONE);
        // No item is twice in a chain, so none is longer than the table.
        self.next.iter().map_while(move |_| {
            let item = at;
            at = self.next.get(item as usize).copied().unwrap_or(NONE);
            (item != NONE).then_some(item as usize)
        })
    }

    /// Adds an item that is not in.
    pub fn insert(&mut self, hash: u64, item: usize) {
        let place = self.place(hash);
        if let (Some(first), Some(next)) = (self.chains.get_mut(place), self.next.get_mut(item)) {
            *next = *first;
            *first = item as u16;
        }
    }

    /// Removes an item that is in with this hash.
    pub fn remove(&mut self, hash: u64, item: usize) {
        let place = self.place(hash);
        let Some(after) = self.next.get(item).copied() else { return };
        let before = self.chain(hash).find(|at| self.next.get(*at) == Some(&(item as u16)));
        let link = match before {
            Some(before) => self.next.get_mut(before),
            None => self.chains.get_mut(place).filter(|first| **first == item as u16),
        };
        if let Some(link) = link {
            *link = after;
        }
    }

    fn place(&self, hash: u64) -> usize {
        hash as usize & (self.chains.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn items_of_one_chain_come_and_go_in_any_order() {
        let mut index = Index::new(4);
        (0..4).for_each(|item| index.insert(5, item));
        let chain = |index: &Index| {
            let mut items: Vec<usize> = index.chain(5).collect();
            items.sort();
            items
        };
        for (item, rest) in [(1, &[0, 2, 3][..]), (3, &[0, 2]), (0, &[2]), (2, &[])] {
            index.remove(5, item);
            assert_eq!(chain(&index), rest);
        }
        index.insert(5, 1);
        assert_eq!(chain(&index), [1]);
        assert_eq!(index.chain(6).count(), 0);
    }

    #[test]
    fn an_empty_table_holds_nothing() {
        let mut index = Index::new(0);
        index.insert(1, 0);
        index.remove(1, 0);
        assert_eq!(index.chain(1).count(), 0);
    }
}
