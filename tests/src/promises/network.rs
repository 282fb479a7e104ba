//! N01 to N07 and N12: partitions on a network of their own, with the service partition as switch and as router.
//!
//! What Linux does with it is in [`linux`] (through the uplink) and [`pair`] (from partition to partition), what becomes of it
//! when the service dies in [`lives`]. What no Linux does, probes do: see [`hostile`] and [`shares`].

mod hostile;
mod linux;
mod lives;
mod pair;
mod shares;

use crate::conversation::Conversation;
use crate::counters::CTRL_T;
use crate::machine::{Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::promises::linux::{BOOT, gic};
use crate::run::Run;
use crate::scenario::Scenario;
use crate::shell::{Shell, View};
use crate::uplink::Uplink;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Seconds for a short command.
const SHORT: u64 = 30;
/// Seconds for a piece of work.
const WORK: u64 = 120;

/// N01 to N07, N12.
pub const SCENARIOS: &[&[Scenario]] =
    &[hostile::SCENARIOS, linux::SCENARIOS, lives::SCENARIOS, pair::SCENARIOS, shares::SCENARIOS];

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

/// What the service has dropped of a partition's, by reason, as it says on `Ctrl-T s`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Dropped(BTreeMap<String, u64>);

impl Dropped {
    /// The line is `net: PARTITION: dropped 3 spoofed-mac, 1 spoofed-arp`, or ends in `dropped nothing`.
    const WORDS: (&str, &str) = ("net: ", ": dropped ");

    /// Asks the service.
    fn ask(console: &mut Conversation, partition: &str) -> Result<Self> {
        console.send([CTRL_T, b's'])?;
        let begin = format!("{}{partition}{}", Self::WORDS.0, Self::WORDS.1);
        console.expect_line(&format!("a line with `{begin}`"), SHORT, |line| Self::parse(line.split_once(&begin)?.1))
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "nothing" {
            return Some(Self::default());
        }
        let pairs = text.split(", ").map(|pair| pair.split_once(' '));
        pairs.map(|pair| pair.and_then(|(count, reason)| Some((reason.to_owned(), count.parse().ok()?)))).collect::<Option<_>>().map(Self)
    }

    /// How many for this reason.
    fn of(&self, reason: &str) -> u64 {
        self.0.get(reason).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_dropped_frames_are_read() {
        let dropped = Dropped::parse("3 spoofed-mac, 12 spoofed-arp").unwrap();
        assert_eq!((dropped.of("spoofed-mac"), dropped.of("spoofed-arp"), dropped.of("other")), (3, 12, 0));
        assert_eq!(Dropped::parse("nothing"), Some(Dropped::default()));
        assert_eq!(Dropped::parse("some"), None);
    }
}
