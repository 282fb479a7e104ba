//! Channels: memory that two partitions share, and how one rings the other.
//!
//! EL2 zeroes a channel's memory whenever a life begins at one of its ends, stores a number there that the channel has not
//! had before ([`EPOCH`]), and rings. The page with that number is mapped for both ends to read and for neither to write: one
//! that could would make the other take the number to come for known already. All behind it is between the two ends, each of
//! which takes the other for hostile (crate `channel` has the rings).

/// Most channels of a system.
pub const MAX_CHANNELS: usize = 8;
/// Most bytes of a channel; the guest machine has as much room for each.
pub const MAX_SIZE: u64 = 1 << 20;
/// Fewest: the epoch's page, and one for the ends.
pub const MIN_SIZE: u64 = ENDS as u64 + addr::PAGE_SIZE;
/// Rings the doorbell of the other end: an HVC with this function id in W0 and the channel's number in X1 (SMCCC: fast
/// call, 64 bits, vendor-specific hypervisor service). X0 is 0, or -2 where the channel is not the caller's: nobody learns
/// which there are.
pub const RING_DOORBELL: u32 = 0xc600_4300;
/// Offset of the epoch (u64): 0 while EL2 clears the memory, then a number that this channel has not had before.
pub const EPOCH: usize = 0;
/// Offset of what the ends may write: behind the epoch's page.
pub const ENDS: usize = addr::PAGE_SIZE as usize;
/// `compatible` of a channel's node in a guest's device tree. The node has `reg`, `interrupts` (a rising edge: the other end
/// has rung), `label` (the system file's name), `bulkhead,channel` (its number) and `bulkhead,end` (0 or 1).
pub const COMPATIBLE: &str = "bulkhead,channel";
/// The port of the channel with number n, for a partition that reaches it by virtio-vsock, unless the system file says
/// otherwise: this and n.
pub const FIRST_PORT: u32 = 5000;
/// The context id of the partition with number n on its own virtio-vsock device: this and n. Smaller ones are reserved.
pub const FIRST_CID: u32 = 3;
