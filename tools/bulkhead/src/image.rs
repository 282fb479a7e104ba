//! The boot bundle: EL2 binary, manifest, payloads (layout in `abi::bundle`).
//!
//! Bytes in, bytes out, and the same bytes each time. Writing the file is here too, so that no half image is ever seen.

use crate::kernel::Bytes;
use abi::bundle::{
    ALIGN, FORMAT, HEADER, IMAGE_MAGIC, IMAGE_MAGIC_OFFSET, IMAGE_SIZE, MAGIC, MANIFEST_HEADER, MANIFEST_MAX,
    MANIFEST_OFFSET,
};
use addr::align_up;
use anyhow::{Context, Result, bail, ensure};
use manifest::System;
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use std::io::Write;
use std::path::Path;

/// Largest EL2 image: its link script promises no more.
pub const EL2_MAX: u64 = 2 << 20;
/// Room for the manifest, so that payload offsets do not depend on its length.
pub const MANIFEST_ROOM: u64 = (MANIFEST_HEADER + MANIFEST_MAX) as u64;

/// The next bundle boundary.
fn aligned(offset: u64) -> u64 {
    align_up(offset, ALIGN).unwrap_or(!(ALIGN - 1))
}

/// What payloads take in the bundle; equal ones are stored once.
#[derive(Debug, Default)]
pub struct Store {
    chunks: Vec<(u64, Bytes)>,
    end: u64,
}

impl Store {
    /// A store whose first payload lies behind a manifest at `manifest_offset`.
    pub fn behind(manifest_offset: u64) -> Self {
        Self { chunks: Vec::new(), end: aligned(manifest_offset.saturating_add(MANIFEST_ROOM)) }
    }

    /// The offset of `bytes`, which are added unless they are there.
    pub fn add(&mut self, bytes: &Bytes) -> u64 {
        if let Some((offset, _)) = self.chunks.iter().find(|(_, chunk)| chunk == bytes) {
            return *offset;
        }
        let offset = self.end;
        self.end = aligned(offset.saturating_add(bytes.len() as u64));
        self.chunks.push((offset, bytes.clone()));
        offset
    }

    /// Bytes up to here.
    pub fn end(&self) -> u64 {
        self.end
    }
}

/// Gives every payload its offset behind a manifest at `manifest_offset`, and the system its bundle size.
///
/// `contents[p][n]` are the bytes of payload `n` of partition `p`.
pub fn lay_out(system: &mut System, contents: &[Vec<Bytes>], manifest_offset: u64) -> Store {
    let mut store = Store::behind(manifest_offset);
    for (partition, contents) in system.partitions.iter_mut().zip(contents) {
        for (payload, bytes) in partition.payloads.iter_mut().zip(contents) {
            payload.offset = store.add(bytes);
        }
    }
    system.bundle_size = store.end();
    store
}

/// An EL2 binary as it lies in memory: the first bytes of the bundle.
#[derive(Debug)]
pub struct El2 {
    bytes: Vec<u8>,
}

impl El2 {
    /// Flattens an ELF file: segments relative to the lowest virtual address, .bss as zeros.
    pub fn read(elf: &[u8]) -> Result<Self> {
        let endian = LittleEndian;
        let header = FileHeader64::<LittleEndian>::parse(elf).context("the EL2 binary is no 64-bit ELF file")?;
        let programs = header.program_headers(endian, elf)?;
        let loads = || programs.iter().filter(|p| p.p_type.get(endian) == PT_LOAD && p.p_memsz.get(endian) != 0);
        let base = loads().map(|p| p.p_vaddr.get(endian)).min().context("the EL2 binary has nothing to load")?;
        let mut bytes = Vec::new();
        for program in loads() {
            let offset = program.p_vaddr.get(endian) - base;
            let end = offset.checked_add(program.p_memsz.get(endian)).filter(|end| *end <= EL2_MAX);
            let end = end.with_context(|| format!("the EL2 binary is larger than {EL2_MAX} bytes"))?;
            let held = program.data(endian, elf).ok().context("the EL2 binary is cut short")?;
            ensure!(held.len() as u64 <= end - offset, "the EL2 binary has a segment larger than its memory");
            bytes.resize(bytes.len().max(end as usize), 0);
            bytes[offset as usize..][..held.len()].copy_from_slice(held);
        }
        let el2 = Self { bytes };
        el2.check()?;
        Ok(el2)
    }

