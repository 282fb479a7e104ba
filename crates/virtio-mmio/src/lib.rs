//! The register file of virtio-mmio, version 2, as EL2 keeps it: it knows no device type and no ring.
//!
//! Follows "Virtual I/O Device (VIRTIO)" section 4.2.2. What is behind the registers is the service partition's.
#![no_std]
#![forbid(unsafe_code)]

mod transport;

pub use transport::{ACCESS_PLATFORM, Effect, Page, Rings, Transport, VERSION_1, offset};
