//! [`Gateway`]: takes frames and the time, and hands them to what they are for.

mod inside;

use crate::counters::{Done, From};
use crate::limit::Limit;
use crate::wire::Mac;
use crate::{Counters, Out, Reason, Slots};
use abi::plan::{Network, Nic};
use alloc::boxed::Box;
use core::net::Ipv4Addr;
use smoltcp::wire::Ipv4Cidr;

/// The router of the board's partitions.
pub struct Gateway<'r, S: Slots> {
    inside: Inside,
    counters: Counters,
    record: &'r S,
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
}

impl<'r, S: Slots> Gateway<'r, S> {
    /// A gateway for the devices of `ports`, by their numbers, as the last life of the service left it in `record`.
    ///
    /// `uplink` is the MAC address of the board's network device, if it leads out. `random` is secret and new in each
    /// life: from it come port numbers, transaction numbers and delays. This allocates all that the gateway ever needs.
    pub fn new(config: &Network, ports: &[Nic], uplink: Option<[u8; 6]>, record: &'r S, random: u64) -> Self {
        let _ = (uplink, random);
        Self { inside: Inside::new(config, ports), counters: Counters::new(ports.len()), record }
    }

    /// Takes a frame from a port, for the gateway's MAC address or broadcast, up to 64 KiB, whose checksums are complete.
    ///
    /// `now_ms` counts from the board's start, so that it means the same in the next life of the service.
    pub fn from_port(&mut self, port: usize, frame: &mut [u8], now_ms: u64, out: &mut impl Out) {
        let outcome = self.take_from_port(port, frame, now_ms, out);
        self.counters.count(From::Port(port), outcome);
    }

    /// Takes a frame from the uplink.
    pub fn from_uplink(&mut self, frame: &mut [u8], now_ms: u64, out: &mut impl Out) {
        let _ = (frame, now_ms, out, self.record.count());
        let outcome: Result<Done, Reason> = Err(Reason::NoFlow);
        self.counters.count(From::Uplink, outcome);
    }

    /// Does what is due: see [`Self::next_event`].
    pub fn poll(&mut self, now_ms: u64, out: &mut impl Out) {
        let _ = (now_ms, out);
    }

    /// When [`Self::poll`] has something to do, in milliseconds since the board's start; `None`: never by itself.
    pub fn next_event(&self) -> Option<u64> {
        None
    }

    /// What became of all frames.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
