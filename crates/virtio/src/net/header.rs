//! [`Header`]: what stands in front of a frame (section 5.1.6, virtio_net_hdr), checked against the frame.
//!
//! Where a checksum goes is not the driver's to say: the device, or who receives, writes it after the frame was decided
//! upon, so it could make another address of the sender's. It is accepted only where a TCP or UDP header over IPv4 has it.
//!
//! Of the other fields, `hdr_len` is a hint that nobody may rely on, and is computed anew for whoever receives. Flags that
//! were not negotiated are ignored, as section 5.1.6.2.2 demands. Deliberately absent: checksums of other protocols, of
//! IPv6, and behind VLAN tags; whoever sends such packets computes the checksum.

use super::{Accepted, ETHERNET, HEAD, Refused};

/// Bytes of the header: with VIRTIO_F_VERSION_1 `num_buffers` is there in any case.
pub const HEADER: usize = 12;
/// Where `num_buffers` lies in it.
pub(super) const NUM_BUFFERS: usize = 10;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM.
const NEEDS_CSUM: u8 = 1;
/// VIRTIO_NET_HDR_GSO_NONE.
const GSO_NONE: u8 = 0;
/// VIRTIO_NET_HDR_GSO_TCPV4.
const GSO_TCPV4: u8 = 1;

/// Bytes of an IPv4 or a TCP header without options.
const LEAST_HEADER: usize = 20;
/// Numbers of protocols over IPv4.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Where the checksum lies in a TCP and in a UDP header.
const TCP_CHECKSUM: u16 = 16;
const UDP_CHECKSUM: u16 = 6;
/// Least bytes of a piece that a packet may be cut into: no more than 1,400 pieces of a packet. Linux sends no smaller
/// ones either (TCP_MIN_SND_MSS).
const LEAST_MSS: u16 = 48;

/// What is left to do before a packet can go over a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Header {
    /// Nothing.
    #[default]
    Plain,
    /// To finish its checksum.
    Partial(Partial),
    /// To cut it, and to compute checksums for the pieces.
    Tso(Tso),
}

/// A checksum of TCP or UDP whose field holds the sum of the pseudo-header so far. The field is in the frame, and in its
/// first [`HEAD`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partial {
    /// The first byte to be summed.
    pub(super) start: u16,
    /// The field, from there on.
    pub(super) offset: u16,
}

/// A frame of TCP over IPv4 whose headers were found sound and within the first [`HEAD`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tso {
    /// Most bytes of TCP payload in a piece.
    pub(super) mss: u16,
    /// Where the TCP header begins.
    pub(super) tcp: u8,
    /// Where the TCP payload begins.
    pub(super) payload: u8,
}

impl Tso {
    /// Bytes of the headers, which each piece has.
    pub fn headers(&self) -> u32 {
        self.payload.into()
    }
    /// Most bytes of TCP payload in a piece.
    pub fn mss(&self) -> u32 {
        self.mss.into()
    }
    fn partial(&self) -> Partial {
        Partial { start: self.tcp.into(), offset: TCP_CHECKSUM }
    }
}

impl Header {
    /// Reads what a driver put in front of a frame of `frame_len` bytes that begins with `head`.
    pub(super) fn parse(
        bytes: &[u8; HEADER],
        head: &[u8],
        frame_len: u32,
        sender: Accepted,
        mtu: u16,
    ) -> Result<Self, Refused> {
        let [flags, gso_type, _, _, s0, s1, c0, c1, o0, o1, _, _] = *bytes;
        let [gso_size, start, offset] = [[s0, s1], [c0, c1], [o0, o1]].map(u16::from_le_bytes);
        let limit = u32::from(mtu) + ETHERNET as u32;
        if gso_type != GSO_NONE && gso_type != GSO_TCPV4 {
            return Err(Refused::BadHeader);
        }
        if gso_type == GSO_NONE && frame_len > limit {
            return Err(Refused::TooLong);
        }
        if flags & NEEDS_CSUM == 0 {
            return if gso_type == GSO_NONE { Ok(Self::Plain) } else { Err(Refused::BadOffload) };
        }
        if !sender.sends_partial {
            return Err(Refused::BadOffload);
        }
        if u32::from(start) + u32::from(offset) + 2 > frame_len {
            return Err(Refused::BadHeader);
        }
        let partial = Partial { start, offset };
        let ipv4 = Ipv4::of(head).filter(|ipv4| ipv4.has(partial)).ok_or(Refused::BadOffload)?;
        if gso_type == GSO_NONE {
            return Ok(Self::Partial(partial));
        }
        let tso = ipv4.tso(head, frame_len, gso_size).filter(|_| sender.sends_tso);
        let tso = tso.filter(|tso| tso.headers() + tso.mss() <= limit);
        tso.map(Self::Tso).ok_or(Refused::BadOffload)
    }

