//! Why a range was not mapped or unmapped: each error carries the addresses that it is about.

use addr::Pa;
use core::fmt;

/// Why a range was not mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError<A> {
    /// The size is zero, or one of the three is no multiple of 4 KiB.
    Misaligned {
        /// First input address.
        input: A,
        /// First output address.
        pa: Pa,
        /// Bytes.
        size: u64,
    },
    /// The range does not fit the geometry's input addresses.
    InputTooLarge {
        /// First input address.
        input: A,
        /// Bytes.
        size: u64,
        /// Bits of the geometry's input addresses.
        bits: u32,
    },
    /// The output range does not fit 48 bits.
    OutputTooLarge {
        /// First output address.
        pa: Pa,
        /// Bytes.
        size: u64,
    },
    /// Part of the range is mapped already. Nothing was changed.
    Overlap {
        /// The first input address that is taken.
        input: A,
        /// What it translates to.
        pa: Pa,
    },
    /// The table memory is used up. What lies before `input` is mapped.
    NoTable {
        /// The first input address that is not mapped.
        input: A,
    },
}

impl<A: fmt::Display> fmt::Display for MapError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned { input, pa, size } => {
                write!(f, "{size:#x} bytes at {input} to {pa}: not a multiple of 4 KiB")
            }
            Self::InputTooLarge { input, size, bits } => {
                write!(f, "{size:#x} bytes at {input} do not fit {bits} address bits")
            }
            Self::OutputTooLarge { pa, size } => {
                write!(f, "{size:#x} bytes at {pa} do not fit 48 address bits")
            }
            Self::Overlap { input, pa } => write!(f, "{input} is mapped already, to {pa}"),
            Self::NoTable { input } => write!(f, "no table left to map {input}"),
        }
    }
}

/// Why a range was not unmapped. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnmapError<A> {
    /// The range is empty, no multiple of 4 KiB, or does not fit the geometry.
    BadRange {
        /// First input address.
        input: A,
        /// Bytes.
        size: u64,
    },
    /// The range ends inside a block: unmapping would have to split it.
    PartOfBlock {
        /// First input address of the block.
        block: A,
        /// Bytes of the block.
        block_size: u64,
    },
}

impl<A: fmt::Display> fmt::Display for UnmapError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRange { input, size } => {
                write!(f, "{size:#x} bytes at {input} are no range of pages")
            }
            Self::PartOfBlock { block, block_size } => {
                write!(f, "the range covers a part of the {block_size:#x} byte block at {block}")
            }
        }
    }
}
