//! N11: channels. Two bare-metal guests with one between them are in [`plain`], Linux and its control loop in [`linux`].

mod linux;
mod plain;

use crate::scenario::Scenario;
use abi::service::Status;

/// Seconds for a short order.
const SHORT: u64 = 30;

/// The doorbell's answer to who has no end of the channel.
const REFUSED: u64 = Status::Invalid.number();

/// N11.
pub const SCENARIOS: &[&[Scenario]] = &[plain::SCENARIOS, linux::SCENARIOS];
