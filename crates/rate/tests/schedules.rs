//! What a bucket lets through, over any schedule.

use proptest::prelude::*;
use rate::{Bucket, Wait};
use std::num::NonZeroU64;

const HZ: u64 = 62_500_000;

fn bucket(rate: u64, burst: u64, hz: u64) -> Bucket {
    Bucket::new(NonZeroU64::new(rate).expect("no test has a rate of 0"), burst, hz)
}

#[test]
fn a_full_bucket_is_one_burst_and_then_the_rate() {
    let mut bucket = bucket(1000, 100, HZ);
    let taken = (0..1000).filter(|_| bucket.take(1, 5).is_ok()).count();
    assert_eq!(taken, 100);
    assert_eq!(bucket.take(1, 5), Err(Wait { until_ticks: 5 + HZ / 1000 }));
    assert!(bucket.take(1, 4 + HZ / 1000).is_err(), "a tick early");
    assert_eq!(bucket.take(1, 5 + HZ / 1000), Ok(()));
}

#[test]
fn nothing_drifts_where_nothing_divides() {
    let (rate, hz) = (99_999_989, 62_500_003);
    let mut bucket = bucket(rate, 24_000, hz);
    let (mut now, mut taken) = (7, 0u128);
    bucket.take(24_000, now).unwrap();
    for _ in 0..1_000_000 {
        match bucket.take(11_999, now) {
            Ok(()) => taken += 11_999,
            Err(wait) => now = wait.until_ticks,
        }
    }
    let due = u128::from(now - 7) * u128::from(rate) / u128::from(hz);
    assert!(due.abs_diff(taken) < 12_000, "{taken} of {due}");
}

#[test]
fn ten_days_of_sleep_fill_the_bucket_and_no_more() {
    let mut bucket = bucket(99_999_989, 12_000, HZ);
    assert_eq!(bucket.take(12_000, 7), Ok(()));
    let now = 7 + 10 * 86_400 * HZ;
    assert_eq!(bucket.take(12_000, now), Ok(()));
    assert!(bucket.take(1, now).is_err());
}

#[test]
fn an_amount_above_the_burst_waits_for_a_full_bucket_and_is_paid_back() {
    let mut bucket = bucket(1_000, 100, 1_000);
    assert_eq!(bucket.take(500, 0), Ok(()));
    assert_eq!(bucket.take(500, 0), Err(Wait { until_ticks: 500 }));
    assert_eq!(bucket.take(1, 0), Err(Wait { until_ticks: 401 }));
    assert_eq!(bucket.take(500, 500), Ok(()));
    // Even a bucket without room keeps the rate.
    let mut none = self::bucket(1_000, 0, 1_000);
    assert_eq!(none.take(10, 0), Ok(()));
    assert_eq!(none.take(10, 9), Err(Wait { until_ticks: 10 }));
    assert_eq!(none.take(10, 10), Ok(()));
}

#[test]
fn a_counter_that_goes_back_brings_no_tokens() {
    let mut bucket = bucket(1, 10, 1);
    assert_eq!(bucket.take(10, 1_000), Ok(()));
    for now in [999, 0, 1_000, 5, 1_000] {
        assert_eq!(bucket.take(1, now), Err(Wait { until_ticks: 1_001 }), "{now}");
    }
    assert_eq!(bucket.take(1, 1_001), Ok(()));
}

#[test]
fn extremes_neither_overflow_nor_divide_by_zero() {
    let most = u64::MAX;
    for (rate, burst, hz) in [(most, most, most), (1, 0, most), (1, most, 0), (most, 0, 0), (1, 1, 1)] {
        let mut bucket = bucket(rate, burst, hz);
        for now in [0, most, 0, 1, most] {
            for amount in [0, 1, most] {
                let _ = bucket.take(amount, now);
            }
        }
    }
}

