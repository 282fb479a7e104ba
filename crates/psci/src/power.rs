//! The power state of one vCPU (DEN0022 section 5.1.4, AFFINITY_INFO, and figure "CPU_ON state machine").
//!
//! ```text
//! Off --CPU_ON by another--> OnPending --its core enters the guest--> On --CPU_OFF--> Off
//! ```

use crate::Error;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What AFFINITY_INFO reports; the numbers are the specification's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PowerState {
    /// Runs.
    On = 0,
    /// Waits for CPU_ON.
    Off = 1,
    /// CPU_ON was accepted and its core has not entered the guest yet.
    OnPending = 2,
}

impl PowerState {
    /// X0 of AFFINITY_INFO.
    pub const fn affinity_info(self) -> u64 {
        self as u64
    }
}

/// A CPU_ON was accepted that has not said yet where its vCPU starts: [`PowerState::OnPending`] to everybody else.
const CLAIMED: u8 = 3;

/// A [`PowerState`] that several cores change, and where the vCPU starts: of two CPU_ONs one wins, and a core starts its
/// vCPU where the CPU_ON wanted it that made it pending, however early or late it comes to that.
#[derive(Debug)]
pub struct Power {
    state: AtomicU8,
    /// Entry point and context: written by the CPU_ON that holds the claim, read by the core that starts.
    start: [AtomicU64; 2],
}

impl Power {
    /// A vCPU that is off.
    pub const fn new() -> Self {
        Self { state: AtomicU8::new(PowerState::Off as u8), start: [const { AtomicU64::new(0) }; 2] }
    }
    /// The state now.
    pub fn state(&self) -> PowerState {
        match self.state.load(Ordering::Acquire) {
            0 => PowerState::On,
            1 => PowerState::Off,
            _ => PowerState::OnPending,
        }
    }
    /// Takes the vCPU off whatever its state was: by its own core, or while none of its partition is in the guest.
    pub fn turn_off(&self) {
        self.state.store(PowerState::Off as u8, Ordering::Release);
    }
    /// CPU_ON by another vCPU. The caller rings the core's doorbell next.
    ///
    /// # Errors
    /// [`Error::AlreadyOn`] or [`Error::OnPending`]; nothing changes.
    pub fn cpu_on(&self, entry: u64, context: u64) -> Result<(), Error> {
        self.claim()?;
        self.start[0].store(entry, Ordering::Relaxed);
        self.start[1].store(context, Ordering::Relaxed);
        self.state.store(PowerState::OnPending as u8, Ordering::Release);
        Ok(())
    }
    /// The vCPU's own core enters the guest, if it was asked to: with this entry point and context.
    pub fn started(&self) -> Option<[u64; 2]> {
        self.step(PowerState::OnPending as u8, PowerState::On as u8).ok()?;
        Some(self.start.each_ref().map(|word| word.load(Ordering::Relaxed)))
    }

    fn claim(&self) -> Result<(), Error> {
        self.step(PowerState::Off as u8, CLAIMED).map_err(|state| match state {
            0 => Error::AlreadyOn,
            _ => Error::OnPending,
        })
    }

    fn step(&self, from: u8, to: u8) -> Result<(), u8> {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
}

impl Default for Power {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::PowerState::{Off, On, OnPending};
    use super::*;

    fn off() -> Power {
        Power::new()
    }
    fn claimed() -> Power {
        let power = off();
        power.claim().unwrap();
        power
    }
    fn pending() -> Power {
        let power = off();
        power.cpu_on(1, 2).unwrap();
        power
    }
    fn on() -> Power {
        let power = pending();
        power.started().unwrap();
        power
    }

    #[test]
    fn every_state_and_event() {
        // A vCPU, its state; after CPU_ON with 3 and 4: the answer and the state; its start and the state after that.
        type Row = (fn() -> Power, PowerState, (Result<(), Error>, PowerState), (Option<[u64; 2]>, PowerState));
        let table: [Row; 4] = [
            (off, Off, (Ok(()), OnPending), (None, Off)),
            (claimed, OnPending, (Err(Error::OnPending), OnPending), (None, OnPending)),
            (pending, OnPending, (Err(Error::OnPending), OnPending), (Some([1, 2]), On)),
            (on, On, (Err(Error::AlreadyOn), On), (None, On)),
        ];
        for (make, state, cpu_on, started) in table {
            assert_eq!(make().state(), state);
            let power = make();
            assert_eq!((power.cpu_on(3, 4), power.state()), cpu_on, "{state:?}");
            let power = make();
            assert_eq!((power.started(), power.state()), started, "{state:?}");
            let power = make();
            power.turn_off();
            assert_eq!(power.state(), Off, "{state:?}");
        }
    }

    #[test]
    fn affinity_info_numbers_are_the_specifications() {
        assert_eq!([On, Off, OnPending].map(PowerState::affinity_info), [0, 1, 2]);
    }

    #[test]
    fn of_many_racing_cpu_ons_one_wins() {
        for _ in 0..100 {
            let power = Power::new();
            let (wins, winner) = std::thread::scope(|scope| {
                let racers = [1, 2, 3, 4].map(|n| {
                    (
                        n,
                        scope.spawn({
                            let power = &power;
                            move || power.cpu_on(n, n)
                        }),
                    )
                });
                let winners = racers.map(|(n, racer)| if racer.join().unwrap().is_ok() { n } else { 0 });
                (winners.iter().filter(|n| **n != 0).count(), winners.iter().sum())
            });
            assert_eq!((wins, power.state(), power.started()), (1, OnPending, Some([winner; 2])));
        }
    }

    /// A doorbell of an earlier life is acted on when it may be too early for this one's CPU_ON.
    #[test]
    fn a_core_that_looks_too_early_starts_nowhere_or_where_this_cpu_on_wanted() {
        let power = Power::new();
        std::thread::scope(|scope| {
            let wrong = scope.spawn(|| {
                let next = || loop {
                    if let Some(start) = power.started() {
                        power.turn_off();
                        break start;
                    }
                    core::hint::spin_loop();
                };
                (1..=20_000).filter(|n| next() != [*n; 2]).count()
            });
            for n in 1..=20_000 {
                while power.cpu_on(n, n).is_err() && !wrong.is_finished() {
                    core::hint::spin_loop();
                }
            }
            assert_eq!(wrong.join().unwrap(), 0, "started elsewhere");
        });
    }
}
