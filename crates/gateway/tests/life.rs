//! What time and restarts do: lease, neighbours, timeouts, and the survivor slots.

#[cfg(test)]
mod world;

use gateway::{Gateway, Reason, Slots};
use smoltcp::wire::*;
use std::net::Ipv4Addr;
use world::dhcp::{from_client, from_server, lease};
use world::*;

const HOUR_MS: u64 = 3_600_000;

#[test]
fn a_connection_survives_restarts_of_the_service() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    let guest = |flags, data: &[u8]| tcp((ip(0), 4000), (FAR, 80), flags, data);
    let outside = |flags, data: &[u8]| tcp((OUTSIDE, 4000), (FAR, 80), flags, data);
    let reply = |flags, data: &[u8]| tcp((FAR, 80), (OUTSIDE, 4000), flags, data);
    let inside = |flags, data: &[u8]| tcp((FAR, 80), (ip(0), 4000), flags, data);
    world.goes_out(0, &guest("S", b""), &outside("S", b""));
    world.comes_in(&reply("SA", b""), 0, &inside("SA", b""));
    world.goes_out(0, &guest("A", b"GET"), &outside("A", b"GET"));
    for _ in 0..3 {
        world.restart();
        // The first packet of this life comes from outside, before anything was polled.
        world.comes_in(&reply("A", b"page"), 0, &inside("A", b"page"));
        world.poll();
        assert!(world.sink.0.is_empty(), "the lease is used on");
        // The router is asked for anew.
        world.guest(0, &guest("A", b"more"));
        world.sink.one(To::Uplink);
        world.hear(&arp(ArpOperation::Reply, (ROUTER_MAC, ROUTER), (UPLINK_MAC, OUTSIDE)));
        assert_eq!(world.sink.one(To::Uplink)[14..], one_hop_less(&outside("A", b"more")));
        world.live(HOUR_MS / 2);
    }
}

#[test]
fn a_flow_ends_when_it_was_silent_for_too_long() {
    let cases: [(&[&str], u64); 4] =
        [(&["S"], 120), (&["S", "SA"], 120), (&["S", "SA", "A"], 7440), (&["S", "SA", "A", "FA", "fa"], 120)];
    for (packets, timeout_s) in cases {
        for (wait_s, lives) in [(timeout_s, true), (timeout_s + 1, false)] {
            let memory = Memory::new(16);
            let mut world = World::ready(&memory);
            for (at, flags) in packets.iter().enumerate() {
                let flags = flags.to_uppercase();
                match at % 2 {
                    0 => world.guest(0, &tcp((ip(0), 4000), (FAR, 80), &flags, b"")),
                    _ => world.hear(&from_outside(&tcp((FAR, 80), (OUTSIDE, 4000), &flags, b""))),
                }
            }
            if packets.len() == 5 {
                world.hear(&from_outside(&tcp((FAR, 80), (OUTSIDE, 4000), "FA", b"")));
            }
            world.sink.0.clear();
            // Not polled: no timer is needed for it.
            world.now_ms += wait_s * 1000;
            world.hear(&from_outside(&tcp((FAR, 80), (OUTSIDE, 4000), "A", b"")));
            assert_eq!(!world.sink.0.is_empty(), lives, "{packets:?} after {wait_s} s");
            assert_eq!(memory.used(), 1 + usize::from(lives));
        }
    }
}

#[test]
fn an_answered_query_is_remembered_longer() {
    for (is_answered, wait_s, lives) in [(false, 60, true), (false, 61, false), (true, 300, true), (true, 301, false)] {
        let memory = Memory::new(16);
        let mut world = World::ready(&memory);
        world.guest(0, &udp((ip(0), 4000), (FAR, 9), b""));
        if is_answered {
            world.hear(&from_outside(&udp((FAR, 9), (OUTSIDE, 4000), b"")));
        }
        world.sink.0.clear();
        world.now_ms += wait_s * 1000;
        world.hear(&from_outside(&udp((FAR, 9), (OUTSIDE, 4000), b"")));
        assert_eq!(!world.sink.0.is_empty(), lives);
    }
}

