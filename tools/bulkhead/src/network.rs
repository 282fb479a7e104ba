//! The partitions' network: which address and which ports each device has, and what is wrong about them.
//!
//! Addresses that the file does not give are given here, so that they are the same in every build of one file: the next
//! free one in the file's order, and a MAC address of the partition's place in the file.

use crate::diagnostic::{Diagnostic, Span};
use crate::file::{Given, Mac, NetFile, PartitionFile, PortFile, Subnet, SystemFile, protocol_name};
use abi::plan::{Forward, MAX_FORWARDS, Network, Nic, Protocol};
use std::net::Ipv4Addr;

/// The gateway's MAC address; partitions follow, by their place in the file. The first byte says "given by nobody in
/// particular" (IEEE 802, locally administered); 0x42, 0x48: "BH".
const GATEWAY: Mac = mac_of(1);
/// The port by which the service partition gets its own address outside (RFC 2131, section 4.1).
const DHCP_CLIENT: (Protocol, u16) = (Protocol::Udp, 68);

const fn mac_of(number: u8) -> Mac {
    Mac([0x02, 0x42, 0x48, 0, 0, number])
}

/// A partition's network device, with all that the file leaves out.
struct Device<'a> {
    /// The partition's place in the file.
    place: usize,
    partition: &'a PartitionFile,
    net: &'a NetFile,
    mac: Mac,
    /// `None`: what the file says is wrong, or there is none left.
    ip: Option<Ipv4Addr>,
}

/// What the network is, and the device of each partition that has one.
#[derive(Debug)]
pub struct Resolved {
    /// The network.
    pub network: Network,
    /// By the partition's place in the file.
    pub nics: Vec<Option<Nic>>,
}

/// The network of `file`; `None` where no partition is on it, or where a mistake leaves something open.
pub fn resolve(file: &SystemFile) -> Option<Resolved> {
    let subnet = file.network.subnet()?;
    let mut network = Network {
        gateway: subnet.gateway().octets(),
        prefix: subnet.prefix(),
        mac: GATEWAY.0,
        has_uplink: file.network.has_uplink(),
        forwards: heapless::Vec::new(),
    };
    let mut nics = vec![None; file.partitions.len()];
    for Device { place, net, mac, ip, .. } in devices(file, Some(subnet)) {
        let ip = ip?.octets();
        let bandwidth = net.bandwidth.value().copied().unwrap_or(0);
        *nics.get_mut(place)? = Some(Nic { mac: mac.0, ip, bandwidth });
        for (PortFile { protocol, outside, inside }, _) in &net.forward {
            let forward = Forward { protocol: *protocol, outside: *outside, to: ip, inside: *inside };
            network.forwards.push(forward).ok()?;
        }
    }
    nics.iter().any(Option::is_some).then_some(Resolved { network, nics })
}

/// The network devices in the file's order. Addresses that the file gives are taken first.
fn devices(file: &SystemFile, subnet: Option<Subnet>) -> impl Iterator<Item = Device<'_>> {
    let nets = || file.partitions.iter().enumerate().filter_map(|(n, p)| Some((n, p, p.net.value()?)));
    let taken: Vec<Ipv4Addr> = nets().filter_map(|(_, _, net)| net.ip.value().copied()).collect();
    let mut free = subnet.into_iter().flat_map(Subnet::hosts).filter(move |ip| !taken.contains(ip));
    nets().map(move |(place, partition, net)| {
        let ip = if net.ip == Given::Absent { free.next() } else { net.ip.value().copied() };
        let mac = net.mac.value().copied().unwrap_or(mac_of(place as u8 + 2));
        Device { place, partition, net, mac, ip }
    })
}

/// Reports the mistakes about the network in `file`.
pub fn check(file: &SystemFile, found: &mut Vec<Diagnostic>) {
    let subnet = file.network.subnet();
    let devices: Vec<Device<'_>> = devices(file, subnet).collect();
    for (n, device) in devices.iter().enumerate() {
        if let Some(subnet) = subnet {
            found.extend(address(device, subnet));
        }
        found.extend(mac(device, &devices[..n]));
        found.extend(address_twice(device, &devices[..n]));
    }
    ports(file, &devices, found);
}

