//! Why frames are dropped, and how many were.

use crate::Verdict;
use core::fmt;

/// Why a frame goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No such port: the caller's mistake, so nobody's counter has it.
    Port,
    /// The frame, or the copy of its head, ends within a header, or before the end that the header tells.
    Truncated,
    /// Longer than [`crate::MAX_FRAME`].
    Oversized,
    /// The source is not the port's MAC address; a multicast address never is.
    SourceMac,
    /// The IPv4 source is not the port's address.
    SourceIp,
    /// An ARP sender that is not the port.
    ArpSender,
    /// A DHCP server's packet.
    DhcpServer,
    /// A VLAN tag.
    Vlan,
    /// IPv6.
    Ipv6,
    /// Another EtherType than IPv4 and ARP.
    EtherType,
    /// A header that is none: not IP version 4, not ARP for IPv4 on Ethernet.
    Malformed,
    /// To an address that nobody has, or to the sender's own.
    Destination,
    /// More broadcasts than the port's budget.
    Storm,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Port,
        Self::Truncated,
        Self::Oversized,
        Self::SourceMac,
        Self::SourceIp,
        Self::ArpSender,
        Self::DhcpServer,
        Self::Vlan,
        Self::Ipv6,
        Self::EtherType,
        Self::Malformed,
        Self::Destination,
        Self::Storm,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "no such port",
            Self::Truncated => "truncated",
            Self::Oversized => "oversized",
            Self::SourceMac => "foreign MAC source",
            Self::SourceIp => "foreign IPv4 source",
            Self::ArpSender => "foreign ARP sender",
            Self::DhcpServer => "DHCP server",
            Self::Vlan => "VLAN tag",
            Self::Ipv6 => "IPv6",
            Self::EtherType => "unknown EtherType",
            Self::Malformed => "malformed header",
            Self::Destination => "unknown destination",
            Self::Storm => "too many broadcasts",
        })
    }
}

/// What happened to the frames of one sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    passed: u64,
    dropped: [u64; Reason::ALL.len()],
}

impl Counters {
    /// Frames that went somewhere.
    pub fn passed(&self) -> u64 {
        self.passed
    }
    /// Frames that were dropped for this reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }
    /// Every reason for which a frame was dropped, with their number.
    pub fn drops(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.dropped).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn count(&mut self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Drop(reason) => &mut self.dropped[reason as usize],
            _ => &mut self.passed,
        };
        *counter = counter.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let mut counters = Counters::default();
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            (0..=place).for_each(|_| counters.count(Verdict::Drop(reason)));
        }
        counters.count(Verdict::Flood);
        assert!(counters.drops().eq(Reason::ALL.into_iter().zip(1..)));
        assert_eq!(counters.passed(), 1);
    }
}
