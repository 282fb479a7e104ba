//! What a guest sends: which packets are taken, and why others are not.

use super::frames::*;
use crate::driver::*;
use virtio::net::{
    Accepted, CSUM, FEATURES, GUEST_CSUM, GUEST_TSO4, HEAD, HOST_TSO4, Header, MAX_FRAME, MRG_RXBUF, Refused, Sent,
};
use virtio::{Chain, Inflight};

const ALL: Accepted = Accepted::of(FEATURES);

/// A driver that has put bytes into RAM, and offers them in descriptors of these lengths; the last one takes the rest.
pub fn offer(bytes: &[u8], cuts: &[usize]) -> (Driver, Chain) {
    let mut driver = Driver::new(8);
    driver.ram.put(BUFFERS, bytes);
    let mut at = 0;
    for (index, cut) in (0..).zip(cuts) {
        driver.descriptor(index, (BUFFERS + at as u64, *cut as u32, NEXT, index + 1));
        at += cut;
    }
    driver.descriptor(cuts.len() as u16, (BUFFERS + at as u64, (bytes.len() - at) as u32, 0, 0));
    driver.offer(0);
    let (record, mut chain) = (Inflight::new(), Chain::new());
    let _head = driver.take(&mut driver.queue(BOTH, &record), &mut chain);
    (driver, chain)
}

/// What becomes of a packet.
fn judge(sender: Accepted, header: &[u8], frame: &[u8]) -> Result<Header, Refused> {
    let (driver, chain) = offer(&[header, frame].concat(), &[]);
    let sent = Sent::read(&driver.ram, &chain, sender, MTU).expect("the ring is sound");
    sent.map(|sent| sent.header())
}

fn partial(protocol: u8) -> Vec<u8> {
    header(NEEDS_CSUM, 0, 0, TRANSPORT, if protocol == TCP { 16 } else { 6 })
}
pub fn tso(mss: u16) -> Vec<u8> {
    header(NEEDS_CSUM, GSO_TCPV4, mss, TRANSPORT, 16)
}

#[test]
fn each_feature_allows_what_it_is_for() {
    assert_eq!(Accepted::of(0), Accepted::default());
    let partial = Accepted { sends_partial: true, ..Accepted::default() };
    assert_eq!(Accepted::of(CSUM), partial);
    assert_eq!(Accepted::of(CSUM | HOST_TSO4), Accepted { sends_tso: true, ..partial });
    assert_eq!(Accepted::of(GUEST_CSUM), Accepted { takes_partial: true, ..Accepted::default() });
    assert!(Accepted::of(GUEST_CSUM | GUEST_TSO4).takes_tso && Accepted::of(MRG_RXBUF).merges);
}

#[test]
fn tso_without_checksums_allows_nothing() {
    assert_eq!(Accepted::of(HOST_TSO4 | GUEST_TSO4), Accepted::default());
}

#[test]
fn a_packet_is_read_wherever_it_is_cut() {
    let frame = frame(UDP, 600);
    let bytes = [plain(), frame.clone()].concat();
    for cuts in [&[][..], &[12], &[1, 11], &[13, 40, 100], &[140], &[139, 1, 1], &[600]] {
        let (driver, chain) = offer(&bytes, cuts);
        let sent = Sent::read(&driver.ram, &chain, Accepted::default(), MTU).unwrap().unwrap();
        assert_eq!((sent.header(), sent.frame_len() as usize), (Header::Plain, frame.len()));
        assert_eq!(sent.head(), &frame[..HEAD]);
        let rest: Vec<_> = sent.rest(200, 50).pieces().collect();
        assert_eq!(rest.iter().map(|piece| piece.bytes).sum::<u32>(), 50);
        assert_eq!(rest[0].at.as_u64(), BUFFERS + 12 + 200);
        let mut buffer = [0; MAX_FRAME];
        assert_eq!(sent.copy(&driver.ram, &mut buffer), Ok(&mut frame.clone()[..]));
    }
}

