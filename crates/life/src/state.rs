//! [`Life`]: the state machine.

use crate::history::History;
use crate::{Action, Event, Reason, Refused, State, Why};
use abi::{Again, Policy};

/// One partition's life after life.
#[derive(Clone, Debug)]
pub struct Life {
    policy: Policy,
    state: State,
    work: Work,
    /// Why this life ends, while it is [`State::Stopping`].
    reason: Reason,
    history: History,
    lives: u32,
}

/// What EL2 does to the RAM of a partition that is empty or quiesced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    Nothing,
    Loading,
    Clearing,
}

impl Life {
    /// Empty, and never started.
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Empty,
            work: Work::Nothing,
            reason: Reason::Off,
            history: History::new(),
            lives: 0,
        }
    }
    /// Where it is.
    pub const fn state(&self) -> State {
        self.state
    }
    /// How many lives were decided on after the first, by keys too. While one waits or is loaded it counts already; one
    /// that a key stops before it was loaded does not.
    pub const fn restarts(&self) -> u32 {
        self.lives.saturating_sub(1)
    }

    /// Takes what happened at `now_ms` (of any clock that does not go back); what EL2 does next.
    ///
    /// What cannot happen in a state, such as the end of a wait that a key cut short, changes nothing: [`Action::None`].
    ///
    /// # Errors
    /// A key that makes no sense now is [`Refused`]; the state stays.
    pub fn event(&mut self, event: Event, now_ms: u64) -> Result<Action, Refused> {
        let is_loading = self.work == Work::Loading;
        let action = match (self.state, event) {
            (State::Empty | State::Quiesced, Event::Loaded) if is_loading => self.enter(),
            (State::Empty | State::Quiesced, Event::Damaged) if is_loading => self.clear(Why::Damaged),
            (State::Empty | State::Quiesced, Event::Cleared) if self.work == Work::Clearing => self.stay_stopped(),
            (State::Empty | State::Quiesced, event) if self.work != Work::Nothing => return busy(event),

            (State::Empty | State::Stopped, Event::Start | Event::Ended(Reason::RestartKey)) => self.begin(),
            (State::Empty | State::Stopped, Event::Ended(Reason::StopKey)) => return Err(Refused::Stopped),

            (State::Loaded | State::Running, Event::Start) => return Err(Refused::Running),
            (State::Loaded, Event::Unserved) => {
                self.state = State::Quiesced;
                self.clear(Why::Unserved)
            }
            (State::Loaded, Event::Started) => self.become_state(State::Running, Action::None),
            (State::Loaded | State::Running, Event::Ended(reason)) => {
                self.reason = reason;
                self.become_state(State::Stopping, Action::StopCores)
            }

            (State::Stopping, Event::Start | Event::Ended(Reason::RestartKey)) => return Err(Refused::Busy),
            // The first reason wins, except that the user's wish to stop it is kept.
            (State::Stopping, Event::Ended(Reason::StopKey)) => {
                self.reason = Reason::StopKey;
                Action::None
            }
            (State::Stopping, Event::CoresLeft) => self.ended(now_ms),

            (State::Crashed, Event::Waited) => self.load(State::Quiesced),
            (State::Crashed, Event::Start | Event::Ended(Reason::RestartKey)) => {
                self.history.clear();
                self.load(State::Quiesced)
            }
            (State::Crashed, Event::Ended(Reason::StopKey)) => {
                self.lives = self.lives.saturating_sub(1);
                self.state = State::Quiesced;
                self.clear(Why::Key)
            }
            _ => Action::None,
        };
        Ok(action)
    }

    /// No core is in the guest any more: what its reason and the policy say.
    fn ended(&mut self, now_ms: u64) -> Action {
        self.state = State::Quiesced;
        let (again, why) = match self.reason {
            Reason::Off => (self.policy.on_off, Why::Off),
            Reason::Reset => (self.policy.on_reset, Why::Reset),
            Reason::Fault | Reason::Watchdog => (self.policy.on_crash, Why::Crash),
            Reason::RestartKey => {
                self.history.clear();
                self.count();
                return self.load(State::Quiesced);
            }
            Reason::StopKey => return self.clear(Why::Key),
        };
        if again == Again::Stop {
            return self.clear(why);
        }
        let Some(ms) = self.history.restart(&self.policy, now_ms) else { return self.clear(Why::Limit) };
        self.count();
        if ms == 0 {
            return self.load(State::Quiesced);
        }
        self.become_state(State::Crashed, Action::Wait { ms })
    }

    /// A first life, or one that the user starts: nothing that came before counts.
    fn begin(&mut self) -> Action {
        self.history.clear();
        self.count();
        self.load(State::Empty)
    }
    fn count(&mut self) {
        self.lives = self.lives.saturating_add(1);
    }
    fn load(&mut self, state: State) -> Action {
        self.work = Work::Loading;
        self.become_state(state, Action::Load)
    }
    fn enter(&mut self) -> Action {
        self.work = Work::Nothing;
        self.become_state(State::Loaded, Action::Enter)
    }
    fn clear(&mut self, why: Why) -> Action {
        self.work = Work::Clearing;
        Action::Clear(why)
    }
    fn stay_stopped(&mut self) -> Action {
        self.work = Work::Nothing;
        self.become_state(State::Stopped, Action::None)
    }
    fn become_state(&mut self, state: State, action: Action) -> Action {
        self.state = state;
        action
    }
}

/// While EL2 works on its RAM, keys are refused; nothing else can happen.
const fn busy(event: Event) -> Result<Action, Refused> {
    match event {
        Event::Start | Event::Ended(Reason::RestartKey | Reason::StopKey) => Err(Refused::Busy),
        _ => Ok(Action::None),
    }
}