#[test]
fn a_flood_of_one_port_leaves_the_others_their_share() {
    let memory = Memory::new(1 + 16);
    let mut world = World::ready(&memory);
    let query = |port: usize, number: u16| udp((ip(port), number), (FAR, 9), b"");
    let reply = |number: u16| udp((FAR, 9), (OUTSIDE, number), b"");
    (0..1000).for_each(|number| world.guest(0, &query(0, 1000 + number)));
    assert_eq!(memory.used(), 17, "all that is free");
    world.sink.0.clear();
    for number in 0..8 {
        world.guest(1, &query(1, 5000 + number));
    }
    world.sink.0.clear();
    (0..1000).for_each(|number| world.guest(0, &query(0, 6000 + number)));
    world.sink.0.clear();
    for number in 0..8 {
        world.comes_in(&reply(5000 + number), 1, &udp((FAR, 9), (ip(1), 5000 + number), b""));
    }
    let evicted = [0, 1].map(|port| world.gateway.counters().ports[port].evicted);
    assert_eq!(evicted, [984 + 8 + 1000, 0]);
    // The flooding port itself still works: its newest flows are there.
    world.comes_in(&reply(6999), 0, &udp((FAR, 9), (ip(0), 6999), b""));
}

#[test]
fn open_connections_give_way_to_another_ports_share_only() {
    let memory = Memory::new(1 + 4);
    let mut world = World::ready(&memory);
    let open = |world: &mut World, port: usize, number| {
        world.guest(port, &tcp((ip(port), number), (FAR, 80), "S", b""));
        world.hear(&from_outside(&tcp((FAR, 80), (OUTSIDE, number), "SA", b"")));
        world.guest(port, &tcp((ip(port), number), (FAR, 80), "A", b""));
        world.sink.0.clear();
    };
    (1..=5).for_each(|number| open(&mut world, 0, 1000 + number));
    assert_eq!(world.gateway.counters().ports[0].dropped(Reason::TableFull), 2, "SYN and ACK of the fifth");
    (1..=3).for_each(|number| open(&mut world, 1, 2000 + number));
    assert_eq!(world.gateway.counters().ports[1].dropped(Reason::TableFull), 2);
    assert_eq!(world.gateway.counters().ports[0].evicted, 2);
    // The oldest went.
    world.stays_out(&tcp((FAR, 80), (OUTSIDE, 1001), "A", b""), Reason::NoFlow);
    world.comes_in(&tcp((FAR, 80), (OUTSIDE, 1003), "A", b""), 0, &tcp((FAR, 80), (ip(0), 1003), "A", b""));
}

#[test]
fn a_lease_is_renewed_rebound_and_lost() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    let start_ms = 1000;
    assert_eq!(world.gateway.next_event(), Some(start_ms + HOUR_MS / 2));
    world.now_ms = start_ms + HOUR_MS / 2;
    world.poll();
    let renewal = world.asked().unwrap();
    assert_eq!((renewal.kind, renewal.to, renewal.has), (DhcpMessageType::Request, (ROUTER_MAC, ROUTER), OUTSIDE));
    world.now_ms = start_ms + HOUR_MS / 8 * 7;
    world.poll();
    let rebinding = world.asked().unwrap();
    assert_eq!(rebinding.to, ([0xff; 6], Ipv4Addr::BROADCAST));
    world.hear(&from_server(&lease(DhcpMessageType::Ack, rebinding.transaction)));
    assert_eq!(world.gateway.next_event(), Some(world.now_ms + HOUR_MS / 2));
    world.now_ms += HOUR_MS;
    world.sink.0.clear();
    world.poll();
    assert_eq!(world.gateway.uplink_address(), None);
    assert_eq!(memory.load(0), [0; 4]);
    world.bind();
}

#[test]
fn a_network_that_says_no_is_not_asked_in_a_hurry() {
    let memory = Memory::new(1);
    let mut world = World::new(&memory, 0);
    let mut waits = vec![];
    for _ in 0..8 {
        world.poll();
        let question = from_client(&world.sink.one(To::Uplink));
        assert_eq!((question.kind, question.to), (DhcpMessageType::Discover, ([0xff; 6], Ipv4Addr::BROADCAST)));
        let next_ms = world.gateway.next_event().unwrap();
        waits.push((next_ms - world.now_ms + 1000) / 2000 * 2);
        world.now_ms = next_ms - 1;
        world.poll();
        assert!(world.sink.0.is_empty());
        world.now_ms = next_ms;
    }
    for (wait, expected) in waits.iter().zip([4, 8, 16, 32, 64, 64, 64, 64]) {
        assert!(wait.abs_diff(expected) <= 2, "{waits:?}");
    }
}

