//! What the gateway tells a guest whose packet it does not forward: ICMP errors (RFC 792, RFC 1812) and TCP resets.

use crate::wire::{Draft, ETHERNET, Envelope, Header, MTU};
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, IpAddress, IpProtocol, TcpPacket, TcpSeqNumber};

/// Bytes of the headers in front of the quote, of 576 in all.
const HEADERS: usize = 28;
/// Most bytes of the quote (RFC 1812, 4.3.2.3).
const QUOTE: usize = 576 - HEADERS;
/// Bytes of a TCP header without options.
const TCP: usize = 20;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// No way to the network.
    Network,
    /// Nobody listens on the port.
    Port,
    /// Too long, and it may not be fragmented.
    TooBig,
    /// The hop limit ran out.
    HopLimit,
}

impl Complaint {
    const fn message(self) -> (Icmpv4Message, u8) {
        match self {
            Self::Network => (Icmpv4Message::DstUnreachable, 0),
            Self::Port => (Icmpv4Message::DstUnreachable, 3),
            Self::TooBig => (Icmpv4Message::DstUnreachable, 4),
            Self::HopLimit => (Icmpv4Message::TimeExceeded, 0),
        }
    }

    /// The error about the packet in a frame.
    pub fn draft(self, envelope: &Envelope, header: &Header, frame: &[u8]) -> Draft {
        let packet = frame.get(ETHERNET..header.end).unwrap_or_default();
        let quote = packet.get(..QUOTE).unwrap_or(packet);
        let mut draft = Draft::ipv4(envelope, IpProtocol::Icmp, quote.len() + 8);
        let Some((head, body)) = draft.payload().split_first_chunk_mut::<8>() else { return draft };
        body.copy_from_slice(quote);
        if self == Self::TooBig {
            // RFC 1191, section 4: the next hop's MTU.
            let [_, _, _, _, _, _, mtu @ ..] = head;
            *mtu = (MTU as u16).to_be_bytes();
        }
        let mut icmp = Icmpv4Packet::new_unchecked(draft.payload());
        let (message, code) = self.message();
        icmp.set_msg_type(message);
        icmp.set_msg_code(code);
        icmp.fill_checksum();
        draft
    }
}

/// The answer to a segment for a connection that does not exist (RFC 9293, 3.10.7.1). None to a reset.
pub(crate) fn reset(envelope: &Envelope, header: &Header, frame: &[u8]) -> Option<Draft> {
    let segment = TcpPacket::new_checked(header.payload(frame)).ok().filter(|segment| !segment.rst())?;
    let mut draft = Draft::ipv4(envelope, IpProtocol::Tcp, TCP);
    let mut tcp = TcpPacket::new_unchecked(draft.payload());
    tcp.set_src_port(segment.dst_port());
    tcp.set_dst_port(segment.src_port());
    tcp.set_header_len(TCP as u8);
    tcp.set_rst(true);
    if segment.ack() {
        tcp.set_seq_number(segment.ack_number());
    } else {
        tcp.set_ack(true);
        tcp.set_seq_number(TcpSeqNumber(0));
        tcp.set_ack_number(segment.seq_number() + segment.segment_len());
    }
    tcp.fill_checksum(&IpAddress::Ipv4(envelope.from.1), &IpAddress::Ipv4(envelope.to.1));
    Some(draft)
}
