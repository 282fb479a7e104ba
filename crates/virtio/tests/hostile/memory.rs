//! [`Treacherous`]: RAM that may be another one at each read, and keeps book of what the device does to it.

use crate::feed::Feed;
use addr::Ipa;
use std::cell::{Cell, RefCell};
use virtio::{GuestMemory, Outside};

/// Where RAM begins.
pub const BASE: u64 = 0x4000_0000;
/// Bytes of RAM.
pub const BYTES: u64 = 0x8000;
/// Where the parts of the queue lie, when they lie where they should.
pub const DESCRIPTORS: u64 = BASE;
pub const AVAILABLE: u64 = BASE + 0x1000;
pub const USED: u64 = BASE + 0x2000;
/// An indirect table.
pub const TABLE: u64 = BASE + 0x3000;
/// From here on buffers.
pub const BUFFERS: u64 = BASE + 0x5000;

pub struct Treacherous<'f> {
    bytes: Vec<Cell<u8>>,
    feed: &'f Feed<'f>,
    /// Accesses to what is no RAM.
    pub refused: Cell<usize>,
    /// Reads since the book was opened.
    pub reads: Cell<usize>,
    /// Where was written since then: first byte and length.
    pub writes: RefCell<Vec<(u64, u64)>>,
}

impl<'f> Treacherous<'f> {
    pub fn new(feed: &'f Feed<'f>) -> Self {
        Self {
            bytes: vec![Cell::new(0); BYTES as usize],
            feed,
            refused: Cell::new(0),
            reads: Cell::new(0),
            writes: RefCell::default(),
        }
    }
    /// What the guest does itself.
    pub fn put(&self, at: u64, bytes: &[u8]) {
        let cells = self.range(at, bytes.len() as u64).unwrap_or_default();
        cells.iter().zip(bytes).for_each(|(cell, byte)| cell.set(*byte));
    }
    pub fn put_u16(&self, at: u64, value: u16) {
        self.put(at, &value.to_le_bytes());
    }
    /// The used ring's index, as the guest sees it.
    pub fn used_index(&self) -> u16 {
        u16::from_le_bytes(self.see(USED + 2))
    }
    /// Bytes of the used element at an index that did not wrap around.
    pub fn used_bytes(&self, index: u64) -> u32 {
        u32::from_le_bytes(self.see(USED + 4 + 8 * index + 4))
    }
    fn see<const N: usize>(&self, at: u64) -> [u8; N] {
        let cells = self.range(at, N as u64).unwrap_or_default();
        std::array::from_fn(|byte| cells.get(byte).map_or(0, Cell::get))
    }
    /// Puts a descriptor: address, bytes, flags, next.
    pub fn put_words(&self, at: u64, (address, bytes, flags, next): (u64, u32, u16, u16)) {
        let words = u128::from(address) | u128::from(bytes) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
        self.put(at, &words.to_le_bytes());
    }
    /// Puts a descriptor of the feed's choice: mostly one that leads on.
    pub fn put_descriptor(&self, at: u64) {
        let feed = self.feed;
        let address = match feed.below(32) {
            0 => feed.number(),
            1 => BASE + BYTES - u64::from(feed.byte()),
            2..8 => TABLE,
            _ => BUFFERS + 32 * u64::from(feed.byte()),
        };
        let bytes = match feed.below(32) {
            0 => feed.number() as u32,
            1 => feed.byte().into(),
            2..8 => 16 * u32::from(feed.byte() % 8),
            _ => feed.pick(&[1, 16, 48, 512, 1024]),
        };
        let flags = feed.pick(&[0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7]);
        let next = if feed.one_in(32) { feed.number() as u16 } else { feed.below(8) as u16 };
        self.put_words(at, (address, bytes, flags, next));
    }
    /// Forgets what was read and written so far.
    pub fn open_book(&self) {
        self.reads.set(0);
        self.writes.borrow_mut().clear();
    }
    /// Asserts that all was written within `ranges`, and nothing outside RAM was asked for.
    pub fn check_book(&self, ranges: &[(u64, u64)]) {
        assert_eq!(self.refused.get(), 0, "an access outside RAM");
        for (at, bytes) in self.writes.borrow().iter() {
            let is_allowed = ranges.iter().any(|(start, len)| start <= at && at + bytes <= start + len);
            assert!(is_allowed, "{bytes} bytes written at {at:#x}, which is not in {ranges:x?}");
        }
    }

    fn range(&self, at: u64, bytes: u64) -> Option<&[Cell<u8>]> {
        let from = at.checked_sub(BASE)?;
        let to = from.checked_add(bytes)?;
        self.bytes.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
    }
    fn access(&self, at: Ipa, bytes: usize) -> Result<&[Cell<u8>], Outside> {
        self.range(at.as_u64(), bytes as u64).ok_or_else(|| {
            self.refused.set(self.refused.get() + 1);
            Outside { at, bytes: bytes as u64 }
        })
    }
}

impl GuestMemory for Treacherous<'_> {
    fn read(&self, at: Ipa, into: &mut [u8]) -> Result<(), Outside> {
        self.reads.set(self.reads.get() + 1);
        let cells = self.access(at, into.len())?;
        into.iter_mut().zip(cells).for_each(|(byte, cell)| *byte = cell.get());
        // Whoever reads it again may find something else.
        if !self.feed.is_empty() && self.feed.one_in(48) {
            let cell = cells.get(self.feed.below(16));
            cell.inspect(|cell| cell.set(self.feed.byte()));
        }
        Ok(())
    }
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside> {
        let cells = self.access(at, bytes.len())?;
        bytes.iter().zip(cells).for_each(|(byte, cell)| cell.set(*byte));
        self.writes.borrow_mut().push((at.as_u64(), bytes.len() as u64));
        Ok(())
    }
    fn load_u16(&self, at: Ipa) -> Result<u16, Outside> {
        assert_eq!(at.as_u64() % 2, 0, "misaligned load at {at}");
        let mut bytes = [0; 2];
        self.read(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }
    fn store_u16(&self, at: Ipa, value: u16) -> Result<(), Outside> {
        assert_eq!(at.as_u64() % 2, 0, "misaligned store at {at}");
        self.write(at, &value.to_le_bytes())
    }
    fn contains(&self, at: Ipa, bytes: u64) -> bool {
        self.range(at.as_u64(), bytes).is_some()
    }
    fn fence(&self) {}
}
