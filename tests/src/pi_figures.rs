//! What EL2 costs on a Raspberry Pi 4, in instructions by the plugin ([`crate::elcount`]): per exit beside `virt` with
//! GICv2, and from reset to the first instruction of `control`.

use crate::bench::measure_stretches_on_pi;
use crate::bundle::Bundle;
use crate::elcount::{self, Extent, First, Stretches};
use crate::machine::Recipe;
use crate::monitor::Socket;
use crate::promises::boot_failures::RPI4_TREE;
use crate::run::Run;
use anyhow::{Context, Result, ensure};
use manifest::PayloadKind;
use std::collections::BTreeMap;
use std::fmt;

/// Seconds for a boot, all cores on one thread and EL2 instrumented.
const SLOW: u64 = 90;
/// VMID of the partition `control` in `tests/systems/pi-linux.toml`.
const CONTROL: u64 = 2;
/// VMID of the partition `bench` in its systems.
const BENCH: u64 = 1;
/// Fewer exits in a phase are its beginning and end, not what it is about.
const MANY: u64 = 100;
/// Instructions for a line of 64 bytes that is copied and summed: `figures::LINUX_ROW` says which.
const LINE: u64 = 10;
/// Instructions at EL2 on its core until control's first.
pub const START_MAX: u64 = 1_000_000;
/// Hundredths by which an exit may cost more or less than on `virt`.
pub const TOLERANCE: u64 = 5;

/// Exits of one kind in one phase of the bench guest, on both boards: mean instructions at EL2, in hundredths.
pub struct Exit {
    phase: u64,
    kind: &'static str,
    virt: u64,
    pi: u64,
}

impl Exit {
    /// Whether both cost the same, but for the tolerance.
    pub fn is_alike(&self) -> bool {
        self.virt.abs_diff(self.pi) * 100 <= self.virt * TOLERANCE
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |hundredths: u64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let Self { phase, kind, virt, pi } = self;
        write!(f, "phase {phase} {kind}: {} instructions an exit, {} on virt", shown(*pi), shown(*virt))
    }
}

/// Exits of the bench guest by phase and kind, its vCPUs together: how many, and their instructions.
fn exits(stretches: &[Stretches]) -> BTreeMap<(u64, &'static str), (u64, u64)> {
    let mut exits = BTreeMap::new();
    for found in stretches.iter().filter(|found| found.vmid == BENCH) {
        let Some(phase) = found.phase else { continue };
        for (kind, Extent { count, sum, .. }) in [("sync", found.synchronous), ("irq", found.interrupt)] {
            let (all, instructions) = exits.entry((phase, kind)).or_insert((0, 0));
            *all += count;
            *instructions += sum;
        }
    }
    exits
}

/// What an exit costs on both boards, for each kind of the bench guest's phases that has many; `on_virt` is known.
pub fn per_exit(run: &Run, on_virt: &[Stretches]) -> Result<Vec<Exit>> {
    let virt = exits(on_virt);
    let pi = exits(&measure_stretches_on_pi(run)?);
    let of = |exits: &BTreeMap<_, (u64, u64)>, key: &_| {
        exits.get(key).filter(|(count, _)| *count >= MANY).map(|(count, sum)| sum * 100 / count)
    };
    let rows = virt.keys().filter_map(|key| {
        let virt = of(&virt, key)?;
        let &(phase, kind) = key;
        Some((phase, kind, virt, of(&pi, key)))
    });
    rows.map(|(phase, kind, virt, pi)| {
        let pi = pi.with_context(|| format!("no {kind} exits in phase {phase} on raspi4b"))?;
        Ok(Exit { phase, kind, virt, pi })
    })
    .collect()
}

/// Control's start beside Linux.
pub struct StartOfControl {
    /// Instructions at EL2 on its core until its first.
    pub own: u64,
    /// What the two cores that load Linux had executed by then.
    pub loaders: u64,
    /// What they need to copy Linux's kernel alone.
    pub copy: u64,
}

/// Boots Linux beside control; no Linux may have started before.
pub fn start_of_control(run: &Run) -> Result<StartOfControl> {
    let image = run.project.image("pi-linux")?;
    let bundle = Bundle::read(&image)?;
    let payloads = bundle.system().partitions.iter().flat_map(|partition| &partition.payloads);
    let kernel = payloads.filter(|payload| payload.kind == PayloadKind::Kernel).map(|payload| payload.size).max();
    let out = run.directory().join("start");
    let socket = Socket::new()?;
    let recipe = Recipe::raspi4b(&run.project.built(RPI4_TREE)?).kernel(&image).arg("-icount").arg("shift=0,sleep=off");
    let recipe = recipe.arg("-plugin").arg(format!("{},stretches=on", elcount::option(run.project, &out)?));
    let mut machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    let monitor = socket.accept(run)?;
    machine.console.expect("control| control: beat", SLOW)?;
    monitor.quit()?;
    machine.expect_power_off(SLOW)?;
    let firsts = First::read(&out)?;
    let first = firsts.first().context("the plugin saw no guest start")?;
    ensure!(first.vmid == CONTROL, "the first guest that started is not control: {firsts:?}");
    // The boot core comes first, and loads nothing.
    let loaders = first.others.iter().skip(1).sum();
    Ok(StartOfControl { own: first.instructions, loaders, copy: kernel.context("no kernel")? / 64 * LINE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundredths_are_alike_and_six_are_not() {
        let is_alike = |pi| Exit { phase: 1, kind: "sync", virt: 10_000, pi }.is_alike();
        assert!(is_alike(10_500) && is_alike(9_500));
        assert!(!is_alike(10_501) && !is_alike(9_499));
    }
}