#[test]
fn the_private_copy_is_what_counts() {
    let frame = frame(UDP, 600);
    let (driver, chain) = offer(&[plain(), frame.clone()].concat(), &[]);
    let sent = Sent::read(&driver.ram, &chain, Accepted::default(), MTU).unwrap().unwrap();
    driver.ram.put(BUFFERS, &[0xee; 12 + 700]);
    let mut buffer = [0; MAX_FRAME];
    let copy = sent.copy(&driver.ram, &mut buffer).unwrap();
    assert!(copy[..HEAD] == frame[..HEAD] && copy[HEAD..].iter().all(|byte| *byte == 0xee));
}

#[test]
fn a_frame_shorter_than_the_head_ends_where_it_ends() {
    let (driver, chain) = offer(&[plain(), vec![7; 14]].concat(), &[5]);
    let sent = Sent::read(&driver.ram, &chain, Accepted::default(), MTU).unwrap().unwrap();
    assert_eq!((sent.head(), sent.rest(14, 100).bytes(), sent.rest(4, 100).bytes()), (&[7; 14][..], 0, 10));
    assert_eq!(sent.copy(&driver.ram, &mut [0; MAX_FRAME]).unwrap(), [7; 14]);
}

#[test]
fn every_truncated_packet_is_too_short() {
    let bytes = [plain(), frame(UDP, 0)].concat();
    for len in 1..26 {
        let (driver, chain) = offer(&bytes[..len], &[]);
        let sent = Sent::read(&driver.ram, &chain, ALL, MTU).expect("the ring is sound");
        assert_eq!(sent.map(|sent| sent.header()), Err(Refused::TooShort), "{len}");
    }
}

#[test]
fn what_only_can_be_written_is_no_packet() {
    let mut driver = Driver::new(8);
    driver.offer_one(0);
    let (record, mut chain) = (Inflight::new(), Chain::new());
    let _head = driver.take(&mut driver.queue(BOTH, &record), &mut chain);
    let sent = Sent::read(&driver.ram, &chain, ALL, MTU).expect("the ring is sound");
    assert_eq!(sent.map(|sent| sent.header()), Err(Refused::TooShort));
}

#[test]
fn the_mtu_is_the_limit_for_what_is_not_to_be_cut() {
    let longest = 1500 - 28;
    assert_eq!(judge(ALL, &plain(), &frame(UDP, longest)), Ok(Header::Plain));
    assert_eq!(judge(ALL, &plain(), &frame(UDP, longest + 1)), Err(Refused::TooLong));
    assert_eq!(judge(ALL, &partial(UDP), &frame(UDP, longest + 1)), Err(Refused::TooLong));
}

#[test]
fn no_frame_is_longer_than_the_longest() {
    let longest = frame(TCP, 65535 - 40);
    assert!(matches!(judge(ALL, &tso(1460), &longest), Ok(Header::Tso(_))));
    assert_eq!(judge(ALL, &tso(1460), &[longest, vec![0; 2]].concat()), Err(Refused::TooLong));
}

#[test]
fn checksums_are_left_only_where_tcp_and_udp_have_them() {
    assert!(matches!(judge(ALL, &partial(TCP), &frame(TCP, 100)), Ok(Header::Partial(_))));
    assert!(matches!(judge(ALL, &partial(UDP), &frame(UDP, 0)), Ok(Header::Partial(_))));
    // The source's MAC address, its IPv4 address, and the other protocol's place.
    for (start, offset) in [(0, 6), (14, 12), (0, 26), (TRANSPORT, 0), (TRANSPORT, 6), (TRANSPORT - 2, 18)] {
        let header = header(NEEDS_CSUM, 0, 0, start, offset);
        assert_eq!(judge(ALL, &header, &frame(TCP, 100)), Err(Refused::BadOffload), "{start} {offset}");
    }
}

