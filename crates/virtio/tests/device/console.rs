//! The console device hands text on in order, piece by piece, and puts typed bytes where there is room.

use crate::driver::*;
use virtio::{Broken, Chain, Inflight, console};

fn chain_of(driver: &mut Driver, entries: &[(u64, u32, u16, u16)]) -> Chain {
    (0..).zip(entries).for_each(|(index, entry)| driver.descriptor(index, *entry));
    driver.offer(0);
    let (record, mut chain) = (Inflight::new(), Chain::new());
    let _head = driver.take(&mut driver.queue(BOTH, &record), &mut chain);
    chain
}

fn shown(driver: &Driver, chain: &Chain, from: u32, most: u32) -> Vec<u8> {
    let mut shown = Vec::new();
    let bytes = console::text(&driver.ram, chain, from, most, |text| shown.extend_from_slice(text)).expect("in RAM");
    assert_eq!(bytes as usize, shown.len());
    shown
}

#[test]
fn text_is_shown_in_order_and_from_where_it_stopped() {
    let mut driver = Driver::new(8);
    let text: Vec<u8> = (0..700).map(|n: u32| n as u8).collect();
    driver.ram.put(BUFFERS, &text[..300]);
    driver.ram.put(BUFFERS + 0x1000, &text[300..]);
    let chain = chain_of(&mut driver, &[(BUFFERS, 300, NEXT, 1), (BUFFERS + 0x1000, 400, 0, 0)]);
    let mut all = Vec::new();
    for most in [1, 127, 128, 129, 0, 200, 1000] {
        let from = all.len() as u32;
        all.extend(shown(&driver, &chain, from, most));
    }
    assert_eq!(all, text);
}

#[test]
fn a_buffer_that_has_become_shorter_has_nothing_more() {
    let mut driver = Driver::new(8);
    let chain = chain_of(&mut driver, &[(BUFFERS, 10, 0, 0)]);
    assert_eq!(shown(&driver, &chain, 10, 99), []);
    assert_eq!(shown(&driver, &chain, u32::MAX, 99), []);
}

#[test]
fn what_the_device_may_write_is_no_text() {
    let mut driver = Driver::new(8);
    driver.ram.put(BUFFERS, b"text and more");
    let chain = chain_of(&mut driver, &[(BUFFERS, 4, NEXT, 1), (BUFFERS + 4, 9, WRITE, 0)]);
    assert_eq!(shown(&driver, &chain, 0, 99), b"text");
    let mut driver = Driver::new(8);
    let chain = chain_of(&mut driver, &[(BUFFERS, 9, WRITE, 0)]);
    assert_eq!(shown(&driver, &chain, 0, 99), []);
}

#[test]
fn typed_bytes_go_to_what_may_be_written() {
    let mut driver = Driver::new(8);
    let entries = [(BUFFERS, 2, NEXT, 1), (BUFFERS + 16, 2, NEXT | WRITE, 2), (BUFFERS + 32, 8, WRITE, 0)];
    let chain = chain_of(&mut driver, &entries);
    assert_eq!(console::put(&driver.ram, &chain, b"abc"), Ok(3));
    assert_eq!(driver.ram.get(BUFFERS), [0; 2]);
    assert_eq!((driver.ram.get(BUFFERS + 16), driver.ram.get(BUFFERS + 32)), (*b"ab\0", *b"c\0"));
}

#[test]
fn a_buffer_to_receive_in_without_room_is_broken() {
    let mut driver = Driver::new(8);
    let chain = chain_of(&mut driver, &[(BUFFERS, 8, 0, 0)]);
    assert_eq!(console::put(&driver.ram, &chain, b"a"), Err(Broken::NoRoom));
}

#[test]
fn a_driver_reads_until_it_has_offered_a_buffer_again() {
    let mut driver = Driver::new(8);
    let (record, mut chain) = (Inflight::new(), Chain::new());
    let mut queue = driver.queue(NONE, &record);
    (0..3).for_each(|head| driver.offer_one(head));
    let held = queue.held(&driver.ram).expect("sound rings");
    assert!(held == 3 && !console::Reading::default().goes_on(held));
    let head = driver.take(&mut queue, &mut chain);
    queue.push(&driver.ram, head, 1).expect("sound rings");
    let reading = console::Reading::one_of(held);
    assert!(reading.goes_on(queue.held(&driver.ram).expect("sound rings")));
    driver.offer_one(0);
    assert!(!reading.goes_on(queue.held(&driver.ram).expect("sound rings")));
}

#[test]
fn a_resumed_queue_counts_as_read_unless_it_is_full() {
    assert!(!console::Reading::resumed(8, 8).goes_on(8));
    let reading = console::Reading::resumed(7, 8);
    assert!(reading.goes_on(7) && !reading.goes_on(8));
}
