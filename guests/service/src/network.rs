//! The partitions' network: who may send what to whom (crate `switch`), and the way out (crate `gateway`, uplink.rs).
//!
//! A frame is judged by a private copy of its first bytes, and these are what is delivered: what its sender changes
//! meanwhile is data to nobody but the receiver. From guest to guest the rest is copied once, from one RAM to the other.
//! There is no queue in between: a receiver without room for a frame loses it, so nobody fills anybody else's memory.

mod kept;
mod port;
mod report;

pub use port::Port;

use crate::entropy::Entropy;
use crate::timer;
use crate::uplink::Uplink;
use crate::{kept::Kept as Pages, say};
use abi::plan::{Kind, Nic, Plan};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use gateway::Gateway;
use kept::Kept;
use switch::Switch;
use virtio::Chain;
use virtio::net::MAX_FRAME;

/// Most bytes of a packet behind its Ethernet header, unless the service cuts it.
pub const MTU: u16 = 1500;

/// The gateway with its memory.
pub type Router = Gateway<'static, Kept>;

/// All of it.
pub struct Network {
    pub switch: Switch,
    pub gateway: Router,
    /// The partitions' network devices.
    pub ports: Vec<Port>,
    pub uplink: Option<Uplink>,
    /// Room for a whole frame.
    pub frame: Option<Box<[u8; MAX_FRAME]>>,
    /// The receiver's chain at hand.
    pub chain: Box<Chain>,
    /// The gateway was given something since its next event was asked for.
    pub is_touched: bool,
    /// When the gateway has something to do by itself.
    due: Option<u64>,
    /// Frames have moved since the last turn that looked.
    pub has_moved: bool,
    /// A guest's frame was dropped of which nothing was said yet.
    pub has_dropped: bool,
    /// The address outside that was last spoken of.
    said: Option<Ipv4Addr>,
}

impl Network {
    /// The plan's network, if it has one.
    pub fn start(plan: &'static Plan, kept: &Pages, entropy: &mut Option<Entropy>) -> Option<Self> {
        let planned = plan.network.as_ref()?;
        let uplink = if planned.has_uplink { Uplink::open(plan.transports) } else { None };
        if planned.has_uplink && uplink.is_none() {
            say!("warn: the partitions' network has no way out: the board has no network device that can be used");
        }
        let nics: Vec<Nic> = plan
            .devices
            .iter()
            .filter_map(|device| match device.kind {
                Kind::Nic(nic) => Some(nic),
                Kind::Disk(_) | Kind::Entropy | Kind::Vsock(_) | Kind::Console => None,
            })
            .collect();
        if entropy.is_none() {
            say!("warn: network: without an entropy device port numbers can be guessed");
        }
        let record: &'static Kept = Box::leak(Box::new(Kept::new(kept.slots())));
        let mac = uplink.as_ref().map(Uplink::mac);
        let gateway = Gateway::new(planned, &nics, mac, record, random(entropy));
        Some(Self {
            switch: Switch::new(planned, &nics, timer::ticks(1000)),
            gateway,
            ports: Vec::new(),
            uplink,
            frame: frame(),
            chain: Box::new(Chain::new()),
            is_touched: true,
            due: None,
            has_moved: false,
            has_dropped: false,
            said: None,
        })
    }

    /// One more port: the network device that is at this place among all devices. Ports come in the plan's order, by which
    /// switch and gateway number them too.
    pub fn connect(&mut self, device: usize, name: &'static str, nic: &Nic) -> usize {
        assert!(self.switch.is_port(self.ports.len(), nic.mac), "the plan's network devices are out of order");
        self.ports.push(Port::new(device, name, nic));
        self.ports.len() - 1
    }

    /// Whether the gateway has something to do by itself.
    pub fn is_due(&self) -> bool {
        self.due.is_some_and(|due| timer::now() >= due)
    }

    /// The end of a turn: tells the uplink what it was given, and asks the gateway when it is next due.
    pub fn turn(&mut self) {
        if let Some(uplink) = &mut self.uplink {
            uplink.tell();
        }
        if core::mem::take(&mut self.is_touched) {
            self.due = self.gateway.next_event().map(|event| {
                let rest = event.saturating_sub(timer::board_ms());
                timer::now().saturating_add(timer::ticks(rest.min(DAY_MS)))
            });
            self.say_address();
        }
    }

    fn say_address(&mut self) {
        let address = self.gateway.uplink_address();
        if address == self.said {
            return;
        }
        match address {
            Some(address) => say!("network: {address} outside"),
            None => say!("warn: network: no address outside any more"),
        }
        self.said = address;
    }

    /// When there is something to do although nobody asks.
    pub fn deadline(&self) -> Option<u64> {
        self.due.into_iter().chain(self.says_at()).min()
    }
}

/// Longest that the gateway is not asked, however far its next event is.
const DAY_MS: u64 = 86_400_000;

/// A number that nobody outside can guess, if the board has an entropy device.
fn random(entropy: &mut Option<Entropy>) -> u64 {
    let mut bytes = timer::board_ms().to_le_bytes();
    if let Some(entropy) = entropy {
        entropy.fill(&mut bytes);
    }
    u64::from_le_bytes(bytes)
}

/// On the heap without a detour over the stack, where it has no room.
fn frame() -> Option<Box<[u8; MAX_FRAME]>> {
    vec![0; MAX_FRAME].into_boxed_slice().try_into().ok()
}
