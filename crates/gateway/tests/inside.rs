//! What the gateway answers the partitions by itself: ARP, DHCP, echo.

#[cfg(test)]
mod world;

use gateway::{Gateway, Reason};
use smoltcp::wire::*;
use std::net::Ipv4Addr;
use world::dhcp::{answer, question};
use world::*;

fn ask(frame: Vec<u8>) -> Sink {
    let memory = Memory::new(0);
    let mut sink = Sink::default();
    Gateway::new(&network(), &PORTS, None, &memory, 1).from_port(0, &mut frame.clone(), 0, &mut sink);
    sink
}

#[test]
fn a_port_gets_its_own_address_and_all_it_needs_to_use_it() {
    let answer = answer(&ask(question(|_| {})).one(To::Port(0)));
    assert_eq!((answer.kind, answer.address), (DhcpMessageType::Offer, ip(0)));
    assert_eq!(answer.to, (PORTS[0].mac, ip(0)));
    assert_eq!(answer.option(1), Some(&[255, 255, 255, 0][..]));
    assert_eq!(answer.option(3), Some(&GATEWAY.octets()[..]));
    assert_eq!(answer.option(6), Some(&GATEWAY.octets()[..]));
    assert_eq!(answer.option(26), Some(&1500u16.to_be_bytes()[..]));
    assert_eq!(answer.option(51), Some(&86400u32.to_be_bytes()[..]));
}

#[test]
fn a_client_that_asks_for_broadcast_gets_it_on_its_port_only() {
    let answer = answer(&ask(question(|message| message.broadcast = true)).one(To::Port(0)));
    assert_eq!(answer.to, ([0xff; 6], Ipv4Addr::BROADCAST));
}

#[test]
fn a_request_is_judged_by_the_address_it_names() {
    let request = |address, has: Ipv4Addr, server| {
        let mut sink = ask(question(|message| {
            message.message_type = DhcpMessageType::Request;
            message.requested_ip = address;
            message.client_ip = has;
            message.server_identifier = server;
        }));
        (!sink.0.is_empty()).then(|| answer(&sink.one(To::Port(0))).kind)
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
    assert!(ask(question(|message| message.client_hardware_address = EthernetAddress(PORTS[1].mac))).0.is_empty());
    for kind in [DhcpMessageType::Offer, DhcpMessageType::Ack, DhcpMessageType::Nak, DhcpMessageType::Unknown(99)] {
        assert!(ask(question(|message| message.message_type = kind)).0.is_empty());
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
