//! Flows through the NAT: each packet that leaves is compared byte by byte with the one that it must be.

#[cfg(test)]
mod world;

use gateway::Reason;
use smoltcp::wire::*;
use world::*;

#[test]
fn a_connection_goes_out_with_the_uplinks_address_and_its_own_port() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    for (flags, data) in [("S", &b""[..]), ("A", b"GET /"), ("FA", b"")] {
        world.goes_out(0, &tcp((ip(0), 4000), (FAR, 80), flags, data), &tcp((OUTSIDE, 4000), (FAR, 80), flags, data));
    }
    world.comes_in(&tcp((FAR, 80), (OUTSIDE, 4000), "SA", b"odd"), 0, &tcp((FAR, 80), (ip(0), 4000), "SA", b"odd"));
}

#[test]
fn two_guests_with_the_same_port_do_not_mix() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    world.goes_out(0, &udp((ip(0), 4000), (FAR, 123), b"a"), &udp((OUTSIDE, 4000), (FAR, 123), b"a"));
    world.guest(1, &udp((ip(1), 4000), (FAR, 123), b"b"));
    let frame = world.sink.one(To::Uplink);
    let port = UdpPacket::new_checked(packet(&frame).payload()).unwrap().src_port();
    assert!(port != 4000 && port >= 1024);
    world.comes_in(&udp((FAR, 123), (OUTSIDE, port), b"c"), 1, &udp((FAR, 123), (ip(1), 4000), b"c"));
    // To another host from the same port inside: the same port outside (endpoint-independent mapping).
    world.goes_out(1, &udp((ip(1), 4000), (ROUTER, 9), b"d"), &udp((OUTSIDE, port), (ROUTER, 9), b"d"));
}

#[test]
fn only_who_was_addressed_may_answer() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    world.goes_out(0, &udp((ip(0), 4000), (FAR, 123), b"a"), &udp((OUTSIDE, 4000), (FAR, 123), b"a"));
    world.stays_out(&udp((FAR, 124), (OUTSIDE, 4000), b"x"), Reason::NoFlow);
    world.stays_out(&udp((ROUTER, 123), (OUTSIDE, 4000), b"x"), Reason::NoFlow);
    world.stays_out(&tcp((FAR, 123), (OUTSIDE, 4000), "A", b"x"), Reason::NoFlow);
    world.stays_out(&udp((FAR, 123), (ip(0), 4000), b"x"), Reason::Destination);
    world.stays_out(&udp((ip(1), 123), (OUTSIDE, 4000), b"x"), Reason::Source);
    world.stays_out(&udp((OUTSIDE, 123), (OUTSIDE, 4000), b"x"), Reason::Source);
}

#[test]
fn pings_go_out_and_come_back() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    world.goes_out(0, &echo(ip(0), FAR, true, 9), &echo(OUTSIDE, FAR, true, 9));
    world.comes_in(&echo(FAR, OUTSIDE, false, 9), 0, &echo(FAR, ip(0), false, 9));
    world.stays_out(&echo(FAR, OUTSIDE, false, 10), Reason::NoFlow);
    // A ping for the gateway itself.
    world.hear(&from_outside(&echo(FAR, OUTSIDE, true, 9)));
    assert_eq!(world.sink.one(To::Uplink)[14..], echo(OUTSIDE, FAR, false, 9));
}

