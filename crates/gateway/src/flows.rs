//! [`Flows`]: the table of conversations, found in a few steps from both sides, and shared fairly by the ports.
//!
//! Slot 0 of the record is the lease's; each other one holds the flow of the same number. A port may have its share,
//! the table divided by the ports, for certain, and more while nobody else wants it: see [`Flows::make_room`].
//!
//! No timer runs for flows: one that is over is found when it is looked up, when its port needs room, or by
//! [`Flows::reap`], which the gateway calls when it is awake anyway.

mod index;
mod mappings;
mod order;

use crate::flow::{Class, Endpoint, Flow, Protocol, Segment, Side, State};
use crate::random::Random;
use crate::record::{self, Kind};
use crate::{Reason, Slots};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use index::{Hash, Index};
use mappings::Mappings;
use order::Orders;

/// How often the time of a flow's last packet is written to its slot: by so much a flow may die too early in the
/// service's next life.
const SAVE_EVERY_S: u32 = 8;

/// Slots before the first flow's.
const FIRST_SLOT: usize = 1;

/// All flows.
pub(crate) struct Flows<'r, S: Slots> {
    record: &'r S,
    hash: Hash,
    gateway: Ipv4Addr,
    /// The uplink's address, which all flows have outside.
    uplink: Ipv4Addr,
    items: Box<[Option<Flow>]>,
    free: Vec<u16>,
    by_inside: Index,
    by_outside: Index,
    /// By port and class.
    orders: Orders,
    /// Flows of each port.
    used: Box<[usize]>,
    mappings: Mappings,
}

/// What begins a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub protocol: Protocol,
    pub port: u8,
    pub inside: Endpoint,
    pub remote: Endpoint,
    pub state: State,
}

impl<'r, S: Slots> Flows<'r, S> {
    /// An empty table, as long as the record.
    pub fn new(record: &'r S, ports: usize, gateway: Ipv4Addr, forwards: usize, random: &mut Random) -> Self {
        let capacity = record.count().saturating_sub(FIRST_SLOT).min(index::MAX.saturating_sub(forwards));
        let hash = Hash([random.next(), random.next()]);
        Self {
            record,
            gateway,
            uplink: Ipv4Addr::UNSPECIFIED,
            items: vec![None; capacity].into_boxed_slice(),
            free: (0..capacity as u16).rev().collect(),
            by_inside: Index::new(capacity),
            by_outside: Index::new(capacity),
            orders: Orders::new(ports.saturating_mul(Class::ALL.len()), capacity),
            used: vec![0; ports].into_boxed_slice(),
            mappings: Mappings::new(hash.clone(), capacity.saturating_add(forwards)),
            hash,
        }
    }

    /// Reserves a port outside; see [`Mappings::forward`].
    pub fn forward(&mut self, protocol: Protocol, outside: u16, inside: Endpoint) {
        self.mappings.forward(protocol, outside, inside);
    }

    /// Where a forwarded port leads.
    pub fn forwarded(&self, protocol: Protocol, outside: u16) -> Option<Endpoint> {
        self.mappings.forwarded(protocol, outside)
    }

    /// Takes the flows from the record that have this address outside, or, if it is not known, the first one's; and
    /// empties all other slots. `is_ours` tells whether an address is a port's.
    pub fn restore(&mut self, uplink: Option<Ipv4Addr>, is_ours: impl Fn(usize, Ipv4Addr) -> bool) {
        let slots = 0..self.items.len();
        let mut found: Vec<(usize, Flow)> = Vec::with_capacity(slots.len());
        let mut uplink = uplink;
        for item in slots {
            let flow = record::read(self.record, item + FIRST_SLOT, Kind::Flow).and_then(|b| Flow::from_bytes(&b));
            match flow.filter(|(flow, _)| is_ours(flow.port.into(), flow.inside.address)) {
                Some((flow, address)) if *uplink.get_or_insert(address) == address => found.push((item, flow)),
                _ => self.erase(item),
            }
        }
        self.uplink = uplink.unwrap_or(Ipv4Addr::UNSPECIFIED);
        // The lists are in the order of last use.
        found.sort_unstable_by_key(|(_, flow)| flow.seen_s);
        for (item, flow) in found {
            if !self.insert(item, flow) {
                self.erase(item);
            }
        }
        self.free.clear();
        let items = (0..self.items.len() as u16).rev();
        self.free.extend(items.filter(|item| self.items.get(usize::from(*item)).is_some_and(Option::is_none)));
    }

