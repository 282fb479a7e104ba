//! What the service says about frames that it dropped: a line per partition, a second apart at least.

use super::{Network, Port};
use crate::{say, timer};
use core::fmt;
use switch::{Reason, Switch};

/// Least time between two lines about a partition.
const SILENCE_MS: u64 = 1000;

impl Port {
    /// How many of its frames were dropped that an honest guest would not have sent. Every Linux tries IPv6.
    fn dropped(&self, number: usize, switch: &Switch) -> u64 {
        let drops = switch.counters(number).into_iter().flat_map(|counters| counters.drops());
        self.refused + drops.filter(|(reason, _)| *reason != Reason::Ipv6).map(|(_, count)| count).sum::<u64>()
    }
}

impl Network {
    /// Speaks of what was dropped since it last did.
    pub fn report(&mut self) {
        for number in 0..self.ports.len() {
            let Some(port) = self.ports.get(number) else { continue };
            let dropped = port.dropped(number, &self.switch);
            if dropped == port.said.0 || port.said.1.is_some_and(|until| timer::now() < until) {
                continue;
            }
            say!("net: '{}': dropped {}", port.name, Drops { network: self, number });
            if let Some(port) = self.ports.get_mut(number) {
                port.said = (dropped, Some(timer::now() + timer::ticks(SILENCE_MS)));
            }
        }
    }

    /// When there is something to speak of.
    pub(super) fn says_at(&self) -> Option<u64> {
        let waiting = self.ports.iter().enumerate();
        let waiting = waiting.filter(|(number, port)| port.dropped(*number, &self.switch) != port.said.0);
        waiting.map(|(_, port)| port.said.1.unwrap_or(0)).min()
    }
}

/// A partition's dropped frames by reason.
struct Drops<'n> {
    network: &'n Network,
    number: usize,
}

impl fmt::Display for Drops<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let drops = self.network.switch.counters(self.number).into_iter().flat_map(|counters| counters.drops());
        for (reason, count) in drops {
            write!(f, "{separator}{count} {reason}")?;
            separator = ", ";
        }
        let refused = self.network.ports.get(self.number).map_or(0, |port| port.refused);
        if refused > 0 {
            write!(f, "{separator}{refused} bad packet header")?;
        }
        Ok(())
    }
}