proptest! {
    /// In every stretch of a schedule, not only from its beginning.
    #[test]
    fn no_schedule_gets_more_than_rate_and_burst(
        rate in 1u64..1_000_000_000_000,
        burst in 0u64..1_000_000,
        hz in 1u64..2_000_000_000,
        steps in prop::collection::vec((-1_000i64..100_000_000, 0u64..200_000), 1..100),
    ) {
        let mut bucket = bucket(rate, burst, hz);
        let mut now = 1_000_000_000u64;
        let mut granted: Vec<(u64, u64)> = Vec::new();
        for (step, amount) in steps {
            now = now.saturating_add_signed(step);
            if bucket.take(amount, now).is_ok() {
                // What comes late counts for the latest time, as for the bucket.
                let at = granted.last().map_or(now, |(latest, _)| now.max(*latest));
                granted.push((at, amount));
            }
        }
        for first in 0..granted.len() {
            let (mut sum, mut largest) = (0u128, 0u128);
            for (at, amount) in &granted[first..] {
                sum += u128::from(*amount);
                largest = largest.max((*amount).into());
                // In units, so that nothing is rounded.
                let due = u128::from(at - granted[first].0) * u128::from(rate);
                let room = u128::from(burst).max(largest) * u128::from(hz);
                prop_assert!(sum * u128::from(hz) <= due + room, "{granted:?}");
            }
        }
    }

    /// A user who asks again when told, or up to half a burst's time later, gets all of the rate.
    #[test]
    fn a_greedy_user_gets_the_rate(
        rate in 1_000u64..10_000_000_000,
        hz in 1_000_000u64..1_000_000_000,
        delays in prop::collection::vec(0.0f64..0.5, 300..600),
        amount in 1u64..1_500,
    ) {
        // Half of it for an amount and what comes in during the ticks that waits and delays are rounded to.
        let burst = amount * 4 + (rate / hz + 1) * 4;
        let mut bucket = bucket(rate, burst, hz);
        let fill = burst as f64 * hz as f64 / rate as f64;
        let (mut now, mut taken) = (0u64, 0u64);
        for delay in &delays {
            let wait = loop {
                match bucket.take(amount, now) {
                    Ok(()) => taken += amount,
                    Err(wait) => break wait,
                }
            };
            now = wait.until_ticks + (delay * fill) as u64;
        }
        // The last delay has passed, but nothing was taken for it.
        let due = now as f64 * rate as f64 / hz as f64 - burst as f64;
        prop_assert!(taken as f64 >= due * 0.95, "{taken} of {due}");
    }

    /// What it says about the wait is the first time, to the tick.
    #[test]
    fn a_wait_ends_at_its_tick_and_not_before(
        rate in 1u64..1_000_000_000,
        burst in 1u64..100_000,
        hz in 1u64..2_000_000_000,
        amount in 1u64..200_000,
    ) {
        let mut bucket = bucket(rate, burst, hz);
        bucket.take(burst, 0).unwrap();
        let Err(wait) = bucket.take(amount, 0) else { return Err(TestCaseError::fail("it is empty")) };
        prop_assert!(wait.until_ticks > 0);
        prop_assert!(bucket.to_owned().take(amount, wait.until_ticks - 1).is_err());
        prop_assert!(bucket.take(amount, wait.until_ticks).is_ok());
    }
}

#[test]
fn what_is_put_back_can_be_taken_again_and_never_overflows() {
    let mut bucket = Bucket::new(NonZeroU64::new(10).unwrap(), 100, 1000);
    assert!(bucket.take(100, 0).is_ok());
    assert!(bucket.take(1, 0).is_err());
    bucket.put_back(60);
    assert!(bucket.take(61, 0).is_err());
    assert!(bucket.take(60, 0).is_ok());
    bucket.put_back(u64::MAX);
    assert!(bucket.take(100, 0).is_ok() && bucket.take(1, 0).is_err(), "no more than it holds");
}
