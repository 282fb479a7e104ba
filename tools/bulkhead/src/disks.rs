//! What can be known of disks before the board is switched on: who shares one, and, where the system file names the
//! emulator's disk images, what is on them.
//!
//! What is on the disks at boot nobody can know here: the service partition looks again.

mod image;
mod images;

use crate::diagnostic::{Diagnostic, Span};
use crate::file::{DiskFile, Source, SystemFile};
use abi::plan::Origin;
use images::{Images, Volume};
use manifest::Board;

/// A disk of a partition.
struct Use<'a> {
    /// The partition's place in the file.
    place: usize,
    /// What messages call it.
    owner: String,
    disk: &'a DiskFile,
    from: &'a Origin,
    span: Span,
    /// Its sectors, where they are known.
    volume: Option<Volume>,
}

/// What messages call the place that sectors come from.
fn title(origin: &Origin) -> String {
    match origin {
        Origin::Gpt(label) => format!("GPT partition '{label}'"),
        Origin::Disk(serial) => format!("disk '{serial}'"),
        Origin::Mbr(number) => format!("partition {number} of the master boot record"),
    }
}

/// Reports the mistakes about disks in `file`.
pub fn check(source: &Source, file: &SystemFile, found: &mut Vec<Diagnostic>) {
    // Without a word about disks nothing is known; neither is it when one cannot be read.
    let images = file.disks.value().and_then(|disks| Images::open(source, disks, found));
    let mut uses: Vec<Use<'_>> = uses(file).collect();
    if let Some(images) = &images {
        for one in &mut uses {
            match images.look_up(one) {
                Ok(volume) => one.volume = volume,
                Err(mistake) => found.push(mistake),
            }
        }
    }
    for (n, later) in uses.iter().enumerate() {
        found.extend(uses[..n].iter().filter_map(|earlier| shared(earlier, later)));
    }
    if let Some(platform) = file.board.value() {
        board(file, platform.board, found);
    }
}

fn uses(file: &SystemFile) -> impl Iterator<Item = Use<'_>> {
    file.partitions.iter().enumerate().flat_map(|(place, partition)| {
        partition.disks.iter().filter_map(move |disk| {
            let (from, span) = (disk.from.value()?, disk.from.span()?);
            Some(Use { place, owner: partition.title(), disk, from, span, volume: None })
        })
    })
}

/// What is wrong where two disks are made of the same sectors, and one of them is written.
fn shared(earlier: &Use<'_>, later: &Use<'_>) -> Option<Diagnostic> {
    if earlier.disk.is_read_only() && later.disk.is_read_only() {
        return None;
    }
    let title = if earlier.from == later.from && earlier.place == later.place {
        format!("{} has {} twice, and not only to read", later.owner, title(later.from))
    } else if earlier.from == later.from {
        let what = title(later.from);
        format!("{what} belongs to {} and to {}, and not only to read", earlier.owner, later.owner)
    } else if earlier.volume?.shares(&later.volume?) {
        let (one, other) = (title(earlier.from), title(later.from));
        format!("{one} of {} and {other} of {} share sectors, and not only to read", earlier.owner, later.owner)
    } else {
        return None;
    };
    if earlier.place == later.place {
        let help = "take it out once, or write `mode = \"ro\"` for both";
        return Some(Diagnostic::new(later.span.clone(), title, help).also(earlier.span.clone(), "first"));
    }
    let help = "give it to one of them, or write `mode = \"ro\"` for both: what is written has exactly one owner";
    let mistake = Diagnostic::new(later.span.clone(), title, help);
    Some(mistake.label(later.owner.clone()).also(earlier.span.clone(), earlier.owner.clone()))
}

/// Reports what the board has no place for.
pub fn board(file: &SystemFile, board: &Board, found: &mut Vec<Diagnostic>) {
    if let Some(span) = file.disks.span().filter(|_| !board.is_variable) {
        let title = format!("board '{}' is no emulator: its disks are what is plugged in", board.name);
        found.push(Diagnostic::new(span, title, "leave `disks` out"));
    }
    let Some(transports) = board.transports else {
        return found.extend(uplink(file, board));
    };
    let others = u32::from(file.service.is_some()) + u32::from(file.needs_uplink());
    let most = transports.count.saturating_sub(others) as usize;
    if let Some(disks) = file.disks.value().filter(|disks| disks.len() > most) {
        let title = format!("a machine of {} disks", disks.len());
        let span = file.disks.span().unwrap_or(0..0);
        found.push(Diagnostic::new(span, title, format!("board '{}' has room for {most}", board.name)));
    }
}

/// A way out of the partitions' network, where the service partition has a driver for none of the board's network devices.
fn uplink(file: &SystemFile, board: &Board) -> Option<Diagnostic> {
    let nets = file.partitions.iter().filter_map(|partition| partition.net.value().and(partition.net.span()));
    let span =
        file.network.uplink.span().or_else(|| nets.min_by_key(|span| span.start)).filter(|_| file.needs_uplink())?;
    let title = format!("board '{}' has no network device that leads out", board.name);
    let help =
        "write `uplink = false` in [network]: then the partitions reach each other and the service partition only";
    Some(Diagnostic::new(span, title, help))
}
