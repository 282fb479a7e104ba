//! Addresses and regions: the only place with alignment and overlap arithmetic.
//!
//! Three number spaces exist and never mix: [`Pa`] (physical), [`Ipa`] (guest-physical, stage 2's input) and
//! [`Va`] (hypervisor virtual). A raw `u64` appears only where a register or a file is read or written.
//! All arithmetic here is checked: an address computed from a guest's value cannot wrap.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt;
use serde::{Deserialize, Serialize};

/// Bytes in a translation granule: 4 KiB on every board.
pub const PAGE_SIZE: u64 = 4096;
/// Bytes mapped by a level-2 block.
pub const BLOCK_2M: u64 = 2 << 20;
/// Bytes mapped by a level-1 block.
pub const BLOCK_1G: u64 = 1 << 30;

/// A number space of byte addresses.
pub trait Address: Copy + Ord + fmt::Debug {
    /// The address with this value.
    fn new(value: u64) -> Self;
    /// The value, for registers, descriptors and files.
    fn as_u64(self) -> u64;

    /// `self + bytes`, or `None` when that does not fit 64 bits.
    fn checked_add(self, bytes: u64) -> Option<Self> {
        self.as_u64().checked_add(bytes).map(Self::new)
    }
    /// The bytes from `base` up to `self`, or `None` when `base` is above.
    fn offset_from(self, base: Self) -> Option<u64> {
        self.as_u64().checked_sub(base.as_u64())
    }
    /// Whether the address is a multiple of `align`, a power of two.
    fn is_aligned(self, align: u64) -> bool {
        is_aligned(self.as_u64(), align)
    }
    /// The highest multiple of `align` that is not above `self`.
    fn align_down(self, align: u64) -> Self {
        Self::new(self.as_u64() & !(align - 1))
    }
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The address with this value.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }
            /// The value, for registers, descriptors and files.
            pub const fn as_u64(self) -> u64 {
                self.0
            }
        }
        impl Address for $name {
            fn new(value: u64) -> Self {
                Self(value)
            }
            fn as_u64(self) -> u64 {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(f, self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

address!(
    /// A physical address: what stage 2 puts out and what the bus sees.
    Pa
);
address!(
    /// An intermediate physical address: what a guest calls physical. An allegation until stage 2 was walked.
    Ipa
);
address!(
    /// A virtual address of the hypervisor's own stage 1.
    Va
);

/// Whether `value` is a multiple of `align`, a power of two.
pub const fn is_aligned(value: u64, align: u64) -> bool {
    value & (align - 1) == 0
}

/// The lowest multiple of `align` (a power of two) that is not below `value`, or `None` above 64 bits.
pub const fn align_up(value: u64, align: u64) -> Option<u64> {
    match value.checked_add(align - 1) {
        Some(v) => Some(v & !(align - 1)),
        None => None,
    }
}

/// Prints as `0x4000_0000`: groups of four digits, at least two groups.
fn hex(f: &mut fmt::Formatter<'_>, value: u64) -> fmt::Result {
    let groups = ((64 - value.leading_zeros()).div_ceil(16)).max(2);
    f.write_str("0x")?;
    for group in (0..groups).rev() {
        if group + 1 < groups {
            f.write_str("_")?;
        }
        write!(f, "{:04x}", (value >> (group * 16)) & 0xffff)?;
    }
    Ok(())
}

/// A non-empty run of addresses `[start, end)` whose end fits 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Region<A> {
    start: A,
    size: u64,
}

impl<A: Address> Region<A> {
    /// `size` bytes from `start`; `None` when empty or when the end does not fit 64 bits.
    pub fn new(start: A, size: u64) -> Option<Self> {
        if size == 0 {
            return None;
        }
        start.checked_add(size)?;
        Some(Self { start, size })
    }
    /// The first address.
    pub fn start(&self) -> A {
        self.start
    }
    /// The first address behind the region. A region read from a file may lie: the end saturates.
    pub fn end(&self) -> A {
        A::new(self.start.as_u64().saturating_add(self.size))
    }
    /// Bytes in the region.
    pub fn size(&self) -> u64 {
        self.size
    }
    /// Whether the region is non-empty and ends within 64 bits: what [`Region::new`] promises and a decoder does not.
    pub fn is_sound(&self) -> bool {
        self.size != 0 && self.start.checked_add(self.size).is_some()
    }
    /// Whether `address` lies in the region.
    pub fn contains(&self, address: A) -> bool {
        address >= self.start && address < self.end()
    }
    /// Whether all of `other` lies in the region.
    pub fn covers(&self, other: &Self) -> bool {
        other.start >= self.start && other.end() <= self.end()
    }
    /// Whether any address lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
    /// Whether start and size are multiples of `align`, a power of two.
    pub fn is_aligned(&self, align: u64) -> bool {
        self.start.is_aligned(align) && is_aligned(self.size, align)
    }
}

impl<A: Address + fmt::Display> fmt::Display for Region<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{})", self.start, self.end())
    }
}
impl<A: Address + fmt::Display> fmt::Debug for Region<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes as a person writes them: `512M`, `8K`, `3G`, else plain bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
            if self.0 != 0 && is_aligned(self.0, 1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    fn region(start: u64, size: u64) -> Region<Pa> {
        Region::new(Pa::new(start), size).unwrap()
    }

    #[test]
    fn addresses_print_in_groups_of_four() {
        assert_eq!(Pa::new(0x4000_0000).to_string(), "0x4000_0000");
        assert_eq!(Ipa::new(0).to_string(), "0x0000_0000");
        assert_eq!(Va::new(0x12_3456_789a).to_string(), "0x0012_3456_789a");
    }

    #[test]
    fn a_region_that_wraps_or_is_empty_is_refused() {
        assert!(Region::new(Pa::new(u64::MAX), 2).is_none());
        assert!(Region::new(Pa::new(0), 0).is_none());
    }

    #[test]
    fn neighbours_do_not_overlap() {
        let low = region(0x1000, 0x1000);
        assert!(!low.overlaps(&region(0x2000, 0x1000)));
        assert!(low.overlaps(&region(0x1fff, 1)));
        assert!(!low.contains(Pa::new(0x2000)));
        assert!(region(0, 0x3000).covers(&low));
    }

    #[test]
    fn sizes_print_in_the_largest_whole_unit() {
        assert_eq!(ByteSize(512 << 20).to_string(), "512M");
        assert_eq!(ByteSize(1536 << 20).to_string(), "1536M");
        assert_eq!(ByteSize(100).to_string(), "100 bytes");
    }

    #[test]
    fn align_up_reports_overflow() {
        assert_eq!(align_up(1, 4096), Some(4096));
        assert_eq!(align_up(u64::MAX, 4096), None);
    }
}
