//! Model of the SBSA generic watchdog that a partition may have.
//!
//! Follows "Arm Base System Architecture" (DEN0094), appendix "Generic Watchdog", architecture version 1, whose offset
//! has 48 bits. A guest enables it and refreshes it from then on. Left alone for one period it asserts its first signal
//! (WS0), an interrupt; left alone for one more, its second (WS1): the guest starved, and EL2 restarts the partition.
//!
//! The system counter that the specification compares with is here the guest's virtual counter: the caller brings its
//! value, and looks again at [`Watchdog::deadline`]. Times may come from several vCPUs and need not be in order. Where
//! EL2 looks late, the second period starts late: a refresh that EL2 sees before it looked always wins.
//!
//! This crate sets no timer and drives no interrupt. Deliberately absent: identification beyond W_IIDR, and WS1 that
//! survives the restart: the next life gets a new watchdog. A [`Watchdog`] is a plain value: whoever shares it owns the
//! lock.
#![no_std]
#![forbid(unsafe_code)]

mod model;
pub mod register;

pub use model::{Expiry, Frame, Watchdog};
