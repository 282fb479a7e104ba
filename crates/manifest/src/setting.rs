//! The numbers of a system file about a partition's lives, their ranges, and durations in print.

use abi::life::MAX_RESTARTS;
use core::fmt;
use core::ops::RangeInclusive;

/// A number about a partition's lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// How many restarts the limit allows.
    Restarts,
    /// Within which time, in milliseconds.
    Window,
    /// What the second restart in a row waits for, in milliseconds.
    Backoff,
    /// How long the watchdog waits, in milliseconds.
    Watchdog,
}

impl Setting {
    /// The values that it may have where there is one: 0 stands for no back-off and no watchdog.
    pub const fn range(self) -> RangeInclusive<u32> {
        const HOUR: u32 = 3_600_000;
        match self {
            Self::Restarts => 1..=MAX_RESTARTS as u32,
            Self::Window | Self::Watchdog => 1000..=HOUR,
            // No restart waits longer, however many came before.
            Self::Backoff => 1..=5_000,
        }
    }

    /// Prints a value of it with its unit.
    pub fn value(self, value: u32) -> impl fmt::Display {
        fmt::from_fn(move |f| match self {
            Self::Restarts => write!(f, "{value}"),
            _ => write!(f, "{}", Milliseconds(value)),
        })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restarts => "a restart limit",
            Self::Window => "a restart limit with a window",
            Self::Backoff => "a restart back-off",
            Self::Watchdog => "a watchdog",
        })
    }
}

/// Prints milliseconds with the largest unit that divides them: `100ms`, `60s`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milliseconds(pub u32);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // One minute is more often thought of as 60 seconds.
            ms if ms > 60_000 && ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms > 0 && ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn durations_print_as_they_are_written() {
        for (ms, text) in
            [(0, "0ms"), (100, "100ms"), (1500, "1500ms"), (60_000, "60s"), (90_000, "90s"), (3_600_000, "60m")]
        {
            assert_eq!(Milliseconds(ms).to_string(), text);
        }
    }
}