#[test]
fn an_offer_is_judged() {
    let offer = |change: &dyn Fn(&mut DhcpRepr<'static>)| {
        let memory = Memory::new(1);
        let mut world = World::new(&memory, 0);
        world.poll();
        let mut message = lease(DhcpMessageType::Offer, from_client(&world.sink.one(To::Uplink)).transaction);
        change(&mut message);
        world.hear(&from_server(&message));
        !world.sink.0.is_empty()
    };
    assert!(offer(&|_| {}));
    assert!(!offer(&|offer| offer.transaction_id ^= 1), "somebody else's");
    assert!(!offer(&|offer| offer.client_hardware_address.0[5] ^= 1));
    assert!(!offer(&|offer| offer.server_identifier = None));
    assert!(!offer(&|offer| offer.your_ip = Ipv4Addr::LOCALHOST));
    assert!(!offer(&|offer| offer.your_ip = Ipv4Addr::new(10, 0, 0, 9)), "inside the partitions' subnet");
    assert!(!offer(&|offer| offer.subnet_mask = Some(Ipv4Addr::new(255, 0, 0, 0))), "around it");
    assert!(!offer(&|offer| offer.subnet_mask = Some(Ipv4Addr::new(255, 0, 255, 0))), "no mask");
    assert!(!offer(&|offer| offer.message_type = DhcpMessageType::Nak));
}

#[test]
fn another_address_ends_all_flows() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    world.guest(0, &udp((ip(0), 4000), (FAR, 9), b""));
    world.now_ms += HOUR_MS / 2;
    world.sink.0.clear();
    world.poll();
    let renewal = world.asked().unwrap();
    world.hear(&from_server(&lease(DhcpMessageType::Nak, renewal.transaction)));
    assert_eq!(world.gateway.uplink_address(), None);
    world.now_ms = world.gateway.next_event().unwrap();
    world.sink.0.clear();
    world.poll();
    let discover = from_client(&world.sink.one(To::Uplink));
    for kind in [DhcpMessageType::Offer, DhcpMessageType::Ack] {
        let mut message = lease(kind, discover.transaction);
        message.your_ip = Ipv4Addr::new(10, 0, 2, 77);
        world.hear(&from_server(&message));
    }
    assert_eq!(world.gateway.uplink_address(), Some(Ipv4Addr::new(10, 0, 2, 77)));
    assert_eq!(memory.used(), 1);
}

#[test]
fn the_next_life_knows_which_flow_was_used_last() {
    let memory = Memory::new(1 + 4);
    let mut world = World::ready(&memory);
    let query = |port: usize, number: u16| udp((ip(port), number), (FAR, 9), b"");
    (1..=4).for_each(|number| world.guest(0, &query(0, 4000 + number)));
    world.wait(10_000);
    world.guest(0, &query(0, 4001));
    world.restart();
    world.guest(1, &query(1, 5000));
    world.sink.0.clear();
    for (number, lives) in [(4001, true), (4002, false), (4003, true), (4004, true)] {
        world.hear(&from_outside(&udp((FAR, 9), (OUTSIDE, number), b"")));
        assert_eq!(world.sink.0.pop_front().is_some(), lives, "{number}");
    }
}

#[test]
fn a_guest_that_scans_the_network_does_not_make_the_router_forgotten() {
    let memory = Memory::new(64);
    let mut world = World::ready(&memory);
    for host in 100..200 {
        world.guest(0, &udp((ip(0), 4000), (Ipv4Addr::new(10, 0, 2, host), 9), b""));
        world.now_ms += 100;
    }
    world.sink.0.clear();
    world.goes_out(0, &udp((ip(0), 4000), (FAR, 9), b""), &udp((OUTSIDE, 4000), (FAR, 9), b""));
    // As many questions as the limit allows, whatever the guest sends.
    for host in 100..200 {
        world.guest(0, &udp((ip(0), 4001), (Ipv4Addr::new(10, 0, 2, host), 9), b""));
    }
    assert!(world.sink.0.len() <= 20);
}

#[test]
fn a_group_is_nobodys_address() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    let host = Ipv4Addr::new(10, 0, 2, 40);
    world.guest(0, &udp((ip(0), 4000), (host, 9), b""));
    world.sink.0.clear();
    for mac in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0; 6], UPLINK_MAC] {
        world.hear(&arp(ArpOperation::Reply, (mac, host), (UPLINK_MAC, OUTSIDE)));
        assert!(world.sink.0.is_empty());
    }
}

#[test]
fn a_lease_from_the_future_is_none() {
    let memory = Memory::new(16);
    World::ready(&memory);
    let mut world = World::new(&memory, 500);
    world.poll();
    assert_eq!(world.gateway.uplink_address(), None);
    world.bind();
}

