//! DHCP messages: a guest's to the gateway, and what it answers.

use super::*;

/// A DHCP message of port 0's client.
pub fn question(change: impl FnOnce(&mut DhcpRepr)) -> Vec<u8> {
    let mut message = DhcpRepr {
        message_type: DhcpMessageType::Discover,
        transaction_id: 0x1234_5678,
        secs: 0,
        client_hardware_address: EthernetAddress(PORTS[0].mac),
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: None,
        parameter_request_list: Some(&[1, 3, 6, 26]),
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    change(&mut message);
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
    let packet = udp((message.client_ip, 68), (Ipv4Addr::BROADCAST, 67), &bytes);
    ethernet(PORTS[0].mac, [0xff; 6], EthernetProtocol::Ipv4, &packet)
}

/// What the gateway answered.
pub struct Answer {
    pub kind: DhcpMessageType,
    pub address: Ipv4Addr,
    /// Where it went.
    pub to: ([u8; 6], Ipv4Addr),
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    pub fn option(&self, kind: u8) -> Option<&[u8]> {
        self.options.iter().find(|option| option.0 == kind).map(|option| &option.1[..])
    }
}

pub fn answer(frame: &[u8]) -> Answer {
    let packet = packet(frame);
    let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
    assert_eq!((packet.src_addr(), datagram.src_port(), datagram.dst_port()), (GATEWAY, 67, 68));
    let message = DhcpPacket::new_checked(datagram.payload()).unwrap();
    let parsed = DhcpRepr::parse(&message).unwrap();
    assert_eq!((parsed.transaction_id, parsed.server_identifier), (0x1234_5678, Some(GATEWAY)));
    let options = message.options().map(|option| (option.kind, option.data.to_vec())).collect();
    let to = (frame[..6].try_into().unwrap(), packet.dst_addr());
    Answer { kind: parsed.message_type, address: parsed.your_ip, to, options }
}

/// A DHCP message of the network outside, as the client would send it or the server answers it.
pub fn lease(kind: DhcpMessageType, transaction: u32) -> DhcpRepr<'static> {
    DhcpRepr {
        message_type: kind,
        transaction_id: transaction,
        secs: 0,
        client_hardware_address: EthernetAddress(UPLINK_MAC),
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: OUTSIDE,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: Some(ROUTER),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(ROUTER),
        parameter_request_list: None,
        dns_servers: Some([NAMESERVER].into_iter().collect()),
        max_size: None,
        lease_duration: Some(3600),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    }
}

/// The frame with which the server outside says it.
pub fn from_server(message: &DhcpRepr) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
    from_outside(&udp((ROUTER, 67), (Ipv4Addr::BROADCAST, 68), &bytes))
}

/// What the gateway's client said: kind, transaction, where to, and the address it wants and has.
#[derive(Debug, PartialEq)]
pub struct Question {
    pub kind: DhcpMessageType,
    pub transaction: u32,
    pub to: ([u8; 6], Ipv4Addr),
    pub wants: Option<Ipv4Addr>,
    pub has: Ipv4Addr,
}

pub fn from_client(frame: &[u8]) -> Question {
    let packet = packet(frame);
    let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
    assert_eq!((datagram.src_port(), datagram.dst_port()), (68, 67));
    let message = DhcpPacket::new_checked(datagram.payload()).unwrap();
    let parsed = DhcpRepr::parse(&message).unwrap();
    assert_eq!(parsed.client_hardware_address.0, UPLINK_MAC);
    Question {
        kind: parsed.message_type,
        transaction: parsed.transaction_id,
        to: (frame[..6].try_into().unwrap(), packet.dst_addr()),
        wants: parsed.requested_ip,
        has: parsed.client_ip,
    }
}
