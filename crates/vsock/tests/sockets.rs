//! A guest that keeps the rules, guests that break each of them, and one that sends anything.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use proptest::prelude::*;
use vsock::{Event, HEADER, HOST_CID, Header, MAX_PAYLOAD, Operation, Room, Sockets};

const CID: u64 = 3;
const PORT: u32 = 5000;
const OWN: u32 = 1234;
const EMPTY: Room = Room { capacity: 1000, unread: 0 };

fn packet(operation: Operation) -> Header {
    Header {
        source_cid: CID,
        target_cid: HOST_CID,
        source_port: OWN,
        target_port: PORT,
        bytes: 0,
        kind: 1,
        operation: Some(operation),
        flags: 0,
        room: 500,
        taken: 0,
    }
}

/// What the guest hears, by operation.
fn heard(sockets: &mut Sockets, room: Room) -> Vec<Operation> {
    std::iter::from_fn(|| sockets.answer(|_| Some(room))).map(|header| header.operation.unwrap()).collect()
}

fn connected() -> Sockets {
    let mut sockets = Sockets::new(CID, [PORT, PORT + 1]);
    assert_eq!(sockets.take_packet(&packet(Operation::Request), 0, |_| Some(EMPTY)), Event::None);
    let response = sockets.answer(|_| Some(EMPTY)).unwrap();
    let expected = Header {
        source_cid: HOST_CID,
        target_cid: CID,
        source_port: PORT,
        target_port: OWN,
        room: 1000,
        ..packet(Operation::Response)
    };
    assert_eq!(response, expected);
    assert_eq!(sockets.answer(|_| Some(EMPTY)), None);
    sockets
}

fn data(bytes: u32) -> Header {
    Header { bytes, ..packet(Operation::Data) }
}

#[test]
fn a_header_is_laid_out_as_the_specification_says() {
    let header = Header { flags: 0x0a0b_0c0d, room: 7, taken: 9, bytes: 5, ..packet(Operation::Shutdown) };
    let bytes = header.bytes();
    assert_eq!((bytes[0], bytes[8], &bytes[16..20]), (3, 2, &OWN.to_le_bytes()[..]));
    assert_eq!((&bytes[20..24], bytes[24], bytes[28], bytes[30]), (&PORT.to_le_bytes()[..], 5, 1, 4));
    assert_eq!((&bytes[32..36], bytes[36], bytes[40]), (&[0x0d, 0x0c, 0x0b, 0x0a][..], 7, 9));
    assert_eq!(Header::parse(&bytes), header);
}

#[test]
fn data_goes_both_ways_within_the_credit() {
    let mut sockets = connected();
    assert_eq!(sockets.take_packet(&data(400), 400, |_| Some(EMPTY)), Event::Data { place: 0, bytes: 400 });
    // The reader has taken nothing: 600 are left.
    let room = Room { unread: 400, ..EMPTY };
    assert_eq!(sockets.take_packet(&data(600), 600, |_| Some(room)), Event::Data { place: 0, bytes: 600 });
    assert_eq!(heard(&mut sockets, Room { unread: 1000, ..EMPTY }), []);
    // It has taken some: the guest hears of it without asking, since it has no credit left.
    let update = sockets.answer(|_| Some(Room { unread: 300, ..EMPTY })).unwrap();
    assert_eq!((update.operation, update.room, update.taken), (Some(Operation::CreditUpdate), 1000, 700));
    assert_eq!(sockets.credit(0), Some(500));
    let header = sockets.data(0, 450, EMPTY).unwrap();
    assert_eq!((header.bytes, header.taken, sockets.credit(0)), (450, 1000, Some(50)));
    let taken = Header { taken: 450, ..packet(Operation::CreditUpdate) };
    assert_eq!(sockets.take_packet(&taken, 0, |_| Some(EMPTY)), Event::None);
    assert_eq!(sockets.credit(0), Some(500));
}

#[test]
fn more_than_the_ring_has_room_for_ends_the_connection() {
    let mut sockets = connected();
    let room = Room { unread: 601, ..EMPTY };
    assert_eq!(sockets.take_packet(&data(400), 400, |_| Some(room)), Event::None);
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Reset]);
    assert!(!sockets.is_connected(0));
}

#[test]
fn a_second_connection_is_refused_and_disturbs_nobody() {
    let mut sockets = connected();
    let second = Header { source_port: 99, ..packet(Operation::Request) };
    assert_eq!(sockets.take_packet(&second, 0, |_| Some(EMPTY)), Event::None);
    let reset = sockets.answer(|_| Some(EMPTY)).unwrap();
    assert_eq!((reset.operation, reset.target_port), (Some(Operation::Reset), 99));
    assert_eq!(sockets.take_packet(&data(1), 1, |_| Some(EMPTY)), Event::Data { place: 0, bytes: 1 });
    // The other port is another's.
    let other = Header { target_port: PORT + 1, source_port: 99, ..packet(Operation::Request) };
    assert_eq!(sockets.take_packet(&other, 0, |_| Some(EMPTY)), Event::None);
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Response]);
}

#[test]
fn what_is_for_nobody_is_reset() {
    let request = packet(Operation::Request);
    for stray in [
        Header { target_port: 22, ..request },
        Header { target_cid: 4, ..request },
        Header { kind: 3, ..request },
        data(1),
        packet(Operation::CreditRequest),
        Header { operation: None, ..request },
    ] {
        let mut sockets = Sockets::new(CID, [PORT]);
        assert_eq!(sockets.take_packet(&stray, stray.bytes, |_| Some(EMPTY)), Event::None);
        assert_eq!(heard(&mut sockets, EMPTY), [Operation::Reset], "{stray:?}");
        assert!(!sockets.is_connected(0));
    }
    // A reset is not answered, and a guest that gives another's name is not either.
    let mut sockets = Sockets::new(CID, [PORT]);
    for silent in [packet(Operation::Reset), Header { source_cid: 4, ..request }] {
        assert_eq!(sockets.take_packet(&silent, 0, |_| Some(EMPTY)), Event::None);
        assert_eq!(heard(&mut sockets, EMPTY), []);
    }
    // Nobody reads the ring.
    assert_eq!(sockets.take_packet(&request, 0, |_| None), Event::None);
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Reset]);
}

