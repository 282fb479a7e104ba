//! The entropy device fills what it is given, within its limit.

use crate::driver::*;
use virtio::{Broken, Chain, Inflight, entropy};

fn answer(driver: &mut Driver, chain: &[(u64, u32, u16, u16)]) -> Result<u32, Broken> {
    (0..).zip(chain).for_each(|(index, entry)| driver.descriptor(index, *entry));
    driver.offer(0);
    let (record, mut place) = (Inflight::new(), Chain::new());
    let _head = driver.take(&mut driver.queue(BOTH, &record), &mut place);
    let mut last = 0u8;
    entropy::fill(&driver.ram, &place, |bytes| {
        for byte in bytes {
            last = last.wrapping_add(1);
            *byte = last;
        }
    })
}

#[test]
fn all_pieces_are_filled_in_order() {
    let mut driver = Driver::new(8);
    let written = answer(&mut driver, &[(BUFFERS, 100, NEXT | WRITE, 1), (BUFFERS + 200, 3, WRITE, 0)]);
    assert_eq!(written, Ok(103));
    let first: [u8; 101] = driver.ram.get(BUFFERS);
    assert!(first[..100].iter().zip(1u8..).all(|(byte, expected)| *byte == expected) && first[100] == 0);
    assert_eq!(driver.ram.get(BUFFERS + 200), [101, 102, 103, 0]);
}

#[test]
fn one_request_gets_no_more_than_the_limit() {
    let mut driver = Driver::new(8);
    assert_eq!(answer(&mut driver, &[(BUFFERS, 0x8000, WRITE, 0)]), Ok(entropy::MAX_BYTES));
    let [last, behind] = driver.ram.get(BUFFERS + u64::from(entropy::MAX_BYTES) - 1);
    assert!(last == entropy::MAX_BYTES as u8 && behind == 0);
}

#[test]
fn a_buffer_to_read_is_left_alone() {
    let mut driver = Driver::new(8);
    assert_eq!(answer(&mut driver, &[(BUFFERS, 8, NEXT, 1), (BUFFERS + 8, 1, WRITE, 0)]), Ok(1));
    assert_eq!(driver.ram.get(BUFFERS), [0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn a_request_without_room_is_broken() {
    assert_eq!(answer(&mut Driver::new(8), &[(BUFFERS, 8, 0, 0)]), Err(Broken::NoRoom));
}
