//! Every (state, event) pair, and every (reason, policy) pair, each as one table.

use abi::Again::{Restart, Stop};
use abi::{Again, Policy};
use life::Event::{Cleared, CoresLeft, Damaged, Ended, Loaded, Start, Started, Unserved, Waited};
use life::Reason::{Fault, Off, Reset, RestartKey, StopKey, Watchdog};
use life::{Action, Event, Life, Reason, Refused, State, Why};

type Outcome = (State, Result<Action, Refused>);

/// A cell is the next state and `+action`; `.` is nothing, `busy`, `runs`, `stopped` are refusals: the state stays.
///
/// The empty and the quiesced state are three and two situations, by what EL2 does to the RAM. `Stopping` is after a
/// first fault with the default policy; the tables below have the other reasons and policies.
const TABLE: &str = "
event       empty    loading  clearing  loaded  running  stopping  q.loading  q.clearing  crashed  stopped
Start       E+load   busy     busy      runs    runs     busy      busy       busy        Q+load   E+load
Loaded      .        L+enter  .         .       .        .         L+enter    .           .        .
Damaged     .        E+damag  .         .       .        .         Q+damag    .           .        .
Started     .        .        .         R       .        .         .          .           .        .
Unserved    .        .        .         Q+unserv .       .         .          .           .        .
CoresLeft   .        .        .         .       .        Q+load    .          .           .        .
Waited      .        .        .         .       .        .         .          .           Q+load   .
Cleared     .        .        X         .       .        .         .          X           .        .
Off         .        .        .         S+cores S+cores  .         .          .           .        .
Reset       .        .        .         S+cores S+cores  .         .          .           .        .
Fault       .        .        .         S+cores S+cores  .         .          .           .        .
Watchdog    .        .        .         S+cores S+cores  .         .          .           .        .
RestartKey  E+load   busy     busy      S+cores S+cores  busy      busy       busy        Q+load   E+load
StopKey     stopped  busy     busy      S+cores S+cores  .         busy       busy        Q+key    stopped
";

fn outcome(cell: &str, state: State) -> Outcome {
    match cell {
        "." => (state, Ok(Action::None)),
        "busy" => (state, Err(Refused::Busy)),
        "runs" => (state, Err(Refused::Running)),
        "stopped" => (state, Err(Refused::Stopped)),
        "E+load" => (State::Empty, Ok(Action::Load)),
        "E+damag" => (State::Empty, Ok(Action::Clear(Why::Damaged))),
        "L+enter" => (State::Loaded, Ok(Action::Enter)),
        "R" => (State::Running, Ok(Action::None)),
        "S+cores" => (State::Stopping, Ok(Action::StopCores)),
        "Q+load" => (State::Quiesced, Ok(Action::Load)),
        "Q+damag" => (State::Quiesced, Ok(Action::Clear(Why::Damaged))),
        "Q+unserv" => (State::Quiesced, Ok(Action::Clear(Why::Unserved))),
        "Q+key" => (State::Quiesced, Ok(Action::Clear(Why::Key))),
        "X" => (State::Stopped, Ok(Action::None)),
        unknown => panic!("no such cell: {unknown}"),
    }
}

fn event(name: &str) -> Event {
    let events = [Start, Loaded, Damaged, Started, Unserved, CoresLeft, Waited, Cleared];
    let reasons = [Off, Reset, Fault, Watchdog, RestartKey, StopKey];
    let event = events.into_iter().find(|event| format!("{event:?}") == name);
    let ended = || reasons.into_iter().find(|reason| format!("{reason:?}") == name).map(Ended);
    event.or_else(ended).unwrap_or_else(|| panic!("no such event: {name}"))
}

const RUN: [Event; 3] = [Start, Loaded, Started];
const CRASH: [Event; 2] = [Ended(Fault), CoresLeft];

/// A life in this situation, reached by events alone.
fn situation(name: &str) -> Life {
    let steps: &[&[Event]] = match name {
        "empty" => &[],
        "loading" => &[&[Start]],
        "clearing" => &[&[Start, Damaged]],
        "loaded" => &[&[Start, Loaded]],
        "running" => &[&RUN],
        "stopping" => &[&RUN, &[Ended(Fault)]],
        "q.loading" => &[&RUN, &CRASH],
        "q.clearing" => &[&RUN, &[Ended(StopKey), CoresLeft]],
        "crashed" => &[&RUN, &CRASH, &[Loaded, Started], &CRASH],
        "stopped" => &[&RUN, &[Ended(StopKey), CoresLeft, Cleared]],
        unknown => panic!("no such situation: {unknown}"),
    };
    let mut life = Life::new(Policy::DEFAULT);
    for event in steps.concat() {
        life.event(event, 0).expect("no step is refused");
    }
    life
}

