//! [`Counters`]: what became of the frames, by where they came from.

use alloc::boxed::Box;
use alloc::vec;

/// Why a frame went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It was not for the gateway's MAC address, and no broadcast.
    NotForUs,
    /// Its lengths contradict each other, or a header is cut off.
    Malformed,
    /// A checksum that the gateway relies on is wrong.
    Checksum,
    /// Neither ARP nor IPv4, or neither TCP, UDP nor ICMP, or an ICMP message that NAT does not translate.
    Protocol,
    /// IPv4 options.
    Options,
    /// An IPv4 fragment.
    Fragment,
    /// The source is not the port's address, or one that no packet may come from.
    Source,
    /// The destination is one that is not routed: loopback, multicast, broadcast, or inside the partitions' subnet.
    Destination,
    /// There is no uplink, or no lease on it, or no route.
    NoRoute,
    /// No flow, and none may begin with it.
    NoFlow,
    /// The port has its share of flows, and no other is free.
    TableFull,
    /// Its hop limit ran out here.
    HopLimit,
    /// It is longer than the MTU.
    TooBig,
    /// Its next hop did not answer in time, or more packets waited for the answer than one (these count for the uplink);
    /// or too many new next hops were asked for.
    NoNeighbour,
    /// It asked for a service that the gateway does not have.
    Refused,
    /// A DHCP message that nobody here asked for, or that contradicts itself.
    Dhcp,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Self::Dhcp as usize + 1;
}

/// What became of the frames from one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Handed on to the other side of the NAT, or kept until the next hop's address is known.
    pub forwarded: u64,
    /// For the gateway itself, and understood.
    pub answered: u64,
    /// Flows that gave way to another port's, or to the same port's newer ones.
    pub evicted: u64,
    dropped: [u64; Reason::COUNT],
}

impl Tally {
    /// How many frames were dropped for a reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }
    /// How many frames were dropped at all.
    pub fn all_dropped(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

/// All tallies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// By port.
    pub ports: Box<[Tally]>,
    /// The uplink.
    pub uplink: Tally,
}

/// Where a frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Port(usize),
    Uplink,
}

/// What became of a frame that was not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Forwarded,
    Answered,
}

impl Counters {
    pub(crate) fn new(ports: usize) -> Self {
        Self { ports: vec![Tally::default(); ports].into_boxed_slice(), uplink: Tally::default() }
    }

    pub(crate) fn count(&mut self, from: Origin, outcome: Result<Done, Reason>) {
        let Some(tally) = self.tally(from) else { return };
        let counter = match outcome {
            Ok(Done::Forwarded) => Some(&mut tally.forwarded),
            Ok(Done::Answered) => Some(&mut tally.answered),
            Err(reason) => tally.dropped.get_mut(reason as usize),
        };
        if let Some(counter) = counter {
            *counter = counter.wrapping_add(1);
        }
    }

    /// Packets that left for the uplink but waited in vain for their next hop's address.
    pub(crate) fn lose(&mut self, packets: u64) {
        if let Some(counter) = self.uplink.dropped.get_mut(Reason::NoNeighbour as usize) {
            *counter = counter.wrapping_add(packets);
        }
    }

    pub(crate) fn tally(&mut self, from: Origin) -> Option<&mut Tally> {
        match from {
            Origin::Port(port) => self.ports.get_mut(port),
            Origin::Uplink => Some(&mut self.uplink),
        }
    }
}
