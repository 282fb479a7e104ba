//! Two ends, a clearing EL2, and peers that lie: bytes arrive in order or not at all.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use channel::{Continuity, End, Side};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, Release, SeqCst},
    fence,
};

/// Words before the ends' own: the page of the epoch.
const LINES: usize = abi::channel::ENDS / 8;
/// Words before the rings.
const RINGS: usize = LINES + 16;

/// With so many words for the rings.
fn memory(words: usize) -> Vec<AtomicU64> {
    (0..RINGS + words).map(|_| AtomicU64::new(0)).collect()
}

/// As EL2 does it.
fn clear(memory: &[AtomicU64], epoch: u64) {
    memory.iter().for_each(|word| word.store(0, Relaxed));
    memory[0].store(epoch, Relaxed);
}

fn pair(memory: &[AtomicU64]) -> [End<'_>; 2] {
    [Side::First, Side::Second].map(|side| End::new(memory, side).unwrap())
}

#[test]
fn what_is_too_small_is_no_channel() {
    assert!(End::new(&memory(1), Side::First).is_none());
    assert!(End::new(&memory(1)[..LINES], Side::First).is_none());
    assert!(End::new(&[], Side::Second).is_none());
    assert_eq!(End::new(&memory(481), Side::First).unwrap().capacity(), 240 * 8);
}

#[test]
fn nothing_is_said_before_the_first_epoch() {
    let memory = memory(32);
    let [mut first, mut second] = pair(&memory);
    assert_eq!(first.renew(), Continuity::Same);
    assert_eq!((first.write(b"early"), first.free(), second.read(&mut [0; 8])), (0, 0, 0));
    clear(&memory, 1);
    assert_eq!((first.renew(), first.renew()), (Continuity::Anew, Continuity::Same));
    // The other one may come later and finds what was written.
    assert_eq!((first.write(b"hello"), first.has_peer()), (5, false));
    assert_eq!(second.renew(), Continuity::Anew);
    let mut bytes = [0; 8];
    assert_eq!((second.read(&mut bytes), &bytes[..5], first.has_peer()), (5, &b"hello"[..], true));
}

#[test]
fn a_full_ring_takes_no_more() {
    let memory = memory(4);
    clear(&memory, 7);
    let [mut first, mut second] = pair(&memory);
    assert_eq!((first.renew(), second.renew()), (Continuity::Anew, Continuity::Anew));
    assert_eq!((first.write(&[1; 20]), first.write(&[1; 1]), first.unread()), (16, 0, Some(16)));
    assert_eq!((second.read(&mut [0; 3]), first.free(), second.available()), (3, 3, 13));
}

