//! How a guest receives: in one buffer or in several, all at once or not at all.

use super::frames::*;
use super::send::{offer, tso};
use crate::driver::*;
use virtio::net::{Accepted, Delivery, FEATURES, HEAD, Header, MRG_RXBUF, Outcome, Receiver, Sent};
use virtio::{Broken, Chain, GuestMemory, Inflight, Outside, Queue};

/// Bytes from one buffer to the next.
const APART: u64 = 0x2000;

fn buffer(head: u16) -> u64 {
    BUFFERS + APART * u64::from(head)
}

/// A driver that offers buffers with so many bytes.
fn driver(buffers: &[u32]) -> Driver {
    let mut driver = Driver::new(8);
    for (head, bytes) in (0..).zip(buffers) {
        driver.descriptor(head, (buffer(head), *bytes, WRITE, 0));
        driver.offer(head);
    }
    driver
}

fn deliver(
    receiver: &mut Receiver,
    queue: &mut Queue<'_>,
    driver: &Driver,
    features: u64,
    header: Header,
    frame: &[u8],
) -> Result<Outcome, Broken> {
    let delivery = Delivery::new(header, frame, frame.len() as u32, Accepted::of(features));
    receiver.deliver(queue, &driver.ram, &mut Chain::new(), delivery, |from, at, bytes| {
        let from = from as usize;
        assert!(from >= HEAD, "the head is private");
        driver.ram.write(at, &frame[from..from + bytes as usize])
    })
}

/// What the driver finds in its used buffers, from used index `from` on.
fn received(driver: &Driver, from: u16) -> Vec<Vec<u8>> {
    (from..driver.used_index())
        .map(|index| {
            let (head, bytes) = driver.used(index);
            let at = buffer(head as u16);
            (0..u64::from(bytes)).map(|byte| driver.ram.get::<1>(at + byte)[0]).collect()
        })
        .collect()
}

const NO_OFFLOAD: [u8; 10] = [0; 10];

#[test]
fn a_packet_takes_one_buffer_if_it_fits() {
    for features in [0, MRG_RXBUF] {
        for payload in [0, 1, 85, 86, 87, 1000] {
            let (driver, record, frame) = (driver(&[2048, 2048]), Inflight::new(), frame(UDP, payload));
            let (mut receiver, mut queue) = (Receiver::new(), driver.queue(BOTH, &record));
            let outcome = deliver(&mut receiver, &mut queue, &driver, features, Header::Plain, &frame);
            assert_eq!(outcome, Ok(Outcome::Delivered));
            assert_eq!(received(&driver, 0), [[&NO_OFFLOAD[..], &[1, 0], &frame].concat()]);
            assert_eq!(queue.in_flight(), 0);
        }
    }
}

#[test]
fn a_packet_is_spread_over_as_many_buffers_as_it_needs() {
    for buffers in
        [[12, 700, 700, 700], [13, 600, 600, 600], [700, 100, 100, 600], [100, 100, 1000, 1000], [1041, 1, 9, 9]]
    {
        let (driver, record, frame) = (driver(&buffers), Inflight::new(), frame(UDP, 1000));
        let (mut receiver, mut queue) = (Receiver::new(), driver.queue(BOTH, &record));
        let outcome = deliver(&mut receiver, &mut queue, &driver, MRG_RXBUF, Header::Plain, &frame);
        assert_eq!(outcome, Ok(Outcome::Delivered), "{buffers:?}");
        let received = received(&driver, 0);
        let count = [received.len() as u8, 0];
        assert_eq!(received.concat(), [&NO_OFFLOAD[..], &count, &frame].concat(), "{buffers:?}");
        assert!(received.iter().zip(buffers).all(|(bytes, room)| bytes.len() <= room as usize));
    }
}