#[test]
fn dns_goes_to_the_leases_server_and_comes_back_from_the_gateway() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    world.guest(0, &udp((ip(0), 4000), (GATEWAY, 53), b"?"));
    let question = world.sink.one(To::Uplink);
    assert_eq!(question, arp_request(NAMESERVER), "the server is on the network");
    world.hear(&arp(ArpOperation::Reply, ([8; 6], NAMESERVER), (UPLINK_MAC, OUTSIDE)));
    let query = one_hop_less(&udp((OUTSIDE, 4000), (NAMESERVER, 53), b"?"));
    assert_eq!(world.sink.one(To::Uplink), ethernet(UPLINK_MAC, [8; 6], EthernetProtocol::Ipv4, &query));
    world.comes_in(&udp((NAMESERVER, 53), (OUTSIDE, 4000), b"!"), 0, &udp((GATEWAY, 53), (ip(0), 4000), b"!"));
    // Likewise TCP; and the server itself, at the same time and from the same port.
    world.guest(0, &tcp((ip(0), 4000), (GATEWAY, 53), "S", b""));
    assert_eq!(world.sink.one(To::Uplink)[14..], one_hop_less(&tcp((OUTSIDE, 4000), (NAMESERVER, 53), "S", b"")));
    world.guest(0, &udp((ip(0), 4000), (NAMESERVER, 53), b"?"));
    let frame = world.sink.one(To::Uplink);
    let port = UdpPacket::new_checked(packet(&frame).payload()).unwrap().src_port();
    assert_ne!(port, 4000);
    world.comes_in(&udp((NAMESERVER, 53), (OUTSIDE, port), b"!"), 0, &udp((NAMESERVER, 53), (ip(0), 4000), b"!"));
}

fn arp_request(target: std::net::Ipv4Addr) -> Vec<u8> {
    arp(ArpOperation::Request, (UPLINK_MAC, OUTSIDE), ([0; 6], target))
}

#[test]
fn a_forwarded_port_leads_in_and_back() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    world.stays_out(&tcp((FAR, 700), (OUTSIDE, 2222), "A", b""), Reason::NoFlow);
    world.comes_in(&tcp((FAR, 700), (OUTSIDE, 2222), "S", b""), 0, &tcp((FAR, 700), (ip(0), 22), "S", b""));
    world.goes_out(0, &tcp((ip(0), 22), (FAR, 700), "SA", b""), &tcp((OUTSIDE, 2222), (FAR, 700), "SA", b""));
    world.comes_in(&tcp((FAR, 700), (OUTSIDE, 2222), "A", b"ssh"), 0, &tcp((FAR, 700), (ip(0), 22), "A", b"ssh"));
    world.comes_in(&udp((FAR, 7), (OUTSIDE, 5353), b"?"), 1, &udp((FAR, 7), (ip(1), 53), b"?"));
    // A forwarded port is nobody else's outside.
    world.guest(1, &tcp((ip(1), 2222), (FAR, 80), "S", b""));
    let frame = world.sink.one(To::Uplink);
    assert_ne!(TcpPacket::new_checked(packet(&frame).payload()).unwrap().src_port(), 2222);
}

#[test]
fn errors_from_outside_are_translated_with_what_they_quote() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    let cases: [(Vec<u8>, Vec<u8>); 3] = [
        (udp((ip(0), 4000), (FAR, 123), b"long enough"), udp((OUTSIDE, 4000), (FAR, 123), b"long enough")),
        (tcp((ip(0), 4000), (FAR, 80), "S", b"data"), tcp((OUTSIDE, 4000), (FAR, 80), "S", b"data")),
        (echo(ip(0), FAR, true, 9), echo(OUTSIDE, FAR, true, 9)),
    ];
    for (inside, outside) in cases {
        world.goes_out(0, &inside, &outside);
        for length in [28, outside.len()] {
            let hop = std::net::Ipv4Addr::new(1, 2, 3, 4);
            world.comes_in(
                &icmp_error(hop, OUTSIDE, (11, 0), &outside[..length]),
                0,
                &icmp_error(hop, ip(0), (11, 0), &inside[..length]),
            );
        }
        world.stays_out(&icmp_error(FAR, OUTSIDE, (3, 3), &outside[..27]), Reason::Malformed);
        world.stays_out(&icmp_error(FAR, OUTSIDE, (5, 0), &outside), Reason::Protocol);
        world.stays_out(&icmp_error(FAR, OUTSIDE, (3, 3), &inside), Reason::NoFlow);
    }
}

#[test]
fn errors_from_inside_are_translated_too() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    let (outside, inside) = (udp((FAR, 7), (OUTSIDE, 5353), b"?"), udp((FAR, 7), (ip(1), 53), b"?"));
    world.comes_in(&outside, 1, &inside);
    world.goes_out(1, &icmp_error(ip(1), FAR, (3, 3), &inside), &icmp_error(OUTSIDE, FAR, (3, 3), &outside));
    // To the quoted packet's sender only.
    world.guest(1, &icmp_error(ip(1), ROUTER, (3, 3), &inside));
    // Not other messages, and not about another guest's packets.
    world.guest(1, &icmp_error(ip(1), FAR, (5, 1), &inside));
    world.guest(0, &icmp_error(ip(0), FAR, (3, 3), &inside));
    assert!(world.sink.0.is_empty());
}

