//! A partition's virtio devices as written. This is the one place that knows their order, which is that of their slots.

use super::disk::DiskFile;
use super::{Given, PartitionFile};
use crate::diagnostic::Span;

/// The keys that give a partition virtio devices, in the order of the slots.
pub const VIRTIO_KEYS: [&str; 5] = ["rng", "disk", "net", "hvc", "vsock"];

/// A virtio device as written.
#[derive(Clone, Copy, Debug)]
pub enum VirtioFile<'f> {
    /// `rng`.
    Entropy,
    /// An element of `disk`.
    Disk(&'f DiskFile),
    /// `net`.
    Net,
    /// `hvc`.
    Console,
    /// `vsock`.
    Vsock,
}

impl VirtioFile<'_> {
    /// Whether its partition starts without it.
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::Disk(disk) if disk.is_optional())
    }
}

impl PartitionFile {
    /// Its virtio devices by slot, each with its place in the file.
    pub fn virtio_devices(&self) -> impl Iterator<Item = (VirtioFile<'_>, Span)> {
        let disks = self.disks.iter().map(|disk| (VirtioFile::Disk(disk), disk.place()));
        let net = self.net.value().and(self.net.span()).map(|span| (VirtioFile::Net, span));
        let entropy = wanted(&self.rng, VirtioFile::Entropy);
        let console = wanted(&self.hvc, VirtioFile::Console);
        entropy.into_iter().chain(disks).chain(net).chain(console).chain(wanted(&self.vsock, VirtioFile::Vsock))
    }
}

/// A device that is there where its key says `true`.
fn wanted<'f>(key: &Given<bool>, device: VirtioFile<'f>) -> Option<(VirtioFile<'f>, Span)> {
    key.value().filter(|is_wanted| **is_wanted).and(key.span()).map(|span| (device, span))
}
