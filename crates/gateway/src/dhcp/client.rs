//! The DHCP client of the uplink (RFC 2131, 4.4): when to ask what, and what to make of the answers.
//!
//! It decides only; the uplink sends. A lease that the service's last life had is used on without asking anew. Not done:
//! asking by ARP whether an address is used already, and giving a lease back.

use super::lease::Lease;
use super::{CLIENT, LEAST, Message, SERVER};
use crate::random::Random;
use crate::wire::{BROADCAST, Draft, Envelope, Mac};
use core::net::Ipv4Addr;
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress};

/// First wait for an answer, doubled each time up to the longest, each a second more or less.
const FIRST_MS: u64 = 4000;
const LONGEST_MS: u64 = 64_000;
/// How often an offer is asked for before looking for another.
const REQUESTS: u32 = 4;
/// Shortest time between two questions about a lease in use.
const RENEW_MS: u64 = 60_000;
/// Mask, router, DNS, lease time, T1, T2.
const WANTED: &[u8] = &[1, 3, 6, 51, 58, 59];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Looks for offers.
    Selecting,
    /// Has asked for one.
    Requesting(Lease),
    /// Has a lease.
    Bound(Lease),
    /// Has asked its server for a longer one.
    Renewing(Lease),
    /// Has asked any server.
    Rebinding(Lease),
}

/// What the uplink must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    None,
    /// Send [`Client::draft`].
    Send,
    /// Use this lease.
    Bind(Lease),
    /// There is none any more.
    Lose,
}

/// The client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    mac: Mac,
    state: State,
    transaction: u32,
    /// Questions in this state.
    tries: u32,
    /// When the last one was sent.
    asked_s: u32,
    /// When to do something.
    due_ms: u64,
}

impl Client {
    /// A client that has this lease, or looks for one at once.
    pub fn new(mac: Mac, lease: Option<Lease>) -> Self {
        let state = lease.map_or(State::Selecting, State::Bound);
        Self { mac, state, transaction: 0, tries: 0, asked_s: 0, due_ms: 0 }
    }

