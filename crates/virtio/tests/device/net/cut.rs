//! What is done for a receiver that takes no offloads: checksums are finished, long packets are cut.

use super::frames::*;
use super::send::{offer, tso};
use virtio::net::{Accepted, FEATURES, HEAD, Header, MAX_FRAME, Packet, Segments, Sent, Sum, finish};

/// The header and the copied frame of a packet.
fn sent(header: Vec<u8>, frame: &[u8]) -> (Header, Vec<u8>) {
    let (driver, chain) = offer(&[header.as_slice(), frame].concat(), &[]);
    let sent = Sent::read(&driver.ram, &chain, Accepted::of(FEATURES), MTU)
        .expect("the ring is sound")
        .expect("the packet is sound");
    let mut buffer = [0; MAX_FRAME];
    (sent.header(), sent.copy(&driver.ram, &mut buffer).expect("it is in RAM").to_vec())
}

/// The pieces of a packet.
fn pieces(mss: u16, frame: &[u8]) -> Vec<Vec<u8>> {
    let (Header::Tso(tso), frame) = sent(tso(mss), frame) else { panic!("it is to be cut") };
    let copy = |packet: Packet<'_>| packet.copy(&mut [0; MAX_FRAME]).expect("there is room").to_vec();
    Segments::new(&frame, tso).map(copy).collect()
}

#[test]
fn sums_are_those_of_the_slow_way() {
    let bytes: Vec<u8> = (0..300u32).map(|index| (index * 89 + 250) as u8).collect();
    for from in 0..9 {
        for to in from..bytes.len() {
            let expected = checksum(&bytes[from..to]).to_be_bytes();
            assert_eq!(Sum::of(&bytes[from..to]).checksum(), expected, "{from}..{to}");
            let middle = from + (to - from) / 4 * 2;
            let sum = Sum::of(&bytes[from..middle]).and(Sum::of(&bytes[middle..to]));
            assert_eq!(sum.checksum(), expected, "{from}..{middle}..{to}");
        }
    }
    assert_eq!(Sum::of(&[0xff; MAX_FRAME]).checksum(), [0, 0]);
    assert_eq!(Sum::word(0x1234).and(Sum::word(0xff00)).checksum(), checksum(&[0x12, 0x34, 0xff, 0]).to_be_bytes());
}

#[test]
fn a_finished_checksum_is_right() {
    for (protocol, offset) in [(TCP, 16), (UDP, 6)] {
        for payload in 0..100 {
            let (header, mut frame) = sent(header(NEEDS_CSUM, 0, 0, TRANSPORT, offset), &frame(protocol, payload));
            let Header::Partial(partial) = header else { panic!("{header:?}") };
            assert!(!is_sound(&frame));
            finish(&mut frame, partial);
            assert!(is_sound(&frame), "protocol {protocol}, {payload} bytes");
        }
    }
}

#[test]
fn a_checksum_of_zero_is_written_as_its_other_form() {
    let mut frame = frame(UDP, 2);
    // A word that makes the sum 0xffff.
    let sum = !checksum(&frame[34..42]);
    frame[42..44].copy_from_slice(&(!sum).to_be_bytes());
    let (header, mut frame) = sent(header(NEEDS_CSUM, 0, 0, TRANSPORT, 6), &frame);
    let Header::Partial(partial) = header else { panic!("{header:?}") };
    finish(&mut frame, partial);
    assert_eq!(frame[40..42], [0xff, 0xff]);
}

#[test]
fn a_frame_that_became_shorter_stays_as_it_is() {
    let (Header::Partial(partial), _) = sent(header(NEEDS_CSUM, 0, 0, TRANSPORT, 16), &frame(TCP, 9)) else { panic!() };
    for len in 0..=51 {
        let mut short = vec![7; len];
        finish(&mut short, partial);
        assert!(short.iter().all(|byte| *byte == 7));
    }
    let (Header::Tso(tso), frame) = sent(tso(100), &frame(TCP, 500)) else { panic!() };
    (0..54).for_each(|len| assert_eq!(Segments::new(&frame[..len], tso).count(), 0));
}

#[test]
fn each_piece_is_a_sound_packet() {
    for (mss, payload) in [(1460, 65_495), (1460, 1461), (1000, 3000), (48, 3000), (999, 1998), (1448, 0), (1448, 7)] {
        let whole = frame(TCP, payload);
        let pieces = pieces(mss, &whole);
        assert_eq!(pieces.len(), payload.div_ceil(mss.into()).max(1));
        assert_eq!(pieces.iter().flat_map(|piece| piece[54..].to_vec()).collect::<Vec<_>>(), whole[54..]);
        let last = pieces.len() - 1;
        for (index, piece) in pieces.iter().enumerate() {
            assert!(is_sound(piece), "piece {index} of {payload} bytes by {mss}");
            assert!(piece.len() == 54 + usize::from(mss) || index == last);
            assert_eq!((&piece[..16], &piece[20..24], &piece[26..38]), (&whole[..16], &whole[20..24], &whole[26..38]));
            let [id, sequence] = [(18, 20), (38, 42)].map(|(from, to)| &piece[from..to]);
            assert_eq!(id, (0x1234 + index as u16).to_be_bytes());
            assert_eq!(sequence, 0xffff_ff00u32.wrapping_add(index as u32 * u32::from(mss)).to_be_bytes());
            // ACK in all of them; CWR in the first one; PSH and FIN in the last one.
            let flags = 0x10 | if index == 0 { 0x80 } else { 0 } | if index == last { 9 } else { 0 };
            assert_eq!(piece[47], flags);
        }
    }
}

#[test]
fn a_piece_is_headers_and_payload_that_was_not_copied() {
    let (Header::Tso(tso), frame) = sent(tso(1000), &frame(TCP, 1500)) else { panic!("it is to be cut") };
    let pieces: Vec<Packet<'_>> = Segments::new(&frame, tso).collect();
    assert_eq!((tso.headers(), tso.mss()), (54, 1000));
    assert!(std::ptr::eq(pieces[1].payload(), &frame[1054..]) && pieces[1].head().len() <= HEAD);
    assert_eq!((pieces[0].frame_len(), pieces[1].frame_len()), (1054, 554));
    assert!(pieces[1].copy(&mut [0; 553]).is_none());
}

#[test]
fn options_stay_in_every_piece() {
    // Four bytes of IPv4 options, twelve of TCP options.
    let plain = frame(TCP, 2000);
    let mut whole = [&plain[..34], &[1, 1, 1, 0], &plain[34..54], &[1; 12], &plain[54..]].concat();
    (whole[14], whole[50]) = (0x46, 0x80);
    let bytes = (whole.len() - 14) as u16;
    whole[16..18].copy_from_slice(&bytes.to_be_bytes());
    let (Header::Tso(tso), frame) = sent(header(NEEDS_CSUM, GSO_TCPV4, 1000, 38, 16), &whole) else { panic!() };
    for piece in Segments::new(&frame, tso) {
        let head = piece.head();
        assert_eq!((&head[34..38], &head[58..70], head.len()), (&[1, 1, 1, 0][..], &[1; 12][..], 70));
        assert_eq!(checksum(&head[14..38]), 0);
        let transport = [&head[38..], piece.payload()].concat();
        let pseudo = [&head[26..34], &[0, 6], &(transport.len() as u16).to_be_bytes()].concat();
        assert_eq!(checksum(&[pseudo, transport].concat()), 0);
    }
}
