//! Console multiplexer: many partitions and EL2 itself share one UART.
//!
//! A partition writes into its own [`Ring`] and never waits; who may wait asks for [`Ring::room`] first. One core at a time
//! calls [`Mux::pump`], which takes lines from the rings in turn and hands the bytes for the UART to a sink. [`Keys`] sorts what
//! the user types, and [`Typed`] keeps it for a virtio console.
//!
//! - *Interactive*: the focused source passes raw. Complete lines of all others appear between, as `name| text`.
//! - *Tagged*: each line of each source starts with `name| `. Characters pass at once.
//!
//! Where a source leaves its line open, others wait for its end, but at most [`HOLD_MS`]; then the console ends the
//! line itself, and its rest starts with its tag again. So lines stay whole under load, and a prompt without newline
//! neither hides nor blocks anybody. Everything but the focused source's raw bytes is reduced to printable UTF-8.
//!
//! No allocation, no clock, no UART: the caller brings the time and the sink.
#![no_std]
#![forbid(unsafe_code)]

mod filter;
mod keys;
mod line;
mod mux;
mod output;
mod ring;
mod source;
mod typed;

pub use keys::{Key, Keys};
pub use mux::{HOLD_MS, Mode, Mux};
pub use output::BURST;
pub use ring::Ring;
pub use source::{ALL_SOURCES, SOURCES, Source};
pub use typed::Typed;
