//! A virtio disk as its driver sees it (virtio section 5.2), many requests under way at once.
//!
//! The device reads and writes a request's data where its pieces are. Header, ranges and status lie in the DMA arena, out of
//! every guest's reach: what was checked stays what was checked.
//!
//! The queue has no indirect descriptors, since `virtio-drivers` keeps their tables on the heap, which the next life
//! overwrites while the device may still read them; and no event indexes, since flags let one notification answer for any
//! number of requests.

use super::slots::Slots;
use super::{Full, Ticket, Work};
use crate::arch::insn;
use crate::dma::Arena;
use crate::hooks;
use crate::transports::Place;
use abi::IntId;
use alloc::boxed::Box;
use virtio::blk::Status;
use virtio::{MAX_SEGMENTS, PhysicalPiece};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceStatus, Transport};

/// Descriptors of the queue.
pub(super) const QUEUE: usize = 256;
/// The only queue.
pub(super) const REQUESTS: u16 = 0;
/// Most pieces of a request, header and status included.
pub(super) const PIECES: usize = MAX_SEGMENTS + 2;

/// A virtio disk.
pub(super) struct Virtio {
    pub(super) place: Place,
    pub(super) transport: MmioTransport<'static>,
    pub(super) queue: VirtQueue<Arena, QUEUE>,
    pub(super) slots: Slots,
    pub(super) buffers: Box<Buffers>,
    /// Requests were added that the device was not told of.
    pub(super) has_news: bool,
}

/// Room for the buffers of a request, as the queue takes them and as it wants them back. It is kept: most requests have
/// three buffers, and room for all that there may be is 4 KiB to be made anew.
pub(super) struct Buffers {
    read: heapless::Vec<&'static [u8], PIECES>,
    written: heapless::Vec<&'static mut [u8], PIECES>,
    /// What the queue gets back for buffers that the device wrote: it counts them.
    returned: heapless::Vec<&'static mut [u8], PIECES>,
}

/// The same for buffers that the device read.
static RETURNED: [&[u8]; PIECES] = [&[0]; PIECES];

impl Buffers {
    pub(super) fn new() -> Box<Self> {
        let returned = alloc::vec![0; PIECES].leak().chunks_mut(1).collect();
        Box::new(Self { read: heapless::Vec::new(), written: heapless::Vec::new(), returned })
    }

    fn clear(&mut self) {
        self.read.clear();
        self.written.clear();
    }

    /// For the device to read.
    ///
    /// # Safety
    /// The memory is mapped for good. The slice brings address and length to the queue; nobody looks into it.
    unsafe fn push_read(&mut self, at: u64, bytes: usize) -> bool {
        // SAFETY: the caller's promise.
        self.read.push(unsafe { core::slice::from_raw_parts(at as *const u8, bytes) }).is_ok()
    }

    /// For the device to write.
    ///
    /// # Safety
    /// As above.
    unsafe fn push_written(&mut self, at: u64, bytes: usize) -> bool {
        // SAFETY: the caller's promise.
        self.written.push(unsafe { core::slice::from_raw_parts_mut(at as *mut u8, bytes) }).is_ok()
    }
}

impl Virtio {
    pub(super) fn intid(&self) -> IntId {
        self.place.intid
    }

    pub(super) fn outstanding(&self) -> usize {
        self.slots.outstanding()
    }

    /// Whether a request of this many pieces has room.
    pub(super) fn has_room(&self, pieces: usize) -> bool {
        self.slots.has_room() && self.queue.available_desc() >= pieces + 2
    }

    /// Adds a request. The device is told by `Disk::notify`.
    ///
    /// # Safety
    /// As for [`super::Disk::submit`].
    pub(super) unsafe fn submit(
        &mut self,
        work: Work<'_>,
        pieces: impl Iterator<Item = PhysicalPiece>,
        ticket: Ticket,
    ) -> Result<(), Full> {
        let Some(words) = self.slots.words() else { return Err(Full(ticket)) };
        let buffers = &mut *self.buffers;
        buffers.clear();
        let mut is_complete = true;
        for (at, bytes) in [words.header(), words.put(work)] {
            // SAFETY: words of the arena.
            is_complete &= bytes == 0 || unsafe { buffers.push_read(at, bytes) };
        }
        let is_to_device = matches!(work, Work::Write(_));
        for piece in pieces {
            let (at, bytes) = (piece.at.as_u64(), piece.bytes as usize);
            is_complete &= if is_to_device {
                // SAFETY: the caller's promise.
                unsafe { buffers.push_read(at, bytes) }
            } else {
                // SAFETY: as above.
                unsafe { buffers.push_written(at, bytes) }
            };
        }
        let (at, bytes) = words.status();
        // SAFETY: a word of the arena.
        is_complete &= unsafe { buffers.push_written(at, bytes) };
        if !is_complete {
            return Err(Full(ticket));
        }
        let (read, written) = (buffers.read.len(), buffers.written.len());
        // SAFETY: the memory stays until the request completes: the words are this slot's, the pieces by the caller's promise.
        match unsafe { self.queue.add(&buffers.read, &mut buffers.written) } {
            Ok(token) => {
                self.slots.take(token, read, written, ticket);
                self.has_news = true;
                Ok(())
            }
            Err(_) => Err(Full(ticket)),
        }
    }

    /// Tells the device of what was added since the last call.
    #[inline]
    pub(super) fn notify(&mut self) {
        if self.has_news {
            self.tell();
        }
    }

    #[inline(never)]
    fn tell(&mut self) {
        self.has_news = false;
        // The available index is seen before the device's wish is read.
        insn::dmb_ish();
        if self.queue.should_notify() {
            self.transport.notify(REQUESTS);
        }
        hooks::issued();
    }

    /// The next request that has completed.
    pub(super) fn reap(&mut self) -> Option<(Ticket, Status)> {
        let token = self.queue.peek_used()?;
        let Some((slot, read, written)) = self.slots.find(token) else {
            panic!("the disk at transport {} completed request {token}, which it does not have", self.place.number);
        };
        let inputs = RETURNED.get(..read).unwrap_or_default();
        let outputs: *mut [&'static mut [u8]] = self.buffers.returned.get_mut(..written).unwrap_or_default();
        // SAFETY: nobody else uses the slots during the call. It borrows them for as long as what is in them lives; but
        // `VirtQueue::pop_used` (virtio-drivers 0.13) keeps nothing when it returns.
        let outputs = unsafe { &mut *outputs };
        // SAFETY: as many buffers as were added with this token. A queue without indirect descriptors takes nothing else
        // from them: it hands each to `Arena::unshare`, which does nothing.
        let result = unsafe { self.queue.pop_used(token, inputs, outputs) };
        result.expect("the token is the one at the front of the used ring");
        Some(self.slots.give_back(slot))
    }

    /// Whether something has completed.
    #[inline]
    pub(super) fn has_completed(&self) -> bool {
        self.queue.can_pop()
    }

    /// Whether the device interrupts when something completes.
    pub(super) fn enable_interrupt(&mut self, is_enabled: bool) {
        self.queue.set_dev_notify(is_enabled);
    }

    /// Takes the interrupt away.
    pub(super) fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
    /// Makes it stop: it touches no memory any more.
    pub(super) fn abandon(&mut self) {
        self.transport.set_status(DeviceStatus::empty());
    }
}
