//! Who writes: a partition or EL2.

use abi::{MAX_NAME, MAX_PARTITIONS, PartitionId};

/// Sources in one system: the partitions and, last, EL2.
pub const SOURCES: usize = MAX_PARTITIONS + 1;

/// A writer on the console, and its place among the rings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source(u8);

impl Source {
    /// EL2's own log, tagged `bulkhead`.
    pub const EL2: Self = Self(MAX_PARTITIONS as u8);

    /// The guest in this partition. `None` beyond [`MAX_PARTITIONS`].
    pub const fn partition(id: PartitionId) -> Option<Self> {
        if id.index() < MAX_PARTITIONS { Some(Self(id.number())) } else { None }
    }
    /// The source at this place, below [`SOURCES`].
    pub(crate) const fn at(index: usize) -> Option<Self> {
        if index < SOURCES { Some(Self(index as u8)) } else { None }
    }
    /// Its place among the rings, below [`SOURCES`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A source's name, at most [`MAX_NAME`] bytes; what is longer is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    bytes: [u8; MAX_NAME],
    len: usize,
}

impl Name {
    pub(crate) const EMPTY: Self = Self { bytes: [0; MAX_NAME], len: 0 };

    pub(crate) const fn new(text: &str) -> Self {
        let text = text.as_bytes();
        let mut name = Self::EMPTY;
        while name.len < text.len() && name.len < MAX_NAME {
            name.bytes[name.len] = text[name.len];
            name.len += 1;
        }
        name
    }
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}