/// What is wrong with the address of `device`, whatever the others have.
fn address(device: &Device<'_>, subnet: Subnet) -> Option<Diagnostic> {
    let owner = device.partition.title();
    let (ip, span) = match &device.net.ip {
        Given::Is(ip, span) => (*ip, span.clone()),
        Given::Absent if device.ip.is_none() => {
            let title = format!("subnet {subnet} has no address left for {owner}");
            let help = "give [network] a `subnet` with a shorter prefix";
            return Some(Diagnostic::new(device.partition.net.span()?, title, help));
        }
        _ => return None,
    };
    let first = subnet.hosts().next()?;
    let title = if !subnet.contains(ip) {
        format!("address {ip} of {owner} is outside the subnet {subnet}")
    } else if ip == subnet.network() {
        format!("address {ip} of {owner} is the subnet's own")
    } else if ip == subnet.gateway() {
        format!("address {ip} of {owner} is the gateway's, the service partition")
    } else if ip == subnet.broadcast() {
        format!("address {ip} of {owner} is the subnet's broadcast address")
    } else {
        return None;
    };
    let last = Ipv4Addr::from_bits(subnet.broadcast().to_bits() - 1);
    let help = match first == last {
        true => format!("{first} is the only one for a partition"),
        false => format!("partitions have {first} to {last}; without `ip` the next free one"),
    };
    Some(Diagnostic::new(span, title, help))
}

fn address_twice(device: &Device<'_>, before: &[Device<'_>]) -> Option<Diagnostic> {
    let (ip, span) = (device.net.ip.value()?, device.net.ip.span()?);
    let first = before.iter().find(|first| first.net.ip.value() == Some(ip))?;
    let title = format!("address {ip} belongs to {} and to {}", first.partition.title(), device.partition.title());
    let help = "give one another, or leave `ip` out: then it is the next free one";
    let mistake = Diagnostic::new(span, title, help).label(device.partition.title());
    Some(mistake.also(first.net.ip.span()?, first.partition.title()))
}

/// What is wrong with the MAC address of `device`: the gateway has it, or one of those `before`.
fn mac(device: &Device<'_>, before: &[Device<'_>]) -> Option<Diagnostic> {
    let (mac, owner) = (device.mac, device.partition.title());
    let help = "give one another, or leave `mac` out: then it is one that no other has";
    if let Some(span) = device.net.mac.span().filter(|_| mac == GATEWAY) {
        let title = format!("MAC address {mac} of {owner} is the gateway's, the service partition");
        return Some(Diagnostic::new(span, title, help));
    }
    let first = before.iter().find(|first| first.mac == mac && !first.net.mac.is_wrong())?;
    // Two that the file gives nobody differ; a wrong one was reported.
    let (here, there) = (device.net.mac.span(), first.net.mac.span());
    let span = here.clone().or(there.clone()).filter(|_| !device.net.mac.is_wrong())?;
    let title = format!("MAC address {mac} belongs to {} and to {owner}", first.partition.title());
    let mistake = Diagnostic::new(span, title, help);
    let (place, label) = match (here, there) {
        (Some(_), there) => (there.or(first.partition.net.span())?, first.partition.title()),
        (None, _) => (device.partition.net.span()?, owner),
    };
    Some(mistake.also(place, label))
}

/// Reports what is wrong with the ports outside.
fn ports(file: &SystemFile, devices: &[Device<'_>], found: &mut Vec<Diagnostic>) {
    let mut taken: Vec<(&PortFile, &Span, String)> = Vec::new();
    for device in devices {
        for (port, span) in &device.net.forward {
            let shown = format!("{} port {}", protocol_name(port.protocol), port.outside);
            let same = |(first, _, _): &&(&PortFile, &Span, String)| {
                (first.protocol, first.outside) == (port.protocol, port.outside)
            };
            let owner = device.partition.title();
            if let Some((_, first_span, first)) = taken.iter().find(same) {
                let title = match *first == owner {
                    true => format!("{shown} outside leads to {owner} twice"),
                    false => format!("{shown} outside leads to {first} and to {owner}"),
                };
                let help = "take another port outside: \"PROTOCOL:OUTSIDE:INSIDE\"";
                found.push(Diagnostic::new(span.clone(), title, help).also((*first_span).clone(), "first"));
            } else if (port.protocol, port.outside) == DHCP_CLIENT {
                let title = format!("{shown} outside is where the service partition gets its own address");
                found.push(Diagnostic::new(span.clone(), title, "take another port outside"));
            }
            if taken.len() == MAX_FORWARDS {
                let title = format!("more than {MAX_FORWARDS} forwarded ports");
                return found.push(Diagnostic::new(span.clone(), title, "take some out"));
            }
            taken.push((port, span, owner));
        }
    }
    if let (false, Some(uplink), Some((_, first, _))) =
        (file.network.has_uplink(), file.network.uplink.span(), taken.first())
    {
        let title = "a port is forwarded from outside, and the network has no way out";
        let help = "take `forward` out, or `uplink = false`";
        found.push(Diagnostic::new((*first).clone(), title, help).also(uplink, "no uplink"));
    }
}
