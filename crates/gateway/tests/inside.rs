//! What the gateway answers the partitions by itself: ARP, DHCP, echo.

mod world;

use gateway::{Gateway, Reason};
use smoltcp::wire::*;
use std::net::Ipv4Addr;
use world::*;

/// A DHCP message of port 0's client.
fn dhcp(change: impl FnOnce(&mut DhcpRepr)) -> Vec<u8> {
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

/// The answer to it, on port 0, and the Ethernet and IPv4 addresses it went to.
fn answer(frame: &[u8]) -> (DhcpMessageType, Ipv4Addr, [u8; 6], Ipv4Addr, Vec<(u8, Vec<u8>)>) {
    let packet = packet(frame);
    let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
    assert_eq!((packet.src_addr(), datagram.src_port(), datagram.dst_port()), (GATEWAY, 67, 68));
    let message = DhcpPacket::new_checked(datagram.payload()).unwrap();
    let parsed = DhcpRepr::parse(&message).unwrap();
    assert_eq!((parsed.transaction_id, parsed.server_identifier), (0x1234_5678, Some(GATEWAY)));
    let options = message.options().map(|option| (option.kind, option.data.to_vec())).collect();
    (parsed.message_type, parsed.your_ip, frame[..6].try_into().unwrap(), packet.dst_addr(), options)
}

fn ask(frame: Vec<u8>) -> Sink {
    let memory = Memory::new(0);
    let mut sink = Sink::default();
    Gateway::new(&network(), &PORTS, None, &memory, 1).from_port(0, &mut frame.clone(), 0, &mut sink);
    sink
}

#[test]
fn a_port_gets_its_own_address_and_all_it_needs_to_use_it() {
    let (kind, address, mac, to, options) = answer(&ask(dhcp(|_| {})).one(To::Port(0)));
    assert_eq!((kind, address, mac, to), (DhcpMessageType::Offer, ip(0), PORTS[0].mac, ip(0)));
    let value = |kind| options.iter().find(|option| option.0 == kind).map(|option| &option.1[..]);
    assert_eq!(value(1), Some(&[255, 255, 255, 0][..]));
    assert_eq!(value(3), Some(&GATEWAY.octets()[..]));
    assert_eq!(value(6), Some(&GATEWAY.octets()[..]));
    assert_eq!(value(26), Some(&1500u16.to_be_bytes()[..]));
    assert_eq!(value(51), Some(&86400u32.to_be_bytes()[..]));
}

#[test]
fn a_client_that_asks_for_broadcast_gets_it_on_its_port_only() {
    let (_, _, mac, to, _) = answer(&ask(dhcp(|message| message.broadcast = true)).one(To::Port(0)));
    assert_eq!((mac, to), ([0xff; 6], Ipv4Addr::BROADCAST));
}

#[test]
fn a_request_is_judged_by_the_address_it_names() {
    let request = |address, has: Ipv4Addr, server| {
        let mut sink = ask(dhcp(|message| {
            message.message_type = DhcpMessageType::Request;
            message.requested_ip = address;
            message.client_ip = has;
            message.server_identifier = server;
        }));
        (!sink.0.is_empty()).then(|| answer(&sink.one(To::Port(0))).0)
    };
    let none = Ipv4Addr::UNSPECIFIED;
    assert_eq!(request(Some(ip(0)), none, Some(GATEWAY)), Some(DhcpMessageType::Ack), "selecting");
    assert_eq!(request(Some(ip(0)), none, None), Some(DhcpMessageType::Ack), "after a reboot");
    assert_eq!(request(None, ip(0), None), Some(DhcpMessageType::Ack), "renewing");
    assert_eq!(request(Some(ip(1)), none, Some(GATEWAY)), Some(DhcpMessageType::Nak), "another port's");
    assert_eq!(request(Some(ip(0)), none, Some(ip(1))), None, "another server's offer");
    assert_eq!(request(None, none, None), None, "none at all");
}

#[test]
fn a_message_for_another_client_or_a_servers_one_is_not_answered() {
    assert!(ask(dhcp(|message| message.client_hardware_address = EthernetAddress(PORTS[1].mac))).0.is_empty());
    for kind in [DhcpMessageType::Offer, DhcpMessageType::Ack, DhcpMessageType::Nak, DhcpMessageType::Unknown(99)] {
        assert!(ask(dhcp(|message| message.message_type = kind)).0.is_empty());
    }
}

#[test]
fn arp_is_answered_for_the_gateway_only() {
    let reply = ask(who_has((PORTS[0].mac, ip(0)), GATEWAY)).one(To::Port(0));
    let expected = arp(ArpOperation::Reply, (MAC, GATEWAY), (PORTS[0].mac, ip(0)));
    assert_eq!(reply, expected);
    assert!(ask(who_has((PORTS[0].mac, ip(0)), ip(1))).0.is_empty());
    assert!(ask(who_has((PORTS[0].mac, ip(1)), GATEWAY)).0.is_empty(), "in another one's name");
}

#[test]
fn the_gateway_answers_ping() {
    let reply = ask(from_guest(0, &echo(ip(0), GATEWAY, true, 7))).one(To::Port(0));
    assert_eq!(reply, ethernet(MAC, PORTS[0].mac, EthernetProtocol::Ipv4, &echo(GATEWAY, ip(0), false, 7)));
    assert!(ask(from_guest(0, &echo(ip(1), GATEWAY, true, 7))).0.is_empty(), "in another one's name");
}

#[test]
fn what_is_dropped_is_counted_for_the_port() {
    let memory = Memory::new(0);
    let mut gateway = Gateway::new(&network(), &PORTS, None, &memory, 1);
    let mut sink = Sink::default();
    gateway.from_port(1, &mut from_guest(0, &echo(ip(0), GATEWAY, true, 7)), 0, &mut sink);
    assert_eq!(gateway.counters().ports[1].dropped(Reason::Source), 1);
    assert_eq!(gateway.counters().ports[0].all_dropped(), 0);
    gateway.from_port(2, &mut [], 0, &mut sink);
}
