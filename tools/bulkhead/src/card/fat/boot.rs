//! The boot sector: where tables and clusters lie. Believed only as far as the partition reaches.

use super::{Damage, ENTRIES_PER_SECTOR, FIRST, TABLE_MAX};
use crate::card::mbr::Partition;
use crate::card::{SECTOR, u16_at, u32_at};

/// Clusters of the smallest FAT32 volume; what has fewer is FAT16 by its definition.
const LEAST_CLUSTERS: u64 = 65_525;
/// Clusters of the largest volume that is looked at: 512 GiB in clusters of 32 KiB.
pub const MOST_CLUSTERS: u64 = 1 << 24;

/// Where everything lies, in bytes of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Clusters of the volume.
    pub clusters: u64,
    /// Where each copy of the table begins that is in use.
    pub tables: Vec<u64>,
    /// Sectors of one.
    pub table_sectors: u64,
    /// The root folder's first cluster.
    pub root: u32,
    /// Where the first cluster begins.
    first: u64,
}

impl Geometry {
    /// Reads the boot sector of the file system in `partition`.
    pub fn read(sector: &[u8; SECTOR as usize], partition: &Partition) -> Result<Self, Damage> {
        let byte = |at: usize| u64::from(sector.get(at).copied().unwrap_or(0));
        if !sector.ends_with(&[0x55, 0xaa]) {
            return Err(Damage::NoFileSystem);
        }
        let bytes = u16_at(sector, 11);
        if u64::from(bytes) != SECTOR {
            return Err(Damage::SectorSize(bytes));
        }
        let per_cluster = byte(13);
        if !per_cluster.is_power_of_two() {
            return Err(Damage::ClusterSize(per_cluster));
        }
        let (copies, table_sectors) = (byte(16), u64::from(u32_at(sector, 36)));
        // FAT12 and FAT16 have their root folder's size and their table's in these fields, and FAT32 has 0.
        if u16_at(sector, 17) != 0 || u16_at(sector, 22) != 0 || table_sectors == 0 {
            return Err(Damage::NotFat32);
        }
        if !(1..=2).contains(&copies) || table_sectors > TABLE_MAX {
            return Err(Damage::Tables { copies, sectors: table_sectors });
        }
        let reserved = u64::from(u16_at(sector, 14));
        let total = match u16_at(sector, 19) {
            0 => u64::from(u32_at(sector, 32)),
            small => u64::from(small),
        };
        if total > partition.sectors {
            return Err(Damage::LargerThanPartition { sectors: total, partition: partition.sectors });
        }
        let before = reserved + copies * table_sectors;
        let clusters = total.saturating_sub(before) / per_cluster;
        if clusters < LEAST_CLUSTERS {
            return Err(Damage::NotFat32);
        }
        if clusters + u64::from(FIRST) > table_sectors * ENTRIES_PER_SECTOR {
            return Err(Damage::Tables { copies, sectors: table_sectors });
        }
        let start = |sectors: u64| (partition.first + sectors) * SECTOR;
        let flags = byte(40);
        let is_mirrored = flags & 0x80 == 0;
        let tables = (0..copies).filter(|copy| is_mirrored || *copy == flags & 0x0f);
        let tables: Vec<u64> = tables.map(|copy| start(reserved + copy * table_sectors)).collect();
        if tables.is_empty() || reserved == 0 {
            return Err(Damage::Tables { copies, sectors: table_sectors });
        }
        let root = u32_at(sector, 44);
        let cluster = per_cluster * SECTOR;
        Ok(Self { cluster, clusters, tables, table_sectors, root, first: start(before) })
    }

    /// Where a cluster begins; `None` for one that the volume does not have.
    pub fn offset(&self, cluster: u32) -> Option<u64> {
        let index = u64::from(cluster.checked_sub(FIRST)?);
        (index < self.clusters).then(|| self.first + index * self.cluster)
    }
}
