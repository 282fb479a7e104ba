//! What can be wrong with a FAT32 file system, in words and with values.

use std::fmt;
use std::io;

/// One damage.
#[derive(Debug)]
pub enum Damage {
    /// The card cannot be read there, or ends before its file system does.
    Io(io::Error),
    /// The boot sector has no signature.
    NoFileSystem,
    /// Sectors of this many bytes, where a card's have 512.
    SectorSize(u16),
    /// Clusters of this many sectors, which is no power of two.
    ClusterSize(u64),
    /// FAT12 or FAT16, or too small for FAT32.
    NotFat32,
    /// So many copies of the table, of so many sectors each, are none that a volume can have.
    Tables {
        /// Copies.
        copies: u64,
        /// Sectors of each.
        sectors: u64,
    },
    /// The file system reaches beyond its partition.
    LargerThanPartition {
        /// Its sectors.
        sectors: u64,
        /// The partition's.
        partition: u64,
    },
    /// More files and folders than are looked at.
    Crowded(usize),
    /// The table's copies differ in this sector.
    TablesDiffer(u64),
    /// A chain leads to a cluster that is marked as free.
    Free {
        /// The file or folder.
        path: String,
        /// The cluster.
        cluster: u32,
    },
    /// A chain leads to a cluster that is marked as unusable.
    Bad {
        /// The file or folder.
        path: String,
    },
    /// A chain leads out of the volume.
    Outside {
        /// The file or folder.
        path: String,
        /// The number that stands for a cluster.
        cluster: u32,
    },
    /// A chain leads into itself or into another.
    Shared {
        /// The file or folder.
        path: String,
        /// The cluster that is met a second time.
        cluster: u32,
    },
    /// A file has fewer bytes than its size.
    Short {
        /// The file.
        path: String,
        /// Bytes that its clusters hold.
        has: u64,
        /// Its size.
        wants: u64,
    },
    /// A chain goes on behind what the file's size needs.
    Long {
        /// The file or folder.
        path: String,
        /// Clusters that would do.
        clusters: u64,
    },
}

impl Damage {
    /// The file or folder that it is about, if it is about one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Free { path, .. }
            | Self::Bad { path }
            | Self::Outside { path, .. }
            | Self::Shared { path, .. }
            | Self::Short { path, .. }
            | Self::Long { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl From<io::Error> for Damage {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the card ends before its file system does")
            }
            Self::Io(error) => write!(f, "the card cannot be read ({error})"),
            Self::NoFileSystem => f.write_str("there is no FAT file system: its boot sector has no signature"),
            Self::SectorSize(bytes) => write!(f, "the file system has sectors of {bytes} bytes, a card of 512"),
            Self::ClusterSize(sectors) => write!(f, "the file system has clusters of {sectors} sectors"),
            Self::NotFat32 => f.write_str("the file system is not FAT32"),
            Self::Tables { copies, sectors } => {
                write!(f, "the file system has {copies} allocation tables of {sectors} sectors")
            }
            Self::LargerThanPartition { sectors, partition } => {
                write!(f, "the file system has {sectors} sectors, its partition {partition}")
            }
            Self::Crowded(most) => write!(f, "the file system has more than {most} files"),
            Self::TablesDiffer(sector) => write!(f, "the two allocation tables differ in their sector {sector}"),
            Self::Free { path, cluster } => write!(f, "'{path}' goes on in cluster {cluster}, which is marked as free"),
            Self::Bad { path } => write!(f, "'{path}' goes on in a cluster that is marked as unusable"),
            Self::Outside { path, cluster } => {
                write!(f, "'{path}' goes on in cluster {cluster}, which the file system does not have")
            }
            Self::Shared { path, cluster } => {
                write!(f, "'{path}' goes on in cluster {cluster}, which something else already has")
            }
            Self::Short { path, has, wants } => write!(f, "'{path}' has {wants} bytes and clusters for {has}"),
            Self::Long { path, clusters } => write!(f, "'{path}' has more clusters than the {clusters} that it needs"),
        }
    }
}
