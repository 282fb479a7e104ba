//! Frames that claim to be somebody else's, or that nobody can check.

use crate::frames::*;
use crate::{alone, judge};
use switch::{Reason, Verdict};

#[track_caller]
fn dropped(frame: &[u8], reason: Reason) {
    let mut switch = switch();
    assert_eq!(judge(&mut switch, frame), Verdict::Drop(reason), "{frame:02x?}");
    let counters = switch.counters(0).expect("there are three ports");
    assert_eq!(counters.drops().collect::<Vec<_>>(), [(reason, 1)]);
    assert_eq!(counters.passed(), 0);
}

#[test]
fn a_foreign_mac_is_dropped() {
    for source in [mac(1), GATEWAY, NOBODY, EVERYBODY, [0; 6], [3, 0x42, 0x48, 0, 0, 0]] {
        dropped(&ethernet(mac(1), source, IPV4, &ipv4(ip(1), ip(0), 6, &[], &[0; 20])), Reason::SourceMac);
        dropped(&ethernet(EVERYBODY, source, ARP, &arp(REQUEST, mac(0), ip(0), ip(1))), Reason::SourceMac);
    }
}

#[test]
fn a_foreign_ipv4_source_is_dropped() {
    for source in [ip(1), [10, 0, 0, 1], [10, 0, 0, 255], [127, 0, 0, 1], [255; 4], [0; 4], [224, 0, 0, 1]] {
        for to in [mac(1), GATEWAY, EVERYBODY] {
            dropped(&ethernet(to, mac(0), IPV4, &ipv4(ip(1), source, 6, &[], &[0; 20])), Reason::SourceIp);
            dropped(&ethernet(to, mac(0), IPV4, &ipv4(ip(1), source, 17, &[], &udp(7, 9, &[]))), Reason::SourceIp);
        }
    }
}

#[test]
fn no_address_is_one_for_dhcp_clients_only() {
    dropped(&dhcp([255; 4], [0; 4], 68, 68), Reason::SourceIp);
    dropped(&dhcp([255; 4], [0; 4], 67, 1068), Reason::SourceIp);
    dropped(&dhcp(ip(1), [0; 4], 67, 68), Reason::SourceIp);
    dropped(&dhcp([255; 4], ip(1), 67, 68), Reason::SourceIp);
    // The same bytes, as TCP and as a later fragment.
    let mut tcp = dhcp([255; 4], [0; 4], 67, 68);
    tcp[23] = 6;
    dropped(&tcp, Reason::SourceIp);
    let mut fragment = dhcp([255; 4], [0; 4], 67, 68);
    fragment[21] = 1;
    dropped(&fragment, Reason::SourceIp);
}

#[test]
fn an_arp_sender_is_the_port_itself() {
    for (operation, hardware, protocol) in [
        (REQUEST, mac(1), ip(0)),
        (REQUEST, mac(0), ip(1)),
        (REPLY, mac(0), [10, 0, 0, 1]),
        (REPLY, GATEWAY, [10, 0, 0, 1]),
        (REPLY, mac(0), [0; 4]),
        (REQUEST, mac(1), [0; 4]),
    ] {
        dropped(&ethernet(EVERYBODY, mac(0), ARP, &arp(operation, hardware, protocol, ip(2))), Reason::ArpSender);
    }
}

#[test]
fn arp_for_anything_else_is_dropped() {
    let good = arp(REQUEST, mac(0), ip(0), ip(1));
    for (place, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 0), (7, 3), (7, 8), (6, 1)] {
        let mut bad = good.clone();
        bad[place] = value;
        dropped(&ethernet(EVERYBODY, mac(0), ARP, &bad), Reason::Malformed);
    }
}

#[test]
fn a_guest_is_no_dhcp_server() {
    for to_port in [68, 67, 53] {
        dropped(&dhcp([255; 4], ip(0), to_port, 67), Reason::DhcpServer);
        let offer = ipv4(ip(1), ip(0), 17, &[], &udp(to_port, 67, &[2; 240]));
        dropped(&ethernet(mac(1), mac(0), IPV4, &offer), Reason::DhcpServer);
        // Behind options, and in the first of several fragments.
        let mut offer = ipv4(ip(1), ip(0), 17, &[1; 40], &udp(to_port, 67, &[2; 240]));
        offer[6] = 0x20;
        dropped(&ethernet(mac(1), mac(0), IPV4, &offer), Reason::DhcpServer);
    }
}

#[test]
fn a_first_fragment_too_short_for_its_ports_is_dropped() {
    for bytes in 0..8 {
        let mut packet = ipv4(ip(1), ip(0), 17, &[], &udp(68, 67, &[])[..bytes]);
        packet[6] = 0x20;
        dropped(&ethernet(mac(1), mac(0), IPV4, &packet), Reason::Truncated);
    }
    // A later fragment has no ports, whatever its bytes look like.
    let mut later = ipv4(ip(1), ip(0), 17, &[], &udp(68, 67, &[]));
    later[7] = 1;
    assert_eq!(alone(&ethernet(mac(1), mac(0), IPV4, &later)), Verdict::To(1));
}

#[test]
fn what_cannot_be_checked_is_dropped() {
    let inner = ipv4(ip(1), ip(0), 6, &[], &[0; 20]);
    for to in [mac(1), GATEWAY, EVERYBODY] {
        dropped(&ethernet(to, mac(0), 0x86dd, &[0x60; 60]), Reason::Ipv6);
        for tag in [0x8100, 0x88a8, 0x9100] {
            dropped(&ethernet(to, mac(0), tag, &[&[0, 1, 8, 0][..], &inner].concat()), Reason::Vlan);
        }
        for other in [0, 46, 0x05dc, 0x0842, 0x22f0, 0x8035, 0x8863, 0x8847, 0x88cc, 0xffff] {
            dropped(&ethernet(to, mac(0), other, &inner), Reason::EtherType);
        }
    }
}

#[test]
fn an_ipv4_header_is_one_or_is_dropped() {
    let good = ethernet(mac(1), mac(0), IPV4, &ipv4(ip(1), ip(0), 6, &[], &[0; 20]));
    for (place, value, reason) in [
        (14, 0x65, Reason::Malformed),
        (14, 0x05, Reason::Malformed),
        (14, 0x44, Reason::Malformed),
        (14, 0x40, Reason::Malformed),
        // A header longer than its packet, and a packet longer than its frame.
        (14, 0x4f, Reason::Truncated),
        (17, 19, Reason::Truncated),
        (17, 41, Reason::Truncated),
        (16, 0xff, Reason::Truncated),
    ] {
        let mut bad = good.clone();
        bad[place] = value;
        dropped(&bad, reason);
    }
}

#[test]
fn every_truncated_header_is_dropped() {
    let udp = ipv4(ip(1), ip(0), 17, &[1; 40], &udp(7, 1234, &[]));
    let arp = arp(REQUEST, mac(0), ip(0), ip(1));
    for whole in [ethernet(mac(1), mac(0), IPV4, &udp), ethernet(mac(1), mac(0), ARP, &arp)] {
        assert_eq!(alone(&whole), Verdict::To(1));
        for bytes in 0..whole.len() {
            dropped(&whole[..bytes], Reason::Truncated);
            // A head shorter than it should be, and one that goes beyond its frame.
            assert_eq!(switch().judge(0, &whole[..bytes], whole.len(), 0), Verdict::Drop(Reason::Truncated), "{bytes}");
            assert_eq!(switch().judge(0, &whole, bytes, 0), Verdict::Drop(Reason::Truncated), "{bytes}");
        }
    }
}
