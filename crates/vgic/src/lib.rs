//! The guest-visible GIC: distributor and redistributors of GICv2 (Arm IHI 0048) and GICv3 (IHI 0069), as a pure model.
//!
//! The guest's CPU interface is hardware; this crate decides what its list registers hold. It touches no hardware:
//! what must happen outside leaves through [`Effects`]. One [`Vgic`] is one partition's GIC, so an interrupt that no
//! vCPU of it has reaches nobody.
//!
//! # How it is used
//!
//! On the core of a vCPU, with the model locked: [`Vgic::sync`] takes over what that vCPU's list registers hold, then
//! come any number of operations, then [`Vgic::refill`] chooses what the list registers hold next. Every `sync` is
//! followed by a `refill`. Without the lock, EL2 may put a *template* ([`Effects::template`]) into a free list register;
//! the next `sync` sees it. Three rules make that safe:
//!
//! - The model gives its state away: what `refill` loads leaves the model until `sync` brings it back, so nothing is
//!   counted twice and whatever is found in a list register is the truth.
//! - A forwarded interrupt has a template only while no list register can hold it without its physical interrupt being
//!   active, so it never needs a search for duplicates. An SGI does: one list register for one INTID.
//! - An SPI has at most one holder, the vCPU whose list registers may have it. The others wait for that vCPU's `sync`,
//!   which kicks the SPI's present target.
//!
//! While [`Maintenance::underflow`] is asked for, a template put into a list register may overtake what waits for one.
//!
//! # What a guest sees
//!
//! A GIC without security extensions, as on QEMU `virt`: 256 SPIs, two groups, everything group 0 at reset, five bits of
//! priority, SGIs edge and PPIs level (fixed), affinity routing always on for GICv3, no LPIs, no ITS, no message-based
//! SPIs, no 1-of-N distribution (the lowest target of a GICv2 mask gets it). Sleep in GICR_WAKER is acknowledged but
//! does not hold interrupts back. Any other offset, and any access size the architecture does not name, is RAZ/WI.
//!
//! Writing a forwarded interrupt's GICD_ISPENDR or GICD_ISACTIVER makes software state: it is delivered without a link to
//! the physical interrupt. Clearing its pending or active state also deactivates the physical one.
//!
//! A vCPU that reads or clears pending or active state held by *another* vCPU's list registers sees it as it was at that
//! vCPU's last refill, and the clearing takes effect when that vCPU, which is kicked, synchronizes.
#![no_std]
#![forbid(unsafe_code)]

mod access;
mod bank;
mod effects;
mod events;
mod list_register;
mod model;
mod refill;
mod registers;
mod sgi;
mod state;
mod sync;
mod word;

pub use bank::Bank;
pub use effects::Effects;
pub use list_register::{ListRegister, ListRegisters, Maintenance, State};
pub use model::{MAX_FORWARDED_SPIS, Version, Vgic};
pub use sgi::{SgiTargets, sgi_targets, sgir_targets};
