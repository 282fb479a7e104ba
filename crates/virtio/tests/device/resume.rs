//! Taking over a queue: what a sound record brings back, and which ones are refused.

use crate::driver::*;
use virtio::{Broken, Chain, Head, Inflight, Owner, Queue, Record, Unusable, Word};

/// A driver and a record, of a service that died with chains 1 and 3 in flight, after 0 was used.
fn died(features: virtio::Features) -> (Driver, Inflight) {
    let (mut driver, record, mut chain) = (Driver::new(4), Inflight::new(), Chain::new());
    let mut queue = driver.queue(features, &record);
    for head in [1, 0, 3] {
        driver.offer_one(head);
    }
    let mut heads: Vec<Head> = (0..3).map(|_| driver.take(&mut queue, &mut chain)).collect();
    queue.push(&driver.ram, heads.remove(1), 9).expect("it is in flight");
    (driver, record)
}

fn resume<'r>(driver: &Driver, record: &'r Inflight) -> Result<(Queue<'r>, Vec<Head>), Unusable> {
    Queue::resume(driver.rings(), BOTH, &driver.ram, record, OWNER).map(|(queue, heads)| (queue, heads.collect()))
}

#[test]
fn what_was_in_flight_is_issued_again_and_then_used_once() {
    let (mut driver, record) = died(BOTH);
    driver.offer_one(2);
    let (mut queue, heads) = resume(&driver, &record).unwrap();
    assert_eq!((heads.iter().map(Head::number).collect::<Vec<_>>(), queue.in_flight()), (vec![1, 3], 2));
    let mut chain = Chain::new();
    for head in heads {
        queue.chain_again(&driver.ram, &head, &mut chain).unwrap();
        assert_eq!(chain.writable()[0].at.as_u64(), BUFFERS + 16 * u64::from(head.number()));
        queue.push(&driver.ram, head, 16).unwrap();
    }
    assert_eq!([driver.used(0), driver.used(1), driver.used(2)], [(0, 9), (1, 16), (3, 16)]);
    assert_eq!(queue.pop(&driver.ram, &mut chain).unwrap().expect("it waited").number(), 2);
}

#[test]
fn an_interrupt_that_may_have_been_lost_is_sent_again() {
    for features in [BOTH, NONE] {
        let (driver, record) = died(features);
        driver.set_used_event(100);
        let (mut queue, _) = Queue::resume(driver.rings(), features, &driver.ram, &record, OWNER).unwrap();
        assert_eq!(queue.wants_interrupt(&driver.ram), Ok(true));
        assert_eq!(queue.wants_interrupt(&driver.ram), Ok(false));
    }
}

#[test]
fn a_record_that_was_never_begun_is_blank() {
    let driver = Driver::new(4);
    assert_eq!(resume(&driver, &Inflight::new()).unwrap_err(), Unusable::Blank);
}

#[test]
fn a_record_that_was_cleared_is_blank() {
    let (driver, record) = died(BOTH);
    record.clear();
    assert_eq!(resume(&driver, &record).unwrap_err(), Unusable::Blank);
}

#[test]
fn a_record_of_another_epoch_is_refused() {
    let (driver, record) = died(BOTH);
    let owner = Owner { epoch: 8, ..OWNER };
    let refusal = Queue::resume(driver.rings(), BOTH, &driver.ram, &record, owner).unwrap_err();
    assert_eq!(refusal, Unusable::Epoch { expected: 8, found: 7 });
}

#[test]
fn a_record_of_another_queue_is_refused() {
    let (driver, record) = died(BOTH);
    for owner in [Owner { device: 4, ..OWNER }, Owner { queue: 0, ..OWNER }] {
        let refusal = Queue::resume(driver.rings(), BOTH, &driver.ram, &record, owner).unwrap_err();
        assert_eq!(refusal, Unusable::Foreign);
    }
    let mut rings = driver.rings();
    rings.driver = addr::Ipa::new(AVAILABLE + 0x100);
    let refusal = Queue::resume(rings, BOTH, &driver.ram, &record, OWNER).unwrap_err();
    assert_eq!(refusal, Unusable::Foreign);
}

#[test]
fn a_flipped_bit_in_the_unchanging_part_is_found() {
    let fixed = [Word::Checksum, Word::Place, Word::Epoch, Word::Descriptors, Word::Driver, Word::Device];
    for (word, bit) in fixed.into_iter().flat_map(|word| [0, 5, 31].map(|bit| (word, bit))) {
        let (driver, record) = died(BOTH);
        record.store(word, record.load(word) ^ 1 << bit);
        let refusal = resume(&driver, &record).unwrap_err();
        assert!(matches!(refusal, Unusable::Checksum { .. }), "{word:?} {bit}: {refusal}");
    }
}

#[test]
fn a_used_index_that_the_driver_changed_is_found() {
    let (driver, record) = died(BOTH);
    driver.ram.put_u16(USED + 2, 7);
    assert!(matches!(resume(&driver, &record).unwrap_err(), Unusable::Count { .. } | Unusable::Used { .. }));
}

#[test]
fn an_available_index_behind_what_was_taken_is_found() {
    let (driver, record) = died(BOTH);
    driver.ram.put_u16(AVAILABLE + 2, 2);
    let broken = Broken::AvailableIndex { used: 1, available: 2 };
    assert_eq!(resume(&driver, &record).unwrap_err(), Unusable::Broken(broken));
}

#[test]
fn a_lost_chain_is_found() {
    let (driver, record) = died(BOTH);
    record.store(Word::Heads(0), 0);
    assert_eq!(resume(&driver, &record).unwrap_err(), Unusable::Count { expected: 2, found: 0 });
}

/// A service that died before the used index of two chains that were to be used together.
fn died_within_a_batch() -> (Driver, Inflight) {
    let (mut driver, record, mut chain) = (Driver::new(4), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    [3, 1].into_iter().for_each(|head| driver.offer_one(head));
    let heads: Vec<Head> = (0..2).map(|_| driver.take(&mut queue, &mut chain)).collect();
    queue.push_all(&driver.ram, heads.into_iter().zip([1, 1])).expect("they are in flight");
    driver.ram.put_u16(USED + 2, 0);
    (driver, record)
}

#[test]
fn chains_that_were_about_to_be_used_together_are_issued_again() {
    let (driver, record) = died_within_a_batch();
    let (_, heads) = resume(&driver, &record).unwrap();
    assert_eq!(heads.iter().map(Head::number).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn elements_that_the_driver_changed_are_found() {
    for (head, refusal) in [(3, Unusable::Count { expected: 2, found: 1 }), (4, Unusable::Head(4))] {
        let (driver, record) = died_within_a_batch();
        driver.ram.put_u16(USED + 4 + 8, head);
        assert_eq!(resume(&driver, &record).unwrap_err(), refusal);
    }
}
