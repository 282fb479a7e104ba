//! Taking chains and giving them back.

use crate::driver::*;
use virtio::{Broken, Chain, Inflight, Queue, Ring, Rings, Segment};

fn refusal(change: impl FnOnce(&mut Rings)) -> Broken {
    let driver = Driver::new(8);
    let mut rings = driver.rings();
    change(&mut rings);
    let record = Inflight::new();
    Queue::new(rings, BOTH, &driver.ram, &record, OWNER).expect_err("the rings are broken")
}

#[test]
fn a_size_that_is_no_power_of_two_is_refused() {
    for size in [0, 3, 512, u32::MAX] {
        assert_eq!(refusal(|rings| rings.size = size), Broken::Size(size));
    }
}

#[test]
fn misaligned_rings_are_refused() {
    let at = |address| addr::Ipa::new(address);
    assert_eq!(
        refusal(|rings| rings.descriptors = at(DESCRIPTORS + 8)),
        Broken::Misaligned { ring: Ring::Descriptors, at: at(DESCRIPTORS + 8) }
    );
    assert_eq!(
        refusal(|rings| rings.driver = at(AVAILABLE + 1)),
        Broken::Misaligned { ring: Ring::Available, at: at(AVAILABLE + 1) }
    );
    assert_eq!(refusal(|rings| rings.device = at(USED + 2)), Broken::Misaligned { ring: Ring::Used, at: at(USED + 2) });
}

#[test]
fn a_ring_that_leaves_its_bank_is_refused() {
    let end = crate::ram::LOW + 0x2_0000;
    for at in [end - 16, end, 0, u64::MAX - 15].map(addr::Ipa::new) {
        assert_eq!(refusal(|rings| rings.descriptors = at), Broken::RingOutside { ring: Ring::Descriptors, at });
        assert_eq!(refusal(|rings| rings.driver = at), Broken::RingOutside { ring: Ring::Available, at });
        assert_eq!(refusal(|rings| rings.device = at), Broken::RingOutside { ring: Ring::Used, at });
    }
}

#[test]
fn a_new_queue_begins_with_an_empty_used_ring() {
    let driver = Driver::new(8);
    driver.ram.put_u16(USED + 2, 5);
    let record = Inflight::new();
    let refusal = Queue::new(driver.rings(), BOTH, &driver.ram, &record, OWNER).expect_err("it has a history");
    assert_eq!(refusal, Broken::UsedIndex(5));
}

