//! The QEMU plugin `tools/elcount`: counts executed instructions, without the guest's clock.
//!
//! A *stretch* is what one core executes at EL2 from an entry out of a guest to the return to it. The plugin leaves out
//! stretches in which the core sleeps or starts a vCPU: no guest waits for EL2 there.

use crate::project::{self, Project};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the plugin; the option for QEMU's `-plugin` that makes it write to `out`.
pub fn option(project: &Project, out: &Path) -> Result<String> {
    project::run(
        Command::new("make").arg("-C").arg(project.root().join("tools/elcount")).arg("O=../../build/elcount"),
    )?;
    let plugin: PathBuf = project.root().join("build/elcount/elcount.so");
    // QEMU splits the option at commas and knows no way to escape one here.
    let has_comma = |path: &Path| path.to_string_lossy().contains(',');
    ensure!(!has_comma(&plugin), "QEMU cannot load a plugin from a path with a comma: {}", plugin.display());
    ensure!(!has_comma(out), "QEMU's plugin cannot write to a path with a comma: {}", out.display());
    Ok(format!("{},out={}", plugin.display(), out.display()))
}

/// Stretches of one kind on one core: how many, and their instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
    /// All of them.
    pub sum: u64,
}

/// One line of the plugin: the stretches of EL2 on the core of one vCPU, in one phase of the bench guest or in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretches {
    /// The bench guest's phase; all of the run if none.
    pub phase: Option<u64>,
    /// The partition's VMID: 1 is the first partition.
    pub vmid: u64,
    /// The vCPU.
    pub vcpu: u64,
    /// Entered by a synchronous exception.
    pub synchronous: Extent,
    /// Entered by an interrupt.
    pub interrupt: Extent,
}

impl Stretches {
    fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("STRETCH ")?;
        // Over all there is no number: `total` instead of `phase N`.
        let (phase, rest) = match rest.strip_prefix("phase ") {
            Some(rest) => rest.split_once(' ').map(|(phase, rest)| Some((Some(phase.parse().ok()?), rest)))??,
            None => (None, rest.strip_prefix("total ")?),
        };
        let mut words = rest.split_whitespace();
        let mut field = |name| (words.next()? == name).then(|| words.next()?.parse::<u64>().ok())?;
        let (vmid, vcpu) = (field("vmid")?, field("vcpu")?);
        let mut extent =
            |name| Some(Extent { count: field(name)?, min: field("min")?, max: field("max")?, sum: field("sum")? });
        let (synchronous, interrupt, _) = (extent("sync")?, extent("irq")?, extent("other")?);
        Some(Self { phase, vmid, vcpu, synchronous, interrupt })
    }

    /// All that the plugin wrote to `file`.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
        read(file, "STRETCH ", Self::parse)
    }

    /// The longest of any kind, in instructions.
    pub fn longest(&self) -> u64 {
        self.synchronous.max.max(self.interrupt.max)
    }
}

/// The lines of one kind.
fn read<T>(file: &Path, kind: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("the plugin wrote no {}", file.display()))?;
    let lines = text.lines().filter(|line| line.starts_with(kind));
    lines.map(|line| parse(line).with_context(|| format!("the plugin wrote {line:?}"))).collect()
}

/// A vCPU that ran before starts: at the first instruction of a life, or with CPU_ON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The partition's VMID: 1 is the first partition.
    pub vmid: u64,
    /// The vCPU.
    pub vcpu: u64,
    /// What its core executed at EL2 since it last left the guest.
    pub instructions: u64,
}

impl Start {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["START", "vmid", vmid, "vcpu", vcpu, "el2", instructions] = words.as_slice() else { return None };
        Some(Self { vmid: vmid.parse().ok()?, vcpu: vcpu.parse().ok()?, instructions: instructions.parse().ok()? })
    }

    /// All that the plugin wrote to `file`, in order.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
        read(file, "START ", Self::parse)
    }
}

/// A vCPU starts for the first time on its core: its partition's vCPU 0 right after reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// The partition's VMID.
    pub vmid: u64,
    /// What its core executed at EL2 since it is one of EL2's.
    pub instructions: u64,
    /// What each other core executed there by then, in the order in which they became EL2's. The first has all in its number
    /// that any core executed before one was EL2's.
    pub others: Vec<u64>,
}

impl First {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("FIRST ")?.split_whitespace();
        let mut field = |name| (words.next()? == name).then(|| words.next()?.parse().ok())?;
        let (vmid, instructions) = (field("vmid")?, field("el2")?);
        let others = (words.next()? == "others").then_some(words)?;
        let others = others.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(Self { vmid, instructions, others })
    }

    /// All that the plugin wrote to `file`, in order.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
        read(file, "FIRST ", Self::parse)
    }
}

/// What the core of one vCPU executed, in one phase of the bench guest or in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The guest's phase; all of the run if none.
    pub phase: Option<u64>,
    /// The partition's VMID: 1 is the first partition.
    pub vmid: u64,
    /// The vCPU.
    pub vcpu: u64,
    /// Instructions below EL2.
    pub guest: u64,
    /// Of these, the service partition's in turns without work.
    pub idle: u64,
    /// Instructions at EL2.
    pub el2: u64,
    /// Entries into EL2 by a synchronous exception.
    pub synchronous: u64,
    /// Entries into EL2 by an interrupt.
    pub interrupts: u64,
}

