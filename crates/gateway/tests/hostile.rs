//! Whatever comes from either side, and whatever stands in the slots: no panic, no unsound frame, no full table for ever.

#[cfg(test)]
mod world;

use gateway::{Gateway, Out, Slots};
use proptest::prelude::*;
use smoltcp::wire::*;
use std::net::Ipv4Addr;
use world::*;

/// Looks at headers only: a guest's wrong TCP checksum stays wrong.
struct Headers(usize);

impl Out for Headers {
    fn to_port(&mut self, port: usize, frame: &[u8]) {
        assert!(frame[..6] == PORTS[port].mac || frame[..6] == [0xff; 6] || frame[12..14] == [8, 6]);
        self.to_uplink(frame);
    }
    fn to_uplink(&mut self, frame: &[u8]) {
        self.0 += 1;
        assert!(frame.len() <= 1514);
        let ethernet = EthernetFrame::new_checked(frame).expect("a header");
        if ethernet.ethertype() == EthernetProtocol::Ipv4 {
            let packet = packet(frame);
            assert!(packet.verify_checksum() && packet.hop_limit() > 0);
            assert_eq!(usize::from(packet.total_len()) + 14, frame.len());
        }
    }
}

/// Sound frames of all kinds from a guest.
fn guest_frames() -> Vec<Vec<u8>> {
    let quoted = udp((FAR, 7), (ip(1), 53), b"?");
    let mut frames: Vec<Vec<u8>> = [
        udp((ip(0), 4000), (FAR, 9), b"data"),
        udp((ip(0), 4000), (GATEWAY, 53), b"data"),
        udp((ip(0), 4000), (GATEWAY, 54), b"data"),
        tcp((ip(0), 4000), (FAR, 80), "S", b""),
        tcp((ip(0), 4000), (GATEWAY, 80), "A", b"data"),
        tcp((ip(0), 22), (FAR, 700), "SA", b""),
        echo(ip(0), GATEWAY, true, 1),
        echo(ip(0), FAR, true, 1),
        icmp_error(ip(1), FAR, (3, 3), &quoted),
    ]
    .iter()
    .map(|packet| from_guest(0, packet))
    .collect();
    frames.push(who_has((PORTS[0].mac, ip(0)), GATEWAY));
    frames.push(dhcp::question(|_| {}));
    frames.push(dhcp::question(|message| {
        message.message_type = DhcpMessageType::Request;
        message.requested_ip = Some(ip(1));
    }));
    frames
}

/// Sound frames of all kinds from the uplink.
fn uplink_frames() -> Vec<Vec<u8>> {
    let quoted = udp((OUTSIDE, 4000), (FAR, 9), b"data");
    let mut frames: Vec<Vec<u8>> = [
        udp((FAR, 9), (OUTSIDE, 4000), b"data"),
        udp((FAR, 7), (OUTSIDE, 5353), b"?"),
        tcp((FAR, 700), (OUTSIDE, 2222), "S", b""),
        tcp((FAR, 80), (OUTSIDE, 4000), "SA", b""),
        echo(FAR, OUTSIDE, true, 1),
        echo(FAR, OUTSIDE, false, 1),
        icmp_error(ROUTER, OUTSIDE, (11, 0), &quoted),
    ]
    .iter()
    .map(|packet| from_outside(packet))
    .collect();
    frames.push(who_has((ROUTER_MAC, ROUTER), OUTSIDE));
    frames.push(arp(ArpOperation::Reply, (ROUTER_MAC, ROUTER), (UPLINK_MAC, OUTSIDE)));
    frames.push(dhcp::from_server(&dhcp::lease(DhcpMessageType::Offer, 0)));
    frames.push(dhcp::from_server(&dhcp::lease(DhcpMessageType::Ack, 0)));
    frames
}