#[test]
fn a_guest_learns_why_its_packet_went_no_further() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    let mut told = |sent: &[u8]| {
        world.guest(0, sent);
        let frame = world.sink.one(To::Port(0));
        let packet = packet(&frame);
        let icmp = Icmpv4Packet::new_checked(packet.payload()).unwrap();
        assert_eq!((packet.src_addr(), &icmp.data()[..sent.len().min(548)]), (GATEWAY, &sent[..sent.len().min(548)]));
        (u8::from(icmp.msg_type()), icmp.msg_code())
    };
    let last_hop = |mut bytes: Vec<u8>| {
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
        packet.set_hop_limit(1);
        packet.fill_checksum();
        bytes
    };
    assert_eq!(told(&last_hop(udp((ip(0), 4000), (FAR, 33434), b"traceroute"))), (11, 0));
    assert_eq!(told(&udp((ip(0), 4000), (GATEWAY, 33434), b"")), (3, 3));
    assert_eq!(told(&udp((ip(0), 4000), (OUTSIDE, 2222), b"")), (3, 3), "no hairpin");
    assert_eq!(told(&udp((ip(0), 4000), (FAR, 9), &[0; 1473])), (3, 4));
    world.guest(0, &tcp((ip(0), 4000), (GATEWAY, 80), "S", b""));
    let frame = world.sink.one(To::Port(0));
    let bytes = packet(&frame);
    let reset = TcpPacket::new_checked(bytes.payload()).unwrap();
    assert!(reset.rst() && reset.ack() && reset.ack_number() == TcpSeqNumber(1001));
    // A flood is not told.
    for _ in 0..100 {
        world.guest(0, &udp((ip(0), 4000), (GATEWAY, 33434), b""));
    }
    assert!(world.sink.0.len() <= 20);
}

#[test]
fn what_must_not_be_routed_is_not() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    for to in [
        [10, 0, 0, 6],
        [10, 0, 0, 255],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255; 4],
        [0; 4],
        [169, 254, 0, 1],
        [10, 0, 2, 255],
    ] {
        world.guest(0, &udp((ip(0), 4000), (to.into(), 9), b""));
        assert!(world.sink.0.is_empty(), "{to:?}");
    }
    assert_eq!(world.gateway.counters().ports[0].dropped(Reason::Destination), 8);
    world.guest(0, &udp((ip(1), 4000), (FAR, 9), b""));
    let mut fragment = udp((ip(0), 4000), (FAR, 9), b"");
    Ipv4Packet::new_unchecked(&mut fragment[..]).set_more_frags(true);
    Ipv4Packet::new_unchecked(&mut fragment[..]).fill_checksum();
    world.guest(0, &fragment);
    world.guest(0, &ipv4(ip(0), FAR, IpProtocol::Igmp, &[0; 8]));
    for flags in ["R", "FA", "SA"] {
        world.guest(0, &tcp((ip(0), 4000), (FAR, 9), flags, b""));
    }
    let counters = &world.gateway.counters().ports[0];
    let counts =
        [Reason::Source, Reason::Fragment, Reason::Protocol, Reason::NoFlow].map(|reason| counters.dropped(reason));
    assert_eq!(counts, [1, 1, 1, 3]);
    assert!(world.sink.0.iter().all(|(to, _)| *to == To::Port(0)), "resets only");
    assert_eq!(memory.used(), 1);
}

#[test]
fn without_an_uplink_guests_are_told_at_once() {
    let memory = Memory::new(16);
    let mut world = World::new(&memory, 0);
    world.guest(0, &udp((ip(0), 4000), (FAR, 9), b""));
    let frame = world.sink.one(To::Port(0));
    assert_eq!(Icmpv4Packet::new_checked(packet(&frame).payload()).unwrap().msg_type(), Icmpv4Message::DstUnreachable);
}
