//! [`Gateway`]: takes frames and the time, and hands them to what they are for.

mod inside;
mod outside;
mod route;

use crate::counters::Origin;
use crate::dhcp::client::Action;
use crate::dhcp::lease::Lease;
use crate::flow::{Endpoint, Protocol};
use crate::flows::Flows;
use crate::limit::Limit;
use crate::random::Random;
use crate::record::{self, Kind};
use crate::uplink::Uplink;
use crate::wire::Mac;
use crate::{Counters, Out, Slots, dhcp};
use abi::plan::{MAX_FORWARDS, Network, Nic};
use alloc::boxed::Box;
use core::net::Ipv4Addr;
use smoltcp::wire::Ipv4Cidr;

/// The lease's slot; the flows have all others.
const LEASE_SLOT: usize = 0;

/// The router of the board's partitions.
pub struct Gateway<'r, S: Slots> {
    inside: Inside,
    uplink: Option<Uplink>,
    flows: Flows<'r, S>,
    counters: Counters,
    record: &'r S,
    random: Random,
}

/// The partitions' side.
struct Inside {
    mac: Mac,
    address: Ipv4Addr,
    subnet: Ipv4Cidr,
    ports: Box<[Port]>,
}

/// A network device of a partition.
#[derive(Clone, Copy)]
struct Port {
    mac: Mac,
    address: Ipv4Addr,
    /// How often it hears of its errors.
    errors: Limit,
}

impl Inside {
    fn new(config: &Network, ports: &[Nic]) -> Self {
        let address = Ipv4Addr::from_octets(config.gateway);
        let port = |nic: &Nic| Port { mac: nic.mac, address: Ipv4Addr::from_octets(nic.ip), errors: Limit::default() };
        Self {
            mac: config.mac,
            address,
            // A prefix above 32 would make smoltcp panic; the plan is not believed that far.
            subnet: Ipv4Cidr::new(address, config.prefix.min(32)),
            ports: ports.iter().map(port).collect(),
        }
    }

    /// The port that has this address.
    fn port_of(&self, address: Ipv4Addr) -> Option<usize> {
        self.ports.iter().position(|port| port.address == address)
    }

    /// Whether the uplink may have this lease: the networks of both sides have no address in common.
    fn may_bind(&self, lease: &Lease) -> bool {
        let outside = lease.network();
        !outside.contains_addr(&self.address) && !self.subnet.contains_addr(&lease.address)
    }
}

impl<'r, S: Slots> Gateway<'r, S> {
    /// A gateway for the devices of `ports`, by their numbers, as the last life of the service left it in `record`.
    ///
    /// `uplink` is the MAC address of the board's network device, if it leads out. `random` is secret and new in each
    /// life: from it come port numbers, transaction numbers and delays. This allocates all that the gateway ever needs.
    pub fn new(config: &Network, ports: &[Nic], uplink: Option<Mac>, record: &'r S, random: u64) -> Self {
        let mut random = Random::new(random);
        let inside = Inside::new(config, ports);
        let mac = uplink.filter(|_| config.has_uplink);
        let lease = record::read(record, LEASE_SLOT, Kind::Lease).and_then(|bytes| Lease::from_bytes(&bytes));
        let lease = lease.filter(|lease| mac.is_some() && inside.may_bind(lease));
        let mut flows = Flows::new(record, ports.len(), inside.address, MAX_FORWARDS + 1, &mut random);
        // The DHCP client's own port, for nobody inside.
        flows.forward(Protocol::Udp, dhcp::CLIENT, Endpoint::new(Ipv4Addr::UNSPECIFIED, dhcp::CLIENT));
        for forward in &config.forwards {
            let to = Endpoint::new(Ipv4Addr::from_octets(forward.to), forward.inside);
            flows.forward(forward.protocol.into(), forward.outside, to);
        }
        let is_ours = |port: usize, address| inside.ports.get(port).is_some_and(|port| port.address == address);
        flows.restore(lease.map(|lease| lease.address), is_ours);
        Self {
            counters: Counters::new(ports.len()),
            uplink: mac.map(|mac| Uplink::new(mac, lease)),
            inside,
            flows,
            record,
            random,
        }
    }

    /// Takes a frame from a port, for the gateway's MAC address or broadcast, up to 64 KiB, whose checksums are complete.
    ///
    /// `now_ms` counts from the board's start, so that it means the same in the next life of the service. The frame is
    /// changed in place.
    pub fn from_port(&mut self, port: usize, frame: &mut [u8], now_ms: u64, out: &mut impl Out) {
        let outcome = self.take_from_port(port, frame, now_ms, out);
        self.counters.count(Origin::Port(port), outcome);
        self.count_lost();
    }

    /// Takes a frame from the uplink, likewise.
    pub fn from_uplink(&mut self, frame: &mut [u8], now_ms: u64, out: &mut impl Out) {
        let outcome = self.take_from_uplink(frame, now_ms, out);
        self.counters.count(Origin::Uplink, outcome);
        self.count_lost();
    }

    /// Does what is due: see [`Self::next_event`]. Harmless at any other time.
    pub fn poll(&mut self, now_ms: u64, out: &mut impl Out) {
        (0..self.inside.ports.len()).for_each(|port| self.flows.reap(port, seconds(now_ms)));
        let Some(uplink) = &mut self.uplink else { return };
        let action = uplink.poll(now_ms, &mut self.random, out);
        self.act(action, now_ms, out);
        self.count_lost();
    }

    /// When [`Self::poll`] has something to do, in milliseconds since the board's start; `None`: never by itself.
    ///
    /// The uplink's lease and unanswered ARP questions only: flows end when they are looked for.
    pub fn next_event(&self) -> Option<u64> {
        self.uplink.as_ref().map(Uplink::due_ms).filter(|due_ms| *due_ms != u64::MAX)
    }

    /// The uplink's address, while it has one.
    pub fn uplink_address(&self) -> Option<Ipv4Addr> {
        Some(self.uplink.as_ref()?.lease()?.address)
    }

    /// What became of all frames.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn count_lost(&mut self) {
        let lost = self.uplink.as_mut().map_or(0, Uplink::take_lost);
        self.counters.lose(lost);
    }

    /// Does what the uplink's DHCP client says.
    fn act(&mut self, action: Action, now_ms: u64, out: &mut impl Out) {
        let Some(uplink) = &mut self.uplink else { return };
        match action {
            Action::None => {}
            Action::Send => uplink.ask(now_ms, out),
            Action::Bind(lease) => {
                record::save(self.record, LEASE_SLOT, Kind::Lease, &lease.to_bytes());
                if self.flows.readdress(lease.address) {
                    uplink.forget_neighbours();
                }
            }
            Action::Lose => {
                uplink.forget_neighbours();
                record::clear(self.record, LEASE_SLOT);
            }
        }
    }
}

/// Seconds since the board's start: 136 years fit.
fn seconds(now_ms: u64) -> u32 {
    u32::try_from(now_ms / 1000).unwrap_or(u32::MAX)
}
