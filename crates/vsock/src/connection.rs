//! [`Connection`]: one stream, and who may send how much (section 5.10.6.3).
//!
//! The host's room for what a guest sends is the ring behind the port, and what the ring's reader has taken is what counts as
//! forwarded: so nothing is ever held between the two. Counters are free-running, modulo 2^32.

use crate::packet::{Header, NO_RECEIVE, NO_SEND, Operation};

/// The ring that takes what the guest sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Bytes that it takes in all.
    pub capacity: u32,
    /// Bytes in it that its reader has not taken.
    pub unread: u32,
}

impl Room {
    fn free(self) -> u32 {
        self.capacity.saturating_sub(self.unread)
    }
}

/// A stream between a guest's port and one of the host's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// The guest's port.
    pub peer: u32,
    /// The guest has not heard that it has begun.
    is_new: bool,
    /// The guest's room, and what it has taken out, as it last said.
    their_room: u32,
    their_taken: u32,
    /// Bytes sent to the guest.
    sent: u32,
    /// Bytes that it has sent.
    received: u32,
    /// What the guest was last told of those taken.
    told: u32,
    /// The guest has asked for the host's credit.
    is_asked: bool,
    /// Directions that the guest has shut down.
    shut: u32,
}

/// A connection's end: what it did is against the rules, or it wished it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Over;

impl Connection {
    pub fn new(request: &Header) -> Self {
        Self {
            peer: request.source_port,
            is_new: true,
            their_room: request.room,
            their_taken: request.taken,
            sent: 0,
            received: 0,
            told: 0,
            is_asked: false,
            shut: 0,
        }
    }

    /// A packet of the guest's for it. How many bytes of data are to be put into the ring, which has room for them.
    pub fn take_packet(&mut self, header: &Header, room: Room) -> Result<u32, Over> {
        (self.their_room, self.their_taken) = (header.room, header.taken);
        match header.operation {
            Some(Operation::Data) => {
                // Before it has heard that the connection has begun a guest sends nothing.
                let may_send = !self.is_new && self.shut & NO_SEND == 0 && header.bytes <= room.free();
                if !may_send {
                    return Err(Over);
                }
                self.received = self.received.wrapping_add(header.bytes);
                Ok(header.bytes)
            }
            Some(Operation::CreditUpdate) => Ok(0),
            Some(Operation::CreditRequest) => {
                self.is_asked = true;
                Ok(0)
            }
            Some(Operation::Shutdown) => {
                self.shut |= header.flags & (NO_RECEIVE | NO_SEND);
                if self.shut == NO_RECEIVE | NO_SEND { Err(Over) } else { Ok(0) }
            }
            Some(Operation::Request | Operation::Response | Operation::Reset) | None => Err(Over),
        }
    }

    /// Bytes that the guest may be sent now.
    pub fn credit(&self) -> u32 {
        let in_room = self.sent.wrapping_sub(self.their_taken);
        if self.is_new || self.shut & NO_RECEIVE != 0 { 0 } else { self.their_room.saturating_sub(in_room) }
    }

    /// Whether the guest has heard that it has begun.
    pub fn is_open(&self) -> bool {
        !self.is_new
    }

    /// What is to be sent to the guest without data, if anything is.
    pub fn due(&mut self, room: Room) -> Option<Operation> {
        if self.is_new {
            // What an earlier connection left in the ring would count against this one's credit.
            if room.unread != 0 {
                return None;
            }
            self.is_new = false;
            return Some(Operation::Response);
        }
        let taken = self.taken(room);
        // A guest that sends now and then hears of its credit with what it is sent, and one that sends much in time.
        let left = room.capacity.saturating_sub(self.received.wrapping_sub(self.told));
        let is_due = taken != self.told && left <= room.capacity / 2;
        (core::mem::take(&mut self.is_asked) || is_due).then_some(Operation::CreditUpdate)
    }

    /// Bytes that the guest sent and the ring's reader has taken.
    fn taken(&self, room: Room) -> u32 {
        self.received.wrapping_sub(room.unread)
    }

    /// The credit that goes with a packet to the guest, which takes `bytes` of the guest's own.
    pub fn credit_to_send(&mut self, bytes: u32, room: Room) -> (u32, u32) {
        self.sent = self.sent.wrapping_add(bytes);
        self.told = self.taken(room);
        (room.capacity, self.told)
    }
}
