//! Device side of virtio, for a service that treats every ring as hostile.
//!
//! Follows "Virtual I/O Device (VIRTIO)", versions 1.2 to 1.4: section 2.7 (split virtqueues) and section 5 (devices).
//! [`Queue`] takes chains of descriptors from a driver and gives them back; each value of the driver's is read once and
//! checked before it is used, and what cannot be right is [`Broken`]: the device then needs a reset, nobody else notices.
//! An [`Inflight`] record outlives the service, so that its next life goes on where the last one was stopped.
//!
//! Here is no memory access ([`GuestMemory`] is the caller's), no physical device, and no notification: the caller rings.
//! Deliberately absent: packed rings, VIRTIO_F_IN_ORDER, reset of single queues.
#![no_std]
#![forbid(unsafe_code)]

mod banks;
pub mod blk;
mod broken;
mod chain;
pub mod console;
mod data;
pub mod entropy;
mod head;
mod inflight;
mod memory;
pub mod net;
mod packet;
mod queue;
mod rings;

pub use banks::{Banks, MAX_BANKS, PhysicalPiece, PhysicalPieces};
pub use broken::{Broken, Unusable};
pub use chain::{Chain, MAX_SEGMENTS, Segment};
pub use data::{Data, Pieces};
pub use head::{Head, Heads};
pub use inflight::{Inflight, Owner, Record, Word};
pub use memory::{GuestMemory, Outside};
pub use packet::{SocketPacket, put_packet};
pub use queue::Queue;
pub use rings::{Features, MAX_QUEUE_SIZE, Ring, Rings};
