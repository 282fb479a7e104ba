//! What the service partition's network costs: exits and instructions of a guest's frames to another guest, to the host and
//! back, and of silence.
//!
//! Two guests run `bench-net`. As for a disk (disk_figures.rs), cores take turns under `-icount` and the plugin holds the
//! machine back until the board's network device has done what it was told, so that counts repeat; turns of the service
//! without work are left out. Outside is QEMU's user network, shut off from the host: it answers echo requests itself,
//! before the next instruction, and swallows all else.

use crate::bench::{Row, Rows};
use crate::elcount::{self, Work};
use crate::figures;
use crate::machine::{GicVersion, Recipe};
use crate::run::Run;
use anyhow::{Context, Result, ensure};

/// Seconds for a run.
const RUN: u64 = 240;
/// What the plugin waits for the board's network device, in microseconds.
const DEVICE_WAIT: u32 = 2000;
/// VMIDs of `tests/systems/bench-net.toml`: the guest that is counted and its peer, then the service.
const SENDER: u64 = 1;
const SERVICE: u64 = 3;
/// Phases of the guest.
const GUEST_TO_GUEST: u64 = 0;
const OUT: u64 = 1;
const ECHO: u64 = 2;
const IDLE: u64 = 3;
/// The row of the guest's exits while it sends to the outside.
pub const EXITS_ROW: &str = "net_exits_100_packets_out";
/// The row of the service's interrupts in two seconds without a frame.
pub const IDLE_ROW: &str = "net_idle_wakeups";

/// Instructions of all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    guest: u64,
    el2: u64,
    service: u64,
}

impl Cost {
    /// Of a phase with so many frames, for each of them.
    fn of(work: &[Work], phase: u64, frames: u64) -> Self {
        let mut all = Self::default();
        for core in work.iter().filter(|core| core.phase == Some(phase)) {
            all.el2 += core.el2;
            if core.vmid == SERVICE {
                all.service += core.guest - core.idle;
            } else {
                all.guest += core.guest;
            }
        }
        let Self { guest, el2, service } = all;
        Self { guest: guest / frames, el2: el2 / frames, service: service / frames }
    }

    fn rows(self, name: &str) -> [(String, Row); 4] {
        let Self { guest, el2, service } = self;
        let row = |part: &str, sum| (format!("{name}{part}"), Row { median: sum, max: sum });
        [row("", guest + el2 + service), row("_guest", guest), row("_el2", el2), row("_service", service)]
    }
}

/// All rows of one GIC.
pub fn rows(run: &Run, gic: GicVersion) -> Result<Rows> {
    let machine = Recipe::virt_with(gic, "cortex-a72,cntfrq=1000000000", ",dtb-randomness=off,virtualization=on");
    // Not `sleep=off`, by which time jumps ahead while all cores wait for the device.
    let machine = machine.arg("-icount").arg("shift=0").arg("-rtc").arg("base=2026-01-01,clock=vm");
    let (work, text) = count(run, machine, &format!(",disk_wait={DEVICE_WAIT}"))?;
    let mut rows = Rows::new();
    for (phase, name) in [(GUEST_TO_GUEST, "net_guest_to_guest"), (OUT, "net_out"), (ECHO, "net_echo")] {
        rows.extend(Cost::of(&work, phase, number(&text, phase)?).rows(name));
    }
    rows.insert(EXITS_ROW.into(), exits(&work, &text, OUT)?);
    // QEMU's GICv2 is nudged once a millisecond on this very core, which carries the console
    // (docs/decisions/0004-lost-levels.md): that is no doing of the network.
    if gic == GicVersion::V3 {
        let wakeups = of(&work, IDLE, SERVICE)?.interrupts;
        rows.insert(IDLE_ROW.into(), Row { median: wakeups, max: wakeups });
    }
    side_by_side(run, gic)?;
    Ok(rows)
}

/// One run of both guests: what each core executed in each phase, and what the guests said.
fn count(run: &Run, recipe: Recipe, options: &str) -> Result<(Vec<Work>, String)> {
    let out = run.new_directory("elcount")?.join("out");
    let plugin = format!("{},cores=on{options}", elcount::option(run.project, &out)?);
    let recipe = recipe.kernel(&run.project.image("bench-net")?).arg("-plugin").arg(plugin);
    let recipe = recipe.arg("-global").arg("virtio-mmio.force-legacy=false");
    let recipe = recipe.arg("-netdev").arg("user,id=uplink,restrict=on");
    let mut machine = recipe.arg("-device").arg("virtio-net-device,netdev=uplink").start(run)?;
    machine.console.expect("BENCH-DONE", RUN)?;
    machine.expect_power_off(RUN)?;
    Ok((Work::read(&out)?, machine.console.transcript().text_from(0)))
}

fn of(work: &[Work], phase: u64, vmid: u64) -> Result<Work> {
    let found = work.iter().find(|core| (core.phase, core.vmid) == (Some(phase), vmid));
    found.copied().with_context(|| format!("no phase {phase} of VMID {vmid}"))
}

/// Frames of a phase.
fn number(text: &str, phase: u64) -> Result<u64> {
    let begins = format!("PHASE {phase} ");
    let line = text.lines().find(|line| line.contains(&begins));
    let count = line.and_then(|line| line.split_whitespace().last()?.parse().ok()).filter(|count| *count > 0);
    count.with_context(|| format!("the guest did not begin phase {phase}"))
}

/// Entries into EL2 on the sender's core for 100 frames. Its timer is off.
fn exits(work: &[Work], text: &str, phase: u64) -> Result<Row> {
    let work = of(work, phase, SENDER)?;
    let exits = ((work.synchronous + work.interrupts) * 100).div_ceil(number(text, phase)?);
    Ok(Row { median: exits, max: exits })
}

/// With all cores side by side a guest and a service meet in the ring otherwise: exits are held to their bound there too.
fn side_by_side(run: &Run, gic: GicVersion) -> Result<()> {
    let (work, text) = count(run, Recipe::virt(gic), "")?;
    let exits = exits(&work, &text, OUT)?.max;
    println!("{exits} exits for 100 packets out, all cores side by side");
    let bound = figures::BOUNDS.iter().find(|(name, _)| *name == EXITS_ROW).map_or(0, |(_, most)| *most);
    ensure!(exits <= bound, "{exits} exits for 100 packets out, at most {bound} are promised");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_costs_all_cores_work_but_the_services_turns_without_any() {
        let core = |vmid, guest, idle, el2| Work {
            phase: Some(OUT),
            vmid,
            vcpu: 0,
            guest,
            idle,
            el2,
            synchronous: 0,
            interrupts: 0,
        };
        let mut work = vec![core(1, 500, 0, 40), core(2, 300, 0, 30), core(SERVICE, 9000, 1000, 30)];
        work.push(Work { phase: Some(ECHO), ..core(1, 7, 0, 7) });
        assert_eq!(Cost::of(&work, OUT, 10), Cost { guest: 80, el2: 10, service: 800 });
    }

    #[test]
    fn frames_of_a_phase_are_read() {
        let text = "sender| PHASE 1 net_out 3200\nsender| PHASE 2 net_echo 0\n";
        assert_eq!(number(text, OUT).unwrap(), 3200);
        assert!(number(text, ECHO).is_err() && number(text, IDLE).is_err());
    }
}
