//! [`Flow`]: one conversation through the NAT, and how long it may be silent.
//!
//! A TCP flow knows of its connection what the timeouts need (RFC 5382): who began it, whether the other side has
//! answered, both FINs, a RST. It does not know sequence numbers.

use crate::record::CONTENT;
use core::net::Ipv4Addr;

/// An address and a port, or the identifier of an ICMP echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub address: Ipv4Addr,
    pub port: u16,
}

impl Endpoint {
    pub const fn new(address: Ipv4Addr, port: u16) -> Self {
        Self { address, port }
    }
    /// As one number, for hashes.
    pub fn to_bits(self) -> u64 {
        u64::from(self.address.to_bits()) << 16 | u64::from(self.port)
    }
}

/// What the NAT translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Protocol {
    Icmp = 1,
    Tcp = 6,
    Udp = 17,
}

impl From<abi::plan::Protocol> for Protocol {
    fn from(protocol: abi::plan::Protocol) -> Self {
        match protocol {
            abi::plan::Protocol::Tcp => Self::Tcp,
            abi::plan::Protocol::Udp => Self::Udp,
        }
    }
}

/// A side of the NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Inside,
    Outside,
}

/// The flags of a TCP segment; all false for other protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
}

impl Segment {
    /// Whether it opens a connection.
    pub fn opens(self) -> bool {
        self.syn && !self.ack && !self.rst && !self.fin
    }
}

/// How far a flow is. The weaker class gives way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    HalfOpen,
    Unanswered,
    Echo,
    Closing,
    Answered,
    Open,
}

impl Class {
    /// All, weakest first.
    pub const ALL: [Self; 6] =
        [Self::HalfOpen, Self::Unanswered, Self::Echo, Self::Closing, Self::Answered, Self::Open];

    /// How long it may be silent: RFC 5382 (REQ-5), RFC 4787 (REQ-5), RFC 5508 (REQ-2 asks for 60 s; half of it is
    /// plenty on this side of one router, and keeps the table short).
    pub const fn timeout_s(self) -> u32 {
        match self {
            Self::HalfOpen | Self::Closing => 120,
            Self::Unanswered => 60,
            Self::Echo => 30,
            Self::Answered => 300,
            Self::Open => 2 * 60 * 60 + 4 * 60,
        }
    }
}

/// What happened in a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State(u8);

impl State {
    const FROM_OUTSIDE: u8 = 1;
    const ANSWERED: u8 = 2;
    const ESTABLISHED: u8 = 4;
    const FIN_INSIDE: u8 = 8;
    const FIN_OUTSIDE: u8 = 16;
    const BOTH_FINS: u8 = Self::FIN_INSIDE | Self::FIN_OUTSIDE;
    const RESET: u8 = 32;
    const VIA_GATEWAY: u8 = 64;

    /// A flow that begins on this side.
    pub fn begun(side: Side) -> Self {
        Self(if side == Side::Outside { Self::FROM_OUTSIDE } else { 0 })
    }
    /// A flow that the inside addressed to the gateway.
    pub fn via_gateway(self) -> Self {
        Self(self.0 | Self::VIA_GATEWAY)
    }
    pub fn is_via_gateway(self) -> bool {
        self.has(Self::VIA_GATEWAY)
    }
    const fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    pub fn class(self, protocol: Protocol) -> Class {
        match protocol {
            Protocol::Icmp => Class::Echo,
            Protocol::Udp if self.has(Self::ANSWERED) => Class::Answered,
            Protocol::Udp => Class::Unanswered,
            Protocol::Tcp if self.has(Self::RESET) || self.has(Self::BOTH_FINS) => Class::Closing,
            Protocol::Tcp if self.has(Self::ESTABLISHED) => Class::Open,
            Protocol::Tcp => Class::HalfOpen,
        }
    }

    /// After a packet from `side`.
    pub fn after(self, side: Side, segment: Segment) -> Self {
        let is_first = (side == Side::Outside) == self.has(Self::FROM_OUTSIDE);
        let mut bits = self.0;
        if is_first && segment.opens() {
            // The same ports, a new connection: RFC 6191 allows it once the old one is over.
            bits &= Self::FROM_OUTSIDE | Self::VIA_GATEWAY;
        }
        if !is_first {
            bits |= Self::ANSWERED;
        } else if segment.ack && !segment.syn && bits & Self::ANSWERED != 0 {
            bits |= Self::ESTABLISHED;
        }
        if segment.fin {
            bits |= if side == Side::Inside { Self::FIN_INSIDE } else { Self::FIN_OUTSIDE };
        }
        if segment.rst {
            bits |= Self::RESET;
        }
        Self(bits)
    }
}

/// One conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub protocol: Protocol,
    /// Whose it is.
    pub port: u8,
    pub inside: Endpoint,
    /// The port or identifier that stands for the inside's, at the uplink's address.
    pub outside: u16,
    /// The other end, as the outside knows it. Port 0 for ICMP.
    pub remote: Endpoint,
    pub state: State,
    /// When its last packet passed, in seconds since the board's start.
    pub seen_s: u32,
}

