//! A FAT32 file system, read and held to its own rules (Microsoft, "FAT32 File System Specification", version 1.03).
//!
//! One walk over all folders gives every file its clusters and finds what is damaged: chains that end too early, loop,
//! or run into another's, and copies of the table that differ. Each cluster is followed once, so the walk ends on any
//! volume. FAT12 and FAT16, sectors of other sizes, free clusters that nobody owns, and times are not considered.

mod boot;
mod damage;
mod folder;

pub use damage::Damage;

use super::mbr::Partition;
use super::{Card, SECTOR};
use boot::{Geometry, MOST_CLUSTERS};
use folder::Entry;
use std::io::{Read, Seek};

/// Sectors of the largest table that is read.
const TABLE_MAX: u64 = MOST_CLUSTERS / ENTRIES_PER_SECTOR;
/// Table entries in a sector.
const ENTRIES_PER_SECTOR: u64 = SECTOR / 4;
/// Bits of a table entry that count.
const ENTRY_MASK: u32 = 0x0fff_ffff;
/// Entries from here on end a chain.
const END: u32 = 0x0fff_fff8;
/// A cluster that cannot be used.
const BAD: u32 = 0x0fff_fff7;
/// The first cluster: two entries of the table are for other things.
const FIRST: u32 = 2;
/// Bytes of the largest folder.
const FOLDER_MAX: u64 = 65_536 * folder::ENTRY as u64;
/// Files and folders that are looked at.
const ENTRIES_MAX: usize = 65_536;

/// A file of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path from the root, folders with `/`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its clusters, in order; as many as its size needs, unless it is damaged.
    clusters: Vec<u32>,
}

/// A volume as it was when it was opened.
pub struct Volume {
    geometry: Geometry,
    /// Every file that the folders name, damaged or not.
    pub files: Vec<File>,
    /// What is wrong with it.
    pub damage: Vec<Damage>,
}

impl Volume {
    /// Reads the table and all folders of the file system in `partition`.
    pub fn open<D: Read + Seek>(card: &mut Card<D>, partition: &Partition) -> Result<Self, Damage> {
        let geometry = Geometry::read(&card.sector(partition.first)?, partition)?;
        let mut damage = Vec::new();
        let table = read_table(card, &geometry, &mut damage)?;
        let mut walk = Walk { geometry: &geometry, seen: vec![false; table.len()], table, damage };
        let files = walk.files(card)?;
        let damage = walk.damage;
        Ok(Self { geometry, files, damage })
    }

    /// The file at `path`, whatever the case of its letters.
    pub fn find(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path.eq_ignore_ascii_case(path))
    }

    /// The content of an undamaged file, of which at most `limit` bytes are read.
    pub fn content<D: Read + Seek>(&self, card: &mut Card<D>, file: &File, limit: u64) -> Result<Vec<u8>, Damage> {
        let size = usize::try_from(file.size.min(limit)).unwrap_or(usize::MAX);
        let mut content = Vec::new();
        for run in runs(&file.clusters) {
            if content.len() >= size {
                break;
            }
            let (first, clusters) = run;
            let bytes = (clusters * self.geometry.cluster).min((size - content.len()) as u64);
            let from = content.len();
            content.resize(from + bytes as usize, 0);
            let offset =
                self.geometry.offset(first).ok_or(Damage::Outside { path: file.path.clone(), cluster: first })?;
            card.read(offset, content.get_mut(from..).unwrap_or_default())?;
        }
        content.truncate(size);
        Ok(content)
    }
}

/// Clusters as runs of neighbours: the first of each run, and how many.
fn runs(clusters: &[u32]) -> Vec<(u32, u64)> {
    let mut runs: Vec<(u32, u64)> = Vec::new();
    for &cluster in clusters {
        match runs.last_mut() {
            Some((first, count)) if u64::from(*first) + *count == u64::from(cluster) => *count += 1,
            _ => runs.push((cluster, 1)),
        }
    }
    runs
}

