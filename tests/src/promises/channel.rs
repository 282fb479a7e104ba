//! N11: channels. Two bare-metal guests with one between them are in [`plain`], Linux and its control loop in [`linux`].

mod linux;
mod plain;

use crate::scenario::Scenario;

/// Seconds for a short order.
const SHORT: u64 = 30;

/// N11.
pub const SCENARIOS: &[&[Scenario]] = &[plain::SCENARIOS, linux::SCENARIOS];
