//! The table's types: a scenario is one boot that keeps one or more promises.

use crate::run::Run;
use anyhow::Result;
use std::fmt;

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// QEMU `virt`, GICv3.
    V3,
    /// QEMU `virt`, GICv2.
    V2,
    /// QEMU `raspi4b`.
    Pi,
    /// The host alone.
    Host,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V3 => "V3",
            Self::V2 => "V2",
            Self::Pi => "PI",
            Self::Host => "HOST",
        })
    }
}

/// When a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// With every `make test`, beside another one.
    Always,
    /// With every `make test`, with no other QEMU: it counts instructions on the virtual clock.
    Alone,
    /// With `make test-long` only.
    Long,
    /// With every `make test`, beside another one; but on this machine, which shows what others show too, with `make test-long` only.
    LongOn(Kind),
}

impl When {
    /// Whether `make test` leaves a scenario on `kind` to `make test-long`.
    pub fn is_long_on(self, kind: Kind) -> bool {
        self == Self::Long || self == Self::LongOn(kind)
    }
}

/// One promise: its id in the issue, and the name of its test.
#[derive(Debug, PartialEq, Eq)]
pub struct Promise {
    /// As the issue writes it: `B30`.
    pub id: &'static str,
    /// What is promised, in words.
    pub name: &'static str,
}

/// One boot, or one build, and the promises that are kept there.
pub struct Scenario {
    /// Its name: of its directory, and for filters.
    pub name: &'static str,
    /// Where it runs: once on each.
    pub kinds: &'static [Kind],
    /// When it runs.
    pub when: When,
    /// Seconds after which it has failed.
    pub seconds: u64,
    /// What it keeps.
    pub promises: &'static [Promise],
    /// Runs it. An error fails every promise that has no result yet.
    pub body: fn(&mut Run) -> Result<()>,
}

/// A promise in a table.
pub const fn promise(id: &'static str, name: &'static str) -> Promise {
    Promise { id, name }
}
