//! Reading chains: what is a chain, and each way to get one wrong.

use crate::driver::*;
use crate::ram::{HIGH, LOW};
use addr::Ipa;
use virtio::{Broken, Chain, Features, Inflight, MAX_SEGMENTS, Outside};

const TABLE: u64 = BUFFERS + 0x8000;
type Entry = (u64, u32, u16, u16);

/// What a queue of `size` says to the chain that begins with descriptor 0.
fn pop_from(driver: &mut Driver, features: Features, chain: &mut Chain) -> Result<(), Broken> {
    driver.offer(0);
    let record = Inflight::new();
    let mut queue = driver.queue(features, &record);
    let result = queue.pop(&driver.ram, chain).map(|head| assert!(head.is_some()));
    assert_eq!((queue.in_flight(), driver.ram.refused()), (u16::from(result.is_ok()), 0));
    result
}

/// The same for these descriptors, in a queue's own table.
fn pop(table: &[Entry]) -> Result<Chain, Broken> {
    let (mut driver, mut chain) = (Driver::new(8), Chain::new());
    (0..).zip(table).for_each(|(index, entry)| driver.descriptor(index, *entry));
    pop_from(&mut driver, BOTH, &mut chain).map(|()| chain)
}

/// The same for a chain that is one indirect table.
fn pop_indirect(table: &[Entry], bytes: u32) -> Result<Chain, Broken> {
    let (mut driver, mut chain) = (Driver::new(8), Chain::new());
    (0..).zip(table).for_each(|(index, entry)| driver.descriptor_at(TABLE, index, *entry));
    driver.descriptor(0, (TABLE, bytes, INDIRECT, 0));
    pop_from(&mut driver, BOTH, &mut chain).map(|()| chain)
}

fn shape(chain: &Chain) -> (Vec<u64>, Vec<u64>) {
    let places = |segments: &[virtio::Segment]| segments.iter().map(|segment| segment.at.as_u64()).collect();
    (places(chain.readable()), places(chain.writable()))
}

#[test]
fn a_chain_may_jump_about_in_its_table() {
    let chain = pop(&[(BUFFERS, 1, NEXT, 7), (1, 1, 0, 0), (BUFFERS + 9, 1, WRITE, 99)]);
    assert_eq!(chain.unwrap_err(), Broken::Empty(Ipa::new(0)), "descriptor 7 is all zeroes");
    let chain = pop(&[(BUFFERS, 1, NEXT, 2), (1, 1, 0, 0), (BUFFERS + 9, 1, WRITE, 99)]).unwrap();
    assert_eq!(shape(&chain), (vec![BUFFERS], vec![BUFFERS + 9]), "next counts only with its flag");
}

#[test]
fn an_indirect_table_is_followed() {
    let chain = pop_indirect(&[(BUFFERS, 16, NEXT, 2), (1, 1, 0, 0), (HIGH, 512, WRITE, 0)], 48).unwrap();
    assert_eq!(shape(&chain), (vec![BUFFERS], vec![HIGH]));
}

#[test]
fn an_indirect_table_may_end_a_chain() {
    let (mut driver, mut chain) = (Driver::new(8), Chain::new());
    driver.descriptor(0, (BUFFERS, 16, NEXT, 3));
    // Its write flag means nothing (section 2.7.5.3.2).
    driver.descriptor(3, (TABLE, 32, INDIRECT | WRITE, 0));
    driver.descriptor_at(TABLE, 0, (BUFFERS + 0x10, 1, NEXT, 1));
    driver.descriptor_at(TABLE, 1, (BUFFERS + 0x20, 1, WRITE, 0));
    pop_from(&mut driver, BOTH, &mut chain).unwrap();
    assert_eq!(shape(&chain), (vec![BUFFERS, BUFFERS + 0x10], vec![BUFFERS + 0x20]));
}

#[test]
fn an_indirect_table_within_one_is_broken() {
    let table = [(BUFFERS, 1, NEXT, 1), (TABLE, 16, INDIRECT, 0)];
    assert_eq!(pop_indirect(&table, 32).unwrap_err(), Broken::Nested(Ipa::new(TABLE)));
}

#[test]
fn an_indirect_table_in_the_middle_of_a_chain_is_broken() {
    let broken = pop(&[(TABLE, 16, INDIRECT | NEXT, 1), (BUFFERS, 1, 0, 0)]).unwrap_err();
    assert_eq!(broken, Broken::Chained(Ipa::new(TABLE)));
}

#[test]
fn an_indirect_table_that_was_not_negotiated_is_broken() {
    let (mut driver, mut chain) = (Driver::new(8), Chain::new());
    driver.descriptor(0, (TABLE, 16, INDIRECT, 0));
    let features = Features { indirect: false, ..BOTH };
    assert_eq!(pop_from(&mut driver, features, &mut chain), Err(Broken::Indirect(Ipa::new(TABLE))));
}

#[test]
fn an_indirect_table_of_part_of_a_descriptor_is_broken() {
    for bytes in [0, 8, 15, 17, 40] {
        assert_eq!(pop_indirect(&[(BUFFERS, 1, 0, 0)], bytes).unwrap_err(), Broken::TableLength(bytes));
    }
}

