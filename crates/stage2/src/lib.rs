//! VMSAv8-64 translation tables with the 4 KiB granule: map, unmap and walk over a [`TableMemory`].
//!
//! Follows the Arm ARM (DDI 0487), chapter D8 "The AArch64 Virtual Memory System Architecture". Stage 2 of a partition
//! and EL2's own stage 1 share the walk and differ in [`Attributes`] and in the type of the input address.
//!
//! Tables always start at level 1: that covers 39 input bits with one root table and 40 with two concatenated ones
//! (rule "the smallest that covers the map"). [`map`] only ever turns an invalid entry into a valid one and [`unmap`]
//! only a valid leaf into an invalid one, so no entry changes in place and break-before-make is never violated here.
//!
//! This crate deliberately has no TLB maintenance and no barriers: the caller owns the hardware. It never splits or
//! merges blocks, has no level 0, no 52-bit addresses (FEAT_LPA2), no hardware access or dirty flags.
#![no_std]
#![forbid(unsafe_code)]

mod attributes;
mod error;
mod geometry;
mod registers;
mod tables;

pub use attributes::{Attributes, MAIR_EL2};
pub use error::{MapError, UnmapError};
pub use geometry::{ENTRIES, Geometry, OUTPUT_BITS, level_span};
pub use registers::{TCR_EL2, choose_ipa_bits, physical_address_size, tcr_el2, vtcr, vttbr};
pub use tables::{Mapping, Stale, TableMemory, map, unmap, walk};