#[test]
fn a_chain_goes_to_the_device_and_back() {
    let (mut driver, record, mut chain) = (Driver::new(8), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    assert_eq!(queue.pop(&driver.ram, &mut chain), Ok(None));
    driver.descriptor(2, (BUFFERS, 16, NEXT, 5));
    driver.descriptor(5, (BUFFERS + 0x100, 512, NEXT | WRITE, 0));
    driver.descriptor(0, (BUFFERS + 0x400, 1, WRITE, 0));
    driver.offer(2);

    let head = driver.take(&mut queue, &mut chain);
    assert_eq!((head.number(), queue.in_flight()), (2, 1));
    let segment = |at, bytes| Segment { at: addr::Ipa::new(at), bytes };
    assert_eq!(chain.readable(), [segment(BUFFERS, 16)]);
    assert_eq!(chain.writable(), [segment(BUFFERS + 0x100, 512), segment(BUFFERS + 0x400, 1)]);
    assert_eq!((chain.readable_bytes(), chain.writable_bytes()), (16, 513));
    assert_eq!(queue.pop(&driver.ram, &mut chain), Ok(None));

    assert_eq!(driver.used_index(), 0);
    queue.push(&driver.ram, head, 513).unwrap();
    assert_eq!((driver.used_index(), driver.used(0)), (1, (2, 513)));
    assert_eq!((queue.in_flight(), driver.ram.refused()), (0, 0));
}

#[test]
fn chains_may_be_given_back_in_any_order() {
    let (mut driver, record, mut chain) = (Driver::new(4), Inflight::new(), Chain::new());
    let mut queue = driver.queue(NONE, &record);
    for head in 0..4 {
        driver.offer_one(head);
    }
    let mut heads: Vec<_> = std::iter::from_fn(|| queue.pop(&driver.ram, &mut chain).unwrap()).collect();
    assert_eq!(queue.in_flight(), 4);
    for (index, place) in [2, 0, 1, 0].into_iter().enumerate() {
        let head = heads.remove(place);
        let number = u32::from(head.number());
        queue.push(&driver.ram, head, 0).unwrap();
        assert_eq!(driver.used(index as u16), (number, 0));
    }
}

#[test]
fn indexes_wrap_around_at_65536() {
    let (mut driver, record, mut chain) = (Driver::new(2), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    for turn in 0..70_000u32 {
        let number = (turn % 2) as u16;
        driver.offer_one(number);
        let head = driver.take(&mut queue, &mut chain);
        assert_eq!(head.number(), number);
        queue.push(&driver.ram, head, turn).unwrap();
        assert_eq!(driver.used(turn as u16), (u32::from(number), turn));
        assert_eq!(driver.used_index(), (turn + 1) as u16);
    }
}

#[test]
fn an_available_index_too_far_ahead_is_broken() {
    let (driver, record, mut chain) = (Driver::new(8), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    for available in [9, 0x8000, u16::MAX] {
        driver.ram.put_u16(AVAILABLE + 2, available);
        assert_eq!(queue.pop(&driver.ram, &mut chain), Err(Broken::AvailableIndex { used: 0, available }));
    }
}

#[test]
fn an_available_index_that_goes_back_is_broken() {
    let (mut driver, record, mut chain) = (Driver::new(8), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    driver.offer_one(0);
    driver.offer_one(1);
    let _heads = [queue.pop(&driver.ram, &mut chain).unwrap(), queue.pop(&driver.ram, &mut chain).unwrap()];
    driver.ram.put_u16(AVAILABLE + 2, 1);
    assert_eq!(queue.pop(&driver.ram, &mut chain), Err(Broken::AvailableIndex { used: 0, available: 1 }));
}

#[test]
fn a_head_behind_the_table_is_broken() {
    let (mut driver, record, mut chain) = (Driver::new(8), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    driver.offer(8);
    assert_eq!(queue.pop(&driver.ram, &mut chain), Err(Broken::Head(8)));
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn a_head_in_flight_is_not_taken_again() {
    let (mut driver, record, mut chain) = (Driver::new(8), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    driver.offer_one(3);
    driver.offer_one(3);
    let head = driver.take(&mut queue, &mut chain);
    assert_eq!(queue.pop(&driver.ram, &mut chain), Err(Broken::InFlight(3)));
    queue.push(&driver.ram, head, 0).unwrap();
    assert_eq!(queue.pop(&driver.ram, &mut chain).unwrap().expect("it came back").number(), 3);
}

#[test]
fn a_head_of_another_queue_is_not_given_back() {
    let (mut driver, record, mut chain) = (Driver::new(8), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    driver.offer_one(3);
    let head = driver.take(&mut queue, &mut chain);
    let (other, other_record) = (Driver::new(8), Inflight::new());
    let mut other_queue = other.queue(BOTH, &other_record);
    assert_eq!(other_queue.chain_again(&other.ram, &head, &mut chain), Err(Broken::NotInFlight(3)));
    assert_eq!(other_queue.push(&other.ram, head, 0), Err(Broken::NotInFlight(3)));
    assert_eq!(other.used_index(), 0);
}

#[test]
fn errors_name_the_thing_and_its_value() {
    let broken = Broken::AvailableIndex { used: 3, available: 900 };
    assert_eq!(broken.to_string(), "available ring is at 900, while the used ring is at 3");
    let broken = Broken::RingOutside { ring: Ring::Used, at: addr::Ipa::new(0x4000_0000) };
    assert_eq!(broken.to_string(), "used ring at 0x4000_0000 is not in the partition's RAM");
}

#[test]
fn chains_that_are_given_back_together_are_all_used() {
    let (mut driver, record, mut chain) = (Driver::new(4), Inflight::new(), Chain::new());
    let mut queue = driver.queue(BOTH, &record);
    for turn in 0..3u16 {
        [2, 0, 1].into_iter().for_each(|head| driver.offer_one(head));
        let heads: Vec<_> = (0..3).map(|_| driver.take(&mut queue, &mut chain)).collect();
        driver.set_used_event(3 * turn + 1);
        queue.push_all(&driver.ram, heads.into_iter().zip([7, 8, 9])).expect("they are in flight");
        assert_eq!([0, 1, 2].map(|index| driver.used(3 * turn + index)), [(2, 7), (0, 8), (1, 9)]);
        assert_eq!((driver.used_index(), queue.in_flight()), (3 * turn + 3, 0));
        assert_eq!(queue.wants_interrupt(&driver.ram), Ok(true), "the second of them was waited for");
    }
}

#[test]
fn no_chains_given_back_are_none_used() {
    let (driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(BOTH, &record);
    queue.push_all(&driver.ram, []).expect("nothing is wrong");
    assert_eq!((driver.used_index(), queue.wants_interrupt(&driver.ram)), (0, Ok(false)));
}
