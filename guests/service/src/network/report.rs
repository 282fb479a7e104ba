//! What the service says about frames that it dropped: a line per partition, a second apart at least.

use super::{Network, Port};
use crate::{say, timer};
use core::fmt;
use gateway::Tally;
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
    /// All counters, for Ctrl-T s.
    pub fn say_counters(&self) {
        let gateway = self.gateway.counters();
        for (number, port) in self.ports.iter().enumerate() {
            let sent = self.switch.counters(number).map_or(0, |counters| counters.passed());
            let routed = gateway.ports.get(number).copied().unwrap_or_default();
            say!(
                "net: '{}': sent={sent} dropped={} missed={} routed={} answered={} refused={}",
                port.name,
                port.dropped(number, &self.switch),
                port.missed,
                routed.forwarded,
                routed.answered,
                routed.all_dropped()
            );
        }
        if let Some(uplink) = &self.uplink {
            let Tally { forwarded, answered, .. } = gateway.uplink;
            let refused = gateway.uplink.all_dropped();
            let lost = uplink.lost;
            say!("net: uplink: forwarded={forwarded} answered={answered} refused={refused} lost={lost}");
        }
    }

    /// Speaks of what was dropped since it last did.
    pub fn report(&mut self) {
        if !self.has_dropped {
            return;
        }
        self.has_dropped = false;
        for number in 0..self.ports.len() {
            let Some(port) = self.ports.get(number) else { continue };
            let dropped = port.dropped(number, &self.switch);
            if dropped == port.said.0 {
                continue;
            }
            if port.said.1.is_some_and(|until| timer::now() < until) {
                self.has_dropped = true;
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
        if !self.has_dropped {
            return None;
        }
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
