//! [`Mappings`]: which port outside stands for which endpoint inside (RFC 4787: endpoint-independent).
//!
//! A mapping lives as long as a flow uses it; a forwarded port's lives forever.

use super::index::{Hash, Index};
use crate::flow::{Endpoint, Protocol};
use crate::random::Random;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// How many random ports are tried. A table that is far smaller than 64512 ports leaves most of them free.
const TRIES: usize = 32;
/// The first port that is given at random.
const FIRST: u64 = 1024;

#[derive(Clone, Copy, Debug)]
struct Mapping {
    protocol: Protocol,
    inside: Endpoint,
    outside: u16,
    is_forward: bool,
    users: u16,
}

/// All mappings.
#[derive(Debug)]
pub(crate) struct Mappings {
    hash: Hash,
    items: Box<[Option<Mapping>]>,
    free: Vec<u16>,
    by_inside: Index,
    by_outside: Index,
}

impl Mappings {
    pub fn new(hash: Hash, capacity: usize) -> Self {
        Self {
            hash,
            items: vec![None; capacity].into_boxed_slice(),
            free: (0..capacity as u16).collect(),
            by_inside: Index::new(capacity),
            by_outside: Index::new(capacity),
        }
    }

    /// Reserves a port for good. The first who wants it gets it.
    pub fn forward(&mut self, protocol: Protocol, outside: u16, inside: Endpoint) {
        if self.find_outside(protocol, outside).is_none() {
            self.insert(Mapping { protocol, inside, outside, is_forward: true, users: 1 });
        }
    }

    /// Where a forwarded port leads.
    pub fn forwarded(&self, protocol: Protocol, outside: u16) -> Option<Endpoint> {
        let (_, mapping) = self.find_outside(protocol, outside)?;
        mapping.is_forward.then_some(mapping.inside)
    }

    /// The ports that stand for an endpoint.
    pub fn of(&self, protocol: Protocol, inside: Endpoint) -> impl Iterator<Item = u16> {
        self.by_inside
            .chain(self.inside_hash(protocol, inside))
            .filter_map(|item| self.items.get(item).copied().flatten())
            .filter(move |mapping| mapping.protocol == protocol && mapping.inside == inside)
            .map(|mapping| mapping.outside)
    }

    /// A port that stands for nobody: this one, or a random one.
    pub fn unused(&self, protocol: Protocol, wanted: u16, random: &mut Random) -> Option<u16> {
        let any = || (FIRST + random.below(u64::from(u16::MAX) + 1 - FIRST)) as u16;
        let mut tries = core::iter::once(wanted).chain(core::iter::repeat_with(any).take(TRIES));
        tries.find(|port| self.find_outside(protocol, *port).is_none())
    }

    /// One more flow uses this mapping, which may be new. False if the port stands for another endpoint.
    pub fn take(&mut self, protocol: Protocol, outside: u16, inside: Endpoint) -> bool {
        match self.find_outside(protocol, outside) {
            Some((_, mapping)) if mapping.inside != inside => false,
            Some((item, _)) => {
                if let Some(Some(mapping)) = self.items.get_mut(item) {
                    mapping.users = mapping.users.saturating_add(1);
                }
                true
            }
            None => self.insert(Mapping { protocol, inside, outside, is_forward: false, users: 1 }),
        }
    }

    /// One flow less uses this mapping.
    pub fn give_back(&mut self, protocol: Protocol, outside: u16) {
        let Some((item, mapping)) = self.find_outside(protocol, outside) else { return };
        let users = mapping.users.saturating_sub(1);
        if let Some(slot) = self.items.get_mut(item) {
            *slot = (users > 0).then_some(Mapping { users, ..mapping });
        }
        if users == 0 {
            self.by_inside.remove(self.inside_hash(protocol, mapping.inside), item);
            self.by_outside.remove(self.outside_hash(protocol, outside), item);
            self.free.push(item as u16);
        }
    }

    fn insert(&mut self, mapping: Mapping) -> bool {
        let Some(item) = self.free.pop().map(usize::from) else { return false };
        let Some(slot) = self.items.get_mut(item) else { return false };
        *slot = Some(mapping);
        self.by_inside.insert(self.inside_hash(mapping.protocol, mapping.inside), item);
        self.by_outside.insert(self.outside_hash(mapping.protocol, mapping.outside), item);
        true
    }

    fn find_outside(&self, protocol: Protocol, outside: u16) -> Option<(usize, Mapping)> {
        self.by_outside
            .chain(self.outside_hash(protocol, outside))
            .filter_map(|item| Some((item, self.items.get(item).copied().flatten()?)))
            .find(|(_, mapping)| mapping.protocol == protocol && mapping.outside == outside)
    }

    fn inside_hash(&self, protocol: Protocol, inside: Endpoint) -> u64 {
        self.hash.of(inside.to_bits(), protocol as u64)
    }

    fn outside_hash(&self, protocol: Protocol, outside: u16) -> u64 {
        self.hash.of(u64::from(outside), protocol as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const A: Endpoint = Endpoint::new(Ipv4Addr::new(10, 0, 0, 2), 700);
    const B: Endpoint = Endpoint::new(Ipv4Addr::new(10, 0, 0, 3), 700);

    #[test]
    fn a_port_stands_for_one_endpoint_while_a_flow_uses_it() {
        let mut mappings = Mappings::new(Hash([1, 2]), 4);
        assert!(mappings.take(Protocol::Tcp, 700, A) && mappings.take(Protocol::Tcp, 700, A));
        assert!(!mappings.take(Protocol::Tcp, 700, B));
        assert!(mappings.take(Protocol::Udp, 700, B), "another protocol's ports are others");
        assert_ne!(mappings.unused(Protocol::Tcp, 700, &mut Random::new(1)), Some(700));
        mappings.give_back(Protocol::Tcp, 700);
        assert_eq!(mappings.of(Protocol::Tcp, A).collect::<Vec<_>>(), [700]);
        mappings.give_back(Protocol::Tcp, 700);
        assert_eq!(mappings.of(Protocol::Tcp, A).count(), 0);
        assert!(mappings.take(Protocol::Tcp, 700, B));
    }

    #[test]
    fn a_forwarded_port_stays() {
        let mut mappings = Mappings::new(Hash([1, 2]), 4);
        mappings.forward(Protocol::Tcp, 80, A);
        mappings.forward(Protocol::Tcp, 80, B);
        assert_eq!(mappings.forwarded(Protocol::Tcp, 80), Some(A));
        assert!(mappings.take(Protocol::Tcp, 80, A));
        mappings.give_back(Protocol::Tcp, 80);
        assert_eq!(mappings.forwarded(Protocol::Tcp, 80), Some(A));
    }
}