#[test]
fn a_checksum_outside_the_frame_is_refused() {
    let frame = frame(TCP, 0);
    for (start, offset) in [(TRANSPORT, 19), (53, 0), (u16::MAX, u16::MAX), (0, 53)] {
        assert_eq!(judge(ALL, &header(NEEDS_CSUM, 0, 0, start, offset), &frame), Err(Refused::BadHeader));
    }
    assert_eq!(judge(ALL, &partial(TCP), &frame[..51]), Err(Refused::BadHeader), "the field is cut off");
}

#[test]
fn checksums_of_other_packets_are_not_left_to_the_device() {
    for (at, byte) in [(12, 0x86), (14, 0x65), (14, 0x44), (23, 1), (20, 0x20), (21, 1)] {
        let mut frame = frame(TCP, 100);
        frame[at] = byte;
        assert_eq!(judge(ALL, &partial(TCP), &frame), Err(Refused::BadOffload), "byte {at}");
    }
}

#[test]
fn what_was_not_agreed_on_is_refused() {
    let frame = frame(TCP, 3000);
    assert_eq!(judge(Accepted::of(0), &partial(TCP), &frame[..1000]), Err(Refused::BadOffload));
    assert_eq!(judge(Accepted::of(CSUM), &tso(1000), &frame), Err(Refused::BadOffload));
    assert_eq!(judge(Accepted::of(HOST_TSO4), &tso(1000), &frame), Err(Refused::BadOffload));
    assert!(judge(Accepted::of(CSUM | HOST_TSO4), &tso(1000), &frame).is_ok());
}

#[test]
fn unknown_kinds_of_packets_are_refused() {
    // UDP, TCP over IPv6, ECN, UDP_L4.
    for gso_type in [2, 3, 4, 5, 0x80, 0x81, 0xff] {
        let header = header(NEEDS_CSUM, gso_type, 1000, TRANSPORT, 16);
        assert_eq!(judge(ALL, &header, &frame(TCP, 3000)), Err(Refused::BadHeader), "{gso_type}");
    }
}

#[test]
fn unknown_flags_and_hints_are_ignored() {
    assert_eq!(judge(ALL, &header(0xfe, 0, 9999, 9999, 9999), &frame(UDP, 10)), Ok(Header::Plain));
}

#[test]
fn only_sound_tcp_is_cut() {
    let whole = frame(TCP, 3000);
    assert!(judge(ALL, &tso(1460), &whole).is_ok());
    assert_eq!(judge(ALL, &header(0, GSO_TCPV4, 1460, TRANSPORT, 16), &whole), Err(Refused::BadOffload));
    for mss in [0, 1, 47, 1461, u16::MAX] {
        assert_eq!(judge(ALL, &tso(mss), &whole), Err(Refused::BadOffload), "pieces of {mss}");
    }
    // IPv4 length, protocol, data offset: too short, and beyond the head.
    for (at, byte) in [(17, 0), (23, 17), (46, 0x40), (46, 0xf0)] {
        let mut frame = if at == 46 && byte == 0xf0 { frame(TCP, 39) } else { whole.clone() };
        frame[at] = byte;
        assert_eq!(judge(ALL, &tso(1000), &frame), Err(Refused::BadOffload), "byte {at}");
    }
    assert_eq!(
        judge(ALL, &header(NEEDS_CSUM, GSO_TCPV4, 1000, TRANSPORT, 6), &frame(UDP, 3000)),
        Err(Refused::BadOffload)
    );
}

#[test]
fn a_packet_to_be_cut_has_one_receiver() {
    let mut whole = frame(TCP, 4000);
    assert!(judge(ALL, &tso(1000), &whole).is_ok());
    whole[0] |= 1;
    assert_eq!(judge(ALL, &tso(1000), &whole), Err(Refused::BadOffload));
}

#[test]
fn what_a_packet_costs_is_what_it_becomes() {
    for (payload, packets) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (3000, 3)] {
        let (driver, chain) = offer(&[tso(1000), frame(TCP, payload)].concat(), &[]);
        let sent = Sent::read(&driver.ram, &chain, ALL, MTU).unwrap().unwrap();
        assert_eq!((sent.packets(), sent.wire_bytes()), (packets, packets * 54 + payload as u32));
    }
}
