//! Frames: what is checked before anything looks at them, and drafts of the gateway's own.
//!
//! smoltcp's `Packet` types read and write the fields. Their accessors panic where a frame is shorter than its header
//! says, so each is made by `new_checked`, or over a buffer whose length was computed for it.

use crate::Reason;
use core::net::Ipv4Addr;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr};
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, UdpPacket, UdpRepr};

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// Bytes of the Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Bytes of an IPv4 header without options.
pub(crate) const IPV4: usize = 20;
/// Bytes of a UDP header.
pub(crate) const UDP: usize = 8;
/// Longest IPv4 packet that leaves.
pub(crate) const MTU: usize = 1500;
/// All stations.
pub(crate) const BROADCAST: Mac = [0xff; 6];
/// Hop limit of the gateway's own packets.
const HOPS: u8 = 64;

/// What every part must know of an IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: IpProtocol,
    pub hops: u8,
    /// Bytes of the frame without what pads it.
    pub end: usize,
}

impl Header {
    /// Checks the IPv4 packet in an Ethernet frame: lengths, checksum, no options, no fragment.
    pub fn parse(frame: &[u8]) -> Result<Self, Reason> {
        let bytes = frame.get(ETHERNET..).ok_or(Reason::Malformed)?;
        let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Reason::Malformed)?;
        if packet.version() != 4 || usize::from(packet.header_len()) < IPV4 {
            return Err(Reason::Malformed);
        }
        if usize::from(packet.header_len()) > IPV4 {
            return Err(Reason::Options);
        }
        if !packet.verify_checksum() {
            return Err(Reason::Checksum);
        }
        if packet.more_frags() || packet.frag_offset() != 0 {
            return Err(Reason::Fragment);
        }
        Ok(Self {
            source: packet.src_addr(),
            destination: packet.dst_addr(),
            protocol: packet.next_header(),
            hops: packet.hop_limit(),
            end: ETHERNET + usize::from(packet.total_len()),
        })
    }

    /// What the packet carries.
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(ETHERNET + IPV4..self.end).unwrap_or_default()
    }
}

/// Sets both Ethernet addresses of a frame.
pub(crate) fn address(frame: &mut [u8], from: Mac, to: Mac) {
    if let Ok(mut frame) = EthernetFrame::new_checked(frame) {
        frame.set_src_addr(EthernetAddress(from));
        frame.set_dst_addr(EthernetAddress(to));
    }
}

/// The payload of the UDP datagram, if it is whole and its checksum, if it has one, is right. 0 is none (RFC 768).
pub(crate) fn udp_payload<'a>(header: &Header, frame: &'a [u8]) -> Result<&'a [u8], Reason> {
    let packet = UdpPacket::new_checked(header.payload(frame)).map_err(|_| Reason::Malformed)?;
    if !packet.verify_checksum(&IpAddress::Ipv4(header.source), &IpAddress::Ipv4(header.destination)) {
        return Err(Reason::Checksum);
    }
    Ok(packet.payload())
}

/// Source and destination of a frame that the gateway makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub from: (Mac, Ipv4Addr),
    pub to: (Mac, Ipv4Addr),
}

/// Longest draft: an ICMP error of 576 bytes (RFC 1812, 4.3.2.3).
const DRAFT: usize = ETHERNET + 576;

/// A frame that the gateway makes.
pub(crate) struct Draft {
    bytes: [u8; DRAFT],
    end: usize,
}

impl Draft {
    /// An Ethernet frame with `length` zeros behind the header; a longer one than there is room for is cut.
    pub fn ethernet(from: Mac, to: Mac, protocol: EthernetProtocol, length: usize) -> Self {
        let mut draft = Self { bytes: [0; DRAFT], end: length.saturating_add(ETHERNET).min(DRAFT) };
        let mut frame = EthernetFrame::new_unchecked(&mut draft.bytes);
        frame.set_src_addr(EthernetAddress(from));
        frame.set_dst_addr(EthernetAddress(to));
        frame.set_ethertype(protocol);
        draft
    }

    /// An IPv4 packet with `length` zeros behind the header.
    pub fn ipv4(envelope: &Envelope, protocol: IpProtocol, length: usize) -> Self {
        let length = length.min(DRAFT - ETHERNET - IPV4);
        let mut draft =
            Self::ethernet(envelope.from.0, envelope.to.0, EthernetProtocol::Ipv4, length.saturating_add(IPV4));
        let header = Ipv4Repr {
            src_addr: envelope.from.1,
            dst_addr: envelope.to.1,
            next_header: protocol,
            payload_len: length,
            hop_limit: HOPS,
        };
        header.emit(&mut Ipv4Packet::new_unchecked(draft.tail(ETHERNET)), &ChecksumCapabilities::default());
        draft
    }

    /// A UDP datagram whose payload `fill` writes over `length` zeros.
    pub fn udp(envelope: &Envelope, ports: (u16, u16), length: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut draft = Self::ipv4(envelope, IpProtocol::Udp, length.saturating_add(UDP));
        let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
        let payload = draft.payload();
        let length = payload.len().saturating_sub(UDP);
        header.emit(
            &mut UdpPacket::new_unchecked(payload),
            &IpAddress::Ipv4(envelope.from.1),
            &IpAddress::Ipv4(envelope.to.1),
            length,
            fill,
            &ChecksumCapabilities::default(),
        );
        draft
    }

    /// What stands behind the IPv4 header.
    pub fn payload(&mut self) -> &mut [u8] {
        self.tail(ETHERNET + IPV4)
    }

    /// What stands behind the Ethernet header.
    pub fn tail(&mut self, from: usize) -> &mut [u8] {
        self.bytes.get_mut(from..self.end).unwrap_or_default()
    }

    /// All of it.
    pub fn frame(&mut self) -> &mut [u8] {
        self.tail(0)
    }
}

/// Turns an echo request in place into its reply; the Ethernet header is the caller's.
pub(crate) fn echo_reply(header: &Header, frame: &mut [u8]) -> Result<(), Reason> {
    let request = Icmpv4Packet::new_checked(header.payload(frame)).map_err(|_| Reason::Malformed)?;
    if request.msg_type() != Icmpv4Message::EchoRequest {
        return Err(Reason::Protocol);
    }
    if !request.verify_checksum() {
        return Err(Reason::Checksum);
    }
    let bytes = frame.get_mut(ETHERNET..header.end).ok_or(Reason::Malformed)?;
    let mut packet = Ipv4Packet::new_checked(bytes).map_err(|_| Reason::Malformed)?;
    packet.set_src_addr(header.destination);
    packet.set_dst_addr(header.source);
    packet.set_hop_limit(HOPS);
    packet.fill_checksum();
    let mut reply = Icmpv4Packet::new_checked(packet.payload_mut()).map_err(|_| Reason::Malformed)?;
    reply.set_msg_type(Icmpv4Message::EchoReply);
    reply.fill_checksum();
    Ok(())
}
