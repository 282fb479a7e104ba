//! What the model asks of the hardware's side. The edge does it; tests note it down.

use crate::ListRegister;
use abi::{IntId, VcpuId};

/// The hardware side of one partition's GIC.
///
/// Every method is called with the model locked, possibly on a core other than `vcpu`'s own.
pub trait Effects {
    /// EL2 may put this list register into a free one of `vcpu` by itself whenever the interrupt arrives there; with
    /// `None` it must come to the model. `intid` is the guest's number; `register.hardware` the physical one. The
    /// `source` of an SGI is for the sender to fill in (GICv2).
    fn template(&mut self, vcpu: VcpuId, intid: IntId, register: Option<ListRegister>);
    /// The guest enabled or disabled an interrupt that is forwarded from hardware. `vcpu` says whose, if it is private.
    fn physical_enable(&mut self, vcpu: VcpuId, physical: IntId, enabled: bool);
    /// The guest gave up an interrupt whose physical side is active. `vcpu` says whose, if it is private.
    fn physical_deactivate(&mut self, vcpu: VcpuId, physical: IntId);
    /// The guest moved an assigned device's SPI to `vcpu`.
    fn physical_route(&mut self, physical: IntId, vcpu: VcpuId);
    /// `vcpu`'s core must `sync` and `refill` soon. Never asked for a vCPU that is between the two.
    fn kick(&mut self, vcpu: VcpuId);
}
