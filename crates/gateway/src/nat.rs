//! What the NAT reads and changes in a packet: addresses, ports, hop limit, and by how much the checksums change.

use crate::Reason;
use crate::flow::{Endpoint, Protocol, Segment};
use crate::wire::{ETHERNET, Header};
use core::net::Ipv4Addr;
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};

/// A change to words that a checksum covers (RFC 1624, equation 3).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change(u32);

impl Change {
    /// One word was `old` and is `new`. At most a hundred fit.
    pub fn word(&mut self, old: u16, new: u16) {
        self.0 += u32::from(!old) + u32::from(new);
    }
    /// Likewise an address.
    pub fn address(&mut self, old: Ipv4Addr, new: Ipv4Addr) {
        let (old, new) = (old.to_bits(), new.to_bits());
        self.word((old >> 16) as u16, (new >> 16) as u16);
        self.word(old as u16, new as u16);
    }
    /// The checksum that was this one.
    pub fn apply(self, checksum: u16) -> u16 {
        let sum = self.0 + u32::from(!checksum);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        !(sum as u16)
    }
    /// Likewise for UDP, where 0 means that there is none (RFC 768).
    pub fn apply_udp(self, checksum: u16) -> u16 {
        match checksum {
            0 => 0,
            checksum => match self.apply(checksum) {
                0 => 0xffff,
                changed => changed,
            },
        }
    }
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TCP, UDP, or an echo, whose identifier stands for the port of who asks.
    Ends(Ends),
    /// Any other ICMP message.
    Icmp(Icmpv4Message),
}

/// The ends that a packet names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub protocol: Protocol,
    pub source: Endpoint,
    pub destination: Endpoint,
    /// TCP's flags.
    pub segment: Segment,
    /// False for an echo's reply only.
    pub asks: bool,
}

impl Ends {
    /// Whether a flow may begin with it: a query, or a TCP segment that is not the end of something. One from the
    /// middle of a connection may, so that connections survive a lost record.
    pub fn may_begin(&self) -> bool {
        let Segment { syn, ack, fin, rst } = self.segment;
        let is_late = rst || fin || (syn && ack);
        self.asks && !is_late
    }
}

/// Reads what a packet carries.
pub(crate) fn parse(header: &Header, frame: &[u8]) -> Result<Transport, Reason> {
    let payload = header.payload(frame);
    let (protocol, source, destination, segment, asks) = match header.protocol {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(payload).map_err(|_| Reason::Malformed)?;
            let segment = Segment { syn: tcp.syn(), ack: tcp.ack(), fin: tcp.fin(), rst: tcp.rst() };
            (Protocol::Tcp, tcp.src_port(), tcp.dst_port(), segment, true)
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(payload).map_err(|_| Reason::Malformed)?;
            (Protocol::Udp, udp.src_port(), udp.dst_port(), Segment::default(), true)
        }
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(payload).map_err(|_| Reason::Malformed)?;
            match icmp.msg_type() {
                Icmpv4Message::EchoRequest => (Protocol::Icmp, icmp.echo_ident(), 0, Segment::default(), true),
                Icmpv4Message::EchoReply => (Protocol::Icmp, 0, icmp.echo_ident(), Segment::default(), false),
                other => return Ok(Transport::Icmp(other)),
            }
        }
        _ => return Err(Reason::Protocol),
    };
    if protocol != Protocol::Icmp && (source == 0 || destination == 0) {
        return Err(Reason::Malformed);
    }
    let (source, destination) = (Endpoint::new(header.source, source), Endpoint::new(header.destination, destination));
    Ok(Transport::Ends(Ends { protocol, source, destination, segment, asks }))
}

/// Gives a packet that [`parse`] has read other ends, and takes one from its hop limit, which is not 0.
pub(crate) fn rewrite(frame: &mut [u8], end: usize, before: &Ends, after: (Endpoint, Endpoint)) -> Result<(), Reason> {
    let bytes = frame.get_mut(ETHERNET..end).ok_or(Reason::Malformed)?;
    let mut ip = Ipv4Packet::new_checked(bytes).map_err(|_| Reason::Malformed)?;
    let mut change = readdress(&mut ip, after.0.address, after.1.address);
    let payload = ip.payload_mut();
    match before.protocol {
        Protocol::Tcp => {
            change.word(before.source.port, after.0.port);
            change.word(before.destination.port, after.1.port);
            let mut tcp = TcpPacket::new_checked(payload).map_err(|_| Reason::Malformed)?;
            tcp.set_src_port(after.0.port);
            tcp.set_dst_port(after.1.port);
            tcp.set_checksum(change.apply(tcp.checksum()));
        }
        Protocol::Udp => {
            change.word(before.source.port, after.0.port);
            change.word(before.destination.port, after.1.port);
            let mut udp = UdpPacket::new_checked(payload).map_err(|_| Reason::Malformed)?;
            udp.set_src_port(after.0.port);
            udp.set_dst_port(after.1.port);
            udp.set_checksum(change.apply_udp(udp.checksum()));
        }
        // No pseudo header, and one identifier.
        Protocol::Icmp => {
            let ident = if before.asks { after.0.port } else { after.1.port };
            let mut icmp = Icmpv4Packet::new_checked(payload).map_err(|_| Reason::Malformed)?;
            let mut change = Change::default();
            change.word(icmp.echo_ident(), ident);
            icmp.set_echo_ident(ident);
            icmp.set_checksum(change.apply(icmp.checksum()));
        }
    }
    Ok(())
}

/// Changes the addresses and takes one from the hop limit. What remains to be changed in a checksum over the addresses.
pub(crate) fn readdress(ip: &mut Ipv4Packet<&mut [u8]>, source: Ipv4Addr, destination: Ipv4Addr) -> Change {
    let mut addresses = Change::default();
    addresses.address(ip.src_addr(), source);
    addresses.address(ip.dst_addr(), destination);
    ip.set_src_addr(source);
    ip.set_dst_addr(destination);
    let mut header = addresses;
    let hops = ip.hop_limit();
    header.word(u16::from(hops) << 8, u16::from(hops.saturating_sub(1)) << 8);
    ip.set_hop_limit(hops.saturating_sub(1));
    ip.set_checksum(header.apply(ip.checksum()));
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_checksum_is_the_computed_one() {
        // The case of RFC 1624, section 4, where the older equation gave 0xffff.
        let mut change = Change::default();
        change.word(0x5555, 0x3285);
        assert_eq!(change.apply(0xdd2f), 0x0000);
        assert_eq!(change.apply_udp(0xdd2f), 0xffff);
        assert_eq!(change.apply_udp(0), 0);
    }
}
