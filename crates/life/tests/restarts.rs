//! How often and how soon a partition comes back.

use abi::life::MAX_RESTARTS;
use abi::{Policy, RestartLimit};
use life::Event::{Cleared, CoresLeft, Ended, Loaded, Start, Started, Waited};
use life::Reason::{Fault, Reset, RestartKey, StopKey};
use life::{Action, Event, Life, NO_LIMIT_WINDOW_MS, Reason, Refused, State, WAIT_MAX_MS, Why};
use proptest::prelude::*;

const fn policy(limit: Option<(u8, u32)>, backoff_ms: u32) -> Policy {
    let limit = match limit {
        Some((restarts, window_ms)) => Some(RestartLimit { restarts, window_ms }),
        None => None,
    };
    Policy { limit, backoff_ms, ..Policy::DEFAULT }
}

fn running(policy: Policy) -> Life {
    let mut life = Life::new(policy);
    run(&mut life, Start, 0);
    life
}

fn run(life: &mut Life, event: Event, now_ms: u64) {
    for event in [event, Loaded, Started] {
        life.event(event, now_ms).expect("nothing is under way");
    }
    assert_eq!(life.state(), State::Running);
}

/// Ends a running life; what follows.
fn end(life: &mut Life, reason: Reason, now_ms: u64) -> Action {
    assert_eq!(life.event(Ended(reason), now_ms), Ok(Action::StopCores));
    life.event(CoresLeft, now_ms).expect("its cores left")
}

/// Crashes a running life and brings it back; how long it waited, or `None` when it stays stopped for the limit.
fn crash(life: &mut Life, now_ms: u64) -> Option<u32> {
    match end(life, Fault, now_ms) {
        Action::Load => {
            life.event(Loaded, now_ms).expect("it loads");
            life.event(Started, now_ms).expect("it is loaded");
            Some(0)
        }
        Action::Wait { ms } => {
            assert_ne!(ms, 0);
            run(life, Waited, now_ms);
            Some(ms)
        }
        Action::Clear(Why::Limit) => None,
        other => panic!("{other:?} after a crash"),
    }
}

#[test]
fn the_default_is_five_restarts_in_a_minute_and_then_the_end() {
    let mut life = running(Policy::DEFAULT);
    let waits = [0, 1, 2, 3, 4, 5].map(|n| crash(&mut life, 1_000 * n));
    assert_eq!(waits, [Some(0), Some(100), Some(200), Some(400), Some(800), None]);
    assert_eq!((life.event(Cleared, 5_000), life.state()), (Ok(Action::None), State::Stopped));
}

#[test]
fn a_restart_counts_until_it_is_a_window_old() {
    for (now_ms, expected) in [(59_999, None), (60_000, Some(800)), (u64::MAX, Some(0))] {
        let mut life = running(Policy::DEFAULT);
        (0..5).for_each(|n| assert!(crash(&mut life, u64::from(n > 0)).is_some()));
        assert_eq!(crash(&mut life, now_ms), expected, "at {now_ms} ms");
    }
}

