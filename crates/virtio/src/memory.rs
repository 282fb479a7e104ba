//! [`GuestMemory`]: a partition's RAM, as its virtio devices see it.

use addr::Ipa;
use core::fmt;

/// The RAM of one partition. The guest writes to it while a device reads, so every read may bring another value: what is
/// checked is a copy.
///
/// Accesses outside RAM are refused and touch nothing. RAM never moves, grows or shrinks while a queue uses it.
pub trait GuestMemory {
    /// Copies bytes out of the guest's RAM.
    fn read(&self, at: Ipa, into: &mut [u8]) -> Result<(), Outside>;
    /// Copies bytes into the guest's RAM.
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside>;
    /// Loads a little-endian word at a multiple of two. What is read later is as new as the word (load-acquire).
    fn load_u16(&self, at: Ipa) -> Result<u16, Outside>;
    /// Stores a little-endian word at a multiple of two. The guest that sees it also sees all earlier writes
    /// (store-release).
    fn store_u16(&self, at: Ipa, value: u16) -> Result<(), Outside>;
    /// Whether all of a range lies in one bank of RAM; it does not wrap around the address space.
    fn contains(&self, at: Ipa, bytes: u64) -> bool;
    /// Orders all earlier accesses before all later ones, stores before loads too (DMB ISH).
    fn fence(&self);
}

/// A range that is not all RAM of the partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outside {
    /// Its first byte.
    pub at: Ipa,
    /// How long it is.
    pub bytes: u64,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {} are not in the partition's RAM", self.bytes, self.at)
    }
}
