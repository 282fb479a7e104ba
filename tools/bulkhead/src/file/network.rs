//! `[network]` as written: the subnet of the partitions' network devices, and whether it has a way out.

use super::table::{Table, describe};
use super::{Given, keys};
use crate::diagnostic::{Diagnostic, Span};
use std::fmt;
use std::net::Ipv4Addr;
use toml::de::DeValue;

/// The subnet unless the file says otherwise.
const SUBNET: Subnet = Subnet { start: Ipv4Addr::new(10, 0, 0, 0), prefix: 24 };

/// An IPv4 subnet with room for a gateway and at least one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    start: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// Of the first address; `None` when it is not the first, or the prefix not 8 to 30.
    fn new(start: Ipv4Addr, prefix: u8) -> Option<Self> {
        let subnet = Self { start, prefix };
        ((8..=30).contains(&prefix) && start.to_bits() & subnet.host_mask() == 0).then_some(subnet)
    }
    const fn host_mask(&self) -> u32 {
        u32::MAX >> self.prefix
    }
    /// Bits of the prefix.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
    /// Its own address.
    pub const fn network(&self) -> Ipv4Addr {
        self.start
    }
    /// The gateway's: the first one after that.
    pub const fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.start.to_bits() | 1)
    }
    /// The broadcast address: the last one.
    pub const fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.start.to_bits() | self.host_mask())
    }
    /// Whether `ip` lies in it.
    pub const fn contains(&self, ip: Ipv4Addr) -> bool {
        ip.to_bits() & !self.host_mask() == self.start.to_bits()
    }
    /// The addresses for partitions, in order.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.gateway().to_bits() + 1..self.broadcast().to_bits()).map(Ipv4Addr::from_bits)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.start, self.prefix)
    }
}

/// The network as written.
#[derive(Clone, Debug, Default)]
pub struct NetworkFile {
    /// The partitions' subnet.
    pub subnet: Given<Subnet>,
    /// Whether it has a way out.
    pub uplink: Given<bool>,
}

impl NetworkFile {
    /// The subnet: what the file says, or the usual one; `None` where what it says is wrong.
    pub fn subnet(&self) -> Option<Subnet> {
        if self.subnet == Given::Absent { Some(SUBNET) } else { self.subnet.value().copied() }
    }
    /// Whether it has a way out.
    pub fn has_uplink(&self) -> bool {
        self.uplink.value() != Some(&false)
    }
}

/// Reads `[network]`; mistakes go to `found`.
pub fn parse(root: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> NetworkFile {
    let Some((value, span)) = root.get("network") else { return NetworkFile::default() };
    let DeValue::Table(entries) = value else {
        let (title, help) = match value {
            DeValue::Array(_) => ("there is one network".to_owned(), "write [network], with one bracket"),
            other => (format!("`network` is a table, not {}", describe(other)), "write [network] on a line of its own"),
        };
        found.push(Diagnostic::new(span.clone(), title, help));
        return NetworkFile { subnet: Given::Wrong(span), uplink: Given::Absent };
    };
    let table = Table::new("the network", entries, span.clone(), keys::NETWORK, found);
    let given = table.string("subnet", found).then(|text, span| subnet(&text, span, found));
    let subnet = if table.was_misspelt("subnet") { Given::Wrong(span) } else { given };
    NetworkFile { subnet, uplink: table.boolean("uplink", found) }
}

fn subnet(text: &str, span: &Span, found: &mut Vec<Diagnostic>) -> Option<Subnet> {
    let parts = text.split_once('/').and_then(|(ip, prefix)| {
        let is_plain = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        Some((ip.parse::<Ipv4Addr>().ok()?, prefix.parse::<u32>().ok().filter(|_| is_plain)?))
    });
    let mut wrong = |title: String, help: String| {
        found.push(Diagnostic::new(span.clone(), title, help));
        None
    };
    let Some((ip, prefix)) = parts else {
        let help = match text.parse::<Ipv4Addr>() {
            Ok(ip) if ip.octets()[3] == 0 => format!("add the bits of its prefix: \"{ip}/24\""),
            _ => "a subnet is its first address and the bits of its prefix, such as \"10.0.0.0/24\"".to_owned(),
        };
        return wrong(format!("bad subnet \"{text}\""), help);
    };
    let Some(prefix) = u8::try_from(prefix).ok().filter(|prefix| (8..=30).contains(prefix)) else {
        return wrong(format!("a subnet of {prefix} bits"), "the prefix has 8 to 30 bits".to_owned());
    };
    let start = Ipv4Addr::from_bits(ip.to_bits() & !(u32::MAX >> prefix));
    if start.octets()[0] == 0 || ip.is_loopback() || ip.octets()[0] >= 224 {
        let help = "take a private one: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16".to_owned();
        return wrong(format!("subnet {text} has no addresses for devices"), help);
    }
    match Subnet::new(ip, prefix) {
        None => wrong(format!("subnet {text} does not begin at {ip}"), format!("write \"{start}/{prefix}\"")),
        subnet => subnet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_has_a_gateway_hosts_and_a_broadcast_address() {
        let subnet = Subnet::new(Ipv4Addr::new(192, 168, 7, 4), 30).unwrap();
        assert_eq!(subnet.to_string(), "192.168.7.4/30");
        let last = |n| Ipv4Addr::new(192, 168, 7, n);
        assert_eq!((subnet.network(), subnet.gateway(), subnet.broadcast()), (last(4), last(5), last(7)));
        assert_eq!(subnet.hosts().collect::<Vec<_>>(), [last(6)]);
        assert_eq!((2..9).filter(|n| subnet.contains(last(*n))).collect::<Vec<_>>(), [4, 5, 6, 7]);
        assert_eq!(SUBNET.hosts().count(), 253);
    }
}
