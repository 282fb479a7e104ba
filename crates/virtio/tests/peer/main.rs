//! The device side against a driver that we did not write: the crate `virtio-drivers`.
//!
//! Driver and device run on one thread, in turns; the guest's RAM belongs to that thread.

mod blk;
mod chains;
mod crash;
mod driver;
mod guest;
mod hal;
mod net;
mod rng;
mod transport;
