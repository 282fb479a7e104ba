//! The switch between honest, spoofing and flooding guests.

mod frames;
mod random;
mod spoofing;

use frames::*;
use switch::{BROADCAST_BURST, BROADCASTS_PER_SECOND, HEAD, MAX_FRAME, Reason, Switch, Verdict};

/// The verdict on a frame of port 0, given its head as the service gives it.
fn judge(switch: &mut Switch, frame: &[u8]) -> Verdict {
    switch.judge(0, &frame[..frame.len().min(HEAD)], frame.len(), 0)
}

/// The same by a switch that has seen nothing else.
fn alone(frame: &[u8]) -> Verdict {
    judge(&mut switch(), frame)
}

#[test]
fn a_frame_goes_to_whom_it_is_for() {
    assert_eq!(alone(&packet(mac(1))), Verdict::To(1));
    assert_eq!(alone(&packet(mac(2))), Verdict::To(2));
    assert_eq!(alone(&packet(GATEWAY)), Verdict::Gateway);
    assert_eq!(alone(&packet(EVERYBODY)), Verdict::Flood);
    assert_eq!(alone(&packet([1, 0, 0x5e, 0, 0, 0xfb])), Verdict::Flood);
    assert_eq!(alone(&packet(NOBODY)), Verdict::Drop(Reason::Destination));
    assert_eq!(alone(&packet(mac(0))), Verdict::Drop(Reason::Destination));
    assert_eq!(switch().judge(3, &packet(mac(1)), 60, 0), Verdict::Drop(Reason::Port));
}

#[test]
fn whoever_sends_nothing_has_its_frames_all_the_same() {
    let mut switch = switch();
    let frame = ethernet(mac(0), mac(2), IPV4, &ipv4(ip(0), ip(2), 6, &[], &[0; 20]));
    assert_eq!(switch.judge(2, &frame, frame.len(), 0), Verdict::To(0));
}

#[test]
fn all_that_a_guest_needs_passes() {
    let request = arp(REQUEST, mac(0), ip(0), ip(1));
    let probe = arp(REQUEST, mac(0), [0; 4], ip(0));
    let reply = arp(REPLY, mac(0), ip(0), ip(1));
    for (frame, verdict) in [
        (ethernet(EVERYBODY, mac(0), ARP, &request), Verdict::Flood),
        (ethernet(EVERYBODY, mac(0), ARP, &probe), Verdict::Flood),
        (ethernet(mac(1), mac(0), ARP, &reply), Verdict::To(1)),
        (dhcp([255; 4], [0; 4], 67, 68), Verdict::Gateway),
        // A lease renewed: from its address, to the server.
        (dhcp([10, 0, 0, 1], ip(0), 67, 68), Verdict::Gateway),
        (
            ethernet(GATEWAY, mac(0), IPV4, &ipv4([1, 1, 1, 1], ip(0), 17, &[], &udp(53, 4321, &[0; 30]))),
            Verdict::Gateway,
        ),
        (ethernet(mac(1), mac(0), IPV4, &ipv4(ip(1), ip(0), 1, &[], &[8, 0, 0, 0])), Verdict::To(1)),
        // The longest header that there is: all of it is in the head.
        (ethernet(mac(1), mac(0), IPV4, &ipv4(ip(1), ip(0), 17, &[1; 40], &udp(7, 1234, &[]))), Verdict::To(1)),
    ] {
        assert_eq!(alone(&frame), verdict, "{frame:02x?}");
    }
}

#[test]
fn frames_of_any_length_pass_up_to_what_segmentation_makes() {
    let whole = |payload: usize| ethernet(mac(1), mac(0), IPV4, &ipv4(ip(1), ip(0), 6, &[], &vec![0; payload]));
    for payload in [0, 1, 26, 94, 95, 1460, 9000, 65_515] {
        assert_eq!(alone(&whole(payload)), Verdict::To(1), "{payload}");
    }
    // Ethernet's padding is no part of the packet, nor of what is too long for one.
    let mut padded = whole(6);
    padded.resize(60, 0x5a);
    assert_eq!(alone(&padded), Verdict::To(1));
    padded.resize(MAX_FRAME, 0);
    assert_eq!(alone(&padded), Verdict::To(1));
    padded.push(0);
    assert_eq!(alone(&padded), Verdict::Drop(Reason::Oversized));
}

#[test]
fn a_storm_ends_at_its_ports_budget() {
    let mut switch = switch();
    let storm = packet(EVERYBODY);
    let mut flooded = 0;
    // A second in 100,000 frames.
    for n in 0..100_000 {
        let now = n * HZ / 100_000;
        match switch.judge(0, &storm, storm.len(), now) {
            Verdict::Flood => flooded += 1,
            verdict => assert_eq!(verdict, Verdict::Drop(Reason::Storm)),
        }
    }
    assert!(
        (BROADCASTS_PER_SECOND.get()..=BROADCASTS_PER_SECOND.get() + BROADCAST_BURST).contains(&flooded),
        "{flooded}"
    );
    // Its other frames pass, and so do the broadcasts of others.
    assert_eq!(switch.judge(0, &packet(mac(1)), 60, HZ), Verdict::To(1));
    let other = ethernet(EVERYBODY, mac(1), ARP, &arp(REQUEST, mac(1), ip(1), ip(0)));
    assert_eq!(switch.judge(1, &other, other.len(), HZ), Verdict::Flood);
    let counters = switch.counters(0).unwrap();
    assert_eq!(counters.passed(), flooded + 1);
    assert_eq!(counters.dropped(Reason::Storm), 100_000 - flooded);
    assert_eq!(switch.counters(1).unwrap().drops().count(), 0);
}

#[test]
fn dhcp_and_multicast_are_in_the_same_budget_and_spoofed_broadcasts_cost_it_nothing() {
    let mut switch = switch();
    let spoofed = ethernet(EVERYBODY, mac(0), ARP, &arp(REQUEST, mac(1), ip(1), ip(0)));
    for _ in 0..1000 {
        assert_eq!(judge(&mut switch, &spoofed), Verdict::Drop(Reason::ArpSender));
    }
    let frames = [dhcp([255; 4], [0; 4], 67, 68), packet([1, 0, 0x5e, 0, 0, 1])];
    let passed =
        frames.iter().cycle().take(1000).filter(|frame| !matches!(judge(&mut switch, frame), Verdict::Drop(_)));
    assert_eq!(passed.count() as u64, BROADCAST_BURST);
}
