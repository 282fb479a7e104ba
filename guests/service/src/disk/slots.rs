//! [`Slots`]: what belongs to each request under way: its words in the DMA arena, and who waits for it.

use super::Work;
use crate::dma;
use addr::PAGE_SIZE;
use alloc::boxed::Box;
use core::ptr::NonNull;
use virtio::Head;
use virtio::blk::{MAX_RANGES, Range, Reply, Status};

/// Requests under way on one disk: each has a header and a status at least, so two descriptors.
const SLOTS: usize = super::blk::QUEUE / 2;
/// Bytes of a request's words in the arena: header, ranges, status.
const WORDS: usize = 320;
const HEADER: usize = 16;
const RANGE: usize = 16;
const STATUS_AT: usize = HEADER + RANGE * MAX_RANGES;
const _: () = assert!(STATUS_AT < WORDS && WORDS.is_multiple_of(64));

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

/// Who waits for a request.
#[derive(Debug)]
pub enum Ticket {
    /// The service itself, while it starts.
    Own,
    /// A guest's request.
    Guest(Guest),
}

/// A guest's request.
#[derive(Debug)]
pub struct Guest {
    /// The virtio device's place among the served ones.
    pub device: usize,
    /// The chain.
    pub head: Head,
    /// Where its answer goes.
    pub reply: Reply,
    /// Bytes of the guest's memory that are written when it goes well.
    pub written: u32,
    /// What it changes need not be flushed before it is answered, or is being flushed.
    pub is_last: bool,
}

/// A request under way.
struct Slot {
    token: u16,
    read: u8,
    written: u8,
    ticket: Ticket,
}

/// All requests of one disk.
pub(super) struct Slots {
    words: NonNull<u8>,
    slots: Box<[Option<Slot>; SLOTS]>,
    /// The slot of each token, which is a descriptor's number.
    of_token: Box<[u8; super::blk::QUEUE]>,
    free: heapless::Vec<u8, SLOTS>,
}

impl Slots {
    /// None is taken. `None`: the arena is too small.
    pub(super) fn new() -> Option<Self> {
        let words = dma::allocate((SLOTS * WORDS).div_ceil(PAGE_SIZE as usize))?;
        Some(Self {
            words,
            slots: Box::new([const { None }; SLOTS]),
            of_token: Box::new([0; super::blk::QUEUE]),
            free: (0..SLOTS as u8).rev().collect(),
        })
    }

    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    pub(super) fn outstanding(&self) -> usize {
        SLOTS - self.free.len()
    }

    fn words_of(&self, slot: u8) -> Words {
        Words(self.words.as_ptr() as u64 + u64::from(slot) * WORDS as u64)
    }

    /// The words that the next request gets.
    pub(super) fn words(&self) -> Option<Words> {
        self.free.last().map(|slot| self.words_of(*slot))
    }

    /// The next request is under way under this token.
    pub(super) fn take(&mut self, token: u16, read: usize, written: usize, ticket: Ticket) {
        let Some(slot) = self.free.pop() else { return };
        if let (Some(place), Some(of_token)) =
            (self.slots.get_mut(usize::from(slot)), self.of_token.get_mut(usize::from(token)))
        {
            *of_token = slot;
            *place = Some(Slot { token, read: read as u8, written: written as u8, ticket });
        }
    }

    /// The request with this token, and how many buffers it has in each direction.
    pub(super) fn find(&self, token: u16) -> Option<(u8, usize, usize)> {
        let number = *self.of_token.get(usize::from(token))?;
        let slot = self.slots.get(usize::from(number))?.as_ref().filter(|slot| slot.token == token)?;
        Some((number, slot.read.into(), slot.written.into()))
    }

    /// Takes a completed request out, with the status that the device gave it. The slot exists: [`Slots::find`] said so.
    pub(super) fn give_back(&mut self, number: u8) -> (Ticket, Status) {
        let status = self.words_of(number).status_value();
        let slot = self.slots.get_mut(usize::from(number)).and_then(Option::take);
        let _ = self.free.push(number);
        (slot.map_or(Ticket::Own, |slot| slot.ticket), status)
    }
}

/// A request's words in the arena. The device reads and writes them while the request is under way, so they are reached
/// by volatile accesses only.
#[derive(Clone, Copy)]
pub(super) struct Words(u64);

impl Words {
    pub(super) fn header(self) -> (u64, usize) {
        (self.0, HEADER)
    }

    pub(super) fn status(self) -> (u64, usize) {
        (self.0 + STATUS_AT as u64, 1)
    }

    /// Writes header and ranges, and a status that the device must change; where the ranges are.
    pub(super) fn put(self, work: Work<'_>) -> (u64, usize) {
        const NOT_WRITTEN: u8 = 0xff;
        let (kind, sector, ranges): (u32, u64, &[Range]) = match work {
            Work::Read(sector) => (IN, sector, &[]),
            Work::Write(sector) => (OUT, sector, &[]),
            Work::Flush => (FLUSH, 0, &[]),
            Work::Identify => (GET_ID, 0, &[]),
            Work::Discard(ranges) => (DISCARD, 0, ranges),
            Work::Fill(ranges) => (WRITE_ZEROES, 0, ranges),
        };
        self.store(0, kind.into());
        self.store(8, sector);
        let ranges_at = HEADER as u64;
        let mut bytes = 0;
        for range in ranges.iter().take(MAX_RANGES) {
            self.store(ranges_at + bytes, range.sector);
            self.store(ranges_at + bytes + 8, u64::from(range.sectors) | u64::from(range.unmap) << 32);
            bytes += RANGE as u64;
        }
        // SAFETY: a byte of this slot's words, which `Slots::new` allocated; no request uses them now.
        unsafe { core::ptr::write_volatile((self.0 + STATUS_AT as u64) as *mut u8, NOT_WRITTEN) };
        (self.0 + ranges_at, bytes as usize)
    }

    fn store(self, offset: u64, value: u64) {
        // SAFETY: eight bytes of this slot's words, which `Slots::new` allocated; aligned; no request uses them now.
        unsafe { core::ptr::write_volatile((self.0 + offset) as *mut u64, value.to_le()) };
    }

    fn status_value(self) -> Status {
        // SAFETY: a byte of this slot's words; the request is complete.
        match unsafe { core::ptr::read_volatile((self.0 + STATUS_AT as u64) as *const u8) } {
            0 => Status::Ok,
            2 => Status::Unsupported,
            _ => Status::IoError,
        }
    }
}
