//! One newtype for each number space, so that a core is never taken for a vCPU nor an SPI for an INTID.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($raw:ty), $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// The identifier with this number.
            pub const fn new(number: $raw) -> Self {
                Self(number)
            }
            /// The number, for registers and files.
            pub const fn number(self) -> $raw {
                self.0
            }
            /// The number as an index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // One integer type for all: EL2 has a size budget.
                write!(f, concat!($text, "{}"), u64::from(self.0))
            }
        }
    };
}

id!(
    /// A physical core: its place among the board's `/cpus` nodes.
    CoreId(u16),
    "core"
);
id!(
    /// A guest's CPU: its place among its partition's cores.
    VcpuId(u16),
    "v"
);
id!(
    /// A partition: its place in the system file.
    PartitionId(u8),
    "partition "
);
id!(
    /// The stage-2 identifier of a partition (VTTBR_EL2.VMID, 8 bits). 0 is never given to a partition.
    Vmid(u8),
    "VMID "
);

id!(
    /// A virtio device: its place among all of the system's, by partition and then by slot.
    VirtioId(u8),
    "virtio device "
);

/// An interrupt number as the GIC counts: SGI 0-15, PPI 16-31, SPI from 32 (GIC architecture, "INTIDs").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct IntId(u32);

impl IntId {
    /// The INTID with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
    /// SGI `n`, 0 to 15.
    pub const fn sgi(n: u32) -> Self {
        assert!(n < 16);
        Self(n)
    }
    /// PPI `n`, 0 to 15: INTID 16 + n.
    pub const fn ppi(n: u32) -> Self {
        assert!(n < 16);
        Self(16 + n)
    }
    /// SPI `n`, 0 to 987: INTID 32 + n.
    pub const fn spi(n: u32) -> Self {
        assert!(n < 988);
        Self(32 + n)
    }
    /// The INTID.
    pub const fn number(self) -> u32 {
        self.0
    }
    /// The INTID as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
    /// Whether each core has its own copy: SGIs and PPIs.
    pub const fn is_private(self) -> bool {
        self.0 < 32
    }
    /// Whether this is an SGI.
    pub const fn is_sgi(self) -> bool {
        self.0 < 16
    }
}

impl fmt::Display for IntId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n @ 0..16 => write!(f, "SGI {n}"),
            n @ 16..32 => write!(f, "PPI {}", n - 16),
            n @ 32..1020 => write!(f, "SPI {}", n - 32),
            n => write!(f, "INTID {n}"),
        }
    }
}
