//! The states of a partition, and what EL2 does next when its guest starts, ends or is to come back.
//!
//! ```text
//! Empty --Loaded--> Loaded --Started--> Running --Ended--> Stopping --CoresLeft--> Quiesced, and from there:
//!   --Loaded--> Loaded                            it comes back at once
//!   --> Crashed --Waited--> Quiesced --Loaded-->  it comes back later
//!   --Cleared--> Stopped --Start--> Empty         it stays stopped, until a key
//! ```
//!
//! [`Life::event`] takes what happened and returns the [`Action`] that follows: a table, tested pair by pair. The
//! partition's [`abi::Policy`] says who comes back, how often within a window, and after what wait.
//!
//! This crate loads, stops and scrubs nothing, has no clock and takes no lock: EL2 acts on what it returns, and reports
//! the end of each action as the next event. Why a guest faulted is EL2's to record; here a fault is a fault.
#![no_std]
#![forbid(unsafe_code)]

mod history;
mod state;
mod words;

pub use history::{NO_LIMIT_WINDOW_MS, WAIT_MAX_MS};
pub use state::Life;
pub use words::{Action, Event, Reason, Refused, State, Why};
