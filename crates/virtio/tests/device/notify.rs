//! Interrupts and kicks: who is told, and who is spared.

use crate::driver::*;
use crate::ram::Ram;
use addr::Ipa;
use std::cell::RefCell;
use virtio::{Chain, Features, GuestMemory, Inflight, Outside, Queue};

/// Offers a chain, takes it and gives it back.
fn turn(driver: &mut Driver, queue: &mut Queue<'_>) {
    driver.offer_one(0);
    let head = driver.take(queue, &mut Chain::new());
    queue.push(&driver.ram, head, 0).expect("it is in flight");
}

#[test]
fn without_event_idx_the_drivers_flag_decides() {
    let (mut driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(NONE, &record);
    assert_eq!(queue.wants_interrupt(&driver.ram), Ok(false), "nothing was given back");
    turn(&mut driver, &mut queue);
    assert_eq!(queue.wants_interrupt(&driver.ram), Ok(true));
    assert_eq!(queue.wants_interrupt(&driver.ram), Ok(false), "one interrupt is enough");
    driver.ram.put_u16(AVAILABLE, 1);
    turn(&mut driver, &mut queue);
    assert_eq!(queue.wants_interrupt(&driver.ram), Ok(false));
}

#[test]
fn with_event_idx_the_flag_means_nothing() {
    let (mut driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(BOTH, &record);
    driver.ram.put_u16(AVAILABLE, 1);
    turn(&mut driver, &mut queue);
    assert_eq!(queue.wants_interrupt(&driver.ram), Ok(true));
}

#[test]
fn with_event_idx_the_driver_names_the_element_to_hear_of() {
    let (mut driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(BOTH, &record);
    driver.set_used_event(2);
    let mut heard = Vec::new();
    for index in 0..6u16 {
        turn(&mut driver, &mut queue);
        if queue.wants_interrupt(&driver.ram).unwrap() {
            heard.push(index);
        }
    }
    assert_eq!(heard, [2]);
}

#[test]
fn with_event_idx_one_interrupt_answers_for_many_elements() {
    let (mut driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(BOTH, &record);
    for (event, is_wanted) in [(0, true), (8, false), (9, true), (11, false), (19, true)] {
        driver.set_used_event(event);
        (0..4).for_each(|_| turn(&mut driver, &mut queue));
        assert_eq!(queue.wants_interrupt(&driver.ram), Ok(is_wanted), "event {event}");
    }
}

#[test]
fn event_indexes_wrap_around() {
    let (mut driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(BOTH, &record);
    (0..65_533).for_each(|_| turn(&mut driver, &mut queue));
    assert_eq!(queue.wants_interrupt(&driver.ram), Ok(true), "0 was passed");
    let mut heard = Vec::new();
    driver.set_used_event(65_535);
    for index in [65_533, 65_534, 65_535, 0, 1, 2] {
        turn(&mut driver, &mut queue);
        if queue.wants_interrupt(&driver.ram).unwrap() {
            heard.push(index);
            driver.set_used_event(1);
        }
    }
    assert_eq!(heard, [65_535, 1]);
}

#[test]
fn more_elements_than_indexes_never_lose_an_interrupt() {
    let (mut driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(BOTH, &record);
    (0..65_536).for_each(|_| turn(&mut driver, &mut queue));
    driver.set_used_event(77);
    assert_eq!(queue.wants_interrupt(&driver.ram), Ok(true));
}

#[test]
fn without_event_idx_the_devices_flag_asks_for_kicks() {
    let (driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(NONE, &record);
    queue.suppress_kicks(&driver.ram).unwrap();
    assert_eq!(driver.ram.get_u16(USED), 1);
    assert_eq!(queue.request_kicks(&driver.ram), Ok(false));
    assert_eq!(driver.ram.get_u16(USED), 0);
}

#[test]
fn with_event_idx_the_device_asks_for_the_next_chain() {
    let (mut driver, record) = (Driver::new(4), Inflight::new());
    let mut queue = driver.queue(BOTH, &record);
    turn(&mut driver, &mut queue);
    assert_eq!(queue.request_kicks(&driver.ram), Ok(false));
    assert_eq!(driver.available_event(), 1);
    turn(&mut driver, &mut queue);
    queue.suppress_kicks(&driver.ram).unwrap();
    assert_eq!((driver.available_event(), driver.ram.get_u16(USED)), (1, 0), "passed, so it says nothing");
}

#[test]
fn a_chain_that_came_before_the_wish_was_seen_is_not_slept_on() {
    for features in [NONE, BOTH, Features { event_idx: true, indirect: false }] {
        let (mut driver, record) = (Driver::new(4), Inflight::new());
        let mut queue = driver.queue(features, &record);
        assert_eq!(queue.has_work(&driver.ram), Ok(false));
        driver.offer_one(0);
        assert_eq!(queue.request_kicks(&driver.ram), Ok(true));
        assert_eq!(queue.has_work(&driver.ram), Ok(true));
    }
}

/// RAM that keeps a list of what orders accesses, and of what must be ordered.
struct Listed<'a>(&'a Ram, RefCell<Vec<&'static str>>);

impl GuestMemory for Listed<'_> {
    fn read(&self, at: Ipa, into: &mut [u8]) -> Result<(), Outside> {
        self.0.read(at, into)
    }
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside> {
        self.1.borrow_mut().push("write");
        self.0.write(at, bytes)
    }
    fn load_u16(&self, at: Ipa) -> Result<u16, Outside> {
        self.1.borrow_mut().push("load");
        self.0.load_u16(at)
    }
    fn store_u16(&self, at: Ipa, value: u16) -> Result<(), Outside> {
        self.1.borrow_mut().push("store");
        self.0.store_u16(at, value)
    }
    fn contains(&self, at: Ipa, bytes: u64) -> bool {
        self.0.contains(at, bytes)
    }
    fn fence(&self) {
        self.1.borrow_mut().push("fence");
    }
}

#[test]
fn each_side_sees_the_others_index_or_its_wish() {
    for features in [NONE, BOTH] {
        let (mut driver, record) = (Driver::new(4), Inflight::new());
        let mut queue = driver.queue(features, &record);
        driver.offer_one(0);
        let head = driver.take(&mut queue, &mut Chain::new());
        let memory = Listed(&driver.ram, RefCell::default());
        queue.push(&memory, head, 0).unwrap();
        queue.wants_interrupt(&memory).unwrap();
        assert_eq!(memory.1.take(), ["write", "store", "fence", "load"], "element, index, fence, the driver's wish");
        queue.request_kicks(&memory).unwrap();
        assert_eq!(memory.1.take(), ["store", "fence", "load"], "the device's wish, fence, the driver's index");
    }
}
