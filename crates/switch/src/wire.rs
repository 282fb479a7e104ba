//! The headers that the switch reads, at their places in a head; what is missing is [`Reason::Truncated`].

use crate::{MAX_FRAME, Reason};

/// A MAC address.
pub type Mac = [u8; 6];
/// An IPv4 address.
pub type Ip = [u8; 4];

/// Bytes of an Ethernet header (IEEE 802.3, clause 3).
pub const ETHERNET: usize = 14;
/// EtherTypes (IEEE 802 Numbers).
pub const TYPE_IPV4: u16 = 0x0800;
pub const TYPE_ARP: u16 = 0x0806;
pub const TYPE_IPV6: u16 = 0x86dd;
/// Those of tags: 802.1Q, 802.1ad, and QinQ before that.
pub const TYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// IPv4's protocol number of UDP.
pub const UDP: u8 = 17;

/// The group bit: multicast or broadcast.
pub fn is_multicast(mac: &Mac) -> bool {
    let [first, ..] = mac;
    first & 1 != 0
}

/// Takes the next bytes off `rest`.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Reason> {
    let (taken, behind) = rest.split_first_chunk().ok_or(Reason::Truncated)?;
    *rest = behind;
    Ok(*taken)
}

fn take_u16(rest: &mut &[u8]) -> Result<u16, Reason> {
    take(rest).map(u16::from_be_bytes)
}

/// An Ethernet header.
#[derive(Debug)]
pub struct Ethernet {
    pub destination: Mac,
    pub source: Mac,
    pub ether_type: u16,
}

impl Ethernet {
    /// The header of a frame of `frame_len` bytes, and what of the head is behind it.
    pub fn read(head: &[u8], frame_len: usize) -> Result<(Self, &[u8]), Reason> {
        if frame_len > MAX_FRAME {
            return Err(Reason::Oversized);
        }
        // What a caller copied beyond the frame's end is not the frame's.
        let mut rest = head.get(..frame_len).unwrap_or(head);
        let header = Self { destination: take(&mut rest)?, source: take(&mut rest)?, ether_type: take_u16(&mut rest)? };
        Ok((header, rest))
    }
}

/// An ARP packet for IPv4 on Ethernet (RFC 826), as far as it names its sender.
#[derive(Debug)]
pub struct Arp {
    pub is_request: bool,
    pub mac: Mac,
    pub ip: Ip,
}

impl Arp {
    pub fn read(mut rest: &[u8]) -> Result<Self, Reason> {
        /// Ethernet, IPv4, and the lengths of their addresses.
        const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
        let kind: [u8; 6] = take(&mut rest)?;
        let operation = take_u16(&mut rest)?;
        let arp = Self { is_request: operation == 1, mac: take(&mut rest)?, ip: take(&mut rest)? };
        let _target: [u8; 10] = take(&mut rest)?;
        if kind == KIND && matches!(operation, 1 | 2) { Ok(arp) } else { Err(Reason::Malformed) }
    }
}

/// An IPv4 header (RFC 791, section 3.1), as far as the switch must know it.
#[derive(Debug)]
pub struct Ipv4 {
    pub source: Ip,
    pub destination: Ip,
    pub protocol: u8,
    /// Whether the header of the protocol follows: this is the first fragment, or the only one.
    pub is_first: bool,
}

impl Ipv4 {
    /// The header of a packet, and what of the head is behind it. `room`: the bytes of the frame from here on.
    pub fn read(mut rest: &[u8], room: usize) -> Result<(Self, &[u8]), Reason> {
        let packet = rest;
        let [version, _service] = take(&mut rest)?;
        let total = usize::from(take_u16(&mut rest)?);
        let _identification = take_u16(&mut rest)?;
        let fragment = take_u16(&mut rest)?;
        let [_ttl, protocol, _, _] = take(&mut rest)?;
        let header = Self {
            source: take(&mut rest)?,
            destination: take(&mut rest)?,
            protocol,
            is_first: fragment & 0x1fff == 0,
        };
        let bytes = usize::from(version & 0xf) * 4;
        if version >> 4 != 4 || bytes < 20 {
            return Err(Reason::Malformed);
        }
        if total < bytes || total > room {
            return Err(Reason::Truncated);
        }
        // Behind the packet's end is padding, whatever it looks like.
        let packet = packet.get(..total).unwrap_or(packet);
        Ok((header, packet.get(bytes..).ok_or(Reason::Truncated)?))
    }
}

/// The ports of a UDP header (RFC 768).
#[derive(Debug, PartialEq, Eq)]
pub struct Ports {
    pub source: u16,
    pub destination: u16,
}

impl Ports {
    pub fn read(mut rest: &[u8]) -> Result<Self, Reason> {
        let ports = Self { source: take_u16(&mut rest)?, destination: take_u16(&mut rest)? };
        let _length_and_checksum: [u8; 4] = take(&mut rest)?;
        Ok(ports)
    }
}
