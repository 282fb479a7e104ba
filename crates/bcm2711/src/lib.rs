//! The BCM2711, the chip of the Raspberry Pi 4: its small devices by name ([`BLOCKS`]), those that no partition gets
//! ([`KEPT`]), what its pins can do ([`SIGNALS`]), and the values of the registers that select it ([`pin`]) and that
//! drive plain pins ([`mod@line`]).
//!
//! Sources: "BCM2711 ARM Peripherals" of Raspberry Pi Ltd, chapter 5 (pins), and the addresses in Linux's device trees
//! (bcm2711.dtsi, bcm283x.dtsi) as the Arm sees them, from 0xfe00_0000 on. Tables and arithmetic only: nothing here
//! reads or writes a register, and nothing was ever tried on a board.
#![no_std]
#![forbid(unsafe_code)]

mod block;
pub mod clock;
pub mod line;
pub mod pin;

pub use block::{BLOCKS, Block, KEPT, Kept, Kind};
pub use pin::{SIGNALS, Signal};