#[test]
fn every_state_and_event() {
    let mut lines = TABLE.lines().filter(|line| !line.is_empty()).map(|line| line.split_whitespace());
    let situations: Vec<&str> = lines.next().expect("a heading").skip(1).collect();
    let mut pairs = 0;
    for mut cells in lines {
        let name = cells.next().expect("an event");
        for (at, cell) in situations.iter().zip(cells) {
            let mut life = situation(at);
            let expected = outcome(cell, life.state());
            let result = life.event(event(name), 0);
            assert_eq!((life.state(), result), expected, "{name} while {at}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 14 * 10, "the table is complete");
}

#[test]
fn each_situation_is_the_state_that_it_is_named_after() {
    for (name, state) in [
        ("empty", State::Empty),
        ("loading", State::Empty),
        ("clearing", State::Empty),
        ("loaded", State::Loaded),
        ("running", State::Running),
        ("stopping", State::Stopping),
        ("q.loading", State::Quiesced),
        ("q.clearing", State::Quiesced),
        ("crashed", State::Crashed),
        ("stopped", State::Stopped),
    ] {
        assert_eq!(situation(name).state(), state, "{name}");
    }
}

/// What follows the end of a life by `reasons`, the first and those that come while its cores leave.
fn after(policy: Policy, reasons: &[Reason]) -> Action {
    let mut life = Life::new(policy);
    for event in RUN {
        life.event(event, 0).expect("a first life");
    }
    for &reason in reasons {
        // A restart key is refused while its cores leave.
        let _ = life.event(Ended(reason), 0);
    }
    life.event(CoresLeft, 0).expect("its cores left")
}

#[test]
fn each_reason_follows_its_own_policy() {
    use Action::{Clear, Load};
    let only =
        |on_off: Again, on_reset: Again, on_crash: Again| Policy { on_off, on_reset, on_crash, ..Policy::DEFAULT };
    let nothing = only(Stop, Stop, Stop);
    let (on_off, on_reset) = (only(Restart, Stop, Stop), only(Stop, Restart, Stop));
    let on_crash = only(Stop, Stop, Restart);
    #[rustfmt::skip]
    let table = [
        // Reason,    DEFAULT,         nothing restarts,  on_off restarts,   on_reset restarts,  on_crash restarts
        (Off,        [Clear(Why::Off), Clear(Why::Off),   Load,              Clear(Why::Off),    Clear(Why::Off)]),
        (Reset,      [Load,            Clear(Why::Reset), Clear(Why::Reset), Load,               Clear(Why::Reset)]),
        (Fault,      [Load,            Clear(Why::Crash), Clear(Why::Crash), Clear(Why::Crash),  Load]),
        (Watchdog,   [Load,            Clear(Why::Crash), Clear(Why::Crash), Clear(Why::Crash),  Load]),
        (RestartKey, [Load,            Load,              Load,              Load,               Load]),
        (StopKey,    [Clear(Why::Key); 5]),
    ];
    for (reason, expected) in table {
        let found = [Policy::DEFAULT, nothing, on_off, on_reset, on_crash].map(|policy| after(policy, &[reason]));
        assert_eq!(found, expected, "{reason:?}");
    }
}

#[test]
fn the_first_reason_wins_except_against_the_stop_key() {
    for first in [Off, Reset, Fault, Watchdog, RestartKey, StopKey] {
        for second in [Off, Reset, Fault, Watchdog, RestartKey] {
            assert_eq!(
                after(Policy::DEFAULT, &[first, second]),
                after(Policy::DEFAULT, &[first]),
                "{first:?} {second:?}"
            );
        }
        assert_eq!(after(Policy::DEFAULT, &[first, StopKey]), Action::Clear(Why::Key), "{first:?}");
        assert_eq!(after(Policy::DEFAULT, &[StopKey, first]), Action::Clear(Why::Key), "{first:?}");
    }
}

#[test]
fn a_damaged_image_stops_it_until_the_start_key_tries_again() {
    let mut life = situation("q.loading");
    assert_eq!(life.event(Damaged, 0), Ok(Action::Clear(Why::Damaged)));
    assert_eq!((life.event(Cleared, 0), life.state()), (Ok(Action::None), State::Stopped));
    assert_eq!(life.event(Start, 0), Ok(Action::Load));
    assert_eq!((life.event(Loaded, 0), life.state()), (Ok(Action::Enter), State::Loaded));
}
