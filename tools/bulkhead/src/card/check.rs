//! Whether a card starts Bulkhead on the board, and if not, what is missing or wrong.
//!
//! From the outside to the inside: partition table, file system, the firmware's settings and files, the kernel, and
//! last whether all that is loaded fits side by side and guests' disks are there. What cannot be looked at because something before it is missing is
//! not reported again. Guests' file systems are their own business, and a card that passes may still be worn out.

mod disks;
mod firmware;
mod kernel;
mod layout;

use super::config::{self, Config};
use super::fat::{File, Volume};
use super::image::{CONFIG, KERNEL};
use super::mbr::{self, PROTECTIVE, Partition};
use super::{Card, Finding, SECTOR};
use abi::plan::Plan;
use addr::ByteSize;
use manifest::{Board, System};
use std::io::{Read, Seek};

/// Findings of one kind that are told; of a file system in ruins the first ones say enough.
const TOLD: usize = 8;
/// Largest config.txt that is read.
const CONFIG_MAX: u64 = 64 << 10;
/// How to begin anew.
const ANEW: &str = "write the card anew: `make rpi4-sd`, then docs/RPI4.md";

/// What a card has, and what is wrong with it.
#[derive(Default)]
pub struct Report {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is there, as lines for people: the name of a thing and words about it.
    pub found: Vec<(String, String)>,
    /// The boot partition's file system, if there is one.
    pub volume: Option<Volume>,
}

impl Report {
    fn say(&mut self, name: impl Into<String>, words: impl Into<String>) {
        self.found.push((name.into(), words.into()));
    }

    fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// Looks at a card for `board`.
pub fn check<D: Read + Seek>(card: &mut Card<D>, board: &Board) -> Report {
    let mut report = Report::default();
    let Some((partitions, boot)) = partitions(card, &mut report) else { return report };
    let Some(volume) = volume(card, &boot, &mut report) else { return report };
    let mut files = Files { card, volume: &volume, findings: Vec::new(), found: Vec::new() };
    let config = files.config();
    firmware::files(&mut files, &config);
    firmware::tree(&mut files, &config, board);
    if let Some(kernel) = kernel::read(&mut files, &config, board) {
        layout::check(&mut files, &config, board, &kernel);
        disks::check(&mut files, &partitions, &kernel);
    }
    let Files { findings, found, .. } = files;
    report.findings.extend(findings);
    report.found.extend(found);
    report.volume = Some(volume);
    report
}

/// A bundle that is what it should be.
struct Kernel {
    /// Its name on the card.
    name: String,
    /// Bytes that it takes where it is loaded.
    size: u64,
    /// Who has which memory.
    system: System,
    /// What its service partition is told, if it has one.
    plan: Option<Plan>,
}

/// Checks the partition table; returns all partitions, and the boot partition.
fn partitions<D: Read + Seek>(card: &mut Card<D>, report: &mut Report) -> Option<(Vec<Partition>, Partition)> {
    let place = "partition table";
    let sector = match card.sector(0) {
        Ok(sector) => sector,
        Err(error) => {
            let problem = format!("the card has {} bytes and cannot be read ({error})", card.size());
            report.find(Finding::new(place, problem, "give an image, or a card that you may read"));
            return None;
        }
    };
    let Some(partitions) = mbr::read(&sector) else {
        let problem = if mbr::is_file_system(&sector) {
            "the card has a file system and no partitions: guests' disks are partitions"
        } else {
            "the card has no partition table (MBR)"
        };
        report.find(Finding::new(place, problem, ANEW));
        return None;
    };
    if partitions.iter().any(|partition| partition.kind == PROTECTIVE) {
        let problem = "the card has a GUID partition table: guests' disks are partitions of an MBR";
        report.find(Finding::new(place, problem, ANEW));
        return None;
    }
    for (n, partition) in partitions.iter().enumerate() {
        let ranges = |partition: &Partition| format!("sectors {} to {}", partition.first, partition.end());
        let place = format!("partition {}", partition.number);
        if partition.first == 0 || partition.sectors == 0 {
            let problem =
                format!("partition {} has {}: nothing, or the table itself", partition.number, ranges(partition));
            report.find(Finding::new(&place, problem, ANEW));
        }
        let sectors = card.size() / SECTOR;
        if partition.end() > sectors {
            let problem =
                format!("partition {} has {}, the card {sectors} sectors", partition.number, ranges(partition));
            let help = "write the whole image to a card that is large enough: it was cut short, or the card is smaller";
            report.find(Finding::new(&place, problem, help));
        }
        for earlier in partitions.iter().take(n).filter(|earlier| earlier.overlaps(partition)) {
            let (one, other) = (earlier.number, partition.number);
            let (first, second) = (ranges(earlier), ranges(partition));
            let problem = format!("partition {one} ({first}) and partition {other} ({second}) share sectors");
            report.find(Finding::new(&place, problem, "what one writes destroys the other: partition the card anew"));
        }
    }
    let boot = partitions.iter().find(|partition| partition.is_fat()).copied();
    if boot.is_none() {
        let problem = "the card has no FAT partition: the firmware has nowhere to start from";
        report.find(Finding::new(place, problem, ANEW));
    }
    for partition in &partitions {
        let use_ = if boot == Some(*partition) {
            "what the firmware reads".to_owned()
        } else {
            format!("type {:#04x}", partition.kind)
        };
        let size = ByteSize(partition.sectors.saturating_mul(SECTOR));
        report.say(format!("partition {}", partition.number), format!("{size}, {use_}"));
    }
    boot.map(|boot| (partitions, boot))
}

/// Opens the boot partition and reports its damage.
fn volume<D: Read + Seek>(card: &mut Card<D>, boot: &Partition, report: &mut Report) -> Option<Volume> {
    const HELP: &str = "copy the files to a partition that is formatted anew, or write the whole card anew";
    let place = format!("partition {}", boot.number);
    let volume = match Volume::open(card, boot) {
        Ok(volume) => volume,
        Err(damage) => {
            report.find(Finding::new(place, damage.to_string(), HELP));
            return None;
        }
    };
    for damage in volume.damage.iter().take(TOLD) {
        report.find(Finding::new(&place, damage.to_string(), HELP));
    }
    if let Some(more) = volume.damage.len().checked_sub(TOLD).filter(|more| *more != 0) {
        report.find(Finding::new(&place, format!("the file system has {more} more damages"), HELP));
    }
    Some(volume)
}

/// The boot partition's files while they are looked at.
struct Files<'a, D> {
    card: &'a mut Card<D>,
    volume: &'a Volume,
    findings: Vec<Finding>,
    found: Vec<(String, String)>,
}

