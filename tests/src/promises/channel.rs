//! N11: channels. Two bare-metal guests with one between them are in [`plain`], Linux and its control loop in [`linux`].

mod linux;
mod plain;

use crate::conversation::Conversation;
use crate::probe::Probe;
use crate::scenario::Scenario;
use abi::service::Status;
use anyhow::Result;

/// Seconds for a short order.
const SHORT: u64 = 30;

/// The doorbell's answer to who has no end of the channel.
const REFUSED: u64 = Status::Invalid.number();

/// N11.
pub const SCENARIOS: &[&[Scenario]] = &[plain::SCENARIOS, linux::SCENARIOS];

/// Gives an order that is answered later, and waits until the probe has heard it.
fn begin(console: &mut Conversation, probe: &Probe, order: &str) -> Result<()> {
    probe.order(console, order)?;
    // Behind a prompt that was waited for already, its tag too.
    let is_heard = |line: &str| line == order || (line.starts_with(probe.name) && line.ends_with(order));
    console.expect_line(&format!("{} to repeat `{order}`", probe.name), SHORT, |line| is_heard(line).then_some(()))
}
