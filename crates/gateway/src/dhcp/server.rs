//! The DHCP server: each port has one address, fixed in the system file, so there is nothing to remember.

use super::{CLIENT, LEAST, Message, SERVER, option};
use crate::Reason;
use crate::wire::{BROADCAST, Draft, Envelope, MTU, Mac};
use core::net::Ipv4Addr;
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};

/// One day.
const LEASE_S: u32 = 24 * 60 * 60;

/// What the server tells a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// The gateway: server, router, DNS forwarder.
    pub gateway: (Mac, Ipv4Addr),
    pub mask: Ipv4Addr,
    /// The client.
    pub client: (Mac, Ipv4Addr),
}

impl Offer {
    /// The answer to a message from the client's port. `None`: it needs none.
    ///
    /// # Errors
    /// The message is another client's, another server's, or contradicts itself.
    pub fn answer(&self, message: &Message) -> Result<Option<Draft>, Reason> {
        if message.client != self.client.0 || !message.relay.is_unspecified() {
            return Err(Reason::Dhcp);
        }
        let kind = match message.kind {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => {
                return self.judge(message).map(|kind| kind.map(|kind| self.draft(kind, message)));
            }
            DhcpMessageType::Inform if message.has == self.client.1 => DhcpMessageType::Ack,
            DhcpMessageType::Release | DhcpMessageType::Decline => return Ok(None),
            _ => return Err(Reason::Dhcp),
        };
        Ok(Some(self.draft(kind, message)))
    }

    /// RFC 2131, 4.3.2: a client selects an offer, or asks whether an address is still right. `None`: it selected
    /// another server's offer.
    fn judge(&self, message: &Message) -> Result<Option<DhcpMessageType>, Reason> {
        if message.server.is_some_and(|server| server != self.gateway.1) {
            return Ok(None);
        }
        let wanted = match (message.requested, message.has) {
            (Some(requested), _) => requested,
            (None, has) if !has.is_unspecified() => has,
            _ => return Err(Reason::Dhcp),
        };
        let has_another = !message.has.is_unspecified() && message.has != self.client.1;
        let is_right = wanted == self.client.1 && !has_another;
        Ok(Some(if is_right { DhcpMessageType::Ack } else { DhcpMessageType::Nak }))
    }

    fn draft(&self, kind: DhcpMessageType, message: &Message) -> Draft {
        let is_nak = kind == DhcpMessageType::Nak;
        let is_inform = message.kind == DhcpMessageType::Inform;
        let mtu = (MTU as u16).to_be_bytes();
        let (t1, t2) = ((LEASE_S / 2).to_be_bytes(), (LEASE_S / 8 * 7).to_be_bytes());
        let extra = [
            DhcpOption { kind: option::MTU, data: &mtu },
            DhcpOption { kind: option::T1, data: &t1 },
            DhcpOption { kind: option::T2, data: &t2 },
        ];
        // RFC 2131, table 3: a NAK holds nothing but the server, and the answer to INFORM no lease.
        let extra = match (is_nak, is_inform) {
            (true, _) => &[][..],
            (_, true) => extra.get(..1).unwrap_or_default(),
            _ => &extra,
        };
        let reply = DhcpRepr {
            message_type: kind,
            transaction_id: message.transaction,
            secs: 0,
            client_hardware_address: EthernetAddress(message.client),
            client_ip: if is_nak { Ipv4Addr::UNSPECIFIED } else { message.has },
            your_ip: if is_nak || is_inform { Ipv4Addr::UNSPECIFIED } else { self.client.1 },
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: (!is_nak).then_some(self.gateway.1),
            subnet_mask: (!is_nak).then_some(self.mask),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: message.wants_broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.gateway.1),
            parameter_request_list: None,
            dns_servers: (!is_nak).then(|| [self.gateway.1].into_iter().collect()),
            max_size: None,
            lease_duration: (!is_nak && !is_inform).then_some(LEASE_S),
            renew_duration: None,
            rebind_duration: None,
            additional_options: extra,
        };
        let envelope = Envelope { from: self.gateway, to: self.destination(is_nak, message) };
        Draft::udp(&envelope, (SERVER, CLIENT), reply.buffer_len().max(LEAST), |payload| {
            // It has room for all options: `buffer_len` said so.
            let _ = reply.emit(&mut DhcpPacket::new_unchecked(payload));
        })
    }

    /// RFC 2131, 4.1: where the answer goes. Only the client's port gets it in any case.
    fn destination(&self, is_nak: bool, message: &Message) -> (Mac, Ipv4Addr) {
        let has_address = message.has == self.client.1;
        if is_nak || (message.wants_broadcast && !has_address) { (BROADCAST, Ipv4Addr::BROADCAST) } else { self.client }
    }
}
