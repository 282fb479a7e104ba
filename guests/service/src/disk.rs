//! The board's disks: virtio disks ([`blk`]) and SD cards ([`card`]), one interface for both, and whose turn it is.
//!
//! A request's data is wherever its pieces are, in a guest's RAM as a rule; what moves it there and back is the medium's.

mod blk;
mod card;
mod facts;
mod slots;
mod startup;

pub use card::{Hosts, reset_all};
pub use facts::Facts;
pub use slots::{Guest, Ticket};
pub use startup::{Reader, open_all};

use crate::timer;
use abi::IntId;
use abi::service::MAX_DEVICES;
use alloc::boxed::Box;
use blk::Virtio;
use card::Card;
use virtio::PhysicalPiece;
use virtio::blk::{Range, Status};

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

/// How long a disk may take to complete anything. Longer: the service ends, and its next life resets the disk and does again
/// what was under way.
const PATIENCE_MS: u64 = 30_000;

type Waiting = heapless::Deque<(usize, usize), MAX_DEVICES>;

/// No room for one more request: some must complete first. The ticket comes back.
#[derive(Debug)]
pub struct Full(pub Ticket);

/// What a disk is.
#[expect(clippy::large_enum_variant, reason = "a few disks, and each turn looks at their queues without one more load")]
enum Medium {
    Virtio(Virtio),
    Card(Box<Card>),
}

/// One of the board's disks.
pub struct Disk {
    medium: Medium,
    facts: Facts,
    /// The served devices that wait for room, and how many pieces the request of each has. Nobody else gets any before.
    waiting: Waiting,
    /// When a request was begun while there was none, or one was completed: requests that take longer are lost.
    alive_at: u64,
    /// It did not answer in time, and is not used any more.
    is_lost: bool,
}

impl Disk {
    fn new(medium: Medium, facts: Facts) -> Self {
        Self { medium, facts, waiting: heapless::Deque::new(), alive_at: timer::now(), is_lost: false }
    }

    /// What the disk can do.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its interrupt, level.
    pub fn intid(&self) -> IntId {
        match &self.medium {
            Medium::Virtio(disk) => disk.intid(),
            Medium::Card(card) => card.intid(),
        }
    }

    /// How many requests are under way.
    #[inline(always)]
    pub fn outstanding(&self) -> usize {
        match &self.medium {
            Medium::Virtio(disk) => disk.outstanding(),
            Medium::Card(card) => card.outstanding(),
        }
    }

    /// Whether it has stopped to answer.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether it has requests and has not completed any for too long.
    pub fn is_stuck(&self, now: u64) -> bool {
        self.outstanding() > 0 && now.saturating_sub(self.alive_at) > timer::ticks(PATIENCE_MS)
    }

    /// Whether it is a served device's turn with a request of so many pieces: there is room, and nobody waits before it.
    pub fn is_turn(&self, device: usize, pieces: usize) -> bool {
        self.waiting.front().is_none_or(|(first, _)| *first == device) && self.has_room(pieces)
    }

    /// Whether the request that a served device waits with may try again.
    pub fn may_try(&self, device: usize) -> bool {
        self.waiting.front().is_none_or(|(first, pieces)| *first == device && self.has_room(*pieces))
    }

    /// A served device waits behind those that wait already.
    pub fn wait(&mut self, device: usize, pieces: usize) {
        if !self.waiting.iter().any(|(other, _)| *other == device) {
            // There is a place for each device.
            let _ = self.waiting.push_back((device, pieces));
        }
    }

    /// A served device, whose turn it is, waits no more. Whether others do.
    pub fn take_turn(&mut self, device: usize) -> bool {
        self.waiting.pop_front_if(|(first, _)| *first == device);
        !self.waiting.is_empty()
    }

    /// Only these devices wait still.
    pub fn keep_waiting(&mut self, is_there: impl Fn(usize) -> bool) {
        if !self.waiting.is_empty() {
            self.waiting.retain(|(device, _)| is_there(*device));
        }
    }

    /// Whether a request of this many pieces has room.
    pub fn has_room(&self, pieces: usize) -> bool {
        match &self.medium {
            Medium::Virtio(disk) => disk.has_room(pieces),
            Medium::Card(card) => card.has_room(),
        }
    }

    /// Adds a request. The device is told by [`Disk::notify`].
    ///
    /// # Safety
    /// The pieces lie in memory that a device may use until the request completes: a guest's RAM, or the DMA arena. It is
    /// mapped for good, and no Rust object is there.
    pub unsafe fn submit(
        &mut self,
        work: Work<'_>,
        mut pieces: impl Iterator<Item = PhysicalPiece>,
        ticket: Ticket,
    ) -> Result<(), Full> {
        if self.outstanding() == 0 {
            self.alive_at = timer::now();
        }
        match &mut self.medium {
            // SAFETY: the caller's promise.
            Medium::Virtio(disk) => unsafe { disk.submit(work, pieces, ticket) },
            // The card moves each byte: a call for each piece is nothing there, and a second copy of the walk would cost the
            // virtio disk its inlining.
            // SAFETY: as above.
            Medium::Card(card) => unsafe { card.submit(work, &mut pieces, ticket) },
        }
    }

    /// Tells the device of what was added since the last call.
    #[inline(always)]
    pub fn notify(&mut self) {
        match &mut self.medium {
            Medium::Virtio(disk) => disk.notify(),
            Medium::Card(card) => card.notify(),
        }
    }

    /// Carries on what the service itself has to do for the requests: moving a card's data. Whether there was anything.
    #[inline(always)]
    pub fn turn(&mut self) -> bool {
        match &mut self.medium {
            Medium::Virtio(_) => false,
            Medium::Card(card) => {
                let has_worked = card.turn();
                if card.take_progress() {
                    self.alive_at = timer::now();
                }
                has_worked
            }
        }
    }

    /// The next request that has completed.
    pub fn reap(&mut self) -> Option<(Ticket, Status)> {
        let reaped = match &mut self.medium {
            Medium::Virtio(disk) => disk.reap(),
            Medium::Card(card) => card.reap(),
        }?;
        self.alive_at = timer::now();
        Some(reaped)
    }

    /// Whether something has completed.
    #[inline(always)]
    pub fn has_completed(&self) -> bool {
        match &self.medium {
            Medium::Virtio(disk) => disk.has_completed(),
            Medium::Card(card) => card.has_completed(),
        }
    }

    /// Whether the device interrupts when something completes, or goes on.
    pub fn enable_interrupt(&mut self, is_enabled: bool) {
        match &mut self.medium {
            Medium::Virtio(disk) => disk.enable_interrupt(is_enabled),
            Medium::Card(card) => card.enable_interrupt(is_enabled),
        }
    }

    /// Takes the interrupt away.
    pub fn acknowledge(&mut self) {
        match &mut self.medium {
            Medium::Virtio(disk) => disk.acknowledge(),
            Medium::Card(card) => card.enable_interrupt(false),
        }
    }

    /// When it is to be looked at although it has not interrupted.
    pub fn deadline(&self) -> Option<u64> {
        match &self.medium {
            Medium::Virtio(_) => None,
            Medium::Card(card) => card.deadline(),
        }
    }
}
