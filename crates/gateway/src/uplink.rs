//! [`Uplink`]: the gateway as a host on the network outside: its address, its neighbours, and what it asks them.

mod neighbours;

use crate::counters::Done;
use crate::dhcp::client::{Action, Client};
use crate::dhcp::lease::Lease;
use crate::limit::Limit;
use crate::random::Random;
use crate::wire::{self, Mac};
use crate::{Out, Reason, arp};
use core::net::Ipv4Addr;
use neighbours::Neighbours;

/// The board's network device.
pub(crate) struct Uplink {
    pub mac: Mac,
    pub client: Client,
    /// How often it answers pings.
    pub echoes: Limit,
    neighbours: Neighbours,
}

impl Uplink {
    /// One with this lease, or none yet.
    pub fn new(mac: Mac, lease: Option<Lease>) -> Self {
        Self { mac, client: Client::new(mac, lease), echoes: Limit::default(), neighbours: Neighbours::new() }
    }

    /// The lease in use.
    pub fn lease(&self) -> Option<&Lease> {
        self.client.lease()
    }

    /// When [`Self::poll`] has something to do.
    pub fn due_ms(&self) -> u64 {
        self.neighbours.due_ms().unwrap_or(u64::MAX).min(self.client.due_ms())
    }

    /// Packets that waited in vain since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        self.neighbours.take_lost()
    }

    /// Asks the neighbours again who have not answered; the rest of what is due is returned.
    pub fn poll(&mut self, now_ms: u64, random: &mut Random, out: &mut impl Out) -> Action {
        // Each question moves its neighbour's next one into the future.
        while let Some((address, to)) = self.neighbours.poll(now_ms) {
            self.question(address, to, out);
        }
        self.client.poll(now_ms, random)
    }

    /// Sends the DHCP client's question.
    pub fn ask(&mut self, now_ms: u64, out: &mut impl Out) {
        let (mut draft, server) = self.client.draft();
        let hop = server.and_then(|server| self.lease()?.next_hop(server));
        match hop {
            // If its address is not known, the question waits for it, or is lost: the client asks again.
            Some(hop) => drop(self.send(hop, draft.frame(), now_ms, out)),
            None => out.to_uplink(draft.frame()),
        }
    }

    /// Sends a complete IPv4 packet to a station on the network, or keeps it until its address is known.
    pub fn send(&mut self, hop: Ipv4Addr, frame: &mut [u8], now_ms: u64, out: &mut impl Out) -> Result<Done, Reason> {
        let lease = self.client.lease();
        let pinned = lease.map_or([None; 2], |lease| [lease.router, lease.dns]);
        let way = self.neighbours.find(hop, &pinned, frame, now_ms)?;
        if let Some((address, to)) = way.question {
            self.question(address, to, out);
        }
        if let Some(to) = way.to {
            wire::address(frame, self.mac, to);
            out.to_uplink(frame);
        }
        Ok(Done::Forwarded)
    }

    fn question(&self, address: Ipv4Addr, to: Mac, out: &mut impl Out) {
        if let Some(lease) = self.lease() {
            out.to_uplink(arp::request((self.mac, lease.address), address, to).frame());
        }
    }

    /// An ARP message from the network.
    pub fn hear(&mut self, message: &arp::Message, now_ms: u64, out: &mut impl Out) -> Result<Done, Reason> {
        let own = self.lease().ok_or(Reason::NoRoute)?.address;
        let (mac, address) = message.sender;
        if address == own || mac == self.mac {
            return Err(Reason::Source);
        }
        let from = self.mac;
        self.neighbours.learn(address, mac, now_ms, |frame| {
            wire::address(frame, from, mac);
            out.to_uplink(frame);
        });
        if message.is_request && message.target == own {
            out.to_uplink(message.answer(self.mac).frame());
        }
        Ok(Done::Answered)
    }

    /// The address is another one, or none: nobody is where they were.
    pub fn forget_neighbours(&mut self) {
        self.neighbours.clear();
    }
}
