//! The partitions' router: ARP, DHCP with fixed leases, DNS forwarding, ICMP echo, and NAT to an uplink.
//!
//! [`Gateway`] gets frames and the time, and gives frames back through [`Out`]; it owns no device and no clock. It
//! stands behind the switch, which has judged a port's source addresses and hands on what is for the gateway's MAC
//! address, and broadcasts. All frames are hostile: what does not fit is dropped and counted ([`Reason`]). Memory is
//! allocated in [`Gateway::new`] only.
//!
//! What the next life of the service must know stands in [`Slots`], one NAT flow or the uplink's lease in each.
//!
//! NAT follows RFC 4787 and RFC 5382 with endpoint-independent mapping and address-and-port-dependent filtering. Not
//! done: IPv6, fragments and IPv4 options (dropped), hairpinning (a partition reaches another one by its inside
//! address), protocols other than TCP, UDP and ICMP, and a check of forwarded TCP and UDP checksums: they are updated
//! (RFC 1624), so a wrong one stays wrong for the receiver to see.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod arp;
mod counters;
mod dhcp;
mod gateway;
mod limit;
mod record;
mod wire;

pub use counters::{Counters, Reason, Tally};
pub use gateway::Gateway;
pub use record::Slots;

/// Where frames go. A frame is complete when it is handed over, all checksums included.
pub trait Out {
    /// To the guest at a port.
    fn to_port(&mut self, port: usize, frame: &[u8]);
    /// To the board's network device.
    fn to_uplink(&mut self, frame: &[u8]);
}
