//! What becomes of a partition when its guest ends, as the system file says it and as EL2 acts on it.

use serde::{Deserialize, Serialize};

/// Most restarts that a [`RestartLimit`] counts.
pub const MAX_RESTARTS: u8 = 16;

/// What follows the end of a guest's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Again {
    /// A new life from the pristine image.
    Restart,
    /// The partition stays stopped.
    Stop,
}

/// How many restarts are too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestartLimit {
    /// Restarts within the window that are allowed, 1 to [`MAX_RESTARTS`].
    pub restarts: u8,
    /// The window in milliseconds.
    pub window_ms: u32,
}

/// What becomes of a partition when its guest ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