impl Work {
    fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("CORE ")?;
        let (phase, rest) = match rest.strip_prefix("phase ") {
            Some(rest) => rest.split_once(' ').map(|(phase, rest)| Some((Some(phase.parse().ok()?), rest)))??,
            None => (None, rest.strip_prefix("total ")?),
        };
        let mut words = rest.split_whitespace();
        let mut field = |name| (words.next()? == name).then(|| words.next()?.parse::<u64>().ok())?;
        let (vmid, vcpu) = (field("vmid")?, field("vcpu")?);
        let (guest, idle, el2) = (field("guest")?, field("idle")?, field("el2")?);
        Some(Self { phase, vmid, vcpu, guest, idle, el2, synchronous: field("sync")?, interrupts: field("irq")? })
    }

    /// All that the plugin wrote to `file`.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
        read(file, "CORE ", Self::parse)
    }
}

/// The longest stretch of one vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Longest {
    /// The partition's VMID.
    pub vmid: u64,
    /// The vCPU.
    pub vcpu: u64,
    /// `sync`, `irq` or `other`.
    pub kind: String,
    /// Its instructions, without those below.
    pub instructions: u64,
    /// Instructions of waiting for locks.
    pub waited: u64,
    /// ESR_EL2: the reason, where the kind is `sync`.
    pub esr: u64,
    /// Instructions by block of code, at its virtual address.
    pub places: Vec<(u64, u64)>,
}

impl Longest {
    fn parse(line: &str) -> Option<Self> {
        let (head, places) = line.split_once(" at")?;
        let words: Vec<&str> = head.split_whitespace().collect();
        let ["LONGEST", "vmid", vmid, "vcpu", vcpu, kind, instructions, "waited", waited, "esr", esr] =
            words.as_slice()
        else {
            return None;
        };
        let hexadecimal = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
        let place = |word: &str| {
            let (address, count) = word.split_once('=')?;
            Some((hexadecimal(address)?, count.parse().ok()?))
        };
        Some(Self {
            vmid: vmid.parse().ok()?,
            vcpu: vcpu.parse().ok()?,
            kind: (*kind).to_owned(),
            instructions: instructions.parse().ok()?,
            waited: waited.parse().ok()?,
            esr: hexadecimal(esr)?,
            places: places.split_whitespace().map(place).collect::<Option<_>>()?,
        })
    }

    /// All that the plugin wrote to `file`.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
        read(file, "LONGEST ", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_and_longest_stretches_are_read() {
        let start = Start::parse("START vmid 2 vcpu 1 el2 15953828").unwrap();
        assert_eq!(start, Start { vmid: 2, vcpu: 1, instructions: 15_953_828 });
        let line = "LONGEST vmid 1 vcpu 0 sync 1234 waited 7 esr 0x93800007 at 0x4000001400=12 0x4000001430=9";
        let first = First::parse("FIRST vmid 2 el2 200 others 910 40").unwrap();
        assert_eq!(first, First { vmid: 2, instructions: 200, others: vec![910, 40] });
        let longest = Longest::parse(line).unwrap();
        assert_eq!((longest.instructions, longest.waited, longest.esr), (1234, 7, 0x9380_0007));
        assert_eq!(longest.places, [(0x40_0000_1400, 12), (0x40_0000_1430, 9)]);
    }

    #[test]
    fn work_of_a_core_is_read() {
        let line = "CORE phase 3 vmid 2 vcpu 0 guest 900 idle 300 el2 70 sync 4 irq 5 other 0";
        let work = Work::parse(line).unwrap();
        let (guest, idle, el2) = (900, 300, 70);
        assert_eq!(work, Work { phase: Some(3), vmid: 2, vcpu: 0, guest, idle, el2, synchronous: 4, interrupts: 5 });
        assert_eq!(Work::parse(&line.replace("phase 3", "total")).unwrap().phase, None);
    }

    const KINDS: &str = "sync 0 min 0 max 0 sum 0 irq 1000 min 41 max 43 sum 41002 other 0 min 0 max 0 sum 0";

    #[test]
    fn lines_of_a_phase_and_of_all_are_read() {
        let phase = Stretches::parse(&format!("STRETCH phase 4 vmid 2 vcpu 1 {KINDS}")).unwrap();
        assert_eq!((phase.phase, phase.vmid, phase.vcpu, phase.longest()), (Some(4), 2, 1, 43));
        assert_eq!(phase.interrupt, Extent { count: 1000, min: 41, max: 43, sum: 41_002 });
        let total = Stretches::parse(&format!("STRETCH total vmid 2 vcpu 1 {KINDS}")).unwrap();
        assert_eq!(total, Stretches { phase: None, ..phase });
        assert_eq!(Stretches::parse("STRETCH note: no TPIDR_EL2"), None);
    }
}
