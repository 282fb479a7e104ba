//! Random and nearly right frames: whatever passes names its sender.

use crate::frames::*;
use proptest::prelude::*;
use switch::{HEAD, Verdict};

/// Right frames, to be spoilt.
fn right() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(packet(mac(1))),
        Just(packet(EVERYBODY)),
        Just(dhcp([255; 4], [0; 4], 67, 68)),
        Just(ethernet(mac(1), mac(0), IPV4, &ipv4(ip(1), ip(0), 17, &[1; 40], &udp(7, 66, &[])))),
        Just(ethernet(EVERYBODY, mac(0), ARP, &arp(REQUEST, mac(0), ip(0), ip(1)))),
        Just(ethernet(GATEWAY, mac(0), ARP, &arp(REPLY, mac(0), ip(0), ip(1)))),
    ]
}

/// What a frame that passed must be, read in another way than the switch does.
fn names_its_sender(frame: &[u8]) -> bool {
    let packet = &frame[14..];
    let is_from_here = frame[6..12] == mac(0);
    let has_right_addresses = match u16::from_be_bytes([frame[12], frame[13]]) {
        ARP => packet[8..14] == mac(0) && (packet[14..18] == ip(0) || packet[14..18] == [0; 4] && packet[7] == 1),
        IPV4 => {
            let header = usize::from(packet[0] & 15) * 4;
            let is_first_of_udp = packet[9] == 17 && u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff == 0;
            let ports = if is_first_of_udp { &packet[header..header + 4] } else { &[0; 4] };
            let is_server = ports[..2] == [0, 67];
            let is_client = ports == [0, 68, 0, 67] && packet[16..20] == [255; 4];
            !is_server && (packet[12..16] == ip(0) || packet[12..16] == [0; 4] && is_client)
        }
        _ => false,
    };
    is_from_here && has_right_addresses
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_passes_names_its_sender(
        mut frame in right(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in prop_oneof![3 => Just(usize::MAX), 1 => 0usize..200],
    ) {
        for (place, value) in changes {
            let place = place.index(frame.len());
            frame[place] = value;
        }
        frame.truncate(length);
        let verdict = switch().judge(0, &frame[..frame.len().min(HEAD)], frame.len(), 0);
        prop_assert!(matches!(verdict, Verdict::Drop(_)) || names_its_sender(&frame), "{verdict:?}");
    }

    #[test]
    fn nothing_random_breaks_it(
        head in prop::collection::vec(any::<u8>(), 0..200),
        frame_len in any::<usize>(),
        port in 0usize..5,
        now in any::<u64>(),
    ) {
        let mut switch = switch();
        let is_counted = switch.counters(port).is_some();
        let verdict = switch.judge(port, &head, frame_len, now);
        if is_counted {
            let counters = switch.counters(port).unwrap();
            let dropped: u64 = counters.drops().map(|(_, count)| count).sum();
            prop_assert_eq!((counters.passed(), dropped), if matches!(verdict, Verdict::Drop(_)) { (0, 1) } else { (1, 0) });
        }
    }
}
