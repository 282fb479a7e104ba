//! Whether a guest's frame says who it is from: the checks that depend on the sender alone.

use crate::Reason;
use crate::wire::{self, Arp, ETHERNET, Ethernet, Ip, Ipv4, Mac, Ports};

/// The UDP port of DHCP servers, and that of clients (RFC 2131, section 4.1).
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
/// "This host on this network": who has no address yet (RFC 1122, section 3.2.1.3).
const UNSPECIFIED: Ip = [0; 4];
/// The limited broadcast.
const EVERYBODY: Ip = [255; 4];

/// Who may be named as the sender.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub mac: Mac,
    pub ip: Ip,
}

/// A frame that may pass.
#[derive(Debug)]
pub struct Frame {
    pub ethernet: Ethernet,
    /// Whether it is for DHCP servers.
    pub is_dhcp_request: bool,
}

/// The frame of `frame_len` bytes that begins with `head`, if it is one that `sender` may send.
pub fn guest(head: &[u8], frame_len: usize, sender: &Sender) -> Result<Frame, Reason> {
    let (ethernet, rest) = Ethernet::read(head, frame_len)?;
    if ethernet.source != sender.mac || wire::is_multicast(&ethernet.source) {
        return Err(Reason::SourceMac);
    }
    let is_dhcp_request = match ethernet.ether_type {
        wire::TYPE_IPV4 => ipv4(rest, frame_len.saturating_sub(ETHERNET), sender)?,
        wire::TYPE_ARP => arp(rest, sender)?,
        wire::TYPE_IPV6 => return Err(Reason::Ipv6),
        tag if wire::TYPES_VLAN.contains(&tag) => return Err(Reason::Vlan),
        _ => return Err(Reason::EtherType),
    };
    Ok(Frame { ethernet, is_dhcp_request })
}

/// Whether the packet is for DHCP servers, if it may pass.
fn ipv4(rest: &[u8], room: usize, sender: &Sender) -> Result<bool, Reason> {
    let (ip, rest) = Ipv4::read(rest, room)?;
    // The first fragment has the whole UDP header or is dropped, and the others begin behind it: they count in 8 bytes.
    let ports = if ip.protocol == wire::UDP && ip.is_first { Some(Ports::read(rest)?) } else { None };
    let is_request = ports == Some(Ports { source: DHCP_CLIENT, destination: DHCP_SERVER });
    let has_no_address = ip.source == UNSPECIFIED && ip.destination == EVERYBODY && is_request;
    if ip.source != sender.ip && !has_no_address {
        return Err(Reason::SourceIp);
    }
    match ports {
        Some(Ports { source: DHCP_SERVER, .. }) => Err(Reason::DhcpServer),
        _ => Ok(is_request),
    }
}

fn arp(rest: &[u8], sender: &Sender) -> Result<bool, Reason> {
    let arp = Arp::read(rest)?;
    let is_probe = arp.is_request && arp.ip == UNSPECIFIED;
    if arp.mac != sender.mac || !(arp.ip == sender.ip || is_probe) {
        return Err(Reason::ArpSender);
    }
    Ok(false)
}