impl<D: Read + Seek> Files<'_, D> {
    fn find(&mut self, place: impl std::fmt::Display, problem: impl Into<String>, help: impl Into<String>) {
        self.findings.push(Finding::new(place, problem, help));
    }

    fn say(&mut self, name: impl Into<String>, words: impl Into<String>) {
        self.found.push((name.into(), words.into()));
    }

    /// The file `name`, an absolute path or not.
    fn named(&self, name: &str) -> Option<&File> {
        self.volume.find(name.trim_start_matches('/'))
    }

    /// The content of a file that must be there, at most `limit` bytes of it. Its damage was reported with the volume's.
    fn content(&mut self, name: &str, limit: u64, help: &str) -> Option<Vec<u8>> {
        let volume = self.volume;
        let Some(file) = volume.find(name.trim_start_matches('/')) else {
            self.find(name, format!("{name} is missing"), help);
            return None;
        };
        if volume.damage.iter().any(|damage| damage.path() == Some(&file.path)) {
            return None;
        }
        match volume.content(self.card, file, limit) {
            Ok(content) => Some(content),
            Err(damage) => {
                self.find(name, damage.to_string(), help);
                None
            }
        }
    }

    /// config.txt, or what would stand there if it is missing.
    fn config(&mut self) -> Config {
        let help = "copy tools/bulkhead/src/card/config.txt to the boot partition";
        let text = self.content(CONFIG, CONFIG_MAX, help);
        let config = Config::read(text.as_deref().unwrap_or(config::DEFAULT.as_bytes()));
        for rule in RULES.iter().filter(|_| text.is_some()) {
            let setting = config.find(rule.name);
            let number = setting.map(|setting| setting.number().unwrap_or(0));
            if (rule.is_wrong)(number) {
                let (place, problem) = match setting {
                    Some(setting) => (
                        format!("{CONFIG}:{}", setting.line),
                        format!("`{}={}`: {}", rule.name, setting.value, rule.why),
                    ),
                    None => (CONFIG.to_owned(), format!("no `{}`: {}", rule.name, rule.why)),
                };
                self.find(place, problem, rule.help);
            }
        }
        config
    }
}

/// What a setting of config.txt must be.
struct Rule {
    name: &'static str,
    /// Whether this number, or no setting at all, keeps Bulkhead from starting.
    is_wrong: fn(Option<u64>) -> bool,
    why: &'static str,
    help: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        name: "arm_64bit",
        is_wrong: |value| value.is_none_or(|value| value == 0),
        why: "the firmware starts a 32-bit kernel, and Bulkhead is a 64-bit one",
        help: "write `arm_64bit=1`",
    },
    Rule {
        name: "enable_gic",
        is_wrong: |value| value == Some(0),
        why: "interrupts then go past the GIC-400, by which Bulkhead takes them",
        help: "write `enable_gic=1`, or take the line out",
    },
    Rule {
        name: "arm_peri_high",
        is_wrong: |value| value.is_some_and(|value| value != 0),
        why: "the board's devices are then not where Bulkhead looks for them",
        help: "take the line out",
    },
    Rule {
        name: "armstub",
        is_wrong: |value| value.is_some(),
        why: "it takes the place of the firmware's own stub, by whose spin table Bulkhead starts cores",
        help: "take the line out",
    },
];
