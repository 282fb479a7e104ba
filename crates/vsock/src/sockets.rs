//! [`Sockets`]: the ports of one guest's device, and what is to be said to it.

use crate::connection::{Connection, Room};
use crate::packet::{Header, Operation, TYPE_STREAM};
use crate::{HOST_CID, MAX_PAYLOAD};
use abi::channel::MAX_CHANNELS;
use heapless::{Deque, Vec};

/// Most answers that wait for the guest to have room; until then none of its packets is looked at.
const ANSWERS: usize = 8;

/// One port.
#[derive(Debug)]
struct Port {
    number: u32,
    connection: Option<Connection>,
    /// The guest's port of a connection that is over, which it has not heard.
    reset: Option<u32>,
}

/// The host's side of a guest's socket device.
#[derive(Debug)]
pub struct Sockets {
    guest_cid: u64,
    ports: Vec<Port, MAX_CHANNELS>,
    answers: Deque<Header, ANSWERS>,
}

/// What a packet comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing more: what is to be said is said by [`Sockets::answer`].
    None,
    /// Its data is for the ring of the port at this place; there is room for it.
    Data {
        /// The port's place.
        place: usize,
        /// How much, from the first byte behind the header on.
        bytes: u32,
    },
}

impl Sockets {
    /// For a guest with this context id, with these ports; what is more than a system has channels is not there.
    pub fn new(guest_cid: u64, ports: impl IntoIterator<Item = u32>) -> Self {
        let port = |number| Port { number, connection: None, reset: None };
        Self { guest_cid, ports: ports.into_iter().map(port).take(MAX_CHANNELS).collect(), answers: Deque::new() }
    }

    /// The driver has reset its device: nobody waits for anything.
    pub fn forget(&mut self) {
        self.answers.clear();
        for port in &mut self.ports {
            (port.connection, port.reset) = (None, None);
        }
    }

    /// Whether a packet can be taken from the guest: there is room for what it may have to be answered.
    pub fn takes_packets(&self) -> bool {
        !self.answers.is_full()
    }

    /// Whether somebody is connected to the port at this place, or about to be.
    pub fn is_connected(&self, place: usize) -> bool {
        self.ports.get(place).is_some_and(|port| port.connection.is_some())
    }

    /// A packet of the guest's, which has `payload` bytes behind its header. `room_of` says which ring is behind the port at a
    /// place; `None` where there is nobody to read it.
    pub fn take_packet(&mut self, header: &Header, payload: u32, room_of: impl FnOnce(usize) -> Option<Room>) -> Event {
        if header.source_cid != self.guest_cid {
            // Nobody to answer: the guest is who it is, and this it is not (section 5.10.6.4.1).
            return Event::None;
        }
        let is_for_us = header.target_cid == HOST_CID && header.kind == TYPE_STREAM;
        let place = self.ports.iter().position(|port| port.number == header.target_port).filter(|_| is_for_us);
        let Some((place, port)) = place.and_then(|place| Some((place, self.ports.get_mut(place)?))) else {
            return self.refuse(header);
        };
        let room = room_of(place);
        // A reset that is still to be sent to this port of the guest's would end what begins now.
        let is_reset_on_its_way =
            |answer: &Header| (answer.source_port, answer.target_port) == (header.target_port, header.source_port);
        let is_free =
            port.connection.is_none() && port.reset.is_none() && !self.answers.iter().any(is_reset_on_its_way);
        let own = port.connection.as_mut().filter(|connection| connection.peer == header.source_port);
        match (own, header.operation, room) {
            (None, Some(Operation::Request), Some(_)) if is_free => {
                port.connection = Some(Connection::new(header));
                Event::None
            }
            (None, ..) => {
                if let (Some(Operation::Request), Some(holder)) = (header.operation, &mut port.connection) {
                    // A guest that was told that all connections are gone has ended the one that began meanwhile, too, and
                    // nobody hears of it: the next who asks finds out.
                    holder.doubt();
                }
                self.refuse(header)
            }
            (Some(_), Some(Operation::Reset), _) => {
                port.connection = None;
                Event::None
            }
            (Some(own), _, Some(room)) if header.bytes <= payload => match own.take_packet(header, room) {
                Ok(0) => Event::None,
                Ok(bytes) => Event::Data { place, bytes },
                Err(_) => {
                    port.connection = None;
                    self.refuse(header)
                }
            },
            // Less data than its header says, or nobody to read it.
            (Some(_), ..) => {
                port.connection = None;
                self.refuse(header)
            }
        }
    }

    /// There is no such connection. A reset is not answered, or two sides could go on for ever.
    fn refuse(&mut self, header: &Header) -> Event {
        if header.operation != Some(Operation::Reset) {
            // The caller has asked whether there is room.
            let _ = self.answers.push_back(header.reset());
        }
        Event::None
    }

    /// The ring behind the port at this place was cleared, or nobody reads it any more: its connection is over.
    pub fn close(&mut self, place: usize) {
        let Some(port) = self.ports.get_mut(place) else { return };
        if let Some(connection) = port.connection.take() {
            port.reset = Some(connection.peer);
        }
    }

    /// Whether [`Sockets::answer`] has something.
    pub fn has_answer(&self, room_of: impl Fn(usize) -> Option<Room>) -> bool {
        let is_due = |(place, port): (usize, &Port)| {
            let due = |connection: &Connection| connection.due(room_of(place)?);
            port.reset.is_some() || port.connection.as_ref().and_then(due).is_some()
        };
        !self.answers.is_empty() || self.ports.iter().enumerate().any(is_due)
    }

    /// The next packet for the guest that has no data, if there is one. It says what is so now, and a later packet of the
    /// guest's may make it untrue: ask when the guest has a buffer for it.
    pub fn answer(&mut self, mut room_of: impl FnMut(usize) -> Option<Room>) -> Option<Header> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        for (place, port) in self.ports.iter_mut().enumerate() {
            if let Some(peer) = port.reset.take() {
                return Some(header(self.guest_cid, port.number, peer, Operation::Reset));
            }
            let (Some(connection), Some(room)) = (&mut port.connection, room_of(place)) else { continue };
            if let Some(operation) = connection.due(room) {
                connection.note_sent(operation);
                let peer = connection.peer;
                let (room, taken) = connection.credit_to_send(0, room);
                return Some(Header { room, taken, ..header(self.guest_cid, port.number, peer, operation) });
            }
        }
        None
    }

    /// How many bytes the guest may be sent from the port at this place, in one packet. `None`: nobody listens there.
    pub fn credit(&self, place: usize) -> Option<u32> {
        let connection = self.ports.get(place)?.connection.as_ref().filter(|connection| connection.is_open())?;
        Some(connection.credit().min(MAX_PAYLOAD as u32))
    }

    /// The header of a packet with `bytes` of data from the port at this place: no more than its credit.
    pub fn data(&mut self, place: usize, bytes: u32, room: Room) -> Option<Header> {
        let port = self.ports.get_mut(place)?;
        let connection = port.connection.as_mut()?;
        let (room, taken) = connection.credit_to_send(bytes, room);
        let header = header(self.guest_cid, port.number, connection.peer, Operation::Data);
        Some(Header { bytes, room, taken, ..header })
    }
}

fn header(guest_cid: u64, source_port: u32, target_port: u32, operation: Operation) -> Header {
    Header {
        source_cid: HOST_CID,
        target_cid: guest_cid,
        source_port,
        target_port,
        bytes: 0,
        kind: TYPE_STREAM,
        operation: Some(operation),
        flags: 0,
        room: 0,
        taken: 0,
    }
}
