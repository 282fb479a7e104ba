//! The emulator's disk images as they are now, and what a system file wants of them, by the service partition's rules.

use super::image::Image;
use super::{Use, title};
use crate::diagnostic::Diagnostic;
use crate::file::{DiskImage, Source};
use crate::near;
use abi::plan::Origin;
use addr::ByteSize;
use gpt::{BUFFER, BlockIo, Extent, Lba, NoTable, SECTOR, Unusable, mbr};

/// All of a machine's images.
pub struct Images<'a>(Vec<Image<'a>>);

/// Sectors of one of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The image's place among the machine's.
    disk: usize,
    extent: Extent,
}

impl Volume {
    /// Whether any sector is in both.
    pub fn shares(&self, other: &Self) -> bool {
        self.disk == other.disk && self.extent.overlaps(&other.extent)
    }
}

impl<'a> Images<'a> {
    /// Opens the images of `source`; `None` when one cannot be, which is reported then.
    pub fn open(source: &Source, images: &'a [DiskImage], found: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = found.len();
        let open = images.iter().filter_map(|i| Image::open(source, i).map_err(|mistake| found.push(mistake)).ok());
        let all = Self(open.collect());
        (found.len() == before).then_some(all)
    }

    /// What a partition wants of the disks, if it is there and large enough. An optional disk need not be.
    pub fn look_up(&self, wanted: &Use<'_>) -> Result<Option<Volume>, Diagnostic> {
        let volume = match wanted.from {
            Origin::Gpt(label) => self.labelled(label),
            Origin::Disk(serial) => self.whole(serial),
            Origin::Mbr(number) => self.numbered(*number, wanted.disk.is_read_only()),
        };
        let volume = match volume {
            Ok(volume) => volume,
            Err(Missing::Absent(..)) if wanted.disk.is_optional() => return Ok(None),
            Err(Missing::Absent(title, help) | Missing::Wrong(title, help)) => {
                return Err(Diagnostic::new(wanted.span.clone(), title, help));
            }
        };
        too_small(wanted, volume.extent).map_or(Ok(Some(volume)), Err)
    }

    fn labelled(&self, label: &str) -> Result<Volume, Missing> {
        let mut buffer = vec![0; BUFFER];
        let (mut found, mut wrong) = (None::<Volume>, None);
        for (disk, image) in self.0.iter().enumerate() {
            match (gpt::find(image, label, &mut buffer), found) {
                (Ok(_), Some(first)) => {
                    let (first, second) = (self.0[first.disk].serial, image.serial);
                    let title = format!("GPT label '{label}' stands on disk '{first}' and on disk '{second}'");
                    return Err(Missing::Wrong(title, RENAME.to_owned()));
                }
                (Ok(extent), None) => found = Some(Volume { disk, extent }),
                // A disk without a table, or with other labels, is none of this partition's business.
                (Err(Unusable::NoLabel | Unusable::NoTable(NoTable::Signature)), _) => {}
                // The disk that has the label says more than one that cannot be read.
                (Err(why), _) if matches!(wrong, None | Some((_, Unusable::NoTable(_)))) => {
                    wrong = Some((image.serial, why))
                }
                (Err(_), _) => {}
            }
        }
        match (found, wrong) {
            (Some(volume), _) => Ok(volume),
            (None, Some((disk, why))) => {
                let help = if matches!(why, Unusable::Ambiguous(_)) { RENAME } else { "mend it, or make it anew" };
                Err(Missing::Wrong(format!("GPT partition '{label}' on disk '{disk}': {why}"), help.to_owned()))
            }
            (None, None) => {
                let title = format!("no disk of the machine has a GPT partition '{label}'");
                let labels = self.labels();
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                Err(Missing::Absent(title, choose("gpt", label, &labels, "its disks have no GPT partitions")))
            }
        }
    }

    fn labels(&self) -> Vec<String> {
        let mut labels = Vec::new();
        let mut buffer = vec![0; BUFFER];
        for image in &self.0 {
            // A disk without a table has none.
            let _ = gpt::labels(image, &mut buffer, &mut |label| labels.push(label.collect()));
        }
        labels
    }