impl Flow {
    pub fn class(&self) -> Class {
        self.state.class(self.protocol)
    }

    /// Whether it was silent for too long. The clock only runs forward, so a flow from the future is none.
    pub fn is_over(&self, now_s: u32) -> bool {
        now_s.checked_sub(self.seen_s).is_none_or(|silent| silent > self.class().timeout_s())
    }

    /// The other end, as the inside knows it.
    pub fn remote_inside(&self, gateway: Ipv4Addr) -> Endpoint {
        match self.state.is_via_gateway() {
            true => Endpoint { address: gateway, ..self.remote },
            false => self.remote,
        }
    }

    /// For a slot, with the uplink's address.
    pub fn to_bytes(self, uplink: Ipv4Addr) -> [u8; CONTENT] {
        let inside = self.inside.address.octets();
        let remote = self.remote.address.octets();
        let uplink = uplink.octets();
        let [i, j] = self.inside.port.to_be_bytes();
        let [o, p] = self.outside.to_be_bytes();
        let [r, s] = self.remote.port.to_be_bytes();
        let mut bytes = [0; CONTENT];
        let parts: [&[u8]; 6] =
            [&[self.protocol as u8, self.port, self.state.0], &inside, &[i, j, o, p], &remote, &[r, s], &uplink];
        let seen = self.seen_s.to_be_bytes();
        let flat = parts.into_iter().chain([&seen[..]]).flatten();
        for (at, byte) in bytes.iter_mut().zip(flat) {
            *at = *byte;
        }
        bytes
    }

    /// The reverse, with the uplink's address; `None` if a value is none that the gateway would write.
    pub fn from_bytes(bytes: &[u8; CONTENT]) -> Option<(Self, Ipv4Addr)> {
        let [protocol, port, state, rest @ ..] = *bytes;
        let [a, b, c, d, i, j, o, p, rest @ ..] = rest;
        let [w, x, y, z, r, s, rest @ ..] = rest;
        let [u0, u1, u2, u3, s0, s1, s2, s3, _, _] = rest;
        let protocol = match protocol {
            1 => Protocol::Icmp,
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            _ => return None,
        };
        let flow = Self {
            protocol,
            port,
            inside: Endpoint::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([i, j])),
            outside: u16::from_be_bytes([o, p]),
            remote: Endpoint::new(Ipv4Addr::new(w, x, y, z), u16::from_be_bytes([r, s])),
            state: State(state),
            seen_s: u32::from_be_bytes([s0, s1, s2, s3]),
        };
        let has_ports = protocol == Protocol::Icmp || (flow.inside.port != 0 && flow.outside != 0);
        has_ports.then_some((flow, Ipv4Addr::new(u0, u1, u2, u3)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const SYN: Segment = Segment { syn: true, ack: false, fin: false, rst: false };
    const SYN_ACK: Segment = Segment { ack: true, ..SYN };
    const ACK: Segment = Segment { syn: false, ..SYN_ACK };
    const FIN: Segment = Segment { fin: true, ..ACK };
    const RST: Segment = Segment { rst: true, ..ACK };

    fn class(first: Side, packets: &[(Side, Segment)]) -> Class {
        let state = packets.iter().fold(State::begun(first), |state, (side, segment)| state.after(*side, *segment));
        state.class(Protocol::Tcp)
    }

    #[test]
    fn a_connection_is_open_after_three_packets_and_closing_after_both_fins() {
        use Side::{Inside, Outside};
        for (first, other) in [(Inside, Outside), (Outside, Inside)] {
            let mut packets = vec![(first, SYN)];
            let mut step = |packet| {
                packets.push(packet);
                class(first, &packets)
            };
            assert_eq!(step((first, ACK)), Class::HalfOpen, "nobody answered");
            assert_eq!(step((other, SYN_ACK)), Class::HalfOpen);
            assert_eq!(step((first, ACK)), Class::Open);
            assert_eq!(step((other, FIN)), Class::Open, "half closed");
            assert_eq!(step((first, FIN)), Class::Closing);
            assert_eq!(step((first, SYN)), Class::HalfOpen, "used again");
            assert_eq!(step((other, RST)), Class::Closing);
        }
    }

    #[test]
    fn bytes_hold_all_of_it() {
        let flow = Flow {
            protocol: Protocol::Tcp,
            port: 3,
            inside: Endpoint::new(Ipv4Addr::new(10, 1, 2, 3), 0x1234),
            outside: 0x5678,
            remote: Endpoint::new(Ipv4Addr::new(8, 7, 6, 5), 0x9abc),
            state: State(0x47),
            seen_s: 0xdead_beef,
        };
        let uplink = Ipv4Addr::new(192, 168, 1, 2);
        assert_eq!(Flow::from_bytes(&flow.to_bytes(uplink)), Some((flow, uplink)));
    }
}
