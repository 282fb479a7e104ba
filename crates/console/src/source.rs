//! Who writes: a partition's PL011, EL2, or a partition's virtio console.

use abi::{MAX_NAME, MAX_PARTITIONS, PartitionId};

/// Sources that EL2 knows: the partitions' PL011s and, last, EL2 itself.
pub const SOURCES: usize = MAX_PARTITIONS + 1;
/// Sources that the service partition knows: behind EL2's the partitions' virtio consoles.
pub const ALL_SOURCES: usize = SOURCES + MAX_PARTITIONS;

/// What follows a partition's name in the tag of its virtio console. No name of a partition has a slash in it.
pub(crate) const VIRTIO: &[u8] = b"/hvc0";

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
    /// The virtio console of this partition. `None` beyond [`MAX_PARTITIONS`].
    pub const fn virtio_console(id: PartitionId) -> Option<Self> {
        if id.index() < MAX_PARTITIONS { Some(Self(SOURCES as u8 + id.number())) } else { None }
    }
    /// The source at this place, where there are so many.
    pub(crate) const fn at(index: usize, sources: usize) -> Option<Self> {
        if index < sources { Some(Self(index as u8)) } else { None }
    }
    /// Its place among the rings, below [`ALL_SOURCES`].
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
