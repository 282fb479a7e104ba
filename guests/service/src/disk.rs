//! The board's disks: virtio-blk as its driver sees it (virtio section 5.2), many requests under way at once.
//!
//! A request's data is wherever its pieces are, in a guest's RAM as a rule; the device reads and writes it there. Header,
//! ranges and status lie in the DMA arena, out of every guest's reach: what was checked stays what was checked.
//!
//! The queue has no indirect descriptors, since `virtio-drivers` keeps their tables on the heap, which the next life
//! overwrites while the device may still read them; and no event indexes, since flags let one notification answer for any
//! number of requests.

mod facts;
mod slots;
mod startup;

pub use facts::Facts;
pub use slots::{Guest, Ticket};
pub use startup::{Reader, open_all};

use crate::arch::insn;
use crate::dma::Arena;
use crate::hooks;
use crate::transports::Place;
use alloc::boxed::Box;
use core::mem::ManuallyDrop;
use slots::Slots;
use virtio::blk::{Range, Status};
use virtio::{MAX_SEGMENTS, PhysicalPiece};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use virtio_drivers::transport::mmio::MmioTransport;

/// Descriptors of the queue.
const QUEUE: usize = 256;
/// The only queue.
const REQUESTS: u16 = 0;
/// Most pieces of a request, header and status included.
const PIECES: usize = MAX_SEGMENTS + 2;

/// What a disk is to do. Sectors are the disk's own.
#[derive(Clone, Copy, Debug)]
pub enum Work<'w> {
    /// Read from this sector on.
    Read(u64),
    /// Write from this sector on.
    Write(u64),
    /// Bring completed writes onto the medium.
    Flush,
    /// Forget what is there.
    Discard(&'w [Range]),
    /// Fill with zeroes.
    Fill(&'w [Range]),
    /// Tell the serial number.
    Identify,
}

/// No room for one more request: some must complete first. The ticket comes back.
#[derive(Debug)]
pub struct Full(pub Ticket);

/// One of the board's disks.
pub struct Disk {
    place: Place,
    transport: MmioTransport<'static>,
    queue: Box<VirtQueue<Arena, QUEUE>>,
    slots: Slots,
    facts: Facts,
    /// Requests were added that the device was not told of.
    has_news: bool,
    /// The served device that comes next, and how many pieces its request has.
    waiting: Option<(usize, usize)>,
    /// It did not answer in time, and is not used any more.
    is_lost: bool,
}

/// The buffers of a request, as the queue takes them.
struct Buffers {
    read: heapless::Vec<&'static [u8], PIECES>,
    written: heapless::Vec<&'static mut [u8], PIECES>,
}

impl Buffers {
    const fn new() -> Self {
        Self { read: heapless::Vec::new(), written: heapless::Vec::new() }
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

impl Disk {
    /// What the disk can do.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Where it is plugged in.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// How many requests are under way.
    pub fn outstanding(&self) -> usize {
        self.slots.outstanding()
    }

    /// Whether it has stopped to answer.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The served device that waits for room, and for how many pieces. Nobody else gets any before.
    pub fn waiting(&self) -> Option<(usize, usize)> {
        self.waiting
    }

    /// Somebody waits for room, or nobody does any more.
    pub fn set_waiting(&mut self, waiting: Option<(usize, usize)>) {
        self.waiting = waiting;
    }

    /// Whether a request of this many pieces has room.
    pub fn has_room(&self, pieces: usize) -> bool {
        self.slots.has_room() && self.queue.available_desc() >= pieces + 2
    }

    /// Adds a request. The device is told by [`Disk::notify`].
    ///
    /// # Safety
    /// The pieces lie in memory that a device may use until the request completes: a guest's RAM, or the DMA arena.
    pub unsafe fn submit(
        &mut self,
        work: Work<'_>,
        pieces: impl Iterator<Item = PhysicalPiece>,
        ticket: Ticket,
    ) -> Result<(), Full> {
        let Some(words) = self.slots.words() else { return Err(Full(ticket)) };
        let mut buffers = Buffers::new();
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
    pub fn notify(&mut self) {
        if core::mem::take(&mut self.has_news) {
            // The available index is seen before the device's wish is read.
            insn::dmb_ish();
            if self.queue.should_notify() {
                self.transport.notify(REQUESTS);
            }
            hooks::issued();
        }
    }

    /// The next request that has completed.
    pub fn reap(&mut self) -> Option<(Ticket, Status)> {
        let token = self.queue.peek_used()?;
        let Some((slot, read, written)) = self.slots.find(token) else {
            panic!("the disk at transport {} completed request {token}, which it does not have", self.place.number);
        };
        let mut bytes = [0; PIECES];
        let inputs: heapless::Vec<&[u8], PIECES> = (0..read).map(|_| &[0][..]).collect();
        let outputs: heapless::Vec<&mut [u8], PIECES> = bytes.chunks_mut(1).take(written).collect();
        // The call borrows it for as long as what is in it: it must have nothing to do at its end.
        let mut outputs = ManuallyDrop::new(outputs);
        // SAFETY: as many buffers as were added with this token. A queue without indirect descriptors takes nothing else
        // from them: it hands each to `Arena::unshare`, which does nothing.
        let result = unsafe { self.queue.pop_used(token, &inputs, &mut outputs) };
        result.expect("the token is the one at the front of the used ring");
        Some(self.slots.give_back(slot))
    }

    /// Whether something has completed.
    pub fn has_completed(&self) -> bool {
        self.queue.can_pop()
    }

    /// Whether the device interrupts when something completes.
    pub fn enable_interrupt(&mut self, is_enabled: bool) {
        self.queue.set_dev_notify(is_enabled);
    }

    /// Takes the interrupt away.
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