    /// Whether a receiver takes the packet as it is. If not, [`finish`](super::finish) or
    /// [`Segments`](super::Segments) make packets of it that anyone takes, with [`Header::Plain`].
    pub fn suits(&self, receiver: Accepted) -> bool {
        match self {
            Self::Plain => true,
            Self::Partial(_) => receiver.takes_partial,
            Self::Tso(_) => receiver.takes_tso,
        }
    }

    /// As it stands in front of a frame that is received in one buffer (section 5.1.6.4.1).
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let (flags, gso_type, hdr_len, gso_size, partial) = match self {
            Self::Plain => (0, GSO_NONE, 0, 0, Partial { start: 0, offset: 0 }),
            Self::Partial(partial) => (NEEDS_CSUM, GSO_NONE, 0, 0, *partial),
            Self::Tso(tso) => (NEEDS_CSUM, GSO_TCPV4, u16::from(tso.payload), tso.mss, tso.partial()),
        };
        let words = [hdr_len, gso_size, partial.start, partial.offset, 1].map(u16::to_le_bytes);
        let [[h0, h1], [s0, s1], [c0, c1], [o0, o1], [n0, n1]] = words;
        [flags, gso_type, h0, h1, s0, s1, c0, c1, o0, o1, n0, n1]
    }
}

/// What an IPv4 header says.
struct Ipv4 {
    /// Where the header behind it begins.
    transport: usize,
    protocol: u8,
    is_fragment: bool,
    /// Bytes of header and payload.
    bytes: u16,
}

impl Ipv4 {
    /// Of a frame that has one.
    fn of(head: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes([*head.get(at)?, *head.get(at + 1)?]));
        let first = head.get(ETHERNET)?;
        let own = usize::from(first & 0xf) * 4;
        let is_ipv4 = word(ETHERNET - 2)? == 0x0800 && first >> 4 == 4 && own >= LEAST_HEADER;
        is_ipv4.then_some(Self {
            transport: ETHERNET + own,
            protocol: *head.get(ETHERNET + 9)?,
            // More fragments, or an offset.
            is_fragment: word(ETHERNET + 6)? & 0x3fff != 0,
            bytes: word(ETHERNET + 2)?,
        })
    }

    /// Whether the header behind it has its checksum there.
    fn has(&self, partial: Partial) -> bool {
        let is_field = match self.protocol {
            TCP => partial.offset == TCP_CHECKSUM,
            UDP => partial.offset == UDP_CHECKSUM,
            _ => false,
        };
        is_field && !self.is_fragment && usize::from(partial.start) == self.transport
    }

    /// TCP that can be cut: whole headers, and lengths that agree.
    fn tso(&self, head: &[u8], frame_len: u32, mss: u16) -> Option<Tso> {
        let tcp_bytes = usize::from(head.get(self.transport + 12)? >> 4) * 4;
        let payload = self.transport + tcp_bytes;
        // To many at once it would become a thousand broadcasts, and TCP has none.
        let is_group = head.first()? & 1 != 0;
        let is_sound = self.protocol == TCP
            && !is_group
            && tcp_bytes >= LEAST_HEADER
            && payload <= HEAD
            && payload as u32 <= frame_len
            && u32::from(self.bytes) + ETHERNET as u32 == frame_len
            && mss >= LEAST_MSS;
        is_sound.then_some(Tso { mss, tcp: self.transport as u8, payload: payload as u8 })
    }
}