#[test]
fn the_count_is_found_wherever_descriptors_cut_the_header() {
    let frame = frame(UDP, 100);
    for cut in [1, 10, 11, 12, 13] {
        let mut driver = Driver::new(8);
        driver.descriptor(0, (buffer(0), cut, NEXT | WRITE, 1));
        driver.descriptor(1, (buffer(1), 30, WRITE, 0));
        driver.descriptor(2, (buffer(2), 500, WRITE, 0));
        driver.offer(0);
        driver.offer(2);
        let record = Inflight::new();
        let mut queue = driver.queue(BOTH, &record);
        let outcome = deliver(&mut Receiver::new(), &mut queue, &driver, MRG_RXBUF, Header::Plain, &frame);
        assert_eq!(outcome, Ok(Outcome::Delivered));
        let at = |byte: u64| if byte < cut.into() { buffer(0) + byte } else { buffer(1) + byte - u64::from(cut) };
        assert_eq!([10, 11].map(|byte| driver.ram.get::<1>(at(byte))[0]), [2, 0], "{cut}");
    }
}

#[test]
fn without_enough_buffers_nothing_is_used_and_the_next_packet_gets_them() {
    let (mut driver, record) = (driver(&[500, 500]), Inflight::new());
    let (mut receiver, mut queue) = (Receiver::new(), driver.queue(BOTH, &record));
    for _ in 0..3 {
        let outcome = deliver(&mut receiver, &mut queue, &driver, MRG_RXBUF, Header::Plain, &frame(UDP, 1000));
        assert_eq!((outcome, driver.used_index(), queue.in_flight()), (Ok(Outcome::NoBuffers), 0, 2));
    }
    let (short, long) = (frame(UDP, 100), frame(UDP, 700));
    let outcome = deliver(&mut receiver, &mut queue, &driver, MRG_RXBUF, Header::Plain, &short);
    assert_eq!((outcome, queue.in_flight()), (Ok(Outcome::Delivered), 1));
    assert_eq!(received(&driver, 0)[0][12..], short);
    driver.descriptor(3, (buffer(3), 500, WRITE, 0));
    driver.offer(3);
    let outcome = deliver(&mut receiver, &mut queue, &driver, MRG_RXBUF, Header::Plain, &long);
    assert_eq!((outcome, queue.in_flight()), (Ok(Outcome::Delivered), 0));
    assert_eq!(received(&driver, 1).concat()[12..], long);
}

#[test]
fn buffers_that_an_earlier_life_took_are_filled_first() {
    let (driver, record) = (driver(&[500, 500, 2000]), Inflight::new());
    let (mut receiver, mut queue) = (Receiver::new(), driver.queue(BOTH, &record));
    // In flight: 0 and 1.
    deliver(&mut receiver, &mut queue, &driver, 0, Header::Plain, &frame(UDP, 1)).unwrap();
    let (mut queue, heads) = Queue::resume(driver.rings(), BOTH, &driver.ram, &record, OWNER).unwrap();
    let mut receiver = Receiver::resumed(heads);
    let outcome = deliver(&mut receiver, &mut queue, &driver, MRG_RXBUF, Header::Plain, &frame(UDP, 1000));
    assert_eq!(outcome, Ok(Outcome::Delivered));
    assert_eq!([1, 2].map(|index| driver.used(index).0), [1, 2]);
}

#[test]
fn a_buffer_too_small_for_one_packet_waits_for_a_smaller_one() {
    let (driver, record) = (driver(&[500, 2048]), Inflight::new());
    let (mut receiver, mut queue) = (Receiver::new(), driver.queue(BOTH, &record));
    let outcome = deliver(&mut receiver, &mut queue, &driver, 0, Header::Plain, &frame(UDP, 447));
    assert_eq!((outcome, driver.used_index()), (Ok(Outcome::TooSmall), 0));
    assert_eq!(driver.ram.get(buffer(0)), [0; 500], "nothing was written");
    let outcome = deliver(&mut receiver, &mut queue, &driver, 0, Header::Plain, &frame(UDP, 446));
    assert_eq!((outcome, driver.used(0)), (Ok(Outcome::Delivered), (0, 500)));
}

