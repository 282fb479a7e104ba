//! DHCP (RFC 2131, RFC 2132): the messages that server and client read.
//!
//! Not read: options that continue in `sname` and `file` (52), and options in several parts (RFC 3396).

pub(crate) mod server;

use crate::Reason;
use crate::wire::Mac;
use core::net::Ipv4Addr;
use smoltcp::wire::{ArpHardware, DhcpFlags, DhcpMessageType, DhcpPacket};

pub(crate) use smoltcp::wire::{DHCP_CLIENT_PORT as CLIENT, DHCP_SERVER_PORT as SERVER};

const COOKIE: u32 = 0x6382_5363;
/// BOOTP's least message: shorter ones are padded, as some clients insist.
pub(crate) const LEAST: usize = 300;

/// Option numbers of RFC 2132.
pub(crate) mod option {
    pub const MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const MTU: u8 = 26;
    pub const REQUESTED: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const TYPE: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const T1: u8 = 58;
    pub const T2: u8 = 59;
}

/// What this crate reads of a message. An option that is too short is as if absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub kind: DhcpMessageType,
    pub transaction: u32,
    pub client: Mac,
    /// `ciaddr`: the address that the client has, or 0.0.0.0.
    pub has: Ipv4Addr,
    /// `yiaddr`: the address that it gets.
    pub gets: Ipv4Addr,
    /// `giaddr`: who relays it.
    pub relay: Ipv4Addr,
    pub wants_broadcast: bool,
    pub requested: Option<Ipv4Addr>,
    pub server: Option<Ipv4Addr>,
    pub mask: Option<Ipv4Addr>,
    pub router: Option<Ipv4Addr>,
    pub dns: Option<Ipv4Addr>,
    pub lease_s: Option<u32>,
    pub t1_s: Option<u32>,
    pub t2_s: Option<u32>,
}

impl Message {
    /// Reads the payload of a UDP datagram.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let packet = DhcpPacket::new_checked(bytes).map_err(|_| Reason::Malformed)?;
        let is_ethernet = packet.hardware_type() == ArpHardware::Ethernet && packet.hardware_len() == 6;
        if !is_ethernet || packet.magic_number() != COOKIE {
            return Err(Reason::Malformed);
        }
        let mut message = Self {
            kind: DhcpMessageType::Unknown(0),
            transaction: packet.transaction_id(),
            client: packet.client_hardware_address().0,
            has: packet.client_ip(),
            gets: packet.your_ip(),
            relay: packet.relay_agent_ip(),
            wants_broadcast: packet.flags().contains(DhcpFlags::BROADCAST),
            requested: None,
            server: None,
            mask: None,
            router: None,
            dns: None,
            lease_s: None,
            t1_s: None,
            t2_s: None,
        };
        for option in packet.options() {
            message.read(option.kind, option.data);
        }
        let is_reply = matches!(message.kind, DhcpMessageType::Offer | DhcpMessageType::Ack | DhcpMessageType::Nak);
        match u8::from(packet.opcode()) {
            1 if !is_reply => Ok(message),
            2 if is_reply => Ok(message),
            _ => Err(Reason::Dhcp),
        }
    }

    fn read(&mut self, kind: u8, bytes: &[u8]) {
        // An address, or the first of a list; likewise a time.
        let word = bytes.first_chunk::<4>();
        let address = word.map(|octets| Ipv4Addr::from_octets(*octets));
        let seconds = word.map(|bytes| u32::from_be_bytes(*bytes));
        match kind {
            option::TYPE => self.kind = bytes.first().copied().unwrap_or(0).into(),
            option::REQUESTED => self.requested = address,
            option::SERVER => self.server = address,
            option::MASK => self.mask = address,
            option::ROUTER => self.router = address,
            option::DNS => self.dns = address,
            option::LEASE_TIME => self.lease_s = seconds,
            option::T1 => self.t1_s = seconds,
            option::T2 => self.t2_s = seconds,
            _ => {}
        }
    }
}