    /// Empties a slot, unless it is empty: a write is not free for every implementation.
    fn erase(&self, item: usize) {
        if self.record.load(item + FIRST_SLOT) != [0; 4] {
            record::clear(self.record, item + FIRST_SLOT);
        }
    }

    /// The uplink has this address now: flows with another one are over. Whether it had another one.
    pub fn readdress(&mut self, uplink: Ipv4Addr) -> bool {
        let is_new = self.uplink != uplink;
        if is_new {
            (0..self.items.len()).for_each(|item| self.forget(item));
            self.uplink = uplink;
        }
        is_new
    }

    pub fn get(&self, item: usize) -> Option<&Flow> {
        self.items.get(item)?.as_ref()
    }

    /// The flow between these ends, as the inside knows them.
    pub fn find_inside(
        &mut self,
        protocol: Protocol,
        inside: Endpoint,
        remote: Endpoint,
        now_s: u32,
    ) -> Option<(usize, Flow)> {
        let found = self.by_inside.chain(self.inside_hash(protocol, inside, remote)).find(|item| {
            let flow = self.get(*item);
            flow.is_some_and(|flow| {
                flow.protocol == protocol && flow.inside == inside && flow.remote_inside(self.gateway) == remote
            })
        })?;
        self.living(found, now_s)
    }

    /// The flow between these ends, as the outside knows them.
    pub fn find_outside(
        &mut self,
        protocol: Protocol,
        outside: u16,
        remote: Endpoint,
        now_s: u32,
    ) -> Option<(usize, Flow)> {
        let found = self.at_outside(protocol, outside, remote)?;
        self.living(found, now_s)
    }

    fn at_outside(&self, protocol: Protocol, outside: u16, remote: Endpoint) -> Option<usize> {
        self.by_outside.chain(self.outside_hash(protocol, outside, remote)).find(|item| {
            let flow = self.get(*item);
            flow.is_some_and(|flow| flow.protocol == protocol && flow.outside == outside && flow.remote == remote)
        })
    }

    /// The flow, unless it was silent for too long, in which case it ends here.
    fn living(&mut self, item: usize, now_s: u32) -> Option<(usize, Flow)> {
        let flow = *self.get(item)?;
        if flow.is_over(now_s) {
            self.forget(item);
            return None;
        }
        Some((item, flow))
    }

    /// A packet of the flow passed.
    pub fn touch(&mut self, item: usize, side: Side, segment: Segment, now_s: u32) {
        let Some(Some(flow)) = self.items.get_mut(item) else { return };
        let before = *flow;
        flow.state = flow.state.after(side, segment);
        flow.seen_s = now_s;
        let after = *flow;
        // In its list a flow moves at most once a second, and in its slot less often.
        if after.seen_s != before.seen_s || after.class() != before.class() {
            self.orders.remove(list(&before), item);
            self.orders.push(list(&after), item);
        }
        if after.state != before.state || now_s / SAVE_EVERY_S != before.seen_s / SAVE_EVERY_S {
            self.save(item, after);
        }
    }

    /// Frees an item for a flow of this port, if none is free. The port whose flow had to go, if one had.
    ///
    /// # Errors
    /// The port has its share, and no flow of its own may go: all are open connections.
    pub fn make_room(&mut self, port: usize, now_s: u32) -> Result<Option<usize>, Reason> {
        self.reap(port, now_s);
        if !self.free.is_empty() {
            return Ok(None);
        }
        let used = self.used.get(port).copied().ok_or(Reason::TableFull)?;
        let share = (self.items.len() / self.used.len().max(1)).max(1);
        let (victim, classes) = if used < share {
            // The table is full and this port below its share: another one is above.
            let most = self.used.iter().enumerate().max_by_key(|(_, used)| **used);
            (most.map_or(port, |(port, _)| port), Class::ALL.as_slice())
        } else {
            (port, Class::ALL.split_last().map_or(&[][..], |(_, weaker)| weaker))
        };
        let mut oldest = classes.iter().filter_map(|class| self.orders.first(list_of(victim, *class)));
        let item = oldest.next().ok_or(Reason::TableFull)?;
        self.forget(item);
        Ok(Some(victim))
    }

