//! The emulator's disk images as they are now, and what a system file wants of them.

use super::{Use, gpt, title};
use crate::diagnostic::Diagnostic;
use crate::file::{DiskImage, Source};
use crate::near;
use abi::plan::Origin;
use addr::ByteSize;
use std::fs::File;
use std::io::ErrorKind;

/// An image that could be read.
struct Image<'a> {
    serial: &'a str,
    bytes: u64,
    partitions: Vec<gpt::Entry>,
}

/// All of a machine's images.
pub struct Images<'a>(Vec<Image<'a>>);

impl<'a> Images<'a> {
    /// Reads the images of `source`; `None` when one cannot be, which is reported then.
    pub fn read(source: &Source, images: &'a [DiskImage], found: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = found.len();
        let read = images.iter().filter_map(|image| open(source, image).map_err(|mistake| found.push(mistake)).ok());
        let all = Self(read.collect());
        (found.len() == before).then_some(all)
    }

    /// Every GPT partition, with the disk that it is on.
    fn partitions(&self) -> impl Iterator<Item = (&Image<'a>, &gpt::Entry)> {
        self.0.iter().flat_map(|image| image.partitions.iter().map(move |entry| (image, entry)))
    }

    /// Whether one of two origins is a disk that the other lies on.
    pub fn one_holds_the_other(&self, one: &Origin, other: &Origin) -> bool {
        let (Origin::Gpt(label), Origin::Disk(serial)) = (one, other) else {
            return matches!((one, other), (Origin::Disk(_), Origin::Gpt(_))) && self.one_holds_the_other(other, one);
        };
        self.partitions().any(|(image, entry)| entry.label == label.as_str() && image.serial == serial.as_str())
    }

    /// What is wrong with what a partition wants of the disks. An optional disk may be missing or too small.
    pub fn look_up(&self, wanted: &Use<'_>) -> Option<Diagnostic> {
        let at = |title: String, help: String| Some(Diagnostic::new(wanted.span.clone(), title, help));
        let bytes = match wanted.from {
            Origin::Gpt(label) => {
                let mut found = self.partitions().filter(|(_, entry)| entry.label == label.as_str());
                match (found.next(), found.next()) {
                    (Some((first, _)), Some((second, _))) => {
                        let (one, other) = (first.serial, second.serial);
                        let title = if one == other {
                            format!("GPT label '{label}' stands twice on disk '{one}'")
                        } else {
                            format!("GPT label '{label}' stands on disk '{one}' and on disk '{other}'")
                        };
                        return at(title, "rename one: `sfdisk --part-label IMAGE NUMBER NAME`".to_owned());
                    }
                    (Some((_, entry)), None) => entry.bytes,
                    (None, _) if wanted.disk.is_optional() => return None,
                    (None, _) => {
                        let title = format!("no disk of the machine has a GPT partition '{label}'");
                        let labels: Vec<&str> = self.partitions().map(|(_, entry)| entry.label.as_str()).collect();
                        return at(title, choose("gpt", label, &labels, "its disks have no GPT partitions"));
                    }
                }
            }
            Origin::Disk(serial) => match self.0.iter().find(|image| image.serial == serial.as_str()) {
                Some(image) => image.bytes,
                None if wanted.disk.is_optional() => return None,
                None => {
                    let serials: Vec<&str> = self.0.iter().map(|image| image.serial).collect();
                    return at(
                        format!("the machine has no disk with serial number '{serial}'"),
                        choose("disk", serial, &serials, "it has no disks: name its image in `disks` of `machine`"),
                    );
                }
            },
        };
        too_small(wanted, bytes)
    }
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

fn too_small(wanted: &Use<'_>, bytes: u64) -> Option<Diagnostic> {
    let least = *wanted.disk.at_least.value()?;
    if bytes >= least || wanted.disk.is_optional() {
        return None;
    }
    let (has, least) = (ByteSize(bytes), ByteSize(least));
    let title = format!("{} has {has}, and {} wants at least {least}", title(wanted.from), wanted.owner);
    let span = wanted.disk.at_least.span()?;
    Some(Diagnostic::new(span, title, "make it larger, ask for less, or do without it by `optional = true`"))
}

/// Reads what is on an image.
fn open<'a>(source: &Source, image: &'a DiskImage) -> Result<Image<'a>, Diagnostic> {
    let path = source.folder.join(&image.file);
    let name = &image.file;
    let at = |title: String, help: &str| {
        Diagnostic::new(image.span.clone(), title, help).label(format!("looked for {}", path.display()))
    };
    let unreadable = |error: std::io::Error| {
        at(format!("disk image '{name}' cannot be read ({error})"), "name a file that you may read")
    };
    let file = File::open(&path).map_err(|error| {
        let is_built_here = path.components().any(|part| part.as_os_str() == "build");
        match (error.kind(), is_built_here, path.file_name().and_then(|name| name.to_str())) {
            (ErrorKind::NotFound, true, Some(target)) => {
                at(format!("disk image '{name}' does not exist"), &format!("build it with `make build/{target}`"))
            }
            (ErrorKind::NotFound, ..) => {
                at(format!("disk image '{name}' does not exist"), "paths are relative to the folder of this file")
            }
            _ => unreadable(error),
        }
    })?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(at(format!("disk image '{name}' is no file"), "name a file of raw sectors"));
    }
    let bytes = metadata.len();
    if bytes == 0 || bytes % gpt::SECTOR != 0 {
        let title = format!("disk image '{name}' has {bytes} bytes, which is no whole number of sectors");
        return Err(Diagnostic::new(
            image.span.clone(),
            title,
            format!("give it a multiple of {}: `truncate -s %{0} IMAGE`", gpt::SECTOR),
        ));
    }
    let partitions = gpt::read(&file, bytes / gpt::SECTOR).unwrap_or_default();
    let serial = image.serial.value().map_or("", String::as_str);
    Ok(Image { serial, bytes, partitions })
}