#[test]
fn what_an_end_says_in_an_old_epoch_is_not_heard() {
    let memory = memory(32);
    clear(&memory, 1);
    let [mut old, mut new] = pair(&memory);
    assert_eq!(old.renew(), Continuity::Anew);
    assert_eq!(old.write(b"before"), 6);
    clear(&memory, 2);
    assert_eq!(new.renew(), Continuity::Anew);
    // It has not noticed: what it does now reaches nobody, and it gets nothing.
    assert_eq!(new.write(b"secret"), 6);
    assert_eq!((old.write(b"late"), old.read(&mut [0; 8]), new.available(), new.has_peer()), (0, 0, 0, false));
    // A store that was on its way when the memory was cleared.
    memory[LINES].store(1 << 32 | 6, Relaxed);
    assert_eq!(new.available(), 0);
    assert_eq!((old.renew(), old.write(b"now")), (Continuity::Anew, 3));
    let mut bytes = [0; 8];
    assert_eq!((new.read(&mut bytes), &bytes[..3]), (3, &b"now"[..]));
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, Vec<u8>),
    Read(usize, usize),
    Skip(usize),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(end, bytes)| Step::Write(end, bytes)),
        4 => (0..2usize, 0..40usize).prop_map(|(end, count)| Step::Read(end, count)),
        1 => (0..2usize).prop_map(Step::Skip),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn bytes_arrive_in_order_and_none_survives_a_clearing(
        words in 2..28usize, steps in proptest::collection::vec(step(), 1..200),
    ) {
        let memory = memory(words);
        clear(&memory, 1);
        let mut ends = pair(&memory);
        let mut queues = [VecDeque::new(), VecDeque::new()];
        let mut epoch = 1;
        for step in steps {
            match step {
                Step::Clear => {
                    epoch += 1;
                    clear(&memory, epoch);
                    queues.iter_mut().for_each(VecDeque::clear);
                }
                Step::Skip(n) => {
                    let _ = ends[n].renew();
                    prop_assert_eq!(ends[n].skip(), !queues[1 - n].is_empty());
                    queues[1 - n].clear();
                }
                Step::Write(n, bytes) => {
                    let _ = ends[n].renew();
                    let free = ends[n].free() as usize;
                    prop_assert_eq!(free, ends[n].capacity() as usize - queues[n].len());
                    let count = ends[n].write(&bytes);
                    prop_assert_eq!(count, bytes.len().min(free));
                    queues[n].extend(&bytes[..count]);
                }
                Step::Read(n, count) => {
                    let _ = ends[n].renew();
                    let mut bytes = vec![0; count];
                    let got = ends[n].read(&mut bytes);
                    prop_assert_eq!(got, count.min(queues[1 - n].len()));
                    let expected: Vec<u8> = queues[1 - n].drain(..got).collect();
                    prop_assert_eq!(&bytes[..got], &expected[..]);
                }
            }
        }
    }

    /// All that the other end can write is behind the epoch's page (what EL2 maps), so each clearing is seen for one, even by who
    /// finds the epochs to come in every word.
    #[test]
    fn a_peer_that_lies_gets_nothing_and_breaks_nothing(
        words in 2..28usize,
        lies in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<u64>(), 0..4u64, prop::bool::weighted(0.1)), 1..100,
        ),
    ) {
        let memory = memory(words);
        let mut epoch = 1;
        clear(&memory, epoch);
        let mut end = End::new(&memory, Side::First).unwrap();
        let _ = end.renew();
        for (place, value, ahead, is_cleared) in lies {
            let value = if ahead < 3 { (epoch + ahead) << 32 | value & 0xff } else { value };
            memory[LINES + place.index(16 + words)].store(value, Relaxed);
            if is_cleared {
                epoch += 1;
                clear(&memory, epoch);
                prop_assert_eq!((end.renew(), end.available(), end.unread()), (Continuity::Anew, 0, Some(0)));
            }
            prop_assert!(!end.skip() || end.available() == 0);
            prop_assert!(end.available() <= end.capacity() && end.free() <= end.capacity());
            let (mut bytes, room) = ([0; 64], end.free() as usize);
            prop_assert!(end.read(&mut bytes) <= bytes.len());
            prop_assert!(end.write(&[5; 64]) <= room);
            prop_assert_eq!(end.renew(), Continuity::Same);
        }
    }
}

/// Two threads, each at its end, and a third that clears: whatever is read was written in the same epoch, in order.
#[test]
fn ends_on_two_cores_agree() {
    let memory = memory(32);
    clear(&memory, 1);
    let is_done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut end = End::new(&memory, Side::First).unwrap();
            let mut next: u8 = 0;
            while is_done.load(Relaxed) == 0 {
                if end.renew() == Continuity::Anew {
                    next = 0;
                }
                next = next.wrapping_add(end.write(&[next]) as u8);
            }
        });
        scope.spawn(|| {
            for epoch in 2.. {
                if is_done.load(Relaxed) != 0 {
                    break;
                }
                memory[0].store(0, Relaxed);
                fence(SeqCst);
                memory.iter().for_each(|word| word.store(0, Relaxed));
                memory[0].store(epoch, Release);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let mut end = End::new(&memory, Side::Second).unwrap();
        let (mut expected, mut total): (u8, u32) = (0, 0);
        while total < 50_000 {
            if end.renew() == Continuity::Anew {
                expected = 0;
            }
            let mut bytes = [0; 24];
            let count = end.read(&mut bytes);
            for byte in &bytes[..count] {
                assert_eq!(*byte, expected, "after {total} bytes");
                expected = expected.wrapping_add(1);
            }
            total += count as u32;
        }
        is_done.store(1, Relaxed);
    });
}
