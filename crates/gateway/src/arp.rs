//! ARP (RFC 826): questions and answers.

use crate::Reason;
use crate::wire::{BROADCAST, Draft, ETHERNET, Mac};
use core::net::Ipv4Addr;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol};

/// A message: who says it, and whom it asks for or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub is_request: bool,
    pub sender: (Mac, Ipv4Addr),
    pub target: Ipv4Addr,
}

impl Message {
    /// Reads the message in an Ethernet frame.
    pub fn parse(frame: &[u8]) -> Result<Self, Reason> {
        let bytes = frame.get(ETHERNET..).ok_or(Reason::Malformed)?;
        let packet = ArpPacket::new_checked(bytes).map_err(|_| Reason::Malformed)?;
        let ArpRepr::EthernetIpv4 {
            operation, source_hardware_addr, source_protocol_addr, target_protocol_addr, ..
        } = ArpRepr::parse(&packet).map_err(|_| Reason::Malformed)?
        else {
            return Err(Reason::Malformed);
        };
        let is_request = match operation {
            ArpOperation::Request => true,
            ArpOperation::Reply => false,
            ArpOperation::Unknown(_) => return Err(Reason::Malformed),
        };
        Ok(Self { is_request, sender: (source_hardware_addr.0, source_protocol_addr), target: target_protocol_addr })
    }

    /// The answer, from the station that was asked for.
    pub fn answer(&self, mac: Mac) -> Draft {
        draft(ArpOperation::Reply, (mac, self.target), self.sender, self.sender.0)
    }
}

/// Asks all stations, or the one that is thought to be it, for an address.
pub(crate) fn request(own: (Mac, Ipv4Addr), target: Ipv4Addr, to: Option<Mac>) -> Draft {
    draft(ArpOperation::Request, own, ([0; 6], target), to.unwrap_or(BROADCAST))
}

fn draft(operation: ArpOperation, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr), to: Mac) -> Draft {
    let message = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(sender.0),
        source_protocol_addr: sender.1,
        target_hardware_addr: EthernetAddress(target.0),
        target_protocol_addr: target.1,
    };
    let mut draft = Draft::ethernet(sender.0, to, EthernetProtocol::Arp, message.buffer_len());
    message.emit(&mut ArpPacket::new_unchecked(draft.tail(ETHERNET)));
    draft
}
