//! Device side of virtio: what a driver sees of a device, and what a device may believe of a driver.
//!
//! [`transport`] is the register file of virtio-mmio, which EL2 keeps; it knows no device type and no ring.
#![no_std]
#![forbid(unsafe_code)]

pub mod transport;
