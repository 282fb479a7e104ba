//! [`Broker`]: a partition's socket device (virtio section 5.10), each of whose ports leads to a channel.
//!
//! What the guest sends goes from its RAM into the channel's ring, what the ring of the other end brings into the guest's
//! buffers. Nothing is kept in between: the guest's credit is the ring's room (crate `vsock`), and what finds no buffer stays
//! in its ring. Both sides are hostile, and neither waits for the other.

use super::link::Link;
use super::{Backend, Device};
use crate::hooks::Survivor;
use crate::hypercall;
use crate::memory::Ram;
use abi::plan;
use alloc::boxed::Box;
use alloc::vec::Vec;
use channel::{Continuity, End, Side};
use core::sync::atomic::AtomicU64;
use virtio::{Broken, Chain, SocketPacket, put_packet};
use vsock::{EVENT, Event, HEADER, Header, MAX_PAYLOAD, RX, Room, Sockets, TRANSPORT_RESET};

/// Packets of a device in a turn, each way.
const CAP: usize = 16;

/// The service's end of a channel.
struct ChannelEnd {
    end: End<'static>,
    /// The channel's number, by which its doorbell is rung.
    number: u8,
    /// Something was read or written, and the other end was not rung.
    owes_ring: bool,
}

impl ChannelEnd {
    /// What the other end has not taken. `None`: it has not begun, or says what cannot be.
    fn room(&self) -> Option<Room> {
        let unread = self.end.unread().filter(|_| self.end.has_peer())?;
        Some(Room { capacity: self.end.capacity(), unread, unheard: self.end.available() })
    }
}

/// A socket device's other two queues, its connections, and its channels by their ports' places.
pub(super) struct Broker {
    pub(super) received: Link,
    pub(super) events: Link,
    sockets: Sockets,
    ends: Vec<ChannelEnd>,
    /// The channel that is looked at first for something to send: a peer that always has something leaves the others theirs.
    first: usize,
    /// An earlier life's connections are gone, and the guest has not heard.
    has_lost: bool,
    /// A packet's data between the channel and the guest's buffer.
    copy: Box<[u8; MAX_PAYLOAD]>,
}

