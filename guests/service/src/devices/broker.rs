//! [`Broker`]: a partition's socket device (virtio section 5.10), each of whose ports leads to a channel.
//!
//! What the guest sends goes from its RAM into the channel's ring, what the ring of the other end brings into the guest's
//! buffers. Nothing is kept in between: the guest's credit is the ring's room (crate `vsock`), and what finds no buffer stays
//! in its ring. Both sides are hostile, and neither waits for the other.

use super::Device;
use super::link::Link;
use crate::hooks::Survivor;
use crate::hypercall::{self, DeviceState};
use crate::memory::Ram;
use abi::VirtioId;
use abi::plan;
use alloc::boxed::Box;
use alloc::vec::Vec;
use channel::{Continuity, End, Side};
use core::sync::atomic::AtomicU64;
use virtio::{Broken, Chain, Packet, Unusable, put};
use vsock::{EVENT, Event, HEADER, Header, MAX_PAYLOAD, RX, Room, Sockets, TRANSPORT_RESET};

/// Packets of a device in a turn, each way.
const CAP: usize = 16;

/// The service's end of a channel.
struct Wire {
    end: End<'static>,
    /// The channel's number, by which it is rung.
    number: u8,
    /// Something was read or written, and the other end was not rung.
    is_touched: bool,
}