    fn check(&self) -> Result<()> {
        ensure!(has_headers(&self.bytes), "the EL2 binary does not start with the headers of a boot bundle");
        let at = |offset: usize, size: usize| self.bytes.get(offset..offset + size);
        let format = at(HEADER + 8, 4).map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
        if format != Some(FORMAT) {
            bail!(
                "the EL2 binary wants bundle format {}, this tool writes {FORMAT}: build both from one checkout",
                format.unwrap_or(0)
            );
        }
        let offset = self.manifest_offset();
        ensure!(
            offset >= self.bytes.len() as u64 && offset <= EL2_MAX && offset == aligned(offset),
            "the EL2 binary wants its manifest at {offset}, inside itself or off a page"
        );
        Ok(())
    }

    /// Where the binary looks for its manifest.
    pub fn manifest_offset(&self) -> u64 {
        manifest_offset(&self.bytes)
    }

    /// The first byte in which `bundle` is of another EL2 binary. Its size in the header is the bundle's own.
    pub fn differs_from(&self, bundle: &[u8]) -> Option<usize> {
        let of_bundle = IMAGE_SIZE..IMAGE_SIZE + 8;
        (0..self.bytes.len()).find(|at| !of_bundle.contains(at) && self.bytes.get(*at) != bundle.get(*at))
    }

    /// The bundle of `system`, laid out for this binary.
    pub fn bundle(&self, system: &System, store: &Store) -> Result<Vec<u8>> {
        let mut bundle = self.bytes.clone();
        bundle.resize(system.bundle_size as usize, 0);
        bundle[IMAGE_SIZE..IMAGE_SIZE + 8].copy_from_slice(&system.bundle_size.to_le_bytes());
        let manifest = self.manifest_offset() as usize;
        manifest::encode(system, &mut bundle[manifest..manifest + MANIFEST_ROOM as usize])?;
        for (offset, bytes) in &store.chunks {
            bundle[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        Ok(bundle)
    }
}

/// Whether `file` begins as a boot bundle does.
fn has_headers(file: &[u8]) -> bool {
    let at = |offset: usize, size: usize| file.get(offset..offset + size);
    at(IMAGE_MAGIC_OFFSET, 4) == Some(&IMAGE_MAGIC) && at(HEADER, 8) == Some(&MAGIC)
}

/// The system in the boot bundle `image`.
pub fn system(image: &[u8]) -> Result<System> {
    let manifest = usize::try_from(manifest_offset(image)).ok().and_then(|offset| image.get(offset..));
    Ok(manifest::decode(manifest.unwrap_or_default())?)
}

/// Refuses what is no boot bundle.
pub fn check(image: &[u8]) -> Result<()> {
    ensure!(has_headers(image), "it is no Bulkhead image: give the file that `bulkhead build` wrote");
    Ok(())
}

/// Where a bundle's manifest is.
fn manifest_offset(bundle: &[u8]) -> u64 {
    let raw = bundle.get(MANIFEST_OFFSET..MANIFEST_OFFSET + 8).and_then(|raw| raw.try_into().ok());
    raw.map_or(0, u64::from_le_bytes)
}

/// Writes `bytes` to `path` as a whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_by(path, |file| Ok(file.write_all(bytes)?))
}

/// Has `path` written by `fill`, as a whole or not at all.
pub fn write_by(path: &Path, fill: impl FnOnce(&mut std::fs::File) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || format!("cannot write the image {}", path.display());
    let mut file = tempfile::Builder::new().prefix(".bulkhead-").tempfile_in(folder).with_context(failed)?;
    fill(file.as_file_mut()).with_context(failed)?;
    readable(file.as_file()).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

/// Temporary files are private; an image is for everyone, like any build output.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_payloads_are_stored_once_and_all_lie_on_pages() {
        let mut store = Store::behind(0x3000);
        let kernel: Bytes = vec![1; 5000].into();
        let first = store.add(&kernel);
        let again: Bytes = vec![1; 5000].into();
        assert_eq!(store.add(&again), first);
        let other: Bytes = vec![2; 1].into();
        assert_eq!(store.add(&other), first + 8192);
        assert_eq!(store.end() % ALIGN, 0);
    }
}
