//! What is wrong with a ring ([`Broken`]) or with the record of one ([`Unusable`]).

use crate::{Outside, Ring};
use addr::Ipa;
use core::fmt;

/// A driver broke the rules of section 2.7. The answer is DEVICE_NEEDS_RESET; the queue is of no use until then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// The queue's size is no power of two, or above [`MAX_QUEUE_SIZE`](crate::MAX_QUEUE_SIZE).
    Size(u32),
    /// A part of the queue does not begin where it may.
    Misaligned {
        /// Which part.
        ring: Ring,
        /// Where it begins.
        at: Ipa,
    },
    /// A part of the queue is not all in RAM.
    RingOutside {
        /// Which part.
        ring: Ring,
        /// Where it begins.
        at: Ipa,
    },
    /// A new queue's used ring has an index other than 0.
    UsedIndex(u16),
    /// The available ring's index is further ahead than the queue has elements.
    AvailableIndex {
        /// The device's index in the used ring.
        used: u16,
        /// The driver's index in the available ring.
        available: u16,
    },
    /// The available ring names a descriptor that the table does not have.
    Head(u16),
    /// The available ring names a chain that the device already has.
    InFlight(u16),
    /// The device does not have this chain.
    NotInFlight(u16),
    /// A descriptor names a next one that its table does not have.
    Next(u16),
    /// A chain comes back to a descriptor that it had.
    Loop {
        /// The chain's first descriptor.
        head: u16,
    },
    /// A chain has more than [`MAX_SEGMENTS`](crate::MAX_SEGMENTS) descriptors.
    TooLong {
        /// The chain's first descriptor.
        head: u16,
    },
    /// A chain has 4 GiB or more.
    TooManyBytes {
        /// The chain's first descriptor.
        head: u16,
    },
    /// A descriptor of no bytes.
    Empty(Ipa),
    /// A device-readable descriptor behind a device-writable one.
    Order(Ipa),
    /// A range that is not all RAM of the partition.
    Outside(Outside),
    /// An indirect table without VIRTIO_F_INDIRECT_DESC.
    Indirect(Ipa),
    /// An indirect table within one.
    Nested(Ipa),
    /// An indirect table that is not the end of its chain.
    Chained(Ipa),
    /// Bytes of an indirect table: 0, or not a multiple of 16.
    TableLength(u32),
    /// A request without room for an answer.
    NoRoom,
}

impl From<Outside> for Broken {
    fn from(outside: Outside) -> Self {
        Self::Outside(outside)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "queue of {size} elements"),
            Self::Misaligned { ring, at } => write!(f, "{ring} at {at} is misaligned"),
            Self::RingOutside { ring, at } => write!(f, "{ring} at {at} is not in the partition's RAM"),
            Self::UsedIndex(index) => write!(f, "new queue whose used ring begins at {index}"),
            Self::AvailableIndex { used, available } => {
                write!(f, "available ring is at {available}, while the used ring is at {used}")
            }
            Self::Head(head) => write!(f, "no descriptor {head} to begin a chain with"),
            Self::InFlight(head) => write!(f, "chain {head} is offered again before it was used"),
            Self::NotInFlight(head) => write!(f, "chain {head} is not in flight"),
            Self::Next(next) => write!(f, "no next descriptor {next}"),
            Self::Loop { head } => write!(f, "chain {head} has a loop"),
            Self::TooLong { head } => write!(f, "chain {head} has more than {} descriptors", crate::MAX_SEGMENTS),
            Self::TooManyBytes { head } => write!(f, "chain {head} has 4 GiB or more"),
            Self::Empty(at) => write!(f, "descriptor of no bytes at {at}"),
            Self::Order(at) => write!(f, "device-readable descriptor at {at} behind a device-writable one"),
            Self::Outside(outside) => outside.fmt(f),
            Self::Indirect(at) => write!(f, "indirect table at {at} without VIRTIO_F_INDIRECT_DESC"),
            Self::Nested(at) => write!(f, "indirect table at {at} within an indirect table"),
            Self::Chained(at) => write!(f, "indirect table at {at} in the middle of a chain"),
            Self::TableLength(bytes) => write!(f, "indirect table of {bytes} bytes"),
            Self::NoRoom => f.write_str("request without room for an answer"),
        }
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "descriptor table",
            Self::Available => "available ring",
            Self::Used => "used ring",
        })
    }
}

/// Why a queue cannot be taken over from an earlier life of the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// No queue was recorded here, or it was forgotten. Nothing of it was taken either, so it may begin anew.
    Blank,
    /// The record is of another epoch: the driver has reset the device since. The queue may begin anew.
    Epoch {
        /// The device's epoch.
        expected: u64,
        /// The record's.
        found: u64,
    },
    /// The record's unchanging part does not add up.
    Checksum {
        /// Computed.
        expected: u32,
        /// Recorded.
        found: u32,
    },
    /// The record is of another queue, or of other rings.
    Foreign,
    /// The rings are no rings.
    Broken(Broken),
    /// The used ring's index is not what the record knows.
    Used {
        /// The record's.
        recorded: u16,
        /// The used ring's.
        found: u16,
    },
    /// More or fewer chains are in flight than were taken and not used.
    Count {
        /// Taken and not used.
        expected: u16,
        /// In flight.
        found: u32,
    },
    /// The record names a chain that the queue cannot have, or has in the wrong state.
    Head(u16),
}

impl From<Broken> for Unusable {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Outside> for Unusable {
    fn from(outside: Outside) -> Self {
        Self::Broken(Broken::Outside(outside))
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("no record"),
            Self::Epoch { expected, found } => write!(f, "record of epoch {found} in epoch {expected}"),
            Self::Checksum { expected, found } => write!(f, "record with checksum {found:#x} instead of {expected:#x}"),
            Self::Foreign => f.write_str("record of another queue"),
            Self::Broken(broken) => broken.fmt(f),
            Self::Used { recorded, found } => write!(f, "used ring is at {found}, recorded was {recorded}"),
            Self::Count { expected, found } => write!(f, "{found} chains in flight instead of {expected}"),
            Self::Head(head) => write!(f, "chain {head} cannot be in flight as recorded"),
        }
    }
}