/// A sound frame with a few bytes changed, cut or prolonged, with the IPv4 checksum put right again or not; or noise.
fn frame(sound: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (0usize..80, any::<u8>());
    let changed = (prop::sample::select(sound), prop::collection::vec(change, 0..4), 0usize..1600, 0..4, any::<bool>());
    let changed = changed.prop_map(|(mut frame, changes, length, how, is_repaired)| {
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        if how == 0 {
            frame.resize(length, 0);
        }
        if let (true, Some(header)) = (is_repaired, frame.get_mut(14..34)) {
            Ipv4Packet::new_unchecked(&mut header[..]).set_header_len(20);
            Ipv4Packet::new_unchecked(header).fill_checksum();
        }
        frame
    });
    prop_oneof![9 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

#[derive(Clone, Debug)]
enum Step {
    Guest(usize, Vec<u8>),
    Uplink(Vec<u8>),
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..3, frame(guest_frames())).prop_map(|(port, frame)| Step::Guest(port, frame)),
        8 => frame(uplink_frames()).prop_map(Step::Uplink),
        1 => prop_oneof![0u64..2000, 0u64..100_000_000].prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_frame_does_harm(steps in prop::collection::vec(step(), 1..60), is_bound: bool, slots in 0usize..12) {
        let memory = Memory::new(slots);
        if is_bound {
            World::new(&memory, 1000).bind();
        }
        let mut now_ms = 2000;
        let mut out = Headers(0);
        let mut gateway = Gateway::new(&network(), &PORTS, Some(UPLINK_MAC), &memory, 1);
        for step in steps {
            match step {
                Step::Guest(port, mut frame) => gateway.from_port(port, &mut frame, now_ms, &mut out),
                Step::Uplink(mut frame) => gateway.from_uplink(&mut frame, now_ms, &mut out),
                Step::Wait(ms) => now_ms += ms,
                Step::Restart => gateway = Gateway::new(&network(), &PORTS, Some(UPLINK_MAC), &memory, now_ms),
            }
            let before = out.0;
            gateway.poll(now_ms, &mut out);
            // However long it slept: one question of the client, and one for each neighbour.
            prop_assert!(out.0 - before <= 17);
            prop_assert!(gateway.next_event().is_none_or(|next_ms| next_ms > now_ms) || gateway.uplink_address().is_none());
        }
    }

    #[test]
    fn every_packet_goes_to_whom_it_belongs(
        packets in prop::collection::vec((0usize..2, 0u16..6, 0u8..4, 0..3, prop_oneof![Just(0u64), 0u64..90_000]), 1..100),
        slots in 4usize..16,
    ) {
        let memory = Memory::new(slots);
        let mut world = World::ready(&memory);
        for (port, number, host, kind, wait_ms) in packets {
            let (from, to) = ((ip(port), 1000 + number), (Ipv4Addr::new(9, 9, 9, host), 700));
            world.live(wait_ms);
            if kind == 2 {
                world.restart();
                // The router is asked for anew.
                world.guest(0, &echo(ip(0), FAR, true, 1));
                world.live(0);
            }
            world.guest(port, &udp(from, to, b"question"));
            let sent = world.sink.0.pop_front().expect("a flow is found or made").1;
            let outside = UdpPacket::new_checked(packet(&sent).payload()).unwrap().src_port();
            prop_assert_eq!(&sent[14..], &one_hop_less(&udp((OUTSIDE, outside), to, b"question"))[..]);
            world.sink.0.clear();
            world.comes_in(&udp(to, (OUTSIDE, outside), b"answer"), port, &udp(to, from, b"answer"));
            prop_assert!(memory.used() <= slots);
        }
        // All of it ends, and then all of it can be used again.
        (0..100).for_each(|_| world.live(10_000));
        prop_assert_eq!(memory.used(), 1);
        let evicted = world.gateway.counters().ports[0].evicted;
        for number in 0..slots as u16 - 1 {
            world.guest(0, &tcp((ip(0), 3000 + number), (FAR, 80), "S", b""));
        }
        prop_assert_eq!(memory.used(), slots);
        prop_assert_eq!(world.gateway.counters().ports[0].evicted, evicted);
    }

    #[test]
    fn whatever_stands_in_the_slots_is_survived(
        words in prop::collection::vec((0usize..8, any::<[u64; 4]>(), any::<bool>()), 0..12),
        now_ms in prop_oneof![Just(30_000u64), any::<u64>()],
        steps in prop::collection::vec(step(), 0..20),
    ) {
        let memory = Memory::new(8);
        let mut world = World::ready(&memory);
        for number in 0..6 {
            world.guest(0, &udp((ip(0), 4000 + number), (FAR, 9), b""));
        }
        for (slot, mut words, is_sound) in words {
            // A slot that was torn, or one whose checksum is right but whose content is anything.
            if is_sound {
                words[0] = words[0] & !0xff_ffff_ffff | if slot == 0 { 0x1e } else { 0xf1 } << 32;
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                words[0] |= u64::from(crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&bytes[4..]));
            } else {
                let old = memory.load(slot);
                words = [0, 1, 2, 3].map(|at| if words[at] & 1 == 0 { old[at] } else { words[at] });
            }
            memory.store(slot, words);
        }
        let mut out = Headers(0);
        let mut gateway = Gateway::new(&network(), &PORTS, Some(UPLINK_MAC), &memory, 1);
        gateway.poll(now_ms, &mut out);
        for step in steps {
            match step {
                Step::Guest(port, mut frame) => gateway.from_port(port, &mut frame, now_ms, &mut out),
                Step::Uplink(mut frame) => gateway.from_uplink(&mut frame, now_ms, &mut out),
                Step::Wait(_) | Step::Restart => gateway.poll(now_ms, &mut out),
            }
        }
    }
}

#[test]
fn every_prefix_of_every_frame_and_the_longest_ones_are_survived() {
    let memory = Memory::new(16);
    let mut world = World::ready(&memory);
    let mut out = Headers(0);
    for (is_guest, sound) in [(true, guest_frames()), (false, uplink_frames())] {
        for frame in sound {
            let mut long = frame.clone();
            long.resize(14 + 65_535, 0xa5);
            long[16..18].copy_from_slice(&u16::MAX.to_be_bytes());
            Ipv4Packet::new_unchecked(&mut long[14..34]).fill_checksum();
            let prefixes = (0..=frame.len()).map(|length| frame[..length].to_vec());
            for mut frame in prefixes.chain([long]) {
                match is_guest {
                    true => world.gateway.from_port(0, &mut frame, world.now_ms, &mut out),
                    false => world.gateway.from_uplink(&mut frame, world.now_ms, &mut out),
                }
            }
        }
    }
}