    /// A primary partition of the one image that has a master boot record.
    fn numbered(&self, number: u8, is_read_only: bool) -> Result<Volume, Missing> {
        let mut with_record = self.0.iter().enumerate().filter_map(|(disk, mut image)| {
            let mut record = [0; mbr::BYTES];
            image.read_blocks(Lba(0), &mut record).ok()?;
            let found = mbr::find(&record, number, image.sectors);
            (!matches!(found, Err(mbr::Unusable::NoTable | mbr::Unusable::Gpt))).then_some((disk, image.serial, found))
        });
        let title = |why: &dyn std::fmt::Display| format!("partition {number} of the master boot record: {why}");
        let Some((disk, serial, found)) = with_record.next() else {
            let help = "give a GPT partition by its label: \"gpt:LABEL\"".to_owned();
            return Err(Missing::Absent("no disk of the machine has a master boot record".to_owned(), help));
        };
        if let Some((_, other, _)) = with_record.next() {
            let title = format!("disk '{serial}' and disk '{other}' both have a master boot record");
            return Err(Missing::Wrong(title, "give the partitions of one of them labels, in a GPT".to_owned()));
        }
        match found {
            Ok(primary) if primary.is_fat && !is_read_only => {
                let help = "write `mode = \"ro\"`, or take another: firmware boots from it".to_owned();
                Err(Missing::Wrong(title(&"it has a FAT file system"), help))
            }
            Ok(primary) => Ok(Volume { disk, extent: primary.extent }),
            Err(why @ mbr::Unusable::Empty(_)) => {
                let help = "`sfdisk -l` lists what it has".to_owned();
                Err(Missing::Absent(format!("disk '{serial}': {why}"), help))
            }
            Err(why) => Err(Missing::Wrong(title(&why), "mend it, or make it anew".to_owned())),
        }
    }

    fn whole(&self, serial: &str) -> Result<Volume, Missing> {
        // No two have one serial number: the parser saw to that.
        let found = self.0.iter().enumerate().find(|(_, image)| image.serial == serial);
        let Some((disk, image)) = found else {
            let title = format!("the machine has no disk with serial number '{serial}'");
            let serials: Vec<&str> = self.0.iter().map(|image| image.serial).collect();
            let none = "it has no disks: name its image in `disks` of `machine`";
            return Err(Missing::Absent(title, choose("disk", serial, &serials, none)));
        };
        Ok(Volume { disk, extent: Extent { sector: 0, sectors: image.sectors } })
    }
}

/// What to do about two partitions with one label.
const RENAME: &str = "rename one: `sfdisk --part-label IMAGE NUMBER NAME`";

/// Why there are no sectors: what is wrong, and what to do.
enum Missing {
    /// It is not there.
    Absent(String, String),
    /// It is there, and of no use to anybody.
    Wrong(String, String),
}

/// What to write instead of `word`.
fn choose(kind: &str, word: &str, words: &[&str], none: &str) -> String {
    if let Some(near) = near::nearest(word, words.iter().copied()) {
        return format!("did you mean \"{kind}:{near}\"?");
    }
    match words {
        [] => none.to_owned(),
        [only] => format!("there is only \"{kind}:{only}\""),
        _ => {
            let words: Vec<String> = words.iter().map(|word| format!("\"{kind}:{word}\"")).collect();
            format!("there are {}", words.join(", "))
        }
    }
}

fn too_small(wanted: &Use<'_>, extent: Extent) -> Option<Diagnostic> {
    let least = *wanted.disk.at_least.value()?;
    let bytes = extent.sectors.saturating_mul(SECTOR);
    if bytes >= least || wanted.disk.is_optional() {
        return None;
    }
    let (has, least) = (ByteSize(bytes), ByteSize(least));
    let title = format!("{} has {has}, and {} wants at least {least}", title(wanted.from), wanted.owner);
    let span = wanted.disk.at_least.span()?;
    Some(Diagnostic::new(span, title, "make it larger, ask for less, or do without it by `optional = true`"))
}
