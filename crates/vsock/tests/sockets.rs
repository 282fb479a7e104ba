//! A guest that keeps the rules, guests that break each of them, and one that sends anything.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use proptest::prelude::*;
use vsock::{Event, HEADER, HOST_CID, Header, MAX_PAYLOAD, Operation, Room, Sockets};

const CID: u64 = 3;
const PORT: u32 = 5000;
const OWN: u32 = 1234;
const EMPTY: Room = Room { capacity: 1000, unread: 0, unheard: 0 };

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
    // The first is asked whether it still is, and is.
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::CreditRequest]);
    assert_eq!(sockets.take_packet(&packet(Operation::CreditUpdate), 0, |_| Some(EMPTY)), Event::None);
    assert_eq!(sockets.take_packet(&data(1), 1, |_| Some(EMPTY)), Event::Data { place: 0, bytes: 1 });
    // The other port is another's.
    let other = Header { target_port: PORT + 1, source_port: 99, ..packet(Operation::Request) };
    assert_eq!(sockets.take_packet(&other, 0, |_| Some(EMPTY)), Event::None);
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Response]);
}

#[test]
fn a_port_is_not_held_by_a_connection_that_the_guest_has_forgotten() {
    let mut sockets = connected();
    let second = Header { source_port: 99, ..packet(Operation::Request) };
    sockets.take_packet(&second, 0, |_| Some(EMPTY));
    let answers: Vec<_> = std::iter::from_fn(|| sockets.answer(|_| Some(EMPTY))).collect();
    let said: Vec<_> = answers.iter().map(|answer| (answer.operation.unwrap(), answer.target_port)).collect();
    assert_eq!(said, [(Operation::Reset, 99), (Operation::CreditRequest, OWN)]);
    sockets.take_packet(&packet(Operation::Reset), 0, |_| Some(EMPTY));
    sockets.take_packet(&second, 0, |_| Some(EMPTY));
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Response]);
}

#[test]
fn a_reader_that_takes_back_what_it_said_is_no_news() {
    let mut sockets = connected();
    assert_eq!(sockets.take_packet(&data(900), 900, |_| Some(EMPTY)), Event::Data { place: 0, bytes: 900 });
    let [low, high] = [100, 900].map(|unread| Room { unread, ..EMPTY });
    assert_eq!(heard(&mut sockets, low), [Operation::CreditUpdate]);
    for room in [high, low, high, low] {
        assert_eq!(heard(&mut sockets, room), []);
        assert_eq!(sockets.data(0, 1, room).unwrap().taken, 800);
    }
}