impl Broker {
    /// Of the device of this partition, with its end of each of the plan's channels that it has one of.
    ///
    /// # Safety
    /// The plan's channels are mapped at their addresses for good, and no Rust object is there.
    pub(super) unsafe fn new(
        cid: u32,
        backend: &plan::Backend,
        plan: &plan::Plan,
        records: [&'static Survivor; 2],
    ) -> Self {
        let own = || plan.channels.iter().filter(|channel| channel.partition == backend.partition);
        let end_of = |planned: &plan::Channel| {
            let start = planned.memory.start().as_u64() as *const AtomicU64;
            let words = planned.memory.size() as usize / size_of::<AtomicU64>();
            // SAFETY: mapped by the caller's promise, on a page; atomics only, any content is a valid value.
            let memory = unsafe { core::slice::from_raw_parts(start, words) };
            let plan::Channel { number, end, .. } = *planned;
            let side = Side::from_number(end.into());
            let side = side.unwrap_or_else(|| panic!("the plan says end {end} of channel {number}: there are 0 and 1"));
            let end = End::new(memory, side);
            let end = end.unwrap_or_else(|| panic!("channel {number} of {} words has no room for rings", memory.len()));
            ChannelEnd { end, number, owes_ring: false }
        };
        let [received, events] = records;
        Self {
            received: Link::new(RX, received),
            events: Link::new(EVENT, events),
            sockets: Sockets::new(cid.into(), own().map(|channel| channel.port)),
            ends: own().map(end_of).collect(),
            first: 0,
            has_lost: false,
            copy: Box::new([0; MAX_PAYLOAD]),
        }
    }

    /// The other two queues.
    pub(super) fn links(&mut self) -> [&mut Link; 2] {
        [&mut self.received, &mut self.events]
    }

    /// A driver is served from now on, by these queues.
    pub(super) fn begin(&mut self) {
        self.forget();
        self.has_lost = self.received.is_resumed();
    }

    /// Nobody is connected.
    pub(super) fn forget(&mut self) {
        self.sockets.forget();
        self.has_lost = false;
    }

    /// Whether what the guest sends can be taken: what it may have to be answered has a place.
    pub(super) fn takes_packets(&self) -> bool {
        self.sockets.takes_packets()
    }

    /// Moves what can be moved. Whether there was anything.
    fn turn(&mut self, sent: &mut Link, ram: &Ram, chain: &mut Chain) -> Result<bool, Broken> {
        for (place, own) in self.ends.iter_mut().enumerate() {
            if own.end.renew() == Continuity::Anew {
                self.sockets.close(place);
            }
        }
        let has_moved = self.move_all(sent, ram, chain);
        // What was read or written before one of the guest's rings turned out to be broken is the other end's all the same.
        for own in &mut self.ends {
            if core::mem::take(&mut own.owes_ring) {
                // The tool writes plan and manifest from one file. EL2 reads the manifest only, and refuses a number that is not
                // the service's: nobody is rung then, and nothing follows for anybody here.
                let _ = hypercall::ring_doorbell(own.number);
            }
        }
        has_moved
    }

    /// All of a turn but the rings to other ends.
    fn move_all(&mut self, sent: &mut Link, ram: &Ram, chain: &mut Chain) -> Result<bool, Broken> {
        self.tell_loss(ram, chain)?;
        let has_taken = self.take(sent, ram, chain)?;
        // Before a connection can begin: what was said to the last one is not for the next.
        let has_dropped = self.drop_unheard();
        let has_given = self.give(ram, chain)?;
        Ok(has_taken || has_given || has_dropped)
    }

    /// Tells the guest that connections of an earlier life are no more.
    fn tell_loss(&mut self, ram: &Ram, chain: &mut Chain) -> Result<(), Broken> {
        if self.has_lost
            && let Some(head) = self.events.next(ram, chain)?
        {
            self.has_lost = false;
            let written = put_packet(ram, chain, &TRANSPORT_RESET, &[])?;
            self.events.give_back(ram, head, written)?;
        }
        Ok(())
    }

    /// Takes packets that the guest sends.
    fn take(&mut self, sent: &mut Link, ram: &Ram, chain: &mut Chain) -> Result<bool, Broken> {
        let Self { sockets, ends, .. } = self;
        for count in 0..CAP {
            if !sockets.takes_packets() {
                return Ok(count > 0);
            }
            let Some(head) = sent.next(ram, chain)? else { return Ok(count > 0) };
            if let Some(packet) = SocketPacket::<HEADER>::read(ram, chain)? {
                let header = Header::parse(packet.header());
                let event = sockets
                    .take_packet(&header, packet.payload_bytes(), |place| ends.get(place).and_then(ChannelEnd::room));
                if let Event::Data { place, bytes } = event
                    && let Some(own) = ends.get_mut(place)
                {
                    own.owes_ring = true;
                    // Where the channel is cleared meanwhile it takes less, and the next turn ends the connection.
                    packet.copy_out(ram, bytes, |piece| {
                        own.end.write(piece);
                    })?;
                }
            }
            sent.give_back(ram, head, 0)?;
        }
        Ok(true)
    }

    /// Sends what is to be sent, as far as the guest has buffers.
    fn give(&mut self, ram: &Ram, chain: &mut Chain) -> Result<bool, Broken> {
        for count in 0..CAP {
            if !self.has_something() {
                return Ok(count > 0);
            }
            let Some(head) = self.received.next(ram, chain)? else { return Ok(count > 0) };
            let Self { sockets, ends, .. } = self;
            let written = match sockets.answer(|place| ends.get(place).and_then(ChannelEnd::room)) {
                Some(answer) => Some(put_packet(ram, chain, &answer.bytes(), &[])?),
                None => match self.heard() {
                    Some(place) => self.give_data(place, ram, chain)?,
                    None => None,
                },
            };
            match written {
                Some(written) => self.received.give_back(ram, head, written)?,
                None => {
                    self.received.park(head);
                    return Ok(count > 0);
                }
            }
        }
        Ok(true)
    }

    /// Whether there is something to send to the guest.
    fn has_something(&self) -> bool {
        self.sockets.has_answer(|place| self.ends.get(place).and_then(ChannelEnd::room)) || self.heard().is_some()
    }

    /// The next channel whose bytes somebody waits for.
    fn heard(&self) -> Option<usize> {
        let has_credit = |place: usize| self.sockets.credit(place).is_some_and(|credit| credit > 0);
        let has_bytes = |place: usize| self.ends.get(place).is_some_and(|own| own.end.available() > 0);
        (self.first..self.ends.len()).chain(0..self.first).find(|place| has_credit(*place) && has_bytes(*place))
    }

    /// Fills a buffer from a channel. `None`: it was cleared meanwhile.
    fn give_data(&mut self, place: usize, ram: &Ram, chain: &Chain) -> Result<Option<u32>, Broken> {
        self.first = place + 1;
        let (Some(own), Some(credit)) = (self.ends.get_mut(place), self.sockets.credit(place)) else {
            return Ok(None);
        };
        let fits = chain.writable_bytes().checked_sub(HEADER as u32).filter(|fits| *fits > 0).ok_or(Broken::NoRoom)?;
        let count = credit.min(fits) as usize;
        let read = own.end.read(self.copy.get_mut(..count).unwrap_or_default());
        let Some(room) = own.room().filter(|_| read > 0) else { return Ok(None) };
        own.owes_ring = true;
        let Some(header) = self.sockets.data(place, read as u32, room) else { return Ok(None) };
        put_packet(ram, chain, &header.bytes(), self.copy.get(..read).unwrap_or_default()).map(Some)
    }

    /// What the other end of a channel says while nobody is connected is said to nobody: it would be found by the next who is.
    fn drop_unheard(&mut self) -> bool {
        let mut has_dropped = false;
        for (place, own) in self.ends.iter_mut().enumerate() {
            if self.sockets.credit(place).is_none() {
                let has_skipped = own.end.skip();
                own.owes_ring |= has_skipped;
                has_dropped |= has_skipped;
            }
        }
        has_dropped
    }

    /// Asks the driver to kick. Whether there is something for [`Broker::turn`].
    pub(super) fn request_kicks(&mut self, ram: &Ram) -> Result<bool, Broken> {
        let has_buffers = self.received.request_kicks(ram)? || self.received.is_parked();
        let has_events = self.events.request_kicks(ram)?;
        let has_something = self.has_something();
        let is_news = |(place, own): (usize, &ChannelEnd)| {
            own.end.is_over() || (self.sockets.credit(place).is_none() && own.end.available() > 0)
        };
        Ok((has_buffers && has_something) || (has_events && self.has_lost) || self.ends.iter().enumerate().any(is_news))
    }
}

impl Device {
    /// Moves what can be moved between the guest's sockets and its channels. Whether there was anything.
    pub(super) fn serve_sockets(&mut self, chain: &mut Chain) -> Result<bool, Broken> {
        let Self { backend: Backend::Sockets(broker), link, ram, .. } = self else { return Ok(false) };
        broker.turn(link, ram, chain)
    }
}