#[test]
fn flows_wait_for_a_lease_that_was_lost() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    world.guest(0, &tcp((ip(0), 4000), (FAR, 80), "S", b""));
    world.sink.0.clear();
    memory.store(0, [1, 2, 3, 4]);
    world.restart();
    let reply = tcp((FAR, 80), (OUTSIDE, 4000), "SA", b"");
    world.stays_out(&reply, Reason::NoRoute);
    world.bind();
    world.comes_in(&reply, 0, &tcp((FAR, 80), (ip(0), 4000), "SA", b""));
}

#[test]
fn the_newest_packet_waits_for_its_neighbour_and_not_forever() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    let host = Ipv4Addr::new(10, 0, 2, 40);
    for data in [b"1", b"2", b"3"] {
        world.guest(0, &udp((ip(0), 4000), (host, 9), data));
    }
    let question = arp(ArpOperation::Request, (UPLINK_MAC, OUTSIDE), ([0; 6], host));
    assert_eq!(world.sink.one(To::Uplink), question);
    world.hear(&arp(ArpOperation::Reply, ([6; 6], host), (UPLINK_MAC, OUTSIDE)));
    let packet = one_hop_less(&udp((OUTSIDE, 4000), (host, 9), b"3"));
    assert_eq!(world.sink.one(To::Uplink), ethernet(UPLINK_MAC, [6; 6], EthernetProtocol::Ipv4, &packet));
    assert_eq!(world.gateway.counters().uplink.dropped(Reason::NoNeighbour), 2);
    // Later it is asked for again, at the known address, and meanwhile used; then it is gone.
    let lease_ms = world.gateway.next_event();
    world.wait(61_000);
    world.guest(0, &udp((ip(0), 4000), (host, 9), b"4"));
    let again = world.sink.next(To::Uplink);
    assert_eq!((&again[..6], &again[12..14]), (&[6; 6][..], &[8, 6][..]));
    world.sink.one(To::Uplink);
    for _ in 0..4 {
        world.wait(1000);
    }
    assert_eq!(world.sink.0.len(), 2, "asked three times");
    assert_eq!(world.gateway.next_event(), lease_ms, "and no more");
}

#[test]
fn arp_on_the_uplink_answers_for_its_address_only() {
    let memory = Memory::new(2);
    let mut world = World::ready(&memory);
    world.hear(&who_has((ROUTER_MAC, ROUTER), OUTSIDE));
    assert_eq!(world.sink.one(To::Uplink), arp(ArpOperation::Reply, (UPLINK_MAC, OUTSIDE), (ROUTER_MAC, ROUTER)));
    for target in [GATEWAY, ip(0), NAMESERVER] {
        world.hear(&who_has((ROUTER_MAC, ROUTER), target));
    }
    world.hear(&arp(ArpOperation::Reply, ([7; 6], OUTSIDE), (UPLINK_MAC, OUTSIDE)));
    assert!(world.sink.0.is_empty());
}

#[test]
fn an_idle_network_needs_nobody() {
    let memory = Memory::new(64);
    let mut world = World::ready(&memory);
    (0..30).for_each(|number| world.guest(0, &udp((ip(0), 4000 + number), (FAR, 9), b"")));
    let lease_ms = 1000 + HOUR_MS / 2;
    assert_eq!(world.gateway.next_event(), Some(lease_ms));
    let alone = Gateway::new(&network(), &PORTS, None, &memory, 1);
    assert_eq!(alone.next_event(), None);
}

#[test]
fn a_busy_flow_is_written_seldom() {
    struct Counted(Memory, std::cell::Cell<usize>);
    impl Slots for Counted {
        fn count(&self) -> usize {
            self.0.count()
        }
        fn load(&self, slot: usize) -> [u64; 4] {
            self.0.load(slot)
        }
        fn store(&self, slot: usize, words: [u64; 4]) {
            self.1.set(self.1.get() + 1);
            self.0.store(slot, words);
        }
    }
    let first = Memory::new(4);
    World::ready(&first);
    let memory = Counted(first, Default::default());
    let mut gateway = Gateway::new(&network(), &PORTS, Some(UPLINK_MAC), &memory, 1);
    let mut sink = Sink::default();
    for packet in 0..10_000 {
        let frame = from_guest(0, &udp((ip(0), 4000), (FAR, 9), b""));
        gateway.from_port(0, &mut frame.clone(), 40_000 + packet, &mut sink);
    }
    assert!((1..=3).contains(&memory.1.get()), "{}", memory.1.get());
}
