//! Model of the PL061 GPIO controller that each guest sees; one of its pins is the partition's power key, others may be
//! lines of the board.
//!
//! Follows "PrimeCell General Purpose Input/Output (PL061) Technical Reference Manual" (DDI 0190). Pins are low until
//! [`Pl061::set_pin`] says otherwise, and the interrupt is the combined one (GPIOINTR).
//!
//! What outputs drive is for the caller to look at ([`Pl061::driven`]); they interrupt nobody. Deliberately absent: the
//! hardware control mode (GPIOAFSEL is stored, without effect), integration test registers. A [`Pl061`] is a plain
//! value: whoever shares it owns the lock.
#![no_std]
#![forbid(unsafe_code)]

mod pl061;
pub mod register;

pub use pl061::Pl061;