#[test]
fn a_buffer_without_room_for_the_header_is_broken() {
    for features in [0, MRG_RXBUF] {
        let (driver, record) = (driver(&[11, 2048]), Inflight::new());
        let mut queue = driver.queue(BOTH, &record);
        let outcome = deliver(&mut Receiver::new(), &mut queue, &driver, features, Header::Plain, &frame(UDP, 9));
        assert_eq!(outcome, Err(Broken::NoRoom));
    }
    let mut driver = Driver::new(8);
    driver.descriptor(0, (BUFFERS, 100, 0, 0));
    driver.offer(0);
    let record = Inflight::new();
    let mut queue = driver.queue(BOTH, &record);
    let outcome = deliver(&mut Receiver::new(), &mut queue, &driver, 0, Header::Plain, &frame(UDP, 9));
    assert_eq!(outcome, Err(Broken::NoRoom), "it can only be read");
}

#[test]
fn a_buffer_that_the_guest_took_away_meanwhile_is_broken() {
    let (driver, record) = (driver(&[500]), Inflight::new());
    let (mut receiver, mut queue) = (Receiver::new(), driver.queue(BOTH, &record));
    deliver(&mut receiver, &mut queue, &driver, MRG_RXBUF, Header::Plain, &frame(UDP, 1000)).unwrap();
    driver.descriptor(0, (0x1000, 500, WRITE, 0));
    let outcome = deliver(&mut receiver, &mut queue, &driver, MRG_RXBUF, Header::Plain, &frame(UDP, 10));
    assert!(matches!(outcome, Err(Broken::Outside(Outside { .. }))));
    assert_eq!(driver.ram.refused(), 0);
}

#[test]
fn what_the_sender_left_undone_reaches_only_who_takes_it() {
    let whole = frame(TCP, 3000);
    let (driver, chain) = offer(&[tso(1000), whole].concat(), &[]);
    let sent = Sent::read(&driver.ram, &chain, Accepted::of(FEATURES), MTU).unwrap().unwrap();
    let none = Accepted::default();
    let takes = [none, Accepted { takes_partial: true, ..none }, Accepted::of(FEATURES)];
    assert_eq!(takes.map(|receiver| sent.header().suits(receiver)), [false, false, true]);
    assert_eq!(takes.map(|receiver| Header::Plain.suits(receiver)), [true; 3]);
    // NEEDS_CSUM, TCPV4, 54 bytes of headers, pieces of 1000, checksum at 34 + 16, in one buffer.
    assert_eq!(sent.header().to_bytes(), [1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0, 1, 0]);
    let (driver, chain) = offer(&[header(NEEDS_CSUM, 0, 0, TRANSPORT, 6), frame(UDP, 9)].concat(), &[]);
    let sent = Sent::read(&driver.ram, &chain, Accepted::of(FEATURES), MTU).unwrap().unwrap();
    assert_eq!(takes.map(|receiver| sent.header().suits(receiver)), [false, true, true]);
    assert_eq!(sent.header().to_bytes(), [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 1, 0]);
}

#[test]
fn buffers_that_were_too_small_together_are_read_again_only_for_less_or_with_more() {
    let (mut driver, record) = (driver(&[100, 100]), Inflight::new());
    let (mut receiver, mut queue) = (Receiver::new(), driver.queue(BOTH, &record));
    let reads = |receiver: &mut Receiver, queue: &mut Queue<'_>, driver: &Driver, payload| {
        let (frame, mut chain) = (frame(UDP, payload), Chain::new());
        let delivery = Delivery::new(Header::Plain, &frame, frame.len() as u32, Accepted::of(MRG_RXBUF));
        let outcome = receiver.deliver(queue, &driver.ram, &mut chain, delivery, |from, at, bytes| {
            driver.ram.write(at, &frame[from as usize..(from + bytes) as usize])
        });
        (outcome, chain.writable_bytes() > 0)
    };
    assert_eq!(reads(&mut receiver, &mut queue, &driver, 1000), (Ok(Outcome::NoBuffers), true));
    assert_eq!(reads(&mut receiver, &mut queue, &driver, 1000), (Ok(Outcome::NoBuffers), false), "not again");
    driver.descriptor(2, (buffer(2), 2048, WRITE, 0));
    driver.offer(2);
    assert_eq!(reads(&mut receiver, &mut queue, &driver, 1000), (Ok(Outcome::Delivered), true), "there are more");
    assert_eq!(reads(&mut receiver, &mut queue, &driver, 1000).0, Ok(Outcome::NoBuffers));
}
