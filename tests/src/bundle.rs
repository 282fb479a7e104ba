//! Changes to a finished image, for tests of what EL2 says about a damaged one.
//!
//! The layout is `abi::bundle`'s. Nothing here repairs a check sum unless it says so.

use abi::bundle::{MANIFEST_HEADER, MANIFEST_MAGIC, MANIFEST_OFFSET};
use anyhow::{Context, Result, anyhow, ensure};
use manifest::{Partition, Payload, PayloadKind, System};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// An image in memory.
pub struct Bundle {
    bytes: Vec<u8>,
    manifest: usize,
    system: System,
}

impl Bundle {
    /// Reads an image.
    pub fn read(image: &Path) -> Result<Self> {
        let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let field = bytes.get(MANIFEST_OFFSET..MANIFEST_OFFSET + 8).context("the image is shorter than its header")?;
        let manifest = usize::try_from(u64::from_le_bytes(field.try_into()?))?;
        let blob = bytes.get(manifest..).context("the manifest lies outside the image")?;
        let system = manifest::decode(blob).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { bytes, manifest, system })
    }

    /// The manifest.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// EL2 as it lies in the image, .bss included.
    pub fn el2(&self) -> &[u8] {
        self.bytes.get(..self.manifest).unwrap_or_default()
    }

    /// Bytes that EL2 itself takes in memory: everything before the manifest, .bss included.
    pub fn el2_bytes(&self) -> u64 {
        self.manifest as u64
    }

    /// Inverts one bit in the middle of the manifest's blob.
    pub fn damage_manifest(&mut self) -> Result<()> {
        let length = self.bytes.get(self.manifest + 8..self.manifest + 12).context("no manifest")?;
        let length = u32::from_le_bytes(length.try_into()?);
        self.damage(self.manifest + MANIFEST_HEADER + usize::try_from(length)? / 2)
    }

    /// Inverts one bit in the middle of a payload.
    pub fn damage_payload(&mut self, partition: usize, is_it: impl Fn(&Payload) -> bool) -> Result<()> {
        let partition = self.system.partitions.get(partition).context("no such partition")?;
        let payload = partition.payloads.iter().find(|payload| is_it(payload)).context("no such payload")?;
        let middle = usize::try_from(payload.offset + payload.size / 2)?;
        self.damage(middle)
    }

    /// The offset of the byte in the middle of a payload, and the byte.
    pub fn middle_of(&self, partition: &str, kind: PayloadKind) -> Result<(u64, u8)> {
        let partition = self.system.partitions.iter().find(|known| known.name == partition);
        let mut payloads = partition.context("no such partition")?.payloads.iter();
        let payload = payloads.find(|payload| payload.kind == kind).context("no such payload")?;
        let middle = payload.offset + payload.size / 2;
        let byte = self.bytes.get(usize::try_from(middle)?).context("outside the image")?;
        Ok((middle, *byte))
    }

    fn damage(&mut self, at: usize) -> Result<()> {
        *self.bytes.get_mut(at).context("outside the image")? ^= 0x10;
        Ok(())
    }

    /// Puts an edited manifest in, with a right hash.
    pub fn put_system(&mut self, edit: impl FnOnce(&mut System)) -> Result<()> {
        let mut system = self.system.clone();
        edit(&mut system);
        let blob = postcard::to_slice(&system, &mut [0; 1 << 16])?.to_vec();
        self.put_blob(&blob)
    }

    /// Puts in a manifest that names the first partition `count` times, however many the type allows.
    pub fn put_partitions(&mut self, count: u8) -> Result<()> {
        let first: &Partition = self.system.partitions.first().context("no partition")?;
        let mut scratch = [0; 1 << 14];
        let partition = postcard::to_slice(first, &mut scratch)?.to_vec();
        let mut system = self.system.clone();
        system.partitions.clear();
        let mut scratch = [0; 1 << 14];
        let mut blob = postcard::to_slice(&system, &mut scratch)?.to_vec();
        // The partitions are the last field; postcard writes a sequence as its length (a varint) and its items.
        ensure!(blob.pop() == Some(0) && count < 0x80, "the manifest's last field is not its partitions");
        blob.push(count);
        (0..count).for_each(|_| blob.extend_from_slice(&partition));
        self.put_blob(&blob)
    }

    fn put_blob(&mut self, blob: &[u8]) -> Result<()> {
        let mut manifest = MANIFEST_MAGIC.to_vec();
        manifest.extend_from_slice(&u32::try_from(blob.len())?.to_le_bytes());
        manifest.extend_from_slice(&[0; 4]);
        manifest.extend_from_slice(&Sha256::digest(blob));
        manifest.extend_from_slice(blob);
        let end = self.manifest + manifest.len();
        let payloads = self.system.partitions.iter().flat_map(|partition| partition.payloads.iter());
        let first = payloads.map(|payload| payload.offset).min().unwrap_or(u64::MAX);
        ensure!((end as u64) <= first, "the manifest would reach into the payloads");
        self.bytes.get_mut(self.manifest..end).context("outside the image")?.copy_from_slice(&manifest);
        Ok(())
    }

    /// Writes the image to `directory/name`.
    pub fn write(&self, directory: &Path, name: &str) -> Result<PathBuf> {
        let file = directory.join(name);
        std::fs::write(&file, &self.bytes).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}