    /// When [`Self::poll`] has something to do.
    pub fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// The lease in use.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) => Some(lease),
            State::Selecting | State::Requesting(_) => None,
        }
    }

    pub fn poll(&mut self, now_ms: u64, random: &mut Random) -> Action {
        if now_ms < self.due_ms {
            return Action::None;
        }
        match self.state {
            State::Requesting(_) if self.tries >= REQUESTS => self.enter(State::Selecting),
            State::Selecting | State::Requesting(_) => {}
            State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) => {
                // A lease from the future is a broken record's.
                if now_ms >= lease.end_ms() || now_ms < lease.start_ms() {
                    return self.lose(now_ms);
                }
                if now_ms < lease.renew_ms() {
                    self.due_ms = lease.renew_ms();
                    return Action::None;
                }
                let is_rebinding = now_ms >= lease.rebind_ms();
                self.enter(if is_rebinding { State::Rebinding(lease) } else { State::Renewing(lease) });
            }
        }
        self.ask(now_ms, random);
        Action::Send
    }

    /// Judges an answer; one that nobody asked for changes nothing.
    pub fn receive(&mut self, message: &Message, now_ms: u64, random: &mut Random) -> Action {
        if message.client != self.mac || message.transaction != self.transaction || self.tries == 0 {
            return Action::None;
        }
        match (self.state, message.kind) {
            (State::Selecting, DhcpMessageType::Offer) => {
                let Some(lease) = Lease::new(message, seconds(now_ms)) else { return Action::None };
                self.enter(State::Requesting(lease));
                self.ask(now_ms, random);
                Action::Send
            }
            (State::Requesting(asked) | State::Renewing(asked), kind) if message.server == Some(asked.server) => {
                self.conclude(kind, message, now_ms)
            }
            (State::Rebinding(_), kind) => self.conclude(kind, message, now_ms),
            _ => Action::None,
        }
    }

    fn conclude(&mut self, kind: DhcpMessageType, message: &Message, now_ms: u64) -> Action {
        match kind {
            DhcpMessageType::Ack => {
                // A lease counts from the moment at which it was asked for.
                let Some(lease) = Lease::new(message, self.asked_s) else { return Action::None };
                self.enter(State::Bound(lease));
                self.due_ms = lease.renew_ms();
                Action::Bind(lease)
            }
            // Not at once: the server may say so again and again.
            DhcpMessageType::Nak => self.lose(now_ms.saturating_add(FIRST_MS)),
            _ => Action::None,
        }
    }

    fn lose(&mut self, due_ms: u64) -> Action {
        self.enter(State::Selecting);
        self.due_ms = due_ms;
        Action::Lose
    }

    fn enter(&mut self, state: State) {
        if core::mem::discriminant(&state) != core::mem::discriminant(&self.state) {
            self.tries = 0;
        }
        self.state = state;
    }

    /// Notes that a question goes out now.
    fn ask(&mut self, now_ms: u64, random: &mut Random) {
        // The request for an offer has the offer's number.
        if !matches!(self.state, State::Requesting(_)) {
            self.transaction = random.next() as u32;
        }
        let wait_ms = match self.state {
            State::Selecting | State::Requesting(_) => {
                let wait_ms = FIRST_MS.checked_shl(self.tries).unwrap_or(LONGEST_MS).clamp(FIRST_MS, LONGEST_MS);
                wait_ms.saturating_sub(1000).saturating_add(random.below(2000))
            }
            // RFC 2131, 4.4.5: half of the time that is left, but no less than a minute.
            State::Bound(lease) | State::Renewing(lease) => extension_ms(lease.rebind_ms(), now_ms),
            State::Rebinding(lease) => extension_ms(lease.end_ms(), now_ms),
        };
        self.due_ms = now_ms.saturating_add(wait_ms);
        self.tries = self.tries.saturating_add(1).min(16);
        self.asked_s = seconds(now_ms);
    }

    /// The question, and the server to which it goes; to all if there is none.
    pub fn draft(&self) -> (Draft, Option<Ipv4Addr>) {
        let none = Ipv4Addr::UNSPECIFIED;
        let (kind, has, requested, server) = match self.state {
            State::Selecting => (DhcpMessageType::Discover, none, None, None),
            State::Requesting(lease) => (DhcpMessageType::Request, none, Some(lease.address), Some(lease.server)),
            State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) => {
                (DhcpMessageType::Request, lease.address, None, None)
            }
        };
        let to = if let State::Renewing(lease) = self.state { Some(lease.server) } else { None };
        let question = DhcpRepr {
            message_type: kind,
            transaction_id: self.transaction,
            secs: 0,
            client_hardware_address: EthernetAddress(self.mac),
            client_ip: has,
            your_ip: none,
            server_ip: none,
            router: None,
            subnet_mask: None,
            relay_agent_ip: none,
            broadcast: false,
            requested_ip: requested,
            client_identifier: Some(EthernetAddress(self.mac)),
            server_identifier: server,
            parameter_request_list: Some(WANTED),
            dns_servers: None,
            max_size: Some(1500),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let envelope = Envelope { from: (self.mac, has), to: (BROADCAST, to.unwrap_or(Ipv4Addr::BROADCAST)) };
        let draft = Draft::udp(&envelope, (CLIENT, SERVER), question.buffer_len().max(LEAST), |payload| {
            // It has room for all options: `buffer_len` said so.
            let _ = question.emit(&mut DhcpPacket::new_unchecked(payload));
        });
        (draft, to)
    }
}

/// How long to wait before asking again, until the next state.
fn extension_ms(next_ms: u64, now_ms: u64) -> u64 {
    let left_ms = next_ms.saturating_sub(now_ms);
    (left_ms / 2).max(RENEW_MS).min(left_ms.max(1))
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(u32::MAX)
}
