//! [`Slots`]: the memory from which the next life of the service learns of flows and lease.
//!
//! | Word | Bits | Holds |
//! |---|---|---|
//! | 0 | 31..0 | CRC-32C of the others |
//! | 0 | 39..32 | what the slot holds, 0: nothing |
//! | 0 to 3 | the rest | its content, 27 bytes |
//!
//! A service that dies between two stores leaves a slot whose checksum is wrong: it is as if empty. What is right was
//! still written by a service that may have gone astray, so a reader judges each value.

use crc::{CRC_32_ISCSI, Crc, NoTable};

const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISCSI);
/// Bytes of a slot's content.
pub(crate) const CONTENT: usize = 27;
/// Bytes of the checksum.
const CHECKSUM: usize = 4;

/// Memory that outlives the service. Any content is valid, and means nothing if it is not a sound slot.
pub trait Slots {
    /// How many there are; it never changes.
    fn count(&self) -> usize;
    /// Reads a slot; zeros where there is none.
    fn load(&self, slot: usize) -> [u64; 4];
    /// Writes a slot, in the order of the program's other stores.
    fn store(&self, slot: usize, words: [u64; 4]);
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Flow = 0xf1,
    Lease = 0x1e,
}

/// Writes a slot.
pub(crate) fn save<S: Slots>(slots: &S, slot: usize, kind: Kind, content: &[u8; CONTENT]) {
    let mut bytes = [0; 32];
    let (checksum, rest) = bytes.split_at_mut(CHECKSUM);
    if let Some((first, rest)) = rest.split_first_mut() {
        *first = kind as u8;
        rest.copy_from_slice(content);
    }
    checksum.copy_from_slice(&CRC.checksum(rest).to_le_bytes());
    let (words, _) = bytes.as_chunks::<8>();
    let mut slot_words = [0; 4];
    for (word, bytes) in slot_words.iter_mut().zip(words) {
        *word = u64::from_le_bytes(*bytes);
    }
    slots.store(slot, slot_words);
}

/// The content of a sound slot of this kind.
pub(crate) fn read<S: Slots>(slots: &S, slot: usize, kind: Kind) -> Option<[u8; CONTENT]> {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(slots.load(slot)) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let (checksum, rest) = bytes.split_first_chunk::<CHECKSUM>()?;
    if CRC.checksum(rest) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (first, content) = rest.split_first()?;
    (*first == kind as u8).then(|| content.try_into().ok()).flatten()
}

/// Empties a slot.
pub(crate) fn clear<S: Slots>(slots: &S, slot: usize) {
    slots.store(slot, [0; 4]);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};
    use core::cell::RefCell;

    /// Slots in plain memory.
    pub struct Memory(pub RefCell<Vec<[u64; 4]>>);

    impl Memory {
        pub fn new(count: usize) -> Self {
            Self(RefCell::new(vec![[0; 4]; count]))
        }
    }

    impl Slots for Memory {
        fn count(&self) -> usize {
            self.0.borrow().len()
        }
        fn load(&self, slot: usize) -> [u64; 4] {
            self.0.borrow().get(slot).copied().unwrap_or_default()
        }
        fn store(&self, slot: usize, words: [u64; 4]) {
            if let Some(at) = self.0.borrow_mut().get_mut(slot) {
                *at = words;
            }
        }
    }

    #[test]
    fn a_slot_with_any_bit_flipped_is_empty() {
        let memory = Memory::new(1);
        assert_eq!(read(&memory, 0, Kind::Lease), None, "never written");
        let content = core::array::from_fn(|at| at as u8);
        save(&memory, 0, Kind::Lease, &content);
        assert_eq!(read(&memory, 0, Kind::Lease), Some(content));
        assert_eq!(read(&memory, 0, Kind::Flow), None);
        for bit in 0..256 {
            let mut words = memory.load(0);
            words[bit / 64] ^= 1 << (bit % 64);
            let torn = Memory::new(1);
            torn.store(0, words);
            assert_eq!(read(&torn, 0, Kind::Lease), None, "bit {bit}");
        }
        clear(&memory, 0);
        assert_eq!(read(&memory, 0, Kind::Lease), None);
    }
}
