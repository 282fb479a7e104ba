//! A card's start, transfers, and what becomes of those that fail, on a fake controller.

mod fake;

use fake::{Card, DATA_CRC, Data, Fake, NOT_KEPT};
use sdhci::{BLOCK, Fault, Order, Progress, Slot};

/// Sectors of a card.
const SECTORS: usize = 4096;

fn start(fake: &Fake) -> Result<Slot<Fake>, Fault> {
    let mut host = fake.host();
    host.reset(&mut fake.time())?;
    host.start(&mut fake.time()).map_err(|(_, fault)| fault)
}

/// Carries out an order; what it came to.
fn run(slot: &mut Slot<Fake>, fake: &Fake, order: Order, data: &mut Data) -> Result<(), Fault> {
    slot.begin(order, fake.0.borrow().now_us);
    loop {
        fake.0.borrow_mut().now_us += 1;
        let (now_us, before) = (fake.0.borrow().now_us, data.moved.len());
        match slot.poll(now_us, data) {
            Progress::Done(result) => return result,
            _ => assert!(data.moved.len() <= before + 8, "one poll moved {} blocks", data.moved.len() - before),
        }
    }
}

fn block(word: u8) -> [u8; BLOCK] {
    let mut block = [word; BLOCK];
    block[..4].copy_from_slice(&[1, 2, 3, word]);
    block
}

fn commands(fake: &Fake) -> Vec<u8> {
    fake.0.borrow().log.iter().map(|(index, _)| *index).collect()
}

#[test]
fn cards_of_both_kinds_start() {
    for counts_sectors in [false, true] {
        let fake = Fake::new(Some(Card::new(SECTORS, counts_sectors)));
        let slot = start(&fake).expect("there is a card");
        assert_eq!(slot.card().capacity, SECTORS as u64);
        assert_eq!((slot.card().serial, &slot.card().name), (0xcafe_babe, b"QEMU0"));
        assert!(slot.card().is_fast && !slot.card().is_read_only);
        let controller = fake.0.borrow();
        // Four lines, high speed, power; 50 MHz of 100.
        assert_eq!((controller.control, controller.clock & 0xffff), (0xf06, 0x0107));
        assert!(!controller.has_lost, "a register was stored to twice while the bus is slow");
    }
}

#[test]
fn a_card_is_told_to_stop_before_it_starts() {
    let fake = Fake::new(Some(Card::new(SECTORS, true)));
    (fake.0.borrow_mut().card.as_mut().expect("a card").busy, fake.0.borrow_mut().signal) = (200, !0);
    start(&fake).expect("there is a card");
    assert_eq!(commands(&fake)[..3], [12, 0, 8]);
    assert_eq!(fake.0.borrow().signal, 0, "the reset has not taken the interrupts away");
}

#[test]
fn a_card_that_cannot_switch_stays_at_default_speed() {
    let mut card = Card::new(SECTORS, true);
    card.knows_switch = false;
    let fake = Fake::new(Some(card));
    assert!(!start(&fake).expect("there is a card").card().is_fast);
    assert_eq!(fake.0.borrow().clock & 0xffff, 0x0207, "25 MHz of 100");
}

#[test]
fn an_empty_slot_is_found_out_in_time() {
    let fake = Fake::new(None);
    assert_eq!(start(&fake).err(), Some(Fault::NoCard));
    fake.0.borrow_mut().is_mute = true;
    assert_eq!(start(&fake).err(), Some(Fault::Silent(0)));
    assert!(fake.0.borrow().now_us < 1_500_000, "{} us", fake.0.borrow().now_us);
}

#[test]
fn a_card_that_never_starts_is_given_up() {
    let mut card = Card::new(SECTORS, true);
    card.starting = u32::MAX;
    let fake = Fake::new(Some(card));
    assert_eq!(start(&fake).err(), Some(Fault::NotReady));
}

#[test]
fn a_controller_that_stays_in_reset_is_found_out() {
    let fake = Fake::new(Some(Card::new(SECTORS, true)));
    fake.0.borrow_mut().is_stuck = true;
    assert_eq!(start(&fake).err(), Some(Fault::Reset));
}

#[test]
fn blocks_are_written_where_they_belong_and_read_back() {
    for counts_sectors in [false, true] {
        let fake = Fake::new(Some(Card::new(SECTORS, counts_sectors)));
        let mut slot = start(&fake).expect("there is a card");
        for (sector, count) in [(5u64, 1u16), (100, 2), (2000, 300)] {
            let blocks: Vec<_> = (0..count).map(|n| block(n as u8 ^ 0x5a)).collect();
            let mut data = Data { blocks: blocks.clone(), ..Data::default() };
            run(&mut slot, &fake, Order::Write(sector, count), &mut data).expect("it is written");
            let card = |at: u64| fake.0.borrow().card.as_ref().expect("a card").sectors[at as usize];
            assert_eq!((card(sector - 1), card(sector + u64::from(count))), ([0; BLOCK], [0; BLOCK]));
            assert_eq!(card(sector + u64::from(count) - 1), blocks[usize::from(count) - 1]);
            let mut data = Data { blocks: vec![[0; BLOCK]; count.into()], ..Data::default() };
            run(&mut slot, &fake, Order::Read(sector, count), &mut data).expect("it is read");
            assert!(data.blocks == blocks, "{count} blocks at {sector}");
        }
    }
}

