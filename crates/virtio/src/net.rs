//! The network device (section 5.1), without its network: what it offers, what its guest sends, how its guest receives.
//!
//! ```text
//! Queue::pop -> Sent::read -> who may have it -> Receiver::deliver    (guest to guest, one copy)
//!                                             -> Segments, finish     (for who takes no offloads)
//! ```
//!
//! A packet is hostile, like the ring that it comes in, but it harms less: what is wrong with a packet is [`Refused`], and
//! only that packet is lost. Decisions are made on a private copy of a frame's first [`HEAD`] bytes, and only that copy of
//! them is delivered; the rest is copied once, from guest to guest.
//!
//! Deliberately absent: the control queue, several pairs of queues, TSO for IPv6 and for ECN, UDP segmentation, hashes.

mod checksum;
mod delivery;
mod header;
mod receiver;
mod segments;
mod sent;

pub use checksum::{Sum, finish};
pub use delivery::{Delivery, Filled};
pub use header::{HEADER, Header, Partial, Tso};
pub use receiver::{Outcome, Receiver};
pub use segments::{Packet, Segments};
pub use sent::{Refused, Sent};

use crate::Features;

/// The network device's number (section 5).
pub const DEVICE_ID: u32 = 1;
/// The queue in which the guest receives.
pub const RX: u16 = 0;
/// The queue in which the guest sends.
pub const TX: u16 = 1;

/// VIRTIO_NET_F_CSUM: the guest may leave checksums to the device.
pub const CSUM: u64 = 1 << 0;
/// VIRTIO_NET_F_GUEST_CSUM: the guest takes packets whose checksum is not finished.
pub const GUEST_CSUM: u64 = 1 << 1;
/// VIRTIO_NET_F_MTU: the device says how long packets may be.
pub const MTU: u64 = 1 << 3;
/// VIRTIO_NET_F_MAC: the device says what its address is.
pub const MAC: u64 = 1 << 5;
/// VIRTIO_NET_F_GUEST_TSO4: the guest takes TCP over IPv4 in packets that are yet to be cut.
pub const GUEST_TSO4: u64 = 1 << 7;
/// VIRTIO_NET_F_HOST_TSO4: the guest may leave it to the device to cut TCP over IPv4.
pub const HOST_TSO4: u64 = 1 << 11;
/// VIRTIO_NET_F_MRG_RXBUF: a packet may be spread over several buffers.
pub const MRG_RXBUF: u64 = 1 << 15;
/// VIRTIO_NET_F_STATUS: the device says whether the link is up.
pub const STATUS: u64 = 1 << 16;
/// The feature bits to offer.
pub const FEATURES: u64 =
    Features::OFFERED | MAC | STATUS | MTU | CSUM | GUEST_CSUM | MRG_RXBUF | HOST_TSO4 | GUEST_TSO4;

/// Bytes of an Ethernet header: two addresses and a type.
pub const ETHERNET: usize = 14;
/// Longest frame: an Ethernet header, and the longest IPv4 packet (65,535 bytes), rounded up as section 5.1.6.3.1 does.
pub const MAX_FRAME: usize = 65_550;
/// Bytes of a frame that are decided upon. All headers that somebody here decides by lie within.
pub const HEAD: usize = 128;
/// Bytes of the configuration space.
pub const CONFIG: usize = 12;

/// A network device as its guest sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// The guest's address.
    pub mac: [u8; 6],
    /// Whether the link is up.
    pub is_up: bool,
    /// Most bytes of a packet behind its Ethernet header.
    pub mtu: u16,
}

impl Config {
    /// The configuration space (section 5.1.4): mac, status, max_virtqueue_pairs (0, since it is not offered), mtu.
    pub fn bytes(&self) -> [u8; CONFIG] {
        let [a, b, c, d, e, f] = self.mac;
        let [status, _] = u16::from(self.is_up).to_le_bytes();
        let [low, high] = self.mtu.to_le_bytes();
        [a, b, c, d, e, f, status, 0, 0, 0, low, high]
    }
}

/// What a driver accepted of the features that concern packets.
///
/// TSO counts only together with the checksum feature that it requires (section 5.1.3.1). The default is who accepts
/// nothing: every packet for it must be finished first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    /// It may send packets whose checksum is not finished.
    pub sends_partial: bool,
    /// It may send TCP packets that are yet to be cut.
    pub sends_tso: bool,
    /// It takes packets whose checksum is not finished.
    pub takes_partial: bool,
    /// It takes TCP packets that are yet to be cut.
    pub takes_tso: bool,
    /// It takes packets in several buffers.
    pub merges: bool,
}

impl Accepted {
    /// From the feature bits that the driver accepted.
    pub const fn of(bits: u64) -> Self {
        let (partial, takes_partial) = (bits & CSUM != 0, bits & GUEST_CSUM != 0);
        Self {
            sends_partial: partial,
            sends_tso: partial && bits & HOST_TSO4 != 0,
            takes_partial,
            takes_tso: takes_partial && bits & GUEST_TSO4 != 0,
            merges: bits & MRG_RXBUF != 0,
        }
    }
}
