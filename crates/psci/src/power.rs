//! The power state of one vCPU (DEN0022 section 5.1.4, AFFINITY_INFO, and figure "CPU_ON state machine").
//!
//! ```text
//! Off --CPU_ON by another--> OnPending --its core enters the guest--> On --CPU_OFF--> Off
//! ```

use crate::Error;
use core::sync::atomic::{AtomicU8, Ordering};

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
    /// CPU_ON by another vCPU.
    ///
    /// # Errors
    /// [`Error::AlreadyOn`] or [`Error::OnPending`]; the state stays.
    pub const fn cpu_on(self) -> Result<Self, Error> {
        match self {
            Self::Off => Ok(Self::OnPending),
            Self::OnPending => Err(Error::OnPending),
            Self::On => Err(Error::AlreadyOn),
        }
    }
    /// The vCPU's own core enters the guest. `None` unless it was asked to.
    pub const fn started(self) -> Option<Self> {
        match self {
            Self::OnPending => Some(Self::On),
            Self::Off | Self::On => None,
        }
    }
    /// CPU_OFF by the vCPU itself. `None` unless it runs.
    pub const fn cpu_off(self) -> Option<Self> {
        match self {
            Self::On => Some(Self::Off),
            Self::Off | Self::OnPending => None,
        }
    }
    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::On,
            2 => Self::OnPending,
            _ => Self::Off,
        }
    }
    /// X0 of AFFINITY_INFO.
    pub const fn affinity_info(self) -> u64 {
        self as u64
    }
}

/// A [`PowerState`] that several cores change: each change is one atomic step, so of two CPU_ONs one wins.
///
/// A successful [`Power::cpu_on`] publishes nothing by itself: write entry point and context, which only the winner
/// may, then ring the core's doorbell with release semantics.
#[derive(Debug)]
pub struct Power(AtomicU8);

impl Power {
    /// A vCPU in `state`.
    pub const fn new(state: PowerState) -> Self {
        Self(AtomicU8::new(state as u8))
    }
    /// The state now.
    pub fn state(&self) -> PowerState {
        PowerState::from_number(self.0.load(Ordering::Acquire))
    }
    /// Puts the vCPU into `state` whatever it was in: at the start and end of a partition's life only.
    pub fn reset(&self, state: PowerState) {
        self.0.store(state as u8, Ordering::Release);
    }
    /// See [`PowerState::cpu_on`].
    ///
    /// # Errors
    /// [`Error::AlreadyOn`] or [`Error::OnPending`]; the state stays.
    pub fn cpu_on(&self) -> Result<(), Error> {
        self.step(|state| state.cpu_on().ok()).map_err(|state| match state {
            PowerState::On => Error::AlreadyOn,
            PowerState::Off | PowerState::OnPending => Error::OnPending,
        })
    }
    /// See [`PowerState::started`]; whether the state changed.
    pub fn started(&self) -> bool {
        self.step(PowerState::started).is_ok()
    }
    /// See [`PowerState::cpu_off`]; whether the state changed.
    pub fn cpu_off(&self) -> bool {
        self.step(PowerState::cpu_off).is_ok()
    }

    fn step(&self, next: impl Fn(PowerState) -> Option<PowerState>) -> Result<(), PowerState> {
        let change = |number| next(PowerState::from_number(number)).map(|state| state as u8);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change) {
            Ok(_) => Ok(()),
            Err(number) => Err(PowerState::from_number(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::PowerState::{Off, On, OnPending};
    use super::*;

    #[test]
    fn every_state_and_event() {
        // State, after CPU_ON, after start, after CPU_OFF.
        let table = [
            (Off, Ok(OnPending), None, None),
            (OnPending, Err(Error::OnPending), Some(On), None),
            (On, Err(Error::AlreadyOn), None, Some(Off)),
        ];
        for (state, cpu_on, started, cpu_off) in table {
            assert_eq!((state.cpu_on(), state.started(), state.cpu_off()), (cpu_on, started, cpu_off), "{state:?}");
            let shared = || Power::new(state);
            let after = |power: &Power| power.state();
            let power = shared();
            assert_eq!(power.cpu_on(), cpu_on.map(|_| ()));
            assert_eq!(after(&power), cpu_on.unwrap_or(state));
            let power = shared();
            assert_eq!(power.started(), started.is_some());
            assert_eq!(after(&power), started.unwrap_or(state));
            let power = shared();
            assert_eq!(power.cpu_off(), cpu_off.is_some());
            assert_eq!(after(&power), cpu_off.unwrap_or(state));
        }
    }

    #[test]
    fn affinity_info_numbers_are_the_specifications() {
        assert_eq!([On, Off, OnPending].map(PowerState::affinity_info), [0, 1, 2]);
    }

    #[test]
    fn of_many_racing_cpu_ons_one_wins() {
        for _ in 0..100 {
            let power = Power::new(Off);
            let wins = std::thread::scope(|scope| {
                let racers = [(); 4].map(|()| scope.spawn(|| power.cpu_on()));
                racers.map(|racer| racer.join().unwrap()).iter().filter(|result| result.is_ok()).count()
            });
            assert_eq!((wins, power.state()), (1, OnPending));
        }
    }

    #[test]
    fn a_new_life_starts_from_a_known_state() {
        let power = Power::new(On);
        power.reset(Off);
        assert_eq!(power.state(), Off);
    }
}
