//! A channel: memory that two partitions share, and who has it.

use abi::PartitionId;
use addr::{PAGE_SIZE, Pa, Region};
use serde::{Deserialize, Serialize};

/// Memory that two partitions share. On the wire one number: EL2 would spend 600 bytes on decoding the fields one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Channel {
    /// Where its memory begins: a page, below 48 bits.
    pub start: Pa,
    /// How many pages it has, up to 511.
    pub pages: u16,
    /// Whose it is. Their order is that of the system file, and each end knows which of the two it is.
    pub ends: [End; 2],
}

/// One of the two that a channel belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The partition.
    pub partition: PartitionId,
    /// Who has the memory mapped: the partition, or in its stead the service partition, which serves it by virtio-vsock.
    pub user: PartitionId,
}

impl End {
    /// Whether the service partition has the memory in the partition's stead.
    pub fn is_brokered(self) -> bool {
        self.user != self.partition
    }
}

impl Channel {
    /// Its memory; `None` when the manifest lies.
    pub fn memory(&self) -> Option<Region<Pa>> {
        Region::new(self.start, u64::from(self.pages) * PAGE_SIZE)
    }

    /// Whom `caller` rings: the user of the other end. `None`: it has no end of this channel.
    pub fn peer_of(&self, caller: PartitionId) -> Option<PartitionId> {
        let [first, second] = self.ends.map(|end| end.user);
        if first == caller {
            Some(second)
        } else if second == caller {
            Some(first)
        } else {
            None
        }
    }

    /// Whether a life of `partition` is one of an end: its own, or in its stead.
    pub fn is_of(&self, partition: PartitionId) -> bool {
        self.ends.iter().any(|end| end.partition == partition || end.user == partition)
    }
}

/// Bits of [`Channel`]'s number: pages (9), the number of the first page (36), each end's partition and user (4 each).
const START: u32 = 9;
const ENDS: [u32; 2] = [45, 53];
const USER: u32 = 4;
const PAGES: u64 = (1 << START) - 1;
const START_MASK: u64 = (1 << 36) - 1;
const ID: u64 = abi::MAX_PARTITIONS as u64 - 1;

const _: () = assert!(abi::MAX_PARTITIONS == 1 << USER);

impl From<Channel> for u64 {
    /// Values that no system has are cut to their fields' widths.
    fn from(channel: Channel) -> Self {
        let mut number = u64::from(channel.pages) & PAGES;
        number |= ((channel.start.as_u64() / PAGE_SIZE) & START_MASK) << START;
        for (end, at) in channel.ends.iter().zip(ENDS) {
            let [partition, user] = [end.partition, end.user].map(|id| u64::from(id.number()) & ID);
            number |= (partition | user << USER) << at;
        }
        number
    }
}

impl From<u64> for Channel {
    fn from(number: u64) -> Self {
        let id = |at: u32| PartitionId::new((number >> at & ID) as u8);
        let end = |n: usize| End { partition: id(ENDS[n]), user: id(ENDS[n] + USER) };
        Self {
            start: Pa::new((number >> START & START_MASK) * PAGE_SIZE),
            pages: (number & PAGES) as u16,
            ends: [end(0), end(1)],
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    fn id(n: u8) -> PartitionId {
        PartitionId::new(n)
    }

    proptest! {
        #[test]
        fn every_channel_survives_the_wire(page in 0u64..1 << 36, pages in 0u16..512, ids in any::<[u8; 4]>()) {
            let end = |n: usize| End { partition: id(ids[n] % 16), user: id(ids[n + 2] % 16) };
            let channel = Channel { start: Pa::new(page << 12), pages, ends: [end(0), end(1)] };
            prop_assert_eq!(Channel::from(u64::from(channel)), channel);
        }
    }

    #[test]
    fn an_end_rings_the_other_and_nobody_else_rings() {
        let end = |n, user| End { partition: id(n), user: id(user) };
        let plain = Channel { start: Pa::new(0), pages: 1, ends: [end(0, 0), end(1, 1)] };
        let peers = |channel: &Channel| [0, 1, 2, 3].map(|n| channel.peer_of(id(n)).map(PartitionId::number));
        assert_eq!(peers(&plain), [Some(1), Some(0), None, None]);
        let brokered = Channel { ends: [end(0, 3), end(1, 1)], ..plain };
        assert_eq!(peers(&brokered), [None, Some(3), None, Some(1)]);
        assert_eq!([0, 1, 2, 3].map(|n| brokered.is_of(id(n))), [true, true, false, true]);
        assert_eq!([0, 1, 2, 3].map(|n| plain.is_of(id(n))), [true, true, false, false]);
    }
}
