//! The ring against a plain queue, under overflow, and between two threads.

use console::Ring;
use proptest::prelude::*;
use std::thread;

fn drain<const N: usize>(ring: &Ring<N>) -> Vec<u8> {
    std::iter::from_fn(|| ring.pop()).collect()
}

#[test]
fn a_prompt_can_be_read_before_its_line_ends() {
    let ring = Ring::<16>::new();
    ring.write(b"=> ");
    let mut buffer = [0; 8];
    assert_eq!((ring.read(&mut buffer), &buffer[..3]), (3, &b"=> "[..]));
    assert!(ring.is_empty());
}

#[test]
fn overflow_drops_to_the_end_of_the_line_and_counts_lines() {
    let ring = Ring::<8>::new();
    ring.write(b"one\ntwo-is-cut\nthree\nfour\n");
    assert_eq!(ring.take_dropped(), 0, "what came before must be read first");
    assert_eq!(drain(&ring), b"one\ntwo-");
    assert_eq!(ring.take_dropped(), 3);
    assert_eq!(ring.take_dropped(), 0);
    ring.write(b"five\n");
    assert_eq!(drain(&ring), b"five\n");
}

#[test]
fn lines_lost_on_the_way_are_reported_behind_what_came_before() {
    let ring = Ring::<8>::new();
    ring.write(b"one\n");
    ring.lose(2);
    assert_eq!(ring.take_dropped(), 0, "what came before must be read first");
    assert_eq!(drain(&ring), b"one\n");
    assert_eq!(ring.take_dropped(), 2);
    ring.write(b"two\n");
    assert_eq!(drain(&ring), b"two\n");
}

#[test]
fn nothing_is_stored_behind_a_gap_that_was_not_reported() {
    let ring = Ring::<8>::new();
    ring.write(b"12345678X\n");
    assert_eq!(drain(&ring), b"12345678");
    ring.write(b"next\n");
    assert_eq!(drain(&ring), b"");
    assert_eq!(ring.take_dropped(), 2);
    ring.write(b"next\n");
    assert_eq!(drain(&ring), b"next\n");
}

#[test]
fn a_line_whose_loss_was_reported_is_lost_to_its_end() {
    let ring = Ring::<8>::new();
    ring.write(b"12345678X");
    drain(&ring);
    assert_eq!(ring.take_dropped(), 1);
    ring.write(b"YZ\nok\n");
    assert_eq!(drain(&ring), b"ok\n");
    assert_eq!(ring.take_dropped(), 0, "counted once");
}

#[test]
fn a_stream_without_newlines_does_not_stay_dark() {
    let ring = Ring::<8>::new();
    ring.write(b"12345678X");
    drain(&ring);
    assert_eq!(ring.take_dropped(), 1);
    ring.write(&[b'.'; 1000]);
    assert_eq!(drain(&ring), b"........");
}

#[test]
fn an_empty_line_can_be_dropped_too() {
    let ring = Ring::<2>::new();
    ring.write(b"ab\n\n");
    assert_eq!(drain(&ring), b"ab");
    assert_eq!(ring.take_dropped(), 2);
    ring.write(b"c\n");
    assert_eq!(drain(&ring), b"c\n");
}

/// Lines number themselves, so the consumer can tell which of them came.
#[test]
fn between_threads_each_line_arrives_whole_or_is_counted() {
    const LINES: u32 = 20_000;
    let ring = Ring::<128>::new();
    let (text, dropped) = thread::scope(|scope| {
        let producer = scope.spawn(|| (0..LINES).for_each(|n| ring.write(format!("line {n} of many\n").as_bytes())));
        let (mut text, mut dropped) = (Vec::new(), 0);
        loop {
            let is_done = producer.is_finished();
            text.extend(drain(&ring));
            let lost = ring.take_dropped();
            if lost > 0 {
                dropped += lost;
                text.extend(b"#\n"); // ends a line that was cut
            }
            if is_done && ring.is_empty() && !ring.has_dropped() {
                return (text, dropped);
            }
            thread::yield_now();
        }
    });
    let text = String::from_utf8(text).expect("ASCII");
    let whole: Vec<u32> =
        text.lines().filter_map(|line| line.strip_prefix("line ")?.strip_suffix(" of many")?.parse().ok()).collect();
    assert!(whole.is_sorted_by(|a, b| a < b), "out of order or doubled");
    assert_eq!(whole.len() as u32 + dropped, LINES);
    let other = text.lines().filter(|line| !line.ends_with(" of many")).all(|line| line.ends_with('#'));
    assert!(other, "a line was broken without report");
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Read(usize),
    Report,
}

fn step() -> impl Strategy<Value = Step> {
    let byte = prop_oneof![3 => Just(b'x'), 1 => Just(b'\n')];
    prop_oneof![
        3 => prop::collection::vec(byte, 0..24).prop_map(Step::Write),
        2 => (0usize..24).prop_map(Step::Read),
        1 => Just(Step::Report),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every line end and every line is accounted for: read, dropped, or still inside.
    #[test]
    fn lines_are_read_or_counted(steps in prop::collection::vec(step(), 0..60)) {
        let ring = Ring::<16>::new();
        let (mut written, mut read, mut dropped) = (0, 0, 0);
        let mut buffer = [0; 24];
        let line_ends = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
        for step in steps {
            match step {
                Step::Write(bytes) => {
                    written += line_ends(&bytes);
                    ring.write(&bytes);
                }
                Step::Read(len) => {
                    let count = ring.read(&mut buffer[..len]);
                    read += line_ends(&buffer[..count]);
                }
                Step::Report => dropped += ring.take_dropped() as usize,
            }
        }
        // End the line that may be under way, then take all that is left.
        ring.push(b'\n');
        written += 1;
        read += line_ends(&drain(&ring));
        dropped += ring.take_dropped() as usize;
        prop_assert!(ring.is_empty() && !ring.has_dropped());
        prop_assert_eq!(read + dropped, written);
    }

    /// Without overflow the ring is a queue.
    #[test]
    fn without_overflow_bytes_arrive_in_order(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..40)) {
        let ring = Ring::<64>::new();
        for chunk in chunks {
            ring.write(&chunk);
            prop_assert_eq!(drain(&ring), chunk);
        }
        prop_assert!(!ring.has_dropped());
    }
}
