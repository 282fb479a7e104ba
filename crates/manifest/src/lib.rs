//! Who owns what: the board's facts, the manifest, and the one validator over both.
//!
//! The host tool turns a system file into a [`System`], validates it against a [`Board`] and packs it as the
//! manifest blob; EL2 decodes the blob and calls the same [`validate`] again before the first guest starts.
//! Nothing here allocates, and nothing here trusts the blob: every number is checked before it is used.
#![no_std]
#![forbid(unsafe_code)]

mod blob;
mod board;
mod channel;
pub mod checksum;
mod fit;
mod mistake;
mod pool;
mod setting;
mod system;
mod validate;

pub use blob::{BlobError, decode, encode};
pub use board::{
    Board, CLOCKS, CoreStart, Device, GICV2_CORES, Gic, GicV2, GicV3, NamedRegion, PINS, PowerOff, RTC, VIRTIO,
};
pub use channel::{Channel, End};
pub use fit::{Unfit, fit};
pub use mistake::{Mend, Mistake, Name, Owner, Problem, Subject};
pub use pool::pool_size;
pub use setting::{Milliseconds, Setting};
pub use system::{
    Bank, ConsoleMode, DeviceId, MAX_BANKS, MAX_DEVICES, MAX_PAYLOADS, Machine, OnPanic, Partition, Payload,
    PayloadKind, Service, System, Virtio, WhenAllStopped,
};
pub use validate::{DEVICE_TREE_MAX, IPA_END, MAX_QUEUE_SIZE, MEMORY_MIN, MIN_MACHINE_MEMORY, OWN_NAME, validate};
