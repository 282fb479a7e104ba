//! Model of the PL011 UART that each guest sees as its console.
//!
//! Follows "PrimeCell UART (PL011) Technical Reference Manual" (DDI 0183), revision 1, and where a guest made for
//! QEMU's `virt` could tell, QEMU: it transmits and receives before any initialisation, and announces the first
//! received byte at once instead of waiting for a FIFO level. Transmission takes no time, so the transmit FIFO is
//! always empty (FR.TXFF stays 0) and a guest never waits for the physical UART.
//!
//! Deliberately absent: baud rates (stored, without effect), modem lines, DMA, breaks, framing and parity errors.
//! A [`Pl011`] is a plain value: whoever shares it owns the lock.
#![no_std]
#![forbid(unsafe_code)]

mod fifo;
mod pl011;
pub mod register;

pub use fifo::Full;
pub use pl011::Pl011;