impl Wire {
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
    wires: Vec<Wire>,
    /// The channel that is looked at first for something to send: a peer that always has something leaves the others theirs.
    first: usize,
    /// An earlier life's connections are gone, and the guest has not heard.
    has_lost: bool,
    room: Box<[u8; MAX_PAYLOAD]>,
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
        let wire = |planned: &plan::Channel| {
            let start = planned.memory.start().as_u64() as *const AtomicU64;
            let words = planned.memory.size() as usize / size_of::<AtomicU64>();
            // SAFETY: mapped by the caller's promise, on a page; atomics only, any content is a valid value.
            let memory = unsafe { core::slice::from_raw_parts(start, words) };
            let side = Side::from_number(planned.end.into()).unwrap_or(Side::First);
            let end = End::new(memory, side).unwrap_or_else(|| panic!("channel {} has no room", planned.number));
            Wire { end, number: planned.number, is_touched: false }
        };
        let [received, events] = records;
        Self {
            received: Link::new(RX, received),
            events: Link::new(EVENT, events),
            sockets: Sockets::new(cid.into(), own().map(|channel| channel.port)),
            wires: own().map(wire).collect(),
            first: 0,
            has_lost: false,
            room: Box::new([0; MAX_PAYLOAD]),
        }
    }

    /// The other two queues.
    pub(super) fn links(&mut self) -> [&mut Link; 2] {
        [&mut self.received, &mut self.events]
    }

    /// Begins to serve a driver. False: it has reset the device meanwhile.
    pub(super) fn start(&mut self, id: VirtioId, state: &DeviceState, ram: &Ram) -> Result<bool, Unusable> {
        self.forget();
        let is_current = self.received.start(id, state, ram)? && self.events.start(id, state, ram)?;
        self.has_lost = self.received.is_resumed();
        Ok(is_current)
    }

    /// Nobody is connected.
    pub(super) fn forget(&mut self) {
        self.sockets.forget();
        self.has_lost = false;
    }

    /// Moves what can be moved. Whether there was anything.
    fn turn(&mut self, sent: &mut Link, ram: &Ram, chain: &mut Chain) -> Result<bool, Broken> {
        for (place, wire) in self.wires.iter_mut().enumerate() {
            if wire.end.renew() == Continuity::Anew {
                self.sockets.close(place);
            }
        }
        let has_moved = self.move_all(sent, ram, chain);
        // What was read or written before one of the guest's rings turned out to be broken is the other end's all the same.
        for wire in &mut self.wires {
            if core::mem::take(&mut wire.is_touched) {
                // The tool writes plan and manifest from one file. EL2 reads the manifest only, and refuses a number that is not
                // the service's: nobody is rung then, and nothing follows for anybody here.
                let _ = hypercall::channel_ring(wire.number);
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
            let written = put(ram, chain, &TRANSPORT_RESET, &[])?;
            self.events.give_back(ram, head, written)?;
        }
        Ok(())
    }

    /// Takes packets that the guest sends.
    fn take(&mut self, sent: &mut Link, ram: &Ram, chain: &mut Chain) -> Result<bool, Broken> {
        let Self { sockets, wires, .. } = self;
        for count in 0..CAP {
            if !sockets.takes_packets() {
                return Ok(count > 0);
            }
            let Some(head) = sent.next(ram, chain)? else { return Ok(count > 0) };
            if let Some(packet) = Packet::<HEADER>::read(ram, chain)? {
                let header = Header::parse(packet.header());
                let event =
                    sockets.packet(&header, packet.payload_bytes(), |place| wires.get(place).and_then(Wire::room));
                if let Event::Data { place, bytes } = event
                    && let Some(wire) = wires.get_mut(place)
                {
                    wire.is_touched = true;
                    // Where the channel is cleared meanwhile it takes less, and the next turn ends the connection.
                    packet.payload(ram, bytes, |piece| {
                        wire.end.write(piece);
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
            let Self { sockets, wires, .. } = self;
            let written = match sockets.answer(|place| wires.get(place).and_then(Wire::room)) {
                Some(answer) => Some(put(ram, chain, &answer.bytes(), &[])?),
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
        self.sockets.has_answer(|place| self.wires.get(place).and_then(Wire::room)) || self.heard().is_some()
    }

    /// The next channel whose bytes somebody waits for.
    fn heard(&self) -> Option<usize> {
        let has_credit = |place: usize| self.sockets.credit(place).is_some_and(|credit| credit > 0);
        let has_bytes = |place: usize| self.wires.get(place).is_some_and(|wire| wire.end.available() > 0);
        (self.first..self.wires.len()).chain(0..self.first).find(|place| has_credit(*place) && has_bytes(*place))
    }

    /// Fills a buffer from a channel. `None`: it was cleared meanwhile.
    fn give_data(&mut self, place: usize, ram: &Ram, chain: &Chain) -> Result<Option<u32>, Broken> {
        self.first = place + 1;
        let (Some(wire), Some(credit)) = (self.wires.get_mut(place), self.sockets.credit(place)) else {
            return Ok(None);
        };
        let fits = chain.writable_bytes().checked_sub(HEADER as u32).filter(|fits| *fits > 0).ok_or(Broken::NoRoom)?;
        let count = credit.min(fits) as usize;
        let read = wire.end.read(self.room.get_mut(..count).unwrap_or_default());
        let Some(room) = wire.room().filter(|_| read > 0) else { return Ok(None) };
        wire.is_touched = true;
        let Some(header) = self.sockets.data(place, read as u32, room) else { return Ok(None) };
        put(ram, chain, &header.bytes(), self.room.get(..read).unwrap_or_default()).map(Some)
    }

    /// What the other end of a channel says while nobody is connected is said to nobody: it would be found by the next who is.
    fn drop_unheard(&mut self) -> bool {
        let mut has_dropped = false;
        for (place, wire) in self.wires.iter_mut().enumerate() {
            if self.sockets.credit(place).is_none() {
                let has_skipped = wire.end.skip();
                wire.is_touched |= has_skipped;
                has_dropped |= has_skipped;
            }
        }
        has_dropped
    }

    /// Asks the driver to kick. Whether there is something for [`Broker::turn`].
    fn request_kicks(&mut self, ram: &Ram) -> Result<bool, Broken> {
        let has_buffers = self.received.request_kicks(ram)? || self.received.is_parked();
        let has_events = self.events.request_kicks(ram)?;
        let has_something = self.has_something();
        let is_news = |(place, wire): (usize, &Wire)| {
            wire.end.is_over() || (self.sockets.credit(place).is_none() && wire.end.available() > 0)
        };
        Ok((has_buffers && has_something)
            || (has_events && self.has_lost)
            || self.wires.iter().enumerate().any(is_news))
    }
}

impl Device {
    /// Moves what can be moved between the guest's sockets and its channels. Whether there was anything.
    pub(super) fn serve_sockets(&mut self, chain: &mut Chain) -> Result<bool, Broken> {
        let Some(broker) = &mut self.broker else { return Ok(false) };
        broker.turn(&mut self.link, &self.ram, chain)
    }

    /// Whether nothing of what the guest sends can be taken: it has no buffers for the answers, and kicks when it has.
    pub(super) fn is_blocked(&self) -> bool {
        self.broker.as_ref().is_some_and(|broker| !broker.sockets.takes_packets())
    }

    /// [`Broker::request_kicks`].
    pub(super) fn request_socket_kicks(&mut self) -> Result<bool, Broken> {
        let Some(broker) = self.broker.as_mut().filter(|_| self.link.is_running()) else { return Ok(false) };
        broker.request_kicks(&self.ram)
    }
}
