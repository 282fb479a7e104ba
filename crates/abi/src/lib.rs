//! Numbers and wire types that the hypervisor, its guests and the host tool must agree on.
//!
//! Newtypes for the number spaces of the machine, the guest machine's memory map, what follows the end of a life, what
//! the service partition sees of others, what it and EL2 say to each other, channels between partitions, and the layout of
//! the boot bundle. No behaviour beyond construction and printing.
#![no_std]
#![forbid(unsafe_code)]

pub mod bundle;
pub mod channel;
pub mod ids;
pub mod io;
pub mod life;
pub mod machine;
pub mod plan;
pub mod service;

pub use ids::{CoreId, IntId, PartitionId, VcpuId, VirtioId, Vmid};
pub use io::Io;
pub use life::{Again, Policy, RestartLimit};

/// Most cores of a board, and so most vCPUs of a partition.
pub const MAX_CORES: usize = 64;
/// Most partitions in one system.
pub const MAX_PARTITIONS: usize = 16;
/// Longest partition name in bytes.
pub const MAX_NAME: usize = 15;
