//! [`Header`]: what stands in front of a frame (section 5.1.6, virtio_net_hdr), checked against the frame.
//!
//! Of the fields, `hdr_len` is a hint that nobody may rely on, and is computed anew for whoever receives. Flags that were
//! not negotiated are ignored, as section 5.1.6.2.2 demands.

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

/// Smallest and largest IPv4 or TCP header without options.
const IPV4: usize = 20;
const TCP: usize = 20;
/// Where the checksum lies in a TCP header.
const TCP_CHECKSUM: u16 = 16;
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

/// A checksum whose field holds the sum of the pseudo-header so far, and that lies within its frame.
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
        if gso_type == GSO_NONE {
            return Ok(Self::Partial(partial));
        }
        let tso = Tso::check(head, frame_len, gso_size, partial).filter(|_| sender.sends_tso);
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

impl Tso {
    /// A frame that can be cut: whole headers of IPv4 and TCP at the front, lengths that agree, no fragment.
    fn check(head: &[u8], frame_len: u32, mss: u16, partial: Partial) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes([*head.get(at)?, *head.get(at.checked_add(1)?)?]));
        let version = head.get(ETHERNET)?;
        let ip_bytes = usize::from(version & 0xf) * 4;
        let is_tcp = word(12)? == 0x0800 && version >> 4 == 4 && *head.get(ETHERNET + 9)? == 6;
        // More fragments, or an offset.
        let is_fragment = word(ETHERNET + 6)? & 0x3fff != 0;
        let tcp = ETHERNET + ip_bytes;
        let tcp_bytes = usize::from(head.get(tcp + 12)? >> 4) * 4;
        let payload = tcp + tcp_bytes;
        let is_sound = is_tcp
            && !is_fragment
            && ip_bytes >= IPV4
            && tcp_bytes >= TCP
            && payload <= HEAD
            && payload as u32 <= frame_len
            && u32::from(word(ETHERNET + 2)?) + ETHERNET as u32 == frame_len
            && usize::from(partial.start) == tcp
            && partial.offset == TCP_CHECKSUM
            && mss >= LEAST_MSS;
        is_sound.then_some(Self { mss, tcp: tcp as u8, payload: payload as u8 })
    }

    fn partial(&self) -> Partial {
        Partial { start: self.tcp.into(), offset: TCP_CHECKSUM }
    }
}
