//! What becomes of a partition when its guest ends, as the system file says it and as EL2 acts on it.

use serde::{Deserialize, Serialize};

/// Most restarts that a [`RestartLimit`] counts.
pub const MAX_RESTARTS: u8 = 16;

/// What follows the end of a guest's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// A new life from the pristine image.
    Restart,
    /// The partition stays stopped.
    Stop,
}

/// How many restarts are too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestartLimit {
    /// Restarts within the window that are allowed, 1 to [`MAX_RESTARTS`].
    pub restarts: u8,
    /// The window in milliseconds.
    pub window_ms: u32,
}

/// What becomes of a partition when its guest ends. On the wire one number: EL2 would spend 600 bytes on decoding the
/// fields one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Policy {
    /// After a fault, or a watchdog that starved.
    pub on_crash: Again,
    /// After PSCI SYSTEM_RESET and SYSTEM_RESET2.
    pub on_reset: Again,
    /// After PSCI SYSTEM_OFF.
    pub on_off: Again,
    /// `None`: never too many.
    pub limit: Option<RestartLimit>,
    /// How long the second restart in a row waits, in milliseconds; each further one twice as long. 0: none waits.
    pub backoff_ms: u32,
}

impl Policy {
    /// What a system file that says nothing gets.
    pub const DEFAULT: Self = Self {
        on_crash: Again::Restart,
        on_reset: Again::Restart,
        on_off: Again::Stop,
        limit: Some(RestartLimit { restarts: 5, window_ms: 60_000 }),
        backoff_ms: 100,
    };
}

/// Bits of [`Policy`]'s number: three choices, whether there is a limit, its restarts, its window in milliseconds (24
/// bits: more than four hours) and the back-off (28 bits).
const ON_RESET: u32 = 1;
const ON_OFF: u32 = 2;
const HAS_LIMIT: u32 = 3;
const RESTARTS: u32 = 4;
const WINDOW: u32 = 12;
const BACKOFF: u32 = 36;
const WINDOW_MASK: u64 = (1 << (BACKOFF - WINDOW)) - 1;
const BACKOFF_MASK: u64 = (1 << (64 - BACKOFF)) - 1;

impl From<Policy> for u64 {
    /// Values that no system file may hold are cut to their fields' widths.
    fn from(policy: Policy) -> Self {
        let stops = |again: Again| u64::from(again == Again::Stop);
        let choices = stops(policy.on_crash) | stops(policy.on_reset) << ON_RESET | stops(policy.on_off) << ON_OFF;
        let limit = policy.limit.map_or(0, |limit| {
            let window = u64::from(limit.window_ms) & WINDOW_MASK;
            1 << HAS_LIMIT | u64::from(limit.restarts) << RESTARTS | window << WINDOW
        });
        choices | limit | (u64::from(policy.backoff_ms) & BACKOFF_MASK) << BACKOFF
    }
}

impl From<u64> for Policy {
    fn from(number: u64) -> Self {
        let again = |bit: u32| if number >> bit & 1 != 0 { Again::Stop } else { Again::Restart };
        let limit =
            RestartLimit { restarts: (number >> RESTARTS) as u8, window_ms: (number >> WINDOW & WINDOW_MASK) as u32 };
        Self {
            on_crash: again(0),
            on_reset: again(ON_RESET),
            on_off: again(ON_OFF),
            limit: (number >> HAS_LIMIT & 1 != 0).then_some(limit),
            backoff_ms: (number >> BACKOFF) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_survives_the_wire() {
        let both = [Again::Restart, Again::Stop];
        let limits = [None, Some(RestartLimit { restarts: 16, window_ms: 3_600_000 }), Policy::DEFAULT.limit];
        for on_crash in both {
            for on_reset in both {
                for on_off in both {
                    for limit in limits {
                        for backoff_ms in [0, 100, 60_000] {
                            let policy = Policy { on_crash, on_reset, on_off, limit, backoff_ms };
                            assert_eq!(Policy::from(u64::from(policy)), policy);
                        }
                    }
                }
            }
        }
    }
}