#[test]
fn the_wait_doubles_up_to_five_seconds() {
    let mut life = running(policy(None, 100));
    let waits: Vec<_> = (0..20).filter_map(|_| crash(&mut life, 7)).collect();
    assert_eq!(waits[..9], [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    assert_eq!((waits.len(), waits[19]), (20, 5_000));
    let mut life = running(policy(None, 1));
    assert_eq!((0..40).filter_map(|_| crash(&mut life, 7)).last(), Some(WAIT_MAX_MS), "from 1 ms, too");
}

#[test]
fn without_back_off_no_restart_waits() {
    let mut life = running(policy(None, 0));
    assert!((0..40).all(|_| crash(&mut life, 0) == Some(0)));
}

#[test]
fn a_wait_that_is_configured_too_long_or_a_limit_too_high_harms_nothing() {
    let mut life = running(policy(Some((u8::MAX, u32::MAX)), u32::MAX));
    let waits: Vec<_> = (0..).map_while(|_| crash(&mut life, 0)).collect();
    assert_eq!((waits.len(), waits[1]), (MAX_RESTARTS.into(), WAIT_MAX_MS));
    let mut life = running(policy(Some((0, 1_000)), 100));
    assert_eq!(crash(&mut life, 0), None);
}

#[test]
fn a_clock_that_goes_back_restarts_nothing_more_often() {
    let mut life = running(Policy::DEFAULT);
    let restarts = (0..).map_while(|n| crash(&mut life, 1_000_000 - 100_000 * n)).count();
    assert_eq!(restarts, 5);
}

#[test]
fn resets_count_as_crashes_do() {
    let mut life = running(policy(Some((1, 60_000)), 100));
    assert_eq!(end(&mut life, Reset, 0), Action::Load);
    life.event(Loaded, 0).expect("it loads");
    life.event(Started, 0).expect("it is loaded");
    assert_eq!(end(&mut life, Reset, 1), Action::Clear(Why::Limit));
}

#[test]
fn keys_do_not_count_and_make_what_came_before_forgotten() {
    let exhausted = || {
        let mut life = running(policy(Some((2, 60_000)), 100));
        assert_eq!([(); 2].map(|()| crash(&mut life, 0)), [Some(0), Some(100)]);
        life
    };
    let mut restarted = exhausted();
    assert_eq!(end(&mut restarted, RestartKey, 1), Action::Load);
    restarted.event(Loaded, 1).expect("it loads");
    restarted.event(Started, 1).expect("it is loaded");
    let mut stopped = exhausted();
    assert_eq!(end(&mut stopped, StopKey, 1), Action::Clear(Why::Key));
    stopped.event(Cleared, 1).expect("it was cleared");
    run(&mut stopped, Start, 1);
    let mut over_limit = exhausted();
    assert_eq!(crash(&mut over_limit, 1), None);
    over_limit.event(Cleared, 1).expect("it was cleared");
    run(&mut over_limit, Ended(RestartKey), 1);
    for life in [&mut restarted, &mut stopped, &mut over_limit] {
        assert_eq!([(); 3].map(|()| crash(life, 2)), [Some(0), Some(100), None]);
    }
}

#[test]
fn a_key_cuts_a_wait_short_and_its_end_then_does_nothing() {
    for key in [Start, Ended(RestartKey)] {
        let mut life = running(Policy::DEFAULT);
        crash(&mut life, 0);
        assert_eq!(end(&mut life, Fault, 1), Action::Wait { ms: 100 });
        assert_eq!((life.event(key, 2), life.state()), (Ok(Action::Load), State::Quiesced));
        for event in [Waited, Loaded, Waited, Started, Waited] {
            life.event(event, 101).expect("no key");
        }
        assert_eq!((life.state(), life.restarts()), (State::Running, 2));
        assert_eq!(crash(&mut life, 102), Some(0), "the key made the crashes forgotten");
    }
}

#[test]
fn restarts_count_the_lives_after_the_first() {
    let mut life = running(Policy::DEFAULT);
    assert_eq!(life.restarts(), 0);
    crash(&mut life, 0);
    assert_eq!(life.restarts(), 1);
    assert_eq!(end(&mut life, Fault, 1), Action::Wait { ms: 100 });
    assert_eq!(life.restarts(), 2, "decided on");
    assert_eq!(life.event(Ended(StopKey), 2), Ok(Action::Clear(Why::Key)));
    assert_eq!(life.restarts(), 1, "it never came");
    life.event(Cleared, 3).expect("it was cleared");
    run(&mut life, Start, 4);
    assert_eq!(life.restarts(), 2, "by a key");
}

const EVENTS: [Event; 13] = [
    Start,
    Loaded,
    Event::Damaged,
    Started,
    CoresLeft,
    Waited,
    Cleared,
    Ended(Reason::Off),
    Ended(Reset),
    Ended(Fault),
    Ended(Reason::Watchdog),
    Ended(RestartKey),
    Ended(StopKey),
];

/// Any event; more often one of those that carry a crashing guest round.
fn any_event() -> impl Strategy<Value = Event> {
    const ROUND: [Event; 6] = [Start, Loaded, Started, Ended(Fault), CoresLeft, Waited];
    prop_oneof![3 => prop::sample::select(&ROUND[..]).boxed(), 1 => prop::sample::select(&EVENTS[..]).boxed()]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let limit = prop::option::of((1..=MAX_RESTARTS, 1_000..=3_600_000u32));
    (limit, 0..=60_000u32).prop_map(|(limit, backoff_ms)| policy(limit, backoff_ms))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whenever a guest crashes, it comes back exactly if fewer restarts than the limit lie in the window before, and
    /// waits as the rule says of their number: computed here from the list of all restarts.
    #[test]
    fn limit_and_wait_follow_from_the_restarts_within_the_window(
        policy in any_policy(),
        gaps in prop::collection::vec(0..30_000u64, 1..80),
    ) {
        let mut life = running(policy);
        let mut restarts: Vec<u64> = Vec::new();
        let mut now_ms = 0;
        for gap in gaps {
            now_ms += gap;
            let window_ms = policy.limit.map_or(NO_LIMIT_WINDOW_MS, |limit| limit.window_ms);
            let earlier = restarts.iter().filter(|&&restart| restart + u64::from(window_ms) > now_ms).count();
            let allowed = policy.limit.is_none_or(|limit| earlier < limit.restarts.into());
            let wait = |earlier| (f64::from(policy.backoff_ms) * 2f64.powi(earlier as i32 - 1)).min(5_000.0) as u32;
            let expected = allowed.then_some(if earlier == 0 { 0 } else { wait(earlier) });
            prop_assert_eq!(crash(&mut life, now_ms), expected, "{} restarts before {} ms", earlier, now_ms);
            if expected.is_none() {
                break;
            }
            restarts.push(now_ms);
        }
    }

    /// Whatever comes in whatever order: a guest runs only after a whole load, no more than the limit of restarts happen
    /// between two keys that were taken, and a refusal changes nothing.
    #[test]
    fn any_order_of_events_keeps_the_promises(
        limit in 1..=MAX_RESTARTS,
        events in prop::collection::vec((any_event(), 0..1_000u64), 0..400),
    ) {
        // A window that nothing leaves during this test.
        let mut life = Life::new(policy(Some((limit, 3_600_000)), 100));
        let (mut now_ms, mut is_whole, mut since_key) = (0, false, 0);
        for (event, gap) in events {
            now_ms += gap;
            let (before, restarts) = (life.state(), life.restarts());
            let result = life.event(event, now_ms);
            let is_key = matches!(event, Start | Ended(RestartKey | StopKey));
            match result {
                Err(Refused::Busy | Refused::Running | Refused::Stopped) => {
                    prop_assert!(is_key);
                    prop_assert_eq!((life.state(), life.restarts()), (before, restarts));
                }
                Ok(Action::Load) => is_whole = false,
                Ok(Action::Enter) => {
                    prop_assert_eq!(event, Loaded);
                    is_whole = true;
                }
                Ok(Action::Wait { ms }) => prop_assert!((1..=WAIT_MAX_MS).contains(&ms)),
                Ok(Action::None | Action::StopCores | Action::Clear(_)) => {}
            }
            prop_assert!(is_whole || !matches!(life.state(), State::Loaded | State::Running));
            if is_key && result.is_ok() {
                since_key = life.restarts();
            }
            // A key that ends a life shows as one more when its cores have left.
            prop_assert!(life.restarts().saturating_sub(since_key) <= u32::from(limit) + 1);
        }
    }
}
