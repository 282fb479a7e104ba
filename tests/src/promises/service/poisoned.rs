//! S13: S01 to S06 on an EL2 whose HPFAR_EL2 holds nonsense where the architecture promises nothing: at permission faults,
//! which every store to a transport page is. QEMU fills the register anyway, so it alone would not show the mistake.

use super::crash::Workers;
use super::linux::Disks;
use super::{El2, Shared, absent, loads, sectors};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::Result;

/// Crashes of the service here.
const CRASHES: u32 = 10;

/// EL2 of all that is here.
const EL2: El2 = El2::Poisoned;

/// S13.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "service_poisoned",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 500,
        promises: &[
            promise("S13", "s02_s03_and_s06_hold_with_a_poisoned_hpfar"),
            promise("S13", "s04_holds_with_a_poisoned_hpfar"),
            promise("S13", "s05_holds_with_a_poisoned_hpfar"),
        ],
        body: poisoned,
    },
    // Nothing that Linux does here would the probes not do.
    Scenario {
        name: "service_poisoned_linux",
        kinds: &[Kind::V3],
        when: When::Long,
        seconds: 500,
        promises: &[promise("S13", "s01_holds_with_a_poisoned_hpfar")],
        body: poisoned_linux,
    },
];

fn poisoned_linux(run: &mut Run) -> Result<()> {
    run.promise("s01_holds_with_a_poisoned_hpfar", |run| Disks::new(run)?.survive(run, EL2));
    Ok(())
}

fn poisoned(run: &mut Run) -> Result<()> {
    run.promise("s02_s03_and_s06_hold_with_a_poisoned_hpfar", |run| {
        let mut shared = Shared::boot(run, EL2)?;
        sectors::read_only(&mut shared)?;
        sectors::own_only(&mut shared)?;
        sectors::beyond(&mut shared)?;
        loads(&mut shared.machine.console)
    });
    run.promise("s04_holds_with_a_poisoned_hpfar", |run| absent::lives(&mut absent::start(run, EL2)?.console));
    run.promise("s05_holds_with_a_poisoned_hpfar", |run| {
        let mut workers = Workers::start(run, EL2)?;
        workers.until_crashed(CRASHES)?;
        workers.compare()
    });
    Ok(())
}