#[test]
fn a_connection_begins_when_the_ring_has_forgotten_the_last() {
    let mut sockets = Sockets::new(CID, [PORT]);
    sockets.take_packet(&packet(Operation::Request), 0, |_| Some(EMPTY));
    assert_eq!(heard(&mut sockets, Room { unread: 1, ..EMPTY }), []);
    assert_eq!(sockets.credit(0), None);
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Response]);
}

#[test]
fn a_guest_that_is_done_hears_so() {
    let mut sockets = connected();
    let shut = |flags| Header { flags, ..packet(Operation::Shutdown) };
    // It sends no more, and still listens.
    sockets.take_packet(&shut(2), 0, |_| Some(EMPTY));
    assert_eq!((sockets.credit(0), heard(&mut sockets, EMPTY)), (Some(500), vec![]));
    sockets.take_packet(&shut(1), 0, |_| Some(EMPTY));
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Reset]);
    assert!(!sockets.is_connected(0));
}

#[test]
fn a_cleared_ring_ends_the_connection() {
    let mut sockets = connected();
    sockets.close(0);
    let reset = sockets.answer(|_| None).unwrap();
    assert_eq!((reset.operation, reset.target_port), (Some(Operation::Reset), OWN));
    // And once only.
    sockets.close(0);
    assert_eq!(sockets.answer(|_| None), None);
}

#[test]
fn a_question_for_credit_is_answered() {
    let mut sockets = connected();
    sockets.take_packet(&packet(Operation::CreditRequest), 0, |_| Some(EMPTY));
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::CreditUpdate]);
}

fn operation() -> impl Strategy<Value = Option<Operation>> {
    use Operation::*;
    prop::sample::select(vec![
        Some(Request),
        Some(Response),
        Some(Reset),
        Some(Shutdown),
        Some(Data),
        Some(CreditUpdate),
        Some(CreditRequest),
        None,
    ])
}

fn anything() -> impl Strategy<Value = (Header, u32)> {
    let few = |values: &[u32]| prop::sample::select(values.to_vec());
    let places = (prop::sample::select(vec![CID, CID, CID, 4]), prop::sample::select(vec![HOST_CID, HOST_CID, 0]));
    let ports = (few(&[OWN, OWN, 99]), few(&[PORT, PORT, PORT + 1, 0]));
    let numbers = (few(&[0, 1, 500, 1000, u32::MAX]), few(&[0, 2, 3, u32::MAX]), any::<u32>(), any::<u32>());
    (places, ports, operation(), numbers, few(&[0, 1, 500, 1000, u32::MAX]), few(&[1, 1, 1, 2])).prop_map(
        |(
            (source_cid, target_cid),
            (source_port, target_port),
            operation,
            (bytes, flags, room, taken),
            payload,
            kind,
        )| {
            let kind = kind as u16;
            let header =
                Header { source_cid, target_cid, source_port, target_port, bytes, kind, operation, flags, room, taken };
            (header, payload)
        },
    )
}

proptest! {
    #[test]
    fn every_header_survives(bytes in prop::array::uniform32(any::<u8>()), rest in prop::array::uniform12(any::<u8>())) {
        let mut all = [0; HEADER];
        all[..32].copy_from_slice(&bytes);
        all[32..].copy_from_slice(&rest);
        let header = Header::parse(&all);
        prop_assert_eq!(Header::parse(&header.bytes()), header);
    }

    /// Whatever the guest sends: the ring never gets more than it has room for, each packet costs a bounded number of
    /// answers, and all that is sent to it is within what it has last said.
    #[test]
    fn no_guest_gets_more_than_its_due(
        packets in proptest::collection::vec((anything(), 0u32..=1000, any::<bool>()), 1..200),
    ) {
        let mut sockets = Sockets::new(CID, [PORT, PORT + 1]);
        let mut unread = [0u32; 2];
        for ((header, payload), read, is_cleared) in packets {
            prop_assert!(sockets.takes_packets());
            let room = |place: usize| Room { capacity: 1000, unread: unread[place] };
            if let Event::Data { place, bytes } = sockets.take_packet(&header, payload, |place| Some(room(place))) {
                prop_assert!(bytes <= payload && bytes <= 1000 - unread[place]);
                prop_assert!(sockets.is_connected(place));
                unread[place] += bytes;
            }
            for (place, unread) in unread.iter_mut().enumerate() {
                if let Some(credit) = sockets.credit(place) {
                    prop_assert!(credit as usize <= MAX_PAYLOAD);
                    let room = Room { capacity: 1000, unread: *unread };
                    let sent = sockets.data(place, credit, room).unwrap();
                    prop_assert_eq!((sent.bytes, sent.target_cid), (credit, CID));
                }
                *unread = unread.saturating_sub(read);
            }
            if is_cleared {
                sockets.close(0);
                unread[0] = 0;
            }
            let room = |place: usize| Some(Room { capacity: 1000, unread: unread[place] });
            let answers = std::iter::from_fn(|| sockets.answer(room)).take(20).count();
            prop_assert!(answers <= 6, "{answers} answers to one packet");
        }
    }
}
