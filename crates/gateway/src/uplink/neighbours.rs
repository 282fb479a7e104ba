//! [`Neighbours`]: the Ethernet addresses of the stations on the uplink's network, and the packets that wait for them.
//!
//! Asked for by ARP when a packet needs one; asked again, at the known address, when a packet needs one that nobody has
//! confirmed for a while. Without packets there are no questions.

use crate::Reason;
use crate::limit::Limit;
use crate::wire::{BROADCAST, ETHERNET, MTU, Mac};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// Stations that are known at a time.
const COUNT: usize = 16;
/// How long an address is believed.
const FRESH_MS: u64 = 60_000;
/// Between two questions, and how many there are.
const RETRY_MS: u64 = 1000;
const TRIES: u32 = 3;

#[derive(Clone, Debug)]
struct Neighbour {
    address: Ipv4Addr,
    mac: Option<Mac>,
    confirmed_ms: u64,
    used_ms: u64,
    /// Questions that were not answered.
    tries: u32,
    /// When to ask again, if there are any.
    due_ms: u64,
    /// The packet that waits; empty: none.
    waiting: Vec<u8>,
}

/// A question to be sent: for whom, and to whom.
pub(crate) type Question = (Ipv4Addr, Mac);

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Where to send it; `None`: it waits.
    pub to: Option<Mac>,
    /// What to ask.
    pub question: Option<Question>,
}

/// The stations.
#[derive(Debug)]
pub(crate) struct Neighbours {
    items: Box<[Neighbour]>,
    /// Guests choose the addresses, so they must not choose how much is asked.
    questions: Limit,
    /// Packets that waited in vain.
    lost: u64,
}

impl Neighbours {
    /// Nobody known.
    pub fn new() -> Self {
        let empty = || Neighbour {
            address: Ipv4Addr::UNSPECIFIED,
            mac: None,
            confirmed_ms: 0,
            used_ms: 0,
            tries: 0,
            due_ms: 0,
            waiting: Vec::with_capacity(ETHERNET + MTU),
        };
        Self { items: (0..COUNT).map(|_| empty()).collect(), questions: Limit::default(), lost: 0 }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.lost += self.items.iter_mut().map(Neighbour::forget).sum::<u64>();
    }

    /// How many packets waited in vain since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        core::mem::take(&mut self.lost)
    }

    /// When [`Self::poll`] has something to do.
    pub fn due_ms(&self) -> Option<u64> {
        self.items.iter().filter(|item| item.tries > 0).map(|item| item.due_ms).min()
    }

    /// Decides where a packet to `address` goes, and keeps it if it has to wait. Nobody makes the `pinned` ones give
    /// way.
    ///
    /// # Errors
    /// Too much was asked lately.
    pub fn find(
        &mut self,
        address: Ipv4Addr,
        pinned: &[Option<Ipv4Addr>],
        frame: &[u8],
        now_ms: u64,
    ) -> Result<Way, Reason> {
        if let Some(item) = self.items.iter_mut().find(|item| item.address == address) {
            return Ok(item.way(frame, now_ms, &mut self.questions, &mut self.lost));
        }
        // Router and name server are everybody's: nobody can use up the questions after them.
        if !pinned.contains(&Some(address)) && !self.questions.take(now_ms) {
            return Err(Reason::NoNeighbour);
        }
        let free = self.items.iter_mut().filter(|item| !pinned.contains(&Some(item.address)));
        let item = free.min_by_key(|item| item.used_ms).ok_or(Reason::NoNeighbour)?;
        self.lost += item.forget();
        item.address = address;
        item.used_ms = now_ms;
        item.wait(frame);
        Ok(Way { to: None, question: Some(item.ask(now_ms)) })
    }

    /// The next question that is due, or `None`. Who never answers is forgotten, with the packet that waited.
    pub fn poll(&mut self, now_ms: u64) -> Option<Question> {
        for item in self.items.iter_mut().filter(|item| item.tries > 0 && item.due_ms <= now_ms) {
            if item.tries < TRIES {
                return Some(item.ask(now_ms));
            }
            self.lost += item.forget();
        }
        None
    }

    /// A station said where it is. If anybody wanted to know, this passes on the packet that waited for it.
    pub fn learn(&mut self, address: Ipv4Addr, mac: Mac, now_ms: u64, send: impl FnOnce(&mut [u8])) {
        let is_group = mac[0] & 1 == 1;
        let Some(item) = self.items.iter_mut().find(|item| item.address == address) else { return };
        if is_group || mac == [0; 6] || address.is_unspecified() {
            return;
        }
        item.mac = Some(mac);
        item.confirmed_ms = now_ms;
        item.tries = 0;
        if !item.waiting.is_empty() {
            send(&mut item.waiting);
            item.waiting.clear();
        }
    }
}

impl Neighbour {
    /// How many packets are lost with it.
    fn forget(&mut self) -> u64 {
        let lost = u64::from(!self.waiting.is_empty());
        self.address = Ipv4Addr::UNSPECIFIED;
        self.mac = None;
        self.used_ms = 0;
        self.tries = 0;
        self.waiting.clear();
        lost
    }

    fn way(&mut self, frame: &[u8], now_ms: u64, questions: &mut Limit, lost: &mut u64) -> Way {
        self.used_ms = now_ms;
        let Some(mac) = self.mac else {
            *lost += u64::from(!self.waiting.is_empty());
            self.wait(frame);
            return Way { to: None, question: None };
        };
        let is_stale = now_ms.saturating_sub(self.confirmed_ms) > FRESH_MS;
        let is_due = is_stale && self.tries == 0 && questions.take(now_ms);
        Way { to: Some(mac), question: is_due.then(|| self.ask(now_ms)) }
    }

    fn ask(&mut self, now_ms: u64) -> Question {
        self.tries += 1;
        self.due_ms = now_ms.saturating_add(RETRY_MS);
        (self.address, self.mac.unwrap_or(BROADCAST))
    }

    /// Keeps a packet, the newest (RFC 1122, 2.3.2.2). One that is longer than the MTU would make the buffer grow.
    fn wait(&mut self, frame: &[u8]) {
        self.waiting.clear();
        if frame.len() <= self.waiting.capacity() {
            self.waiting.extend_from_slice(frame);
        }
    }
}
