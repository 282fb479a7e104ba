//! The service dies after any store, again and again, and the driver notices nothing.
//!
//! Every store to the record and to the guest's RAM is counted; the one that ends a life is done, and nothing after it. The
//! next life knows the record, the rings, and what EL2 told it.

use crate::driver::{Driver, carry_out};
use crate::guest::Guest;
use addr::Ipa;
use proptest::prelude::*;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use virtio::{Chain, Features, GuestMemory, Head, Inflight, Outside, Owner, Queue, Record, Unusable, Word};

const OWNER: Owner = Owner { device: 5, queue: 0, epoch: 9 };
const SIZE: usize = 8;
/// Requests of each test: more than the queue has, so that heads come back.
const REQUESTS: usize = 12;

/// What ends a life.
struct Death;

/// How many stores the present life has left.
#[derive(Clone, Copy)]
struct Life<'a>(&'a Cell<usize>);

impl Life<'_> {
    fn stored(&self) {
        self.0.set(self.0.get() - 1);
        if self.0.get() == 0 {
            resume_unwind(Box::new(Death));
        }
    }
}

/// The guest's RAM, as one life reaches it.
struct MortalMemory<'a>(Life<'a>);

impl GuestMemory for MortalMemory<'_> {
    fn read(&self, at: Ipa, into: &mut [u8]) -> Result<(), Outside> {
        Guest.read(at, into)
    }
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside> {
        Guest.write(at, bytes)?;
        self.0.stored();
        Ok(())
    }
    fn load_u16(&self, at: Ipa) -> Result<u16, Outside> {
        Guest.load_u16(at)
    }
    fn store_u16(&self, at: Ipa, value: u16) -> Result<(), Outside> {
        Guest.store_u16(at, value)?;
        self.0.stored();
        Ok(())
    }
    fn contains(&self, at: Ipa, bytes: u64) -> bool {
        Guest.contains(at, bytes)
    }
    fn fence(&self) {}
}

/// The record, as one life reaches it.
struct MortalRecord<'a>(&'a Inflight, Life<'a>);

impl Record for MortalRecord<'_> {
    fn load(&self, word: Word) -> u64 {
        self.0.load(word)
    }
    fn store(&self, word: Word, value: u64) {
        self.0.store(word, value);
        self.1.stored();
    }
}

/// What outlives the service, besides the record.
struct World {
    driver: Driver<SIZE>,
    features: Features,
    asked: usize,
    /// The driver has seen all answers, and looks again when it is interrupted.
    is_driver_asleep: bool,
}

impl World {
    fn new(features: Features) -> Self {
        Self { driver: Driver::new(features), features, asked: 0, is_driver_asleep: false }
    }
    fn is_done(&self) -> bool {
        self.driver.answered == REQUESTS
    }

    /// The driver looks, unless it sleeps, and asks for as much as fits.
    fn drive(&mut self) {
        if !self.is_driver_asleep {
            while self.driver.reap() {}
            self.is_driver_asleep = true;
        }
        while self.asked < REQUESTS && self.driver.add(&[2], &[1 + self.asked]) {
            self.asked += 1;
        }
    }

    /// One life of the service, of at most so many stores; how many it had left when all was done.
    fn live(&mut self, record: &Inflight, stores: usize, order: Order) -> Option<usize> {
        let left = Cell::new(stores);
        match catch_unwind(AssertUnwindSafe(|| self.serve(record, Life(&left), order))) {
            Ok(()) => Some(left.get()),
            Err(cause) if cause.is::<Death>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }

    fn serve(&mut self, record: &Inflight, life: Life<'_>, order: Order) {
        let (memory, record) = (MortalMemory(life), MortalRecord(record, life));
        let (rings, features) = (self.driver.rings, self.features);
        let resumed = match Queue::resume(rings, features, &memory, &record, OWNER) {
            Err(Unusable::Blank) => None,
            resumed => Some(resumed.expect("the record is sound")),
        };
        let (mut queue, mut heads) = match resumed {
            Some((queue, heads)) => (queue, heads.collect::<Vec<Head>>()),
            None => (Queue::new(rings, features, &memory, &record, OWNER).expect("nothing was taken"), Vec::new()),
        };
        let mut chain = Chain::new();
        for _ in 0..10 * REQUESTS {
            if queue.wants_interrupt(&memory).expect("sound rings") {
                self.is_driver_asleep = false;
            }
            self.drive();
            if self.is_done() {
                return;
            }
            for _ in 0..3 {
                heads.extend(queue.pop(&memory, &mut chain).expect("sound rings"));
            }
            let mut answer = |queue: &Queue<'_, _>, head: &Head| {
                queue.chain_again(&memory, head, &mut chain).expect("sound rings");
                carry_out(&memory, &chain)
            };
            let next = match order {
                _ if heads.is_empty() => continue,
                Order::First => heads.remove(0),
                Order::Last => heads.pop().expect("there is one"),
                Order::Together => {
                    let all: Vec<_> = heads.drain(..).map(|head| (answer(&queue, &head), head)).collect();
                    let all = all.into_iter().map(|(written, head)| (head, written));
                    queue.push_all(&memory, all).expect("they are in flight");
                    continue;
                }
            };
            let written = answer(&queue, &next);
            queue.push(&memory, next, written).expect("it is in flight");
        }
        panic!("the driver and the service wait for one another");
    }
}

/// Which request in flight is answered next.
#[derive(Clone, Copy, Debug)]
enum Order {
    First,
    Last,
    /// All at once.
    Together,
}

const ORDERS: [Order; 3] = [Order::First, Order::Last, Order::Together];

/// Lives of so many stores, and one that sees the end.
fn survive(features: Features, order: Order, lives: &[usize]) {
    let (mut world, record) = (World::new(features), Inflight::new());
    let is_over = lives.iter().any(|stores| world.live(&record, *stores, order).is_some());
    if !is_over {
        world.live(&record, usize::MAX, order).expect("it does not end");
    }
    assert!(world.is_done() && world.driver.waiting() == 0, "{lives:?}");
}

/// Stores of a life in which nothing happens.
fn stores(features: Features, order: Order) -> usize {
    let (mut world, record) = (World::new(features), Inflight::new());
    usize::MAX - world.live(&record, usize::MAX, order).expect("it does not end")
}

fn variants() -> impl Iterator<Item = (Features, Order)> {
    [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .flat_map(|(event_idx, indirect)| ORDERS.map(|order| (Features { event_idx, indirect }, order)))
}

#[test]
fn a_death_after_any_store_is_survived() {
    for (features, order) in variants() {
        let stores = stores(features, order);
        assert!(stores > 5 * REQUESTS, "all is counted");
        (1..=stores).for_each(|first| survive(features, order, &[first]));
    }
}

#[test]
fn a_second_death_after_any_store_is_survived() {
    for (features, order) in variants() {
        for first in 1..=stores(features, order) {
            (1..=12).for_each(|second| survive(features, order, &[first, second]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_number_of_deaths_is_survived(
        event_idx: bool, indirect: bool, order in 0..3usize, lives in prop::collection::vec(1..30usize, 0..40)
    ) {
        survive(Features { event_idx, indirect }, ORDERS[order], &lives);
    }
}
