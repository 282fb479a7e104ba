//! S07: the service's hypercalls are for the service only, and for it only with arguments that make sense.

use super::ALICE;
use crate::conversation::Conversation;
use crate::counters::Counters;
use crate::scenario::Scenario;
use abi::service::{Call, FIRST_FUNCTION, VERSION};
use anyhow::{Result, ensure};

/// PSCI and SMCCC: NOT_SUPPORTED.
const NOT_SUPPORTED: i32 = -1;

/// S07 of the service itself.
pub const SCENARIOS: &[Scenario] = &[];

/// To an ordinary guest no such function exists, by either instruction, and EL2 counts that it tried.
pub fn of_a_guest(console: &mut Conversation) -> Result<()> {
    let before = Counters::ask(console, "alice/v0")?.of("refused")?;
    for function in FIRST_FUNCTION..FIRST_FUNCTION + Call::COUNT {
        for instruction in ["hvc", "smc"] {
            let order = format!("{instruction} {function:#x} {VERSION} 0 0");
            let code = ALICE.call(console, &order)?;
            ensure!(code == NOT_SUPPORTED, "`{order}` answered {code}");
        }
    }
    let refused = Counters::ask(console, "alice/v0")?.of("refused")? - before;
    ensure!(refused == u64::from(2 * Call::COUNT), "EL2 counted {refused} refusals of {}", 2 * Call::COUNT);
    Ok(())
}
