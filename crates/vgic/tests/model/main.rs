//! The model against the architecture: named rules, and random guests against a reference without list registers.
//!
//! `machine` plays EL2's edge and the hardware: list registers, virtual CPU interfaces, physical interrupts.

mod delivery;
mod distributor;
mod encoding;
mod forwarded;
mod machine;
mod property;
mod reference;
mod remote;
mod sgi;