#[test]
fn what_is_sent_to_a_connection_is_so_when_it_is_sent() {
    let mut sockets = connected();
    sockets.take_packet(&packet(Operation::CreditRequest), 0, |_| Some(EMPTY));
    assert!(sockets.has_answer(|_| Some(EMPTY)));
    // The guest has no buffer, ends the connection, and begins another from the same port.
    sockets.take_packet(&packet(Operation::Reset), 0, |_| Some(EMPTY));
    assert!(!sockets.has_answer(|_| Some(EMPTY)));
    sockets.take_packet(&packet(Operation::Request), 0, |_| Some(EMPTY));
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Response]);
    // A reset that it is still to get would end the new one: it has to come again.
    sockets.take_packet(&packet(Operation::Response), 0, |_| Some(EMPTY));
    sockets.take_packet(&packet(Operation::Request), 0, |_| Some(EMPTY));
    assert_eq!(heard(&mut sockets, EMPTY), [Operation::Reset, Operation::Reset]);
    assert!(!sockets.is_connected(0));
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
    // Neither is what was said to the last one for it.
    for room in [Room { unread: 1, ..EMPTY }, Room { unheard: 1, ..EMPTY }] {
        assert_eq!(heard(&mut sockets, room), []);
        assert_eq!(sockets.credit(0), None);
    }
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

    /// Whatever guest and reader say: the ring never gets more than it has room for, all that is sent to the guest is within what
    /// it has last said, it hears of no byte taken that it has not sent and of none twice, and each packet costs a bounded number
    /// of answers.
    #[test]
    fn no_guest_gets_more_than_its_due(
        packets in proptest::collection::vec((anything(), reader(), any::<bool>()), 1..200),
    ) {
        let mut sockets = Sockets::new(CID, [PORT, PORT + 1]);
        let mut unread = [0u32; 2];
        let mut peers = [None, None];
        for ((header, payload), reader, is_cleared) in packets {
            prop_assert!(sockets.takes_packets());
            let room = |place: usize| Room { capacity: 1000, unread: unread[place], unheard: 0 };
            let place = place_of(&header);
            let was_connected = place.is_some_and(|place| sockets.is_connected(place));
            let event = sockets.take_packet(&header, payload, |place| Some(room(place)));
            if let Some(place) = place {
                Peer::hear(&mut peers[place], &header, was_connected, sockets.is_connected(place));
            }
            if let Event::Data { place, bytes } = event {
                prop_assert!(bytes <= payload && bytes <= 1000 - unread[place]);
                prop_assert!(sockets.is_connected(place));
                unread[place] += bytes;
                let peer = peers[place].as_mut().unwrap();
                peer.received = peer.received.wrapping_add(bytes);
            }
            for (place, unread) in unread.iter_mut().enumerate() {
                if let Some(credit) = sockets.credit(place) {
                    prop_assert!(credit as usize <= MAX_PAYLOAD);
                    let room = Room { capacity: 1000, unread: *unread, unheard: 0 };
                    let sent = sockets.data(place, credit, room).unwrap();
                    prop_assert_eq!((sent.bytes, sent.target_cid), (credit, CID));
                    peers[place].as_mut().unwrap().check(&sent);
                }
                *unread = match reader {
                    Reader::Takes(bytes) => unread.saturating_sub(bytes),
                    Reader::Lies(bytes) => bytes,
                };
            }
            if is_cleared {
                sockets.close(0);
                (unread[0], peers[0]) = (0, None);
            }
            let room = |place: usize| Some(Room { capacity: 1000, unread: unread[place], unheard: 0 });
            let answers: Vec<Header> = std::iter::from_fn(|| sockets.answer(room)).take(20).collect();
            prop_assert!(answers.len() <= 6, "{answers:?} to one packet");
            for answer in answers.iter().filter(|answer| answer.operation != Some(Operation::Reset)) {
                peers[(answer.source_port - PORT) as usize].as_mut().unwrap().check(answer);
            }
        }
    }
}

/// What the reader of a ring does.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// Takes so much.
    Takes(u32),
    /// Says that so much is left, whatever it was.
    Lies(u32),
}

fn reader() -> impl Strategy<Value = Reader> {
    prop_oneof![3 => (0..=1000u32).prop_map(Reader::Takes), 1 => (0..=1000u32).prop_map(Reader::Lies)]
}

/// The port that a packet is for, if its addresses are right.
fn place_of(header: &Header) -> Option<usize> {
    let is_right = (header.source_cid, header.target_cid, header.kind) == (CID, HOST_CID, 1);
    header.target_port.checked_sub(PORT).map(|place| place as usize).filter(|place| is_right && *place < 2)
}

/// What a guest has said and heard in a connection.
#[derive(Debug)]
struct Peer {
    port: u32,
    room: u32,
    taken: u32,
    /// Bytes that it was sent.
    sent: u32,
    /// Bytes that were taken from it.
    received: u32,
    /// Those that it has heard are taken by the reader.
    told: u32,
}

impl Peer {
    /// It has sent a packet to this port, where a connection was or is.
    fn hear(own: &mut Option<Self>, header: &Header, was_connected: bool, is_connected: bool) {
        match own {
            _ if !is_connected => *own = None,
            Some(peer) if was_connected && peer.port == header.source_port => {
                (peer.room, peer.taken) = (header.room, header.taken);
            }
            _ if was_connected => {}
            _ => {
                let (port, room, taken) = (header.source_port, header.room, header.taken);
                *own = Some(Self { port, room, taken, sent: 0, received: 0, told: 0 });
            }
        }
    }

    /// It is sent this.
    fn check(&mut self, header: &Header) {
        self.sent = self.sent.wrapping_add(header.bytes);
        let in_room = self.sent.wrapping_sub(self.taken);
        assert!(header.bytes == 0 || in_room <= self.room, "{in_room} bytes in the room of {self:?}: {header:?}");
        let is_new = header.taken.wrapping_sub(self.told) <= self.received.wrapping_sub(self.told);
        assert!(is_new && header.room == 1000, "{self:?} hears {header:?}");
        self.told = header.taken;
    }
}