#[test]
fn an_indirect_table_outside_ram_is_broken() {
    let end = LOW + 0x2_0000;
    for (at, bytes) in [(0, 16), (end - 16, 32), (u64::MAX - 15, 16), (LOW, 0x8000_0000)] {
        let outside = Outside { at: Ipa::new(at), bytes: u64::from(bytes) };
        assert_eq!(pop(&[(at, bytes, INDIRECT, 0)]).unwrap_err(), Broken::Outside(outside));
    }
}

#[test]
fn a_buffer_outside_ram_is_broken() {
    let end = LOW + 0x2_0000;
    for (at, bytes) in [(0, 1), (end, 1), (end - 1, 2), (u64::MAX, 2), (LOW - 1, 2), (LOW, 0x2_0001)] {
        let outside = Outside { at: Ipa::new(at), bytes: u64::from(bytes) };
        assert_eq!(pop(&[(at, bytes, WRITE, 0)]).unwrap_err(), Broken::Outside(outside));
    }
}

#[test]
fn a_buffer_of_no_bytes_is_broken() {
    assert_eq!(pop(&[(BUFFERS, 0, 0, 0)]).unwrap_err(), Broken::Empty(Ipa::new(BUFFERS)));
}

#[test]
fn a_buffer_to_read_behind_one_to_write_is_broken() {
    let table = [(BUFFERS, 1, NEXT | WRITE, 1), (BUFFERS + 1, 1, 0, 0)];
    assert_eq!(pop(&table).unwrap_err(), Broken::Order(Ipa::new(BUFFERS + 1)));
    assert_eq!(pop_indirect(&table, 32).unwrap_err(), Broken::Order(Ipa::new(BUFFERS + 1)));
}

#[test]
fn a_next_descriptor_behind_the_table_is_broken() {
    assert_eq!(pop(&[(BUFFERS, 1, NEXT, 8)]).unwrap_err(), Broken::Next(8));
    assert_eq!(pop_indirect(&[(BUFFERS, 1, NEXT, 2)], 32).unwrap_err(), Broken::Next(2));
}

#[test]
fn a_loop_is_broken() {
    assert_eq!(pop(&[(BUFFERS, 1, NEXT, 0)]).unwrap_err(), Broken::Loop { head: 0 });
    let table = [(BUFFERS, 1, NEXT, 1), (BUFFERS, 1, NEXT, 0)];
    assert_eq!(pop(&table).unwrap_err(), Broken::Loop { head: 0 });
    assert_eq!(pop_indirect(&table, 32).unwrap_err(), Broken::Loop { head: 0 });
}

#[test]
fn a_chain_is_cut_off_at_its_longest() {
    let entries = |count: u16| {
        let mut table: Vec<Entry> = (1..=count).map(|next| (BUFFERS, 1, NEXT, next)).collect();
        if let Some(last) = table.last_mut() {
            last.2 = WRITE;
        }
        table
    };
    let longest = MAX_SEGMENTS as u16;
    let chain = pop_indirect(&entries(longest), 16 * u32::from(longest)).unwrap();
    assert_eq!(chain.readable().len() + chain.writable().len(), MAX_SEGMENTS);
    let broken = pop_indirect(&entries(longest + 1), 16 * u32::from(longest + 1)).unwrap_err();
    assert_eq!(broken, Broken::TooLong { head: 0 });
}

#[test]
fn a_chain_of_4_gib_is_broken() {
    // RAM of that size is only claimed; nothing here reads it.
    let memory = Claimed(Driver::new(8));
    let driver = &memory.0;
    for index in 0..4 {
        driver.descriptor(index, (HIGH, 0x4000_0000, NEXT | WRITE, index + 1));
    }
    driver.ram.put_u16(AVAILABLE + 2, 1);
    let (record, mut chain) = (Inflight::new(), Chain::new());
    let mut queue = virtio::Queue::new(driver.rings(), BOTH, &memory, &record, OWNER).unwrap();
    assert_eq!(queue.pop(&memory, &mut chain), Err(Broken::TooManyBytes { head: 0 }));
    driver.descriptor(3, (HIGH, 0x3fff_ffff, WRITE, 0));
    assert!(queue.pop(&memory, &mut chain).unwrap().is_some());
    assert_eq!(chain.writable_bytes(), u32::MAX);
}

struct Claimed(Driver);

impl virtio::GuestMemory for Claimed {
    fn read(&self, at: Ipa, into: &mut [u8]) -> Result<(), Outside> {
        self.0.ram.read(at, into)
    }
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside> {
        self.0.ram.write(at, bytes)
    }
    fn load_u16(&self, at: Ipa) -> Result<u16, Outside> {
        self.0.ram.load_u16(at)
    }
    fn store_u16(&self, at: Ipa, value: u16) -> Result<(), Outside> {
        self.0.ram.store_u16(at, value)
    }
    fn contains(&self, _: Ipa, _: u64) -> bool {
        true
    }
    fn fence(&self) {}
}