#[test]
fn a_transfer_that_fails_is_stopped_and_begun_again() {
    let fake = Fake::new(Some(Card::new(SECTORS, true)));
    let mut slot = start(&fake).expect("there is a card");
    for order in [Order::Write(7, 20), Order::Read(7, 20)] {
        fake.0.borrow_mut().errors = DATA_CRC;
        fake.0.borrow_mut().log.clear();
        let mut data = Data { blocks: vec![block(9); 20], ..Data::default() };
        run(&mut slot, &fake, order, &mut data).expect("the second try is good");
        let expected: &[u8] = if matches!(order, Order::Read(..)) { &[18, 12, 18] } else { &[25, 12, 25, 13] };
        assert_eq!(commands(&fake), expected);
        assert!(data.blocks.iter().all(|found| *found == block(9)));
    }
}

#[test]
fn a_write_that_the_card_does_not_keep_is_begun_again_and_fails_in_the_end() {
    for (count, tells_controller) in [(1, false), (20, false), (20, true)] {
        let fake = Fake::new(Some(Card::new(SECTORS, true)));
        let mut slot = start(&fake).expect("there is a card");
        fake.0.borrow_mut().tells_controller = tells_controller;
        let mut data = Data { blocks: vec![block(9); count], ..Data::default() };
        let order = Order::Write(7, count as u16);
        fake.0.borrow_mut().forgets = 2;
        run(&mut slot, &fake, order, &mut data).expect("the third try is good");
        fake.0.borrow_mut().forgets = 3;
        let result = run(&mut slot, &fake, order, &mut data);
        assert!(matches!(result, Err(Fault::Card(status)) if status & NOT_KEPT != 0), "{count}: {result:?}");
        // Nobody else hears of it.
        run(&mut slot, &fake, Order::Flush, &mut Data::default()).expect("nothing is left to be told");
    }
}

#[test]
fn a_flush_that_is_told_of_a_lost_write_fails() {
    let fake = Fake::new(Some(Card::new(SECTORS, true)));
    let mut slot = start(&fake).expect("there is a card");
    fake.0.borrow_mut().tell(NOT_KEPT);
    assert!(matches!(run(&mut slot, &fake, Order::Flush, &mut Data::default()), Err(Fault::Card(_))));
    run(&mut slot, &fake, Order::Flush, &mut Data::default()).expect("it is told once");
}

#[test]
fn a_card_that_counts_bytes_has_at_most_4_gib() {
    let fake = Fake::new(Some(Card { lies: true, ..Card::new(SECTORS, false) }));
    assert_eq!(start(&fake).err(), Some(Fault::Capacity));
}

#[test]
fn a_transfer_that_always_fails_ends() {
    let fake = Fake::new(Some(Card::new(SECTORS, true)));
    let mut slot = start(&fake).expect("there is a card");
    fake.0.borrow_mut().log.clear();
    fake.0.borrow_mut().is_mute = true;
    let mut data = Data { blocks: vec![[0; BLOCK]], ..Data::default() };
    assert_eq!(run(&mut slot, &fake, Order::Read(0, 1), &mut data), Err(Fault::Silent(17)));
    assert_eq!(commands(&fake), [17, 12, 17, 12, 17, 12]);
    // It is as good as new for the next.
    fake.0.borrow_mut().is_mute = false;
    run(&mut slot, &fake, Order::Read(0, 1), &mut data).expect("it is read");
}

#[test]
fn a_flush_waits_until_the_card_is_not_busy() {
    let fake = Fake::new(Some(Card::new(SECTORS, true)));
    let mut slot = start(&fake).expect("there is a card");
    fake.0.borrow_mut().log.clear();
    fake.0.borrow_mut().card.as_mut().expect("a card").busy = 40;
    run(&mut slot, &fake, Order::Flush, &mut Data::default()).expect("it is not busy in the end");
    assert!(commands(&fake).len() > 10 && commands(&fake).iter().all(|index| *index == 13));
    fake.0.borrow_mut().card.as_mut().expect("a card").busy = u32::MAX;
    assert_eq!(run(&mut slot, &fake, Order::Flush, &mut Data::default()), Err(Fault::Stuck));
}

#[test]
fn interrupts_come_only_while_somebody_listens() {
    let fake = Fake::new(Some(Card::new(SECTORS, true)));
    let mut slot = start(&fake).expect("there is a card");
    assert_eq!(fake.0.borrow().signal, 0);
    slot.listen(true);
    assert_ne!(fake.0.borrow().signal, 0);
    slot.listen(false);
    assert_eq!(fake.0.borrow().signal, 0);
}
