//! The layer-2 switch between the partitions' network devices and the gateway: where a frame goes, or why nowhere.
//!
//! A port is a partition's network device; the gateway is the service partition's own stack, behind which are DHCP, DNS,
//! NAT and the uplink: the uplink itself is no port, so no frame leaves or enters the board past the gateway.
//!
//! Nothing is learned. The system file fixes the MAC address of every port, and a frame with another source is dropped:
//! all that a learning switch (IEEE 802.1D, section 7.8) could ever learn is known from the start. So no guest can fill a
//! table, take over another's address, or have its frames flooded to ports that they are not for: a destination that
//! nobody has is dropped.
//!
//! A frame from a guest is judged by its first [`HEAD`] bytes, a copy that the guest cannot change meanwhile:
//!
//! - Ethernet (IEEE 802.3): the source is the port's MAC address, and so never a multicast one.
//! - IPv4 (RFC 791): the source is the port's address, or 0.0.0.0 in what a DHCP client broadcasts (RFC 2131, section
//!   4.1). Nobody but the gateway sends from UDP port 67; every first fragment shows its ports, or is dropped.
//! - ARP (RFC 826): the sender is the port itself, or 0.0.0.0 in a probe (RFC 5227, section 2.1.1).
//! - IPv6 is not served, so its addresses are not checked, so it does not pass. Neither does what carries a VLAN tag
//!   (there are no VLANs, and a tag would hide the header behind it), nor any other EtherType.
//! - Broadcast and multicast frames cost every port time, so each port has a budget of [`BROADCASTS_PER_SECOND`].
//!
//! The headers are read by `wire`, not by smoltcp: its checked views want the whole packet, and a head ends before that.
//! What is deliberately not here: the copying, a limit for unicast (the sender's bandwidth), IPv4 checksums (who receives
//! the packet looks), and reassembly.
#![no_std]
#![forbid(unsafe_code)]

mod counters;
mod inspect;
mod wire;

pub use counters::{Counters, Reason};

use abi::plan::{Network, Nic};
use abi::service::MAX_DEVICES;
use core::num::NonZeroU64;
use heapless::Vec;
use inspect::Sender;
use rate::Bucket;
use wire::Mac;

/// Bytes of a frame's beginning that the verdict depends on: Ethernet (14), IPv4 with all its options (60) and the ports
/// (8) fit, and a cache line or two hold them.
pub const HEAD: usize = 128;
/// Longest frame: an Ethernet header, and the 65,535 bytes that an IPv4 packet can have before TCP segmentation.
pub const MAX_FRAME: usize = wire::ETHERNET + 65_535;
/// Frames to more than one destination that a port may send per second. ARP and DHCP need a few per minute.
pub const BROADCASTS_PER_SECOND: NonZeroU64 = NonZeroU64::new(1_000).expect("1,000 is not 0");
/// How many of them at once.
pub const BROADCAST_BURST: u64 = 100;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To this port.
    To(usize),
    /// To the gateway.
    Gateway,
    /// To all ports but the one it came from, and to the gateway unless it came from there.
    Flood,
    /// Nowhere.
    Drop(Reason),
}

/// The switch.
#[derive(Clone, Debug)]
pub struct Switch {
    gateway: Mac,
    ports: Vec<Port, MAX_DEVICES>,
}

#[derive(Clone, Debug)]
struct Port {
    sender: Sender,
    broadcasts: Bucket,
    counters: Counters,
}

impl Switch {
    /// Of `network`, with a port for each of `nics`, at its index; times will be in ticks of a counter with `counter_hz`.
    pub fn new(network: &Network, nics: &[Nic], counter_hz: u64) -> Self {
        let port = |nic: &Nic| Port {
            sender: Sender { mac: nic.mac, ip: nic.ip },
            broadcasts: Bucket::new(BROADCASTS_PER_SECOND, BROADCAST_BURST, counter_hz),
            counters: Counters::default(),
        };
        // A system has no more devices than that.
        let ports = nics.iter().take(MAX_DEVICES).map(port).collect();
        Self { gateway: network.mac, ports }
    }

    /// Judges a frame of `frame_len` bytes that the guest at port `from` sends, and counts it. `head` is a copy of its
    /// first bytes: [`HEAD`], or all that there are.
    pub fn judge(&mut self, from: usize, head: &[u8], frame_len: usize, now_ticks: u64) -> Verdict {
        let Some(Port { sender, .. }) = self.ports.get(from) else { return Verdict::Drop(Reason::Port) };
        let verdict = inspect::guest(head, frame_len, sender)
            .and_then(|frame| self.forward(from, &frame, now_ticks))
            .unwrap_or_else(Verdict::Drop);
        if let Some(port) = self.ports.get_mut(from) {
            port.counters.count(verdict);
        }
        verdict
    }

    /// Whether this port has this MAC address.
    pub fn is_port(&self, port: usize, mac: [u8; 6]) -> bool {
        self.ports.get(port).is_some_and(|port| port.sender.mac == mac)
    }

    /// Whether a frame that begins so is the gateway's alone.
    pub fn is_for_gateway(&self, head: &[u8]) -> bool {
        head.starts_with(&self.gateway)
    }

    /// What happened to the frames of a port.
    pub fn counters(&self, port: usize) -> Option<&Counters> {
        self.ports.get(port).map(|port| &port.counters)
    }

    fn forward(&mut self, from: usize, frame: &inspect::Frame, now_ticks: u64) -> Result<Verdict, Reason> {
        let destination = &frame.ethernet.destination;
        if wire::is_multicast(destination) {
            let port = self.ports.get_mut(from).ok_or(Reason::Port)?;
            port.broadcasts.take(1, now_ticks).map_err(|_| Reason::Storm)?;
            // The other guests serve no DHCP, and need not see who asks for what.
            return Ok(if frame.is_dhcp_request { Verdict::Gateway } else { Verdict::Flood });
        }
        if *destination == self.gateway {
            return Ok(Verdict::Gateway);
        }
        // A frame to its own sender is nothing that a switch forwards.
        self.port_of(destination).filter(|port| *port != from).map(Verdict::To).ok_or(Reason::Destination)
    }

    fn port_of(&self, mac: &Mac) -> Option<usize> {
        self.ports.iter().position(|port| port.sender.mac == *mac)
    }
}