/// The table's entries for all clusters of the volume, and the two before.
fn read_table<D: Read + Seek>(
    card: &mut Card<D>,
    geometry: &Geometry,
    damage: &mut Vec<Damage>,
) -> Result<Vec<u32>, Damage> {
    let mut copies = geometry.tables.iter().map(|offset| {
        let mut raw = vec![0; (geometry.table_sectors * SECTOR) as usize];
        card.read(*offset, &mut raw).map(|()| raw)
    });
    let first = copies.next().unwrap_or_else(|| Ok(Vec::new()))?;
    for copy in copies {
        let copy = copy?;
        if copy != first {
            let mut sectors = first.chunks(SECTOR as usize).zip(copy.chunks(SECTOR as usize));
            let sector = sectors.position(|(one, other)| one != other).unwrap_or(0);
            damage.push(Damage::TablesDiffer(sector as u64));
        }
    }
    let entries = first.as_chunks().0.iter().map(|raw| u32::from_le_bytes(*raw) & ENTRY_MASK);
    Ok(entries.take(geometry.clusters as usize + FIRST as usize).collect())
}

/// The walk over all folders.
struct Walk<'a> {
    geometry: &'a Geometry,
    table: Vec<u32>,
    /// Clusters that some chain has already been through.
    seen: Vec<bool>,
    damage: Vec<Damage>,
}

impl Walk<'_> {
    /// All files, in the order of their folders.
    fn files<D: Read + Seek>(&mut self, card: &mut Card<D>) -> Result<Vec<File>, Damage> {
        let mut files = Vec::new();
        let mut folders = vec![(String::new(), self.geometry.root)];
        while let Some((folder, first)) = folders.pop() {
            for Entry { name, is_folder, cluster, size } in self.folder(card, &folder, first)? {
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if files.len() + folders.len() >= ENTRIES_MAX {
                    return Err(Damage::Crowded(ENTRIES_MAX));
                }
                if is_folder {
                    folders.push((path, cluster));
                } else {
                    let size = u64::from(size);
                    let clusters = self.file(&path, cluster, size);
                    files.push(File { path, size, clusters });
                }
            }
        }
        Ok(files)
    }

    /// What a folder lists.
    fn folder<D: Read + Seek>(&mut self, card: &mut Card<D>, path: &str, first: u32) -> Result<Vec<Entry>, Damage> {
        let most = FOLDER_MAX.div_ceil(self.geometry.cluster);
        let chain = self.chain(if path.is_empty() { "/" } else { path }, first, most);
        let mut raw = vec![0; chain.len() * self.geometry.cluster as usize];
        for (cluster, place) in chain.iter().zip(raw.chunks_exact_mut(self.geometry.cluster as usize)) {
            // A chain stays on the volume, and the volume in its partition; the card may end before both.
            if let Some(offset) = self.geometry.offset(*cluster) {
                card.read(offset, place)?;
            }
        }
        Ok(folder::entries(&raw))
    }

    /// The clusters of a file of `size` bytes.
    fn file(&mut self, path: &str, first: u32, size: u64) -> Vec<u32> {
        let wanted = size.div_ceil(self.geometry.cluster);
        if wanted == 0 {
            return Vec::new();
        }
        let before = self.damage.len();
        let clusters = self.chain(path, first, wanted);
        if self.damage.len() == before && clusters.len() as u64 != wanted {
            let (has, wants) = (clusters.len() as u64 * self.geometry.cluster, size);
            self.damage.push(Damage::Short { path: path.to_owned(), has, wants });
        }
        clusters
    }

    /// The chain that begins at `first`, at most `most` clusters of it; damage ends it.
    fn chain(&mut self, path: &str, first: u32, most: u64) -> Vec<u32> {
        let mut clusters = Vec::new();
        let mut next = first;
        while (clusters.len() as u64) < most && next < END {
            let path = || path.to_owned();
            let wrong = match (self.table.get(next as usize), self.seen.get_mut(next as usize)) {
                _ if next == BAD => Damage::Bad { path: path() },
                (Some(0), _) if next >= FIRST => Damage::Free { path: path(), cluster: next },
                (Some(&after), Some(seen)) if next >= FIRST && !*seen => {
                    *seen = true;
                    clusters.push(next);
                    next = after;
                    continue;
                }
                (Some(_), _) if next >= FIRST => Damage::Shared { path: path(), cluster: next },
                _ => Damage::Outside { path: path(), cluster: next },
            };
            self.damage.push(wrong);
            break;
        }
        if clusters.len() as u64 == most && next < END {
            self.damage.push(Damage::Long { path: path.to_owned(), clusters: most });
        }
        clusters
    }
}

#[cfg(test)]
mod tests;
