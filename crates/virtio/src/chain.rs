//! [`Chain`]: a private copy of one chain of descriptors, checked (sections 2.7.4 and 2.7.5).
//!
//! Every descriptor is read once. A chain ends after [`MAX_SEGMENTS`] descriptors at the latest, so a loop costs a bounded
//! number of reads.

use crate::rings::{DESCRIPTOR, offset};
use crate::{Broken, Features, GuestMemory, Outside, Rings};
use addr::Ipa;

/// Most descriptors of a chain, without the one that refers to an indirect table.
pub const MAX_SEGMENTS: usize = 130;

/// VIRTQ_DESC_F_NEXT: the chain goes on.
const NEXT: u16 = 1;
/// VIRTQ_DESC_F_WRITE: the device may write, and only that.
const WRITE: u16 = 2;
/// VIRTQ_DESC_F_INDIRECT: the buffer is a table of descriptors.
const INDIRECT: u16 = 4;

/// A run of bytes that was found in RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// Its first byte.
    pub at: Ipa,
    /// How many; never 0.
    pub bytes: u32,
}

/// The segments of one chain: first those that the device may read, then those that it may write.
///
/// Made once and filled again and again; what it held before is overwritten only as far as needed.
#[derive(Clone, Debug)]
pub struct Chain {
    segments: [Segment; MAX_SEGMENTS],
    len: usize,
    /// How many of them come first, for the device to read.
    readable: usize,
    readable_bytes: u32,
    writable_bytes: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// No segments.
    pub const fn new() -> Self {
        let none = Segment { at: Ipa::new(0), bytes: 0 };
        Self { segments: [none; MAX_SEGMENTS], len: 0, readable: 0, readable_bytes: 0, writable_bytes: 0 }
    }
    /// What the device may read, in order.
    pub fn readable(&self) -> &[Segment] {
        self.segments.get(..self.readable).unwrap_or_default()
    }
    /// What the device may write, in order.
    pub fn writable(&self) -> &[Segment] {
        self.segments.get(self.readable..self.len).unwrap_or_default()
    }
    /// Bytes that the device may read.
    pub fn readable_bytes(&self) -> u32 {
        self.readable_bytes
    }
    /// Bytes that the device may write. Together with the readable ones fewer than 4 GiB.
    pub fn writable_bytes(&self) -> u32 {
        self.writable_bytes
    }

    /// Reads the chain that begins with descriptor `head` of the queue's table. After an error it holds what came before.
    pub(crate) fn read(
        &mut self,
        memory: &impl GuestMemory,
        rings: &Rings,
        features: Features,
        head: u16,
    ) -> Result<(), Broken> {
        (self.len, self.readable, self.readable_bytes, self.writable_bytes) = (0, 0, 0, 0);
        let mut table = Table::of(rings);
        let mut next = head;
        // Each turn takes a segment, but for the one that goes on in an indirect table; there is no second of those.
        loop {
            let descriptor = table.read(memory, head, next)?;
            if descriptor.flags & INDIRECT != 0 {
                table = table.follow(memory, features, &descriptor)?;
                next = 0;
                continue;
            }
            self.append(memory, head, &descriptor)?;
            if descriptor.flags & NEXT == 0 {
                return Ok(());
            }
            next = descriptor.next;
        }
    }

    fn append(&mut self, memory: &impl GuestMemory, head: u16, descriptor: &Descriptor) -> Result<(), Broken> {
        let Descriptor { at, bytes, .. } = *descriptor;
        let is_writable = descriptor.flags & WRITE != 0;
        if !is_writable && self.readable < self.len {
            return Err(Broken::Order(at));
        }
        if bytes == 0 {
            return Err(Broken::Empty(at));
        }
        if !memory.contains(at, u64::from(bytes)) {
            return Err(Broken::Outside(Outside { at, bytes: u64::from(bytes) }));
        }
        let sum = self.readable_bytes.checked_add(self.writable_bytes).and_then(|sum| sum.checked_add(bytes));
        if sum.is_none() {
            return Err(Broken::TooManyBytes { head });
        }
        let Some(place) = self.segments.get_mut(self.len) else { return Err(Broken::TooLong { head }) };
        *place = Segment { at, bytes };
        self.len += 1;
        if is_writable {
            self.writable_bytes += bytes;
        } else {
            self.readable = self.len;
            self.readable_bytes += bytes;
        }
        Ok(())
    }
}

/// A descriptor, copied.
struct Descriptor {
    at: Ipa,
    bytes: u32,
    flags: u16,
    next: u16,
}

/// A table of descriptors that lies in RAM.
struct Table {
    base: Ipa,
    entries: u32,
    /// How many more reads it takes to have seen all entries; a chain that wants more has a loop.
    unread: u32,
    is_indirect: bool,
}

impl Table {
    fn of(rings: &Rings) -> Self {
        Self { base: rings.descriptors, entries: rings.size, unread: rings.size, is_indirect: false }
    }

    fn read(&mut self, memory: &impl GuestMemory, head: u16, index: u16) -> Result<Descriptor, Broken> {
        if u32::from(index) >= self.entries {
            return Err(Broken::Next(index));
        }
        self.unread = self.unread.checked_sub(1).ok_or(Broken::Loop { head })?;
        let mut bytes = [0; DESCRIPTOR as usize];
        memory.read(offset(self.base, DESCRIPTOR * u64::from(index)), &mut bytes)?;
        let all = u128::from_le_bytes(bytes);
        Ok(Descriptor {
            at: Ipa::new(all as u64),
            bytes: (all >> 64) as u32,
            flags: (all >> 96) as u16,
            next: (all >> 112) as u16,
        })
    }

    /// The indirect table that a descriptor refers to. VIRTQ_DESC_F_WRITE there means nothing.
    fn follow(&self, memory: &impl GuestMemory, features: Features, descriptor: &Descriptor) -> Result<Self, Broken> {
        let Descriptor { at, bytes, flags, .. } = *descriptor;
        if !features.indirect {
            return Err(Broken::Indirect(at));
        }
        if self.is_indirect {
            return Err(Broken::Nested(at));
        }
        if flags & NEXT != 0 {
            return Err(Broken::Chained(at));
        }
        let entries = bytes / DESCRIPTOR as u32;
        if entries == 0 || !u64::from(bytes).is_multiple_of(DESCRIPTOR) {
            return Err(Broken::TableLength(bytes));
        }
        if !memory.contains(at, u64::from(bytes)) {
            return Err(Broken::Outside(Outside { at, bytes: u64::from(bytes) }));
        }
        Ok(Self { base: at, entries, unread: entries, is_indirect: true })
    }
}
