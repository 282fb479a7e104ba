//! A driver's queue and a device's, in any order of steps: every request is answered once, nobody waits in vain.

use crate::driver::{Driver, carry_out};
use crate::guest::Guest;
use proptest::prelude::*;
use virtio::{Chain, Features, Head, Inflight, Owner, Queue};

const OWNER: Owner = Owner { device: 0, queue: 0, epoch: 1 };

#[derive(Clone, Debug)]
enum Step {
    /// The driver asks, and notifies if it must.
    Ask { inputs: Vec<usize>, outputs: Vec<usize> },
    /// The device takes so many requests, then answers those in flight from this one on, all but so many.
    Serve { take: usize, first: usize, keep: usize },
    /// The driver looks at so many answers.
    Look(usize),
    /// The device takes what there is, and sleeps.
    Sleep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lens = || prop::collection::vec(1..70usize, 0..6);
    let step = prop_oneof![
        4 => (lens(), lens()).prop_map(|(inputs, outputs)| Step::Ask { inputs, outputs }),
        3 => (0..9usize, any::<usize>(), 0..4usize).prop_map(|(take, first, keep)| Step::Serve { take, first, keep }),
        3 => (1..9usize).prop_map(Step::Look),
        1 => Just(Step::Sleep),
    ];
    prop::collection::vec(step, 1..200)
}

/// Both sides, and who waits for whom.
struct Pair<'r, const SIZE: usize> {
    driver: Driver<SIZE>,
    device: Queue<'r>,
    chain: Chain,
    in_flight: Vec<Head>,
    /// The device does nothing until it is notified.
    is_device_asleep: bool,
    /// The driver has seen all answers, and looks again when it is interrupted.
    is_driver_asleep: bool,
}

impl<'r, const SIZE: usize> Pair<'r, SIZE> {
    fn new(features: Features, record: &'r Inflight) -> Self {
        let driver = Driver::new(features);
        let device = Queue::new(driver.rings, features, &Guest, record, OWNER).expect("sound rings");
        Self {
            driver,
            device,
            chain: Chain::new(),
            in_flight: Vec::new(),
            is_device_asleep: false,
            is_driver_asleep: false,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Ask { inputs, outputs } => {
                if self.driver.add(inputs, outputs) && self.driver.queue.should_notify() {
                    self.is_device_asleep = false;
                }
            }
            Step::Serve { .. } | Step::Sleep if self.is_device_asleep => {}
            Step::Serve { take, first, keep } => {
                self.device.suppress_kicks(&Guest).expect("sound rings");
                (0..*take).for_each(|_| self.take());
                self.answer(*first, *keep);
            }
            Step::Look(count) => {
                self.is_driver_asleep = (0..*count).any(|_| !self.driver.reap());
            }
            Step::Sleep => {
                (0..SIZE).for_each(|_| self.take());
                self.answer(0, 0);
                self.is_device_asleep = !self.device.request_kicks(&Guest).expect("sound rings");
            }
        }
    }

    fn take(&mut self) {
        self.in_flight.extend(self.device.pop(&Guest, &mut self.chain).expect("sound rings"));
    }

    fn answer(&mut self, first: usize, keep: usize) {
        while self.in_flight.len() > keep {
            let head = self.in_flight.swap_remove(first % self.in_flight.len());
            self.device.chain_again(&Guest, &head, &mut self.chain).expect("sound rings");
            let written = carry_out(&Guest, &self.chain);
            self.device.push(&Guest, head, written).expect("it is in flight");
        }
        let is_interrupted = self.device.wants_interrupt(&Guest).expect("sound rings");
        if is_interrupted {
            self.is_driver_asleep = false;
        }
        assert!(!(self.is_driver_asleep && self.driver.queue.can_pop()), "an answer that nobody hears of");
    }

    /// Both sides finish, each only if it was told or was not asleep.
    fn finish(&mut self) {
        while self.driver.waiting() > 0 {
            let before = self.driver.waiting();
            self.step(&Step::Sleep);
            self.step(&Step::Look(SIZE + 1));
            assert!(self.driver.waiting() < before, "both sides wait for one another");
        }
        assert_eq!(self.device.in_flight(), 0);
    }
}

fn play<const SIZE: usize>(features: Features, steps: &[Step]) {
    let record = Inflight::new();
    let mut pair = Pair::<SIZE>::new(features, &record);
    steps.iter().for_each(|step| pair.step(step));
    pair.finish();
}

fn features() -> impl Strategy<Value = Features> {
    any::<(bool, bool)>().prop_map(|(event_idx, indirect)| Features { event_idx, indirect })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_order_of_steps_answers_every_request(features in features(), steps in steps()) {
        play::<4>(features, &steps);
        play::<16>(features, &steps);
        play::<256>(features, &steps);
    }
}

#[test]
fn indexes_wrap_around_many_times() {
    for (event_idx, indirect) in [(false, false), (true, false), (false, true), (true, true)] {
        let record = Inflight::new();
        let mut pair = Pair::<8>::new(Features { event_idx, indirect }, &record);
        let ask = Step::Ask { inputs: vec![3], outputs: vec![2, 1] };
        let serve = Step::Serve { take: 8, first: 1, keep: 0 };
        for turn in 0..70_000 {
            pair.step(&ask);
            if turn % 2 == 0 {
                pair.step(if turn % 3 == 0 { &Step::Sleep } else { &serve });
                pair.step(&Step::Look(9));
            }
        }
        pair.finish();
        assert!(pair.driver.answered > 1 << 16);
    }
}
