//! ICMP errors on their way through the NAT: they quote a packet as the other side knew it (RFC 5508, section 4).
//!
//! Of the quoted packet there are its header and eight bytes for certain (RFC 792), perhaps more. What is there of it is
//! translated, its checksums too; a quoted header with options is not.

use crate::Reason;
use crate::flow::{Endpoint, Protocol};
use crate::nat::{self, Change};
use crate::wire::{ETHERNET, Header, IPV4};
use core::net::Ipv4Addr;
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Packet};

/// Bytes of an ICMP header.
const ICMP: usize = 8;

/// The ends of a quoted packet, and where its fields are behind its IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    pub protocol: Protocol,
    pub source: Endpoint,
    pub destination: Endpoint,
    /// An echo's reply.
    is_reply: bool,
}

/// Whether an ICMP message is an error that tells a sender of its packet, other than to take another way.
pub(crate) fn is_error(message: Icmpv4Message) -> bool {
    matches!(message, Icmpv4Message::DstUnreachable | Icmpv4Message::TimeExceeded | Icmpv4Message::ParamProblem)
}

/// Reads the packet that an ICMP error quotes.
pub(crate) fn parse(header: &Header, frame: &[u8]) -> Result<Quote, Reason> {
    let bytes = header.payload(frame);
    let icmp = Icmpv4Packet::new_checked(bytes).map_err(|_| Reason::Malformed)?;
    if !icmp.verify_checksum() {
        return Err(Reason::Checksum);
    }
    let quoted = bytes.get(ICMP..).unwrap_or_default();
    let (head, rest) = quoted.split_first_chunk::<IPV4>().ok_or(Reason::Malformed)?;
    // Not `new_checked`: the quoted total length is that of the whole packet. The fields are all in the header.
    let ip = Ipv4Packet::new_unchecked(head);
    if ip.version() != 4 || usize::from(ip.header_len()) != IPV4 || ip.frag_offset() != 0 {
        return Err(Reason::Protocol);
    }
    let [a, b, c, d, i, j, _, _, ..] = *rest else { return Err(Reason::Malformed) };
    let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let ident = u16::from_be_bytes([i, j]);
    let is_reply = ip.next_header() == IpProtocol::Icmp && a == u8::from(Icmpv4Message::EchoReply);
    let is_request = ip.next_header() == IpProtocol::Icmp && a == u8::from(Icmpv4Message::EchoRequest);
    let (protocol, source, destination) = match ip.next_header() {
        IpProtocol::Tcp => (Protocol::Tcp, source, destination),
        IpProtocol::Udp => (Protocol::Udp, source, destination),
        _ if is_request => (Protocol::Icmp, ident, 0),
        _ if is_reply => (Protocol::Icmp, 0, ident),
        _ => return Err(Reason::Protocol),
    };
    let (source, destination) = (Endpoint::new(ip.src_addr(), source), Endpoint::new(ip.dst_addr(), destination));
    Ok(Quote { protocol, source, destination, is_reply })
}

/// Gives the quoted packet other ends and the error another source and destination.
pub(crate) fn rewrite(
    frame: &mut [u8],
    end: usize,
    before: &Quote,
    quoted: (Endpoint, Endpoint),
    outer: (Ipv4Addr, Ipv4Addr),
) -> Result<(), Reason> {
    let bytes = frame.get_mut(ETHERNET..end).ok_or(Reason::Malformed)?;
    let mut ip = Ipv4Packet::new_checked(bytes).map_err(|_| Reason::Malformed)?;
    nat::readdress(&mut ip, outer.0, outer.1);
    let payload = ip.payload_mut();
    let inner = payload.get_mut(ICMP..).unwrap_or_default();
    let (head, rest) = inner.split_first_chunk_mut::<IPV4>().ok_or(Reason::Malformed)?;
    let change = rewrite_header(head, quoted.0.address, quoted.1.address);
    rewrite_payload(rest, before, change, quoted.0.port, quoted.1.port);
    let mut icmp = Icmpv4Packet::new_checked(payload).map_err(|_| Reason::Malformed)?;
    icmp.fill_checksum();
    Ok(())
}

fn rewrite_header(head: &mut [u8; IPV4], source: Ipv4Addr, destination: Ipv4Addr) -> Change {
    let mut ip = Ipv4Packet::new_unchecked(&mut head[..]);
    let mut change = Change::default();
    change.address(ip.src_addr(), source);
    change.address(ip.dst_addr(), destination);
    ip.set_src_addr(source);
    ip.set_dst_addr(destination);
    ip.set_checksum(change.apply(ip.checksum()));
    change
}

fn rewrite_payload(rest: &mut [u8], before: &Quote, mut change: Change, source: u16, destination: u16) {
    match before.protocol {
        Protocol::Tcp | Protocol::Udp => {
            change.word(before.source.port, source);
            change.word(before.destination.port, destination);
            put(rest, 0, |_| source);
            put(rest, 2, |_| destination);
            match before.protocol {
                Protocol::Udp => put(rest, 6, |checksum| change.apply_udp(checksum)),
                // Beyond the eight bytes: not there in every quote.
                _ => put(rest, 16, |checksum| change.apply(checksum)),
            }
        }
        Protocol::Icmp => {
            let (old, new) = match before.is_reply {
                true => (before.destination.port, destination),
                false => (before.source.port, source),
            };
            let mut change = Change::default();
            change.word(old, new);
            put(rest, 2, |checksum| change.apply(checksum));
            put(rest, 4, |_| new);
        }
    }
}

/// Changes the word at an offset, if it is there.
fn put(bytes: &mut [u8], at: usize, change: impl FnOnce(u16) -> u16) {
    if let Some(word) = bytes.get_mut(at..).and_then(|tail| tail.first_chunk_mut::<2>()) {
        *word = change(u16::from_be_bytes(*word)).to_be_bytes();
    }
}
