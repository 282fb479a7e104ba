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
    /// Bytes in the ring of the other direction: what its reader has said, and the guest has not been sent.
    pub unheard: u32,
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
    /// The most of those that the guest was told are taken.
    told: u32,
    /// The guest has asked for the host's credit.
    is_asked: bool,
    /// Somebody else wants the port, and the guest may have forgotten this connection.
    is_doubted: bool,
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
            is_doubted: false,
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

    /// Asks the guest for a sign of life: one that does not know the connection any more answers with a reset.
    pub fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// What is to be sent to the guest without data, if anything is.
    pub fn due(&self, room: Room) -> Option<Operation> {
        if self.is_new {
            // What an earlier connection left in the ring would count against this one's credit, and what was said to it is
            // not for this one.
            let is_clear = room.unread == 0 && room.unheard == 0;
            return is_clear.then_some(Operation::Response);
        }
        if self.is_doubted {
            return Some(Operation::CreditRequest);
        }
        // A guest that sends now and then hears of its credit with what it is sent, and one that sends much in time.
        let left = room.capacity.saturating_sub(self.received.wrapping_sub(self.told));
        let is_due = is_ahead(self.taken(room), self.told) && left <= room.capacity / 2;
        (self.is_asked || is_due).then_some(Operation::CreditUpdate)
    }

    /// What was [due](Self::due) is sent.
    pub fn note_sent(&mut self, operation: Operation) {
        match operation {
            Operation::Response => self.is_new = false,
            Operation::CreditRequest => self.is_doubted = false,
            Operation::CreditUpdate => self.is_asked = false,
            Operation::Request | Operation::Reset | Operation::Shutdown | Operation::Data => {}
        }
    }

    /// Bytes that the guest sent and the ring's reader has taken.
    fn taken(&self, room: Room) -> u32 {
        self.received.wrapping_sub(room.unread)
    }

    /// The credit that goes with a packet to the guest, which takes `bytes` of the guest's own. It never goes back: a reader
    /// that says now this and now that would have news for the guest without end.
    pub fn credit_to_send(&mut self, bytes: u32, room: Room) -> (u32, u32) {
        self.sent = self.sent.wrapping_add(bytes);
        let taken = self.taken(room);
        if is_ahead(taken, self.told) {
            self.told = taken;
        }
        (room.capacity, self.told)
    }
}

/// Whether a free-running counter has moved on from `before` to `now`: less than half of its values lie between.
fn is_ahead(now: u32, before: u32) -> bool {
    now.wrapping_sub(before).cast_signed() > 0
}
