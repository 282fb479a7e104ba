//! What `Ctrl-T s` says: the exits of each vCPU by reason.

use crate::conversation::Conversation;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Ctrl-T, the console's prefix key.
pub const CTRL_T: u8 = 0x14;

/// Exits of one vCPU by reason, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Asks EL2 for the counters of `vcpu`, as in `linux/v0`.
    pub fn ask(console: &mut Conversation, vcpu: &str) -> Result<Self> {
        console.send([CTRL_T, b's'])?;
        Self::next(console, vcpu)
    }

    /// The counters of `vcpu`, of the same answer as the ones before.
    pub fn next(console: &mut Conversation, vcpu: &str) -> Result<Self> {
        console.expect_line(&format!("the counters of {vcpu}"), 20, |line| {
            let (_, rest) = line.split_once(&format!("{vcpu} "))?;
            Self::parse(rest)
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let fields = text.split_whitespace().filter_map(|word| word.split_once('='));
        let counters: BTreeMap<_, _> =
            fields.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect();
        (!counters.is_empty()).then_some(Self(counters))
    }

    /// One counter.
    pub fn of(&self, name: &str) -> Result<u64> {
        self.0.get(name).copied().with_context(|| format!("no counter '{name}' among {:?}", self.0))
    }

    /// All counters but `known` whose value differs from `earlier`.
    pub fn moved_since(&self, earlier: &Self, known: &[&str]) -> Vec<String> {
        let unknown = self.0.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let moved = unknown.filter(|(name, count)| earlier.0.get(*name) != Some(count));
        moved.map(|(name, count)| format!("{name} {:?} -> {count}", earlier.0.get(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "core3 running on hvc=0 uart=190 forwarded=5000 own=1";

    #[test]
    fn counters_are_read_and_compared() {
        let before = Counters::parse(LINE).unwrap();
        let after = Counters::parse(&LINE.replace("own=1", "own=2").replace("5000", "5001")).unwrap();
        assert_eq!(before.of("uart").unwrap(), 190);
        assert_eq!(after.moved_since(&before, &["forwarded"]), ["own Some(1) -> 2"]);
        assert!(before.of("none").is_err());
    }
}
