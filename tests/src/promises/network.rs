//! N01 to N08 and N12: partitions on a network of their own, with the service partition as switch and as router.
//!
//! What Linux does with it is in [`linux`] (through the uplink) and [`pair`] (from partition to partition), what becomes of it
//! when the service dies in [`lives`]. What no Linux does, probes do: see [`hostile`] and [`shares`].

mod hostile;
mod linux;
mod lives;
mod pair;
mod probes;
mod shares;
mod window;

use crate::conversation::Conversation;
use crate::machine::{Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::promises::linux::{BOOT, gic};
use crate::run::Run;
use crate::scenario::Scenario;
use crate::shell::{Shell, View};
use crate::transcript::whole_lines;
use crate::uplink::Uplink;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Seconds for a short command.
const SHORT: u64 = 30;
/// Seconds for a piece of work.
const WORK: u64 = 120;

/// N01 to N08, N12.
pub const SCENARIOS: &[&[Scenario]] =
    &[hostile::SCENARIOS, linux::SCENARIOS, lives::SCENARIOS, pair::SCENARIOS, shares::SCENARIOS, window::SCENARIOS];

/// Boots `tests/systems/SYSTEM.toml`, with what `equip` adds to the machine.
fn boot(run: &Run, system: &str, equip: impl FnOnce(Recipe) -> Recipe) -> Result<(Machine, Monitor)> {
    let socket = Socket::new()?;
    let recipe = equip(Recipe::virt(gic(run.kind)).kernel(&run.project.image(system)?));
    let machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    Ok((machine, socket.accept(run)?))
}

/// Boots a Linux that has the uplink; TCP `ports` of the board's address lead in from the host.
fn boot_linux(run: &Run, system: &str, ports: &[u16]) -> Result<(Machine, Monitor, Uplink)> {
    let uplink = Uplink::new(run, ports)?;
    let (machine, monitor) = boot(run, system, |recipe| recipe.uplink(&uplink))?;
    Ok((machine, monitor, uplink))
}

/// The shell, when Linux has its address.
fn attach(console: &mut Conversation) -> Result<Shell<'_>> {
    let mut shell = Shell::attach(console, View::Tagged, BOOT)?;
    let wait = "until [ -e /run/resolv.conf ]; do sleep 0.1; done";
    shell.run(wait, SHORT).context("Linux has asked for an address in vain")?;
    Ok(shell)
}

/// What the service has dropped of a partition's frames, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Dropped(BTreeMap<String, u64>);

impl Dropped {
    /// What it said last; nothing if it never said anything.
    fn said(console: &Conversation, partition: &str) -> Self {
        Self::last(&console.transcript().text_from(0), partition).unwrap_or_default()
    }

    /// Waits until it says that it dropped `wanted`: it counts from its own life's beginning, and speaks a second behind.
    fn expect(console: &Conversation, partition: &str, wanted: &Self) -> Result<()> {
        let deadline = console.deadline(SHORT);
        let waited = console.transcript().wait(0, deadline, &format!("{wanted:?} of {partition}"), |bytes| {
            (Self::last(&whole_lines(bytes), partition)? == *wanted).then_some(())
        });
        waited.with_context(|| format!("at last it had said {:?}", Self::said(console, partition)))
    }

    fn last(text: &str, partition: &str) -> Option<Self> {
        let begin = format!("net: '{partition}': dropped ");
        text.lines().rev().find_map(|line| Self::parse(line.split_once(&begin)?.1.trim_end()))
    }

    /// `3 foreign MAC source, 1 foreign ARP sender`
    fn parse(text: &str) -> Option<Self> {
        let pairs = text.split(", ").map(|pair| pair.split_once(' '));
        let counts = pairs.map(|pair| pair.and_then(|(count, reason)| Some((reason.to_owned(), count.parse().ok()?))));
        counts.collect::<Option<_>>().map(Self)
    }

    /// One more for this reason.
    fn add(&mut self, reason: &str, count: u64) {
        *self.0.entry(reason.to_owned()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_dropped_frames_are_read() {
        let text = "service| net: 'mallory': dropped 3 foreign MAC source\r\nservice| net: 'mallory': dropped 3 foreign MAC \
            source, 12 DHCP server\r\nbob| x\r\n";
        let mut wanted = Dropped::default();
        wanted.add("foreign MAC source", 3);
        wanted.add("DHCP server", 12);
        assert_eq!(Dropped::last(text, "mallory"), Some(wanted));
        assert_eq!(Dropped::last(text, "bob"), None);
    }
}
