//! Manifests that no tool wrote: whatever the bytes say, the validator returns, and what it accepts is sound.

extern crate std;
use super::tests::{BOARD, served};
use super::validate;
use crate::{Board, Channel, End, System, WhenAllStopped};
use abi::PartitionId;
use addr::Pa;
use proptest::prelude::*;
use std::{vec, vec::Vec};

/// The mistakes of `system`, printed, so that no message can panic either.
fn mistakes(board: &Board, system: &System) -> usize {
    let mut count = 0;
    validate(board, system, &mut |mistake| {
        count += 1;
        assert!(!std::format!("{mistake}").contains('\u{1b}'), "a name reaches the console unescaped");
    });
    count
}

fn encoded() -> Vec<u8> {
    let mut buffer = vec![0; 16 << 10];
    let mut system = served();
    let end = |n| End { partition: PartitionId::new(n), user: PartitionId::new(n) };
    let channel = Channel { start: Pa::new(0x5000_0000), pages: 16, ends: [end(0), end(1)] };
    system.channels.push(channel).unwrap();
    postcard::to_slice(&system, &mut buffer).unwrap().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_bytes_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = encoded();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(system) = postcard::from_bytes::<System>(&bytes) {
            mistakes(&BOARD, &system);
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(system) = postcard::from_bytes::<System>(&bytes) {
            mistakes(&BOARD, &system);
        }
    }

    #[test]
    fn what_is_accepted_gives_no_core_and_no_byte_to_two(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let Ok(system) = postcard::from_bytes::<System>(&bytes) else { return Ok(()) };
        if mistakes(&BOARD, &system) != 0 {
            return Ok(());
        }
        let mut cores: Vec<_> = system.partitions.iter().flat_map(|p| &p.cores).collect();
        let count = cores.len();
        cores.sort();
        cores.dedup();
        prop_assert_eq!(cores.len(), count);
        let mut ranges: Vec<_> = system.partitions.iter().flat_map(|p| &p.banks).map(|bank| bank.pa).collect();
        ranges.push(system.pool);
        ranges.extend(system.service.map(|service| service.kept));
        ranges.extend(system.channels.iter().filter_map(Channel::memory));
        ranges.sort_by_key(|range| range.start());
        prop_assert!(ranges.is_sorted_by(|a, b| a.end() <= b.start()));
    }
}

#[test]
fn a_name_of_control_characters_is_escaped() {
    let mut system = served();
    system.when_all_stopped = WhenAllStopped::Halt;
    system.partitions[0].name = heapless::String::try_from("\u{1b}[2J").unwrap();
    assert_eq!(mistakes(&BOARD, &system), 1);
}