    /// Ends the flows of a port that were silent for too long: at most the oldest of each class.
    pub fn reap(&mut self, port: usize, now_s: u32) {
        for class in Class::ALL {
            if let Some(item) = self.orders.first(list_of(port, class)) {
                let _ = self.living(item, now_s);
            }
        }
    }

    /// Begins a flow from inside, with the port that stands for its endpoint already, its own number, or a random one.
    pub fn begin(&mut self, birth: Birth, now_s: u32, random: &mut Random) -> Result<usize, Reason> {
        let Birth { protocol, inside, remote, .. } = birth;
        let is_free = |outside: &u16| self.at_outside(protocol, *outside, remote).is_none();
        let outside = self.mappings.of(protocol, inside).find(is_free);
        let outside = outside.or_else(|| self.mappings.unused(protocol, inside.port, random));
        self.add(birth, outside.ok_or(Reason::TableFull)?, now_s)
    }

    /// Begins a flow with a given port outside.
    pub fn add(&mut self, birth: Birth, outside: u16, now_s: u32) -> Result<usize, Reason> {
        let Birth { protocol, port, inside, remote, state } = birth;
        let flow = Flow { protocol, port, inside, outside, remote, state, seen_s: now_s };
        let item = self.free.pop().map(usize::from).ok_or(Reason::TableFull)?;
        if !self.insert(item, flow) {
            self.free.push(item as u16);
            return Err(Reason::TableFull);
        }
        self.save(item, flow);
        Ok(item)
    }

    /// Puts a flow into its place, unless its ends are another's already.
    fn insert(&mut self, item: usize, flow: Flow) -> bool {
        let Flow { protocol, inside, outside, remote, .. } = flow;
        let seen = flow.remote_inside(self.gateway);
        let is_known = self.at_outside(protocol, outside, remote).is_some()
            || self.find_inside(protocol, inside, seen, flow.seen_s).is_some();
        let Some(used) = self.used.get_mut(usize::from(flow.port)) else { return false };
        if is_known || !self.mappings.take(protocol, outside, inside) {
            return false;
        }
        *used += 1;
        if let Some(place) = self.items.get_mut(item) {
            *place = Some(flow);
        }
        self.by_inside.insert(self.inside_hash(protocol, inside, seen), item);
        self.by_outside.insert(self.outside_hash(protocol, outside, remote), item);
        self.orders.push(list(&flow), item);
        true
    }

    /// Ends a flow.
    pub fn forget(&mut self, item: usize) {
        let Some(flow) = self.items.get_mut(item).and_then(Option::take) else { return };
        let Flow { protocol, inside, outside, remote, .. } = flow;
        record::clear(self.record, item + FIRST_SLOT);
        let seen = flow.remote_inside(self.gateway);
        self.by_inside.remove(self.inside_hash(protocol, inside, seen), item);
        self.by_outside.remove(self.outside_hash(protocol, outside, remote), item);
        self.orders.remove(list(&flow), item);
        self.mappings.give_back(protocol, outside);
        if let Some(used) = self.used.get_mut(usize::from(flow.port)) {
            *used = used.saturating_sub(1);
        }
        self.free.push(item as u16);
    }

    fn save(&self, item: usize, flow: Flow) {
        record::save(self.record, item + FIRST_SLOT, Kind::Flow, &flow.to_bytes(self.uplink));
    }

    fn inside_hash(&self, protocol: Protocol, inside: Endpoint, remote: Endpoint) -> u64 {
        self.hash.of(inside.to_bits() ^ (protocol as u64) << 56, remote.to_bits())
    }

    fn outside_hash(&self, protocol: Protocol, outside: u16, remote: Endpoint) -> u64 {
        self.hash.of(u64::from(outside) ^ (protocol as u64) << 56, remote.to_bits())
    }
}

/// The list of a port's flows of a class.
fn list_of(port: usize, class: Class) -> usize {
    port.saturating_mul(Class::ALL.len()).saturating_add(class as usize)
}

fn list(flow: &Flow) -> usize {
    list_of(flow.port.into(), flow.class())
}
