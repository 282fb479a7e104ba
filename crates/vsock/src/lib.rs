//! The host's side of stream sockets over virtio-vsock ("Virtual I/O Device (VIRTIO)", version 1.2, section 5.10) for one
//! guest: a few ports, one connection at a time on each, everything else is answered with a reset.
//!
//! A port leads to a ring of bytes that the caller has, and this crate holds none: a guest may send as much as the ring has
//! room for (its credit), and what comes is put there at once. [`Sockets`] says what each packet comes to and which packets
//! are to be sent; the guest is hostile, and the worst that it gets is a reset of its own connections.
//!
//! Here is no virtqueue and no memory access. Deliberately absent: connections that the host begins, datagrams, sequenced
//! packets.
#![no_std]
#![forbid(unsafe_code)]

mod connection;
mod packet;
mod sockets;

pub use connection::Room;
pub use packet::{Header, Operation};
pub use sockets::{Event, Sockets};

/// The device's number (section 5).
pub const DEVICE_ID: u32 = 19;
/// The queue in which the guest receives.
pub const RX: u16 = 0;
/// The queue in which the guest sends.
pub const TX: u16 = 1;
/// The queue of events.
pub const EVENT: u16 = 2;
/// VIRTIO_VSOCK_F_STREAM.
pub const F_STREAM: u64 = 1;
/// The context id of the host (section 5.10.4).
pub const HOST_CID: u64 = 2;
/// Bytes of a packet's header.
pub const HEADER: usize = 44;
/// Most bytes behind a header that the host sends: what Linux's buffers, of one page with the header, have room for.
pub const MAX_PAYLOAD: usize = 4096 - HEADER;
/// VIRTIO_VSOCK_EVENT_TRANSPORT_RESET: all connections are gone, since who had them does not know them any more. What an
/// event's buffer holds.
pub const TRANSPORT_RESET: [u8; 4] = [0; 4];

/// The configuration space: the guest's context id (section 5.10.4).
pub const fn config(guest_cid: u64) -> [u8; 8] {
    guest_cid.to_le_bytes()
}
