//! [`Lease`]: what the network outside lends the uplink.

use super::Message;
use crate::record::CONTENT;
use core::net::Ipv4Addr;
use smoltcp::wire::Ipv4Cidr;

/// A lease that never ends (RFC 2131, 3.3).
const FOREVER: u32 = u32::MAX;
/// Shortest time that is believed: a server cannot make the client busy.
const LEAST_S: u32 = 60;

/// An address for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub router: Option<Ipv4Addr>,
    pub dns: Option<Ipv4Addr>,
    /// Who lends it.
    pub server: Ipv4Addr,
    /// When it was asked for, in seconds since the board's start.
    start_s: u32,
    length_s: u32,
    /// T1 and T2 in 1/256 of the length.
    t1: u8,
    t2: u8,
}

/// Where an interface may not have its address: `0/8`, loopback, link-local, multicast, reserved.
pub(crate) fn is_unicast(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first < 224 && !address.is_loopback() && !address.is_link_local()
}

impl Lease {
    /// The lease in an OFFER or ACK; `None` if it cannot be used. `now_s` is when it was asked for.
    pub fn new(message: &Message, now_s: u32) -> Option<Self> {
        let length_s = message.lease_s?.max(LEAST_S);
        let fraction = |part_s: Option<u32>, default: u8| {
            let part = part_s.map(|part_s| u64::from(part_s) * 256 / u64::from(length_s));
            part.and_then(|part| u8::try_from(part).ok()).unwrap_or(default)
        };
        // RFC 2131, 4.4.5: 0.5 and 0.875 of the lease, and T1 is before T2.
        let (t1, t2) = (fraction(message.t1_s, 128), fraction(message.t2_s, 224));
        let (t1, t2) = if t1 >= 1 && t1 < t2 { (t1, t2) } else { (128, 224) };
        let lease = Self {
            address: message.gets,
            prefix: prefix(message.mask, message.gets)?,
            router: message.router.filter(|router| is_unicast(*router)),
            dns: message.dns.filter(|dns| is_unicast(*dns)),
            server: message.server?,
            start_s: now_s,
            length_s,
            t1,
            t2,
        };
        lease.is_usable().then_some(lease)
    }

    fn is_usable(&self) -> bool {
        is_unicast(self.address) && is_unicast(self.server) && (1..=32).contains(&self.prefix)
    }

    /// The network that is reached without a router.
    pub fn network(&self) -> Ipv4Cidr {
        Ipv4Cidr::new(self.address, self.prefix)
    }

    /// Through whom an address is reached: itself, or the router.
    pub fn next_hop(&self, to: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.network().contains_addr(&to) { Some(to) } else { self.router }
    }

    fn after(&self, part: u64) -> u64 {
        if self.length_s == FOREVER {
            return u64::MAX;
        }
        self.start_ms() + u64::from(self.length_s) * part * 1000 / 256
    }
    /// When it was asked for.
    pub fn start_ms(&self) -> u64 {
        u64::from(self.start_s) * 1000
    }
    /// When to ask its server to renew it.
    pub fn renew_ms(&self) -> u64 {
        self.after(self.t1.into())
    }
    /// When to ask any server.
    pub fn rebind_ms(&self) -> u64 {
        self.after(self.t2.into())
    }
    /// When it ends.
    pub fn end_ms(&self) -> u64 {
        self.after(256)
    }

    /// For a slot.
    pub fn to_bytes(self) -> [u8; CONTENT] {
        let mut bytes = [0; CONTENT];
        let none = Ipv4Addr::UNSPECIFIED;
        let words = [
            self.address.to_bits(),
            self.router.unwrap_or(none).to_bits(),
            self.dns.unwrap_or(none).to_bits(),
            self.server.to_bits(),
            self.start_s,
            self.length_s,
        ];
        let flat = [self.prefix, self.t1, self.t2].into_iter().chain(words.into_iter().flat_map(u32::to_be_bytes));
        for (at, byte) in bytes.iter_mut().zip(flat) {
            *at = byte;
        }
        bytes
    }

    /// The reverse; `None` if it is none that could be used.
    pub fn from_bytes(bytes: &[u8; CONTENT]) -> Option<Self> {
        let [prefix, t1, t2, rest @ ..] = bytes;
        let ([address, router, dns, server, start, length], []) = rest.as_chunks::<4>() else { return None };
        let optional = |octets: &[u8; 4]| Some(Ipv4Addr::from_octets(*octets)).filter(|address| is_unicast(*address));
        let lease = Self {
            address: Ipv4Addr::from_octets(*address),
            prefix: *prefix,
            router: optional(router),
            dns: optional(dns),
            server: Ipv4Addr::from_octets(*server),
            start_s: u32::from_be_bytes(*start),
            length_s: u32::from_be_bytes(*length),
            t1: *t1,
            t2: *t2,
        };
        (lease.is_usable() && (1..lease.t2).contains(&lease.t1)).then_some(lease)
    }
}

/// The prefix of a mask; without one, that of the address's class.
fn prefix(mask: Option<Ipv4Addr>, address: Ipv4Addr) -> Option<u8> {
    match mask.map(Ipv4Addr::to_bits) {
        Some(mask) if mask.leading_ones() + mask.trailing_zeros() == 32 => Some(mask.leading_ones() as u8),
        Some(_) => None,
        None => Some(match address.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            _ => 24,
        }),
    }
}
