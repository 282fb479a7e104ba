//! [`Rings`]: where the three parts of a split virtqueue lie (section 2.7), and where their fields do.

use crate::{Broken, GuestMemory};
use addr::{Address, Ipa};

/// Largest queue that a device offers, in elements.
pub const MAX_QUEUE_SIZE: u32 = 256;
/// Bytes of a descriptor.
pub(crate) const DESCRIPTOR: u64 = 16;
/// Bytes of an element of the used ring.
const USED_ELEMENT: u64 = 8;
/// Bytes before the first entry of the available and the used ring: flags and index.
const HEADER: u64 = 4;

/// A queue as its driver set it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rings {
    /// Elements.
    pub size: u32,
    /// The descriptor table.
    pub descriptors: Ipa,
    /// The driver area: the available ring.
    pub driver: Ipa,
    /// The device area: the used ring.
    pub device: Ipa,
}

/// A part of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// The descriptor table.
    Descriptors,
    /// The available ring.
    Available,
    /// The used ring.
    Used,
}

/// What the driver accepted of the features that concern queues (section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// VIRTIO_F_EVENT_IDX.
    pub event_idx: bool,
    /// VIRTIO_F_INDIRECT_DESC.
    pub indirect: bool,
}

impl Features {
    /// VIRTIO_F_INDIRECT_DESC as a feature bit.
    pub const INDIRECT_DESC: u64 = 1 << 28;
    /// VIRTIO_F_EVENT_IDX as a feature bit.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// VIRTIO_F_VERSION_1 as a feature bit.
    pub const VERSION_1: u64 = 1 << 32;
    /// VIRTIO_F_ACCESS_PLATFORM as a feature bit: offered where the device sees a part of the partition's RAM only.
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    /// What every device here offers.
    pub const OFFERED: u64 = Self::INDIRECT_DESC | Self::EVENT_IDX | Self::VERSION_1;

    /// From the feature bits that the driver accepted.
    pub const fn accepted(bits: u64) -> Self {
        Self { event_idx: bits & Self::EVENT_IDX != 0, indirect: bits & Self::INDIRECT_DESC != 0 }
    }
}

impl Rings {
    /// Checks size, alignment and place of all parts.
    pub(crate) fn check(&self, memory: &impl GuestMemory) -> Result<(), Broken> {
        if !self.size.is_power_of_two() || self.size > MAX_QUEUE_SIZE {
            return Err(Broken::Size(self.size));
        }
        let size = u64::from(self.size);
        // The last two bytes of both rings are the other side's event index; they are there in any case.
        let parts = [
            (Ring::Descriptors, self.descriptors, 16, DESCRIPTOR * size),
            (Ring::Available, self.driver, 2, HEADER + 2 * size + 2),
            (Ring::Used, self.device, 4, HEADER + USED_ELEMENT * size + 2),
        ];
        for (ring, at, align, bytes) in parts {
            if !at.is_aligned(align) {
                return Err(Broken::Misaligned { ring, at });
            }
            if !memory.contains(at, bytes) {
                return Err(Broken::RingOutside { ring, at });
            }
        }
        Ok(())
    }

    /// The slot of a free-running index.
    fn slot(&self, index: u16) -> u64 {
        u64::from(u32::from(index) & (self.size - 1))
    }
    pub(crate) fn available_flags(&self) -> Ipa {
        self.driver
    }
    pub(crate) fn available_index(&self) -> Ipa {
        offset(self.driver, 2)
    }
    pub(crate) fn available_entry(&self, index: u16) -> Ipa {
        offset(self.driver, HEADER + 2 * self.slot(index))
    }
    pub(crate) fn used_event(&self) -> Ipa {
        offset(self.driver, HEADER + 2 * u64::from(self.size))
    }
    pub(crate) fn used_flags(&self) -> Ipa {
        self.device
    }
    pub(crate) fn used_index(&self) -> Ipa {
        offset(self.device, 2)
    }
    pub(crate) fn used_element(&self, index: u16) -> Ipa {
        offset(self.device, HEADER + USED_ELEMENT * self.slot(index))
    }
    pub(crate) fn available_event(&self) -> Ipa {
        offset(self.device, HEADER + USED_ELEMENT * u64::from(self.size))
    }
}

/// An address in a range that was found in RAM, so it does not wrap; if it did, [`GuestMemory`] would refuse it.
pub(crate) fn offset(base: Ipa, bytes: u64) -> Ipa {
    Ipa::new(base.as_u64().wrapping_add(bytes))
}
