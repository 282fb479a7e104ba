//! What each interrupted step leaves behind is repaired; what no step can leave behind is refused.

use super::*;

const SIZE: u32 = 8;

/// Chains 1, 2 and 3 in flight: five were taken, two were used, and the last one used was chain 5.
const STEADY: State = State {
    taken: Mark { index: 5, head: 3, batch: 0 },
    done: Mark { index: 2, head: 5, batch: 0 },
    heads: [0b1110, 0, 0, 0],
};

fn heads(bits: u64) -> [u64; HEADS] {
    [bits, 0, 0, 0]
}

#[test]
fn a_record_at_rest_needs_no_repair() {
    assert_eq!(STEADY.repair(SIZE, 2), Ok(None));
}

#[test]
fn stopped_after_the_taken_mark_the_chain_is_in_flight() {
    let state = State { heads: heads(0b0110), ..STEADY };
    assert_eq!(state.repair(SIZE, 2), Ok(Some((Word::Heads(0), 0b1110))));
}

#[test]
fn stopped_before_the_used_index_the_chain_counts_as_not_used() {
    let state = State { done: Mark { index: 3, head: 2, batch: 0 }, ..STEADY };
    assert_eq!(state.repair(SIZE, 2), Ok(Some((Word::Done, Mark { index: 2, head: 2, batch: 0 }.word()))));
}

#[test]
fn stopped_after_the_used_index_the_chain_is_not_used_again() {
    let state = State { done: Mark { index: 3, head: 2, batch: 0 }, ..STEADY };
    assert_eq!(state.repair(SIZE, 3), Ok(Some((Word::Heads(0), 0b1010))));
}

#[test]
fn each_repair_leaves_a_record_at_rest() {
    for (state, used) in [
        (State { heads: heads(0b0110), ..STEADY }, 2),
        (State { done: Mark { index: 3, head: 2, batch: 0 }, ..STEADY }, 2),
        (State { done: Mark { index: 3, head: 2, batch: 0 }, ..STEADY }, 3),
    ] {
        let mut repaired = state;
        match state.repair(SIZE, used) {
            Ok(Some((Word::Heads(0), bits))) => repaired.heads[0] = bits,
            Ok(Some((Word::Done, mark))) => repaired.done = Mark::of(mark),
            other => panic!("{other:?}"),
        }
        assert_eq!(repaired.repair(SIZE, used), Ok(None), "{state:?}");
    }
}

#[test]
fn indexes_wrap_around() {
    // 65534 were used, three are in flight, and the next use is announced: its index is 65535.
    let taken = Mark { index: 1, head: 3, batch: 0 };
    let state = State { taken, done: Mark { index: u16::MAX, head: 2, batch: 0 }, heads: heads(0b1110) };
    assert_eq!(state.repair(SIZE, 65534), Ok(Some((Word::Done, Mark { index: 65534, head: 2, batch: 0 }.word()))));
    assert_eq!(state.repair(SIZE, u16::MAX), Ok(Some((Word::Heads(0), 0b1010))));
    let state = State { taken, done: Mark { index: u16::MAX, head: 2, batch: 0 }, heads: heads(0b0010) };
    assert_eq!(state.repair(SIZE, u16::MAX), Ok(Some((Word::Heads(0), 0b1010))));
}

#[test]
fn a_used_index_that_the_record_does_not_know_is_refused() {
    for found in [0, 3, 4] {
        assert_eq!(STEADY.repair(SIZE, found), Err(Unusable::Used { recorded: 2, found }));
    }
}

#[test]
fn a_lost_or_invented_chain_is_refused() {
    for bits in [0, 0b1000, 0b1111_1110] {
        let state = State { heads: heads(bits), ..STEADY };
        assert_eq!(state.repair(SIZE, 2), Err(Unusable::Count { expected: 3, found: bits.count_ones() }));
    }
}

#[test]
fn a_mark_that_does_not_fit_the_bits_is_refused() {
    // One short, but the last chain taken is there; one more, but the last chain used is not.
    assert_eq!(State { heads: heads(0b1010), ..STEADY }.repair(SIZE, 2), Err(Unusable::Head(3)));
    assert_eq!(State { heads: heads(0b1_1110), ..STEADY }.repair(SIZE, 2), Err(Unusable::Head(5)));
}

#[test]
fn a_chain_that_the_queue_cannot_have_is_refused() {
    assert_eq!(State { heads: heads(0b1_0000_0110), ..STEADY }.repair(SIZE, 2), Err(Unusable::Head(8)));
    let state = State { taken: Mark { index: 5, head: 700, batch: 0 }, heads: heads(0b0110), ..STEADY };
    assert_eq!(state.repair(SIZE, 2), Err(Unusable::Head(700)));
}

#[test]
fn more_in_flight_than_the_queue_has_is_refused() {
    let state = State { taken: Mark { index: 11, head: 3, batch: 0 }, heads: heads(0xff), ..STEADY };
    assert_eq!(state.repair(SIZE, 2), Err(Unusable::Count { expected: 9, found: 8 }));
}
