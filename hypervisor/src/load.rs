//! Fills a partition's RAM from the bundle: kernel, initrd, device tree.
//!
//! Every payload's CRC-32C is computed while its bytes are copied; a difference stops the partition before it starts
//! and names the payload. What was written is cleaned to the point of coherency, since the guest starts with its
//! MMU and caches off.

use crate::arch::{cache, crc};
use crate::memory;
use addr::{Address, BLOCK_2M, Ipa, Pa};
use core::fmt;
use manifest::{Partition, Payload, PayloadKind};
use vgic::Version;

/// Why a partition cannot be loaded.
pub enum LoadError {
    /// Bytes in the image were changed after it was built.
    Damaged { kind: PayloadKind, expected: u32, found: u32 },
    /// The manifest's validation let something through.
    Outside(PayloadKind),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { kind, expected, found } => write!(
                f,
                "its {} is damaged in the image (CRC-32C {found:08x}, expected {expected:08x}): write the image again",
                name(*kind)
            ),
            Self::Outside(kind) => write!(f, "its {} does not lie in its RAM or in the image", name(*kind)),
        }
    }
}

fn name(kind: PayloadKind) -> &'static str {
    match kind {
        PayloadKind::Kernel => "kernel",
        PayloadKind::Initrd => "initrd",
        PayloadKind::DeviceTreeV2 | PayloadKind::DeviceTreeV3 => "device tree",
    }
}

/// Whether a payload belongs on a board with this GIC.
fn is_wanted(kind: PayloadKind, version: Version) -> bool {
    match kind {
        PayloadKind::DeviceTreeV2 => version == Version::V2,
        PayloadKind::DeviceTreeV3 => version == Version::V3,
        PayloadKind::Kernel | PayloadKind::Initrd => true,
    }
}

/// Copies the payloads of `partition` from `bundle`, on `core`, for a board with this GIC. With `scrub`, all of its
/// RAM is zeroed first. The partition does not run.
pub fn load(partition: &Partition, bundle: &[u8], core: u16, version: Version, scrub: bool) -> Result<(), LoadError> {
    if scrub {
        for bank in &partition.banks {
            fill_zero(core, bank.pa.start(), bank.pa.size());
        }
    }
    for payload in partition.payloads.iter().filter(|p| is_wanted(p.kind, version)) {
        copy(partition, payload, bundle, core)?;
    }
    cache::invalidate_instructions();
    Ok(())
}

/// The physical address of `[ipa, ipa + bytes)`, which lies in one bank.
fn place_of(partition: &Partition, ipa: Ipa, bytes: u64) -> Option<Pa> {
    partition.banks.iter().find_map(|bank| {
        let offset = ipa.offset_from(bank.ipa)?;
        (offset.checked_add(bytes)? <= bank.pa.size()).then(|| Pa::new(bank.pa.start().as_u64() + offset))
    })
}

fn copy(partition: &Partition, payload: &Payload, bundle: &[u8], core: u16) -> Result<(), LoadError> {
    let outside = || LoadError::Outside(payload.kind);
    let bytes = payload
        .offset
        .checked_add(payload.size)
        .and_then(|end| bundle.get(payload.offset as usize..end as usize))
        .ok_or_else(outside)?;
    let total = payload.size.checked_add(payload.zeroed).ok_or_else(outside)?;
    let target = place_of(partition, payload.ipa, total).ok_or_else(outside)?;
    let mut crc = !0;
    each_window(core, target, payload.size, |window, at, count| {
        // SAFETY: the window maps `count` bytes at `window` for this core alone, and the bundle does not overlap
        // guest RAM (checked at boot).
        crc = unsafe { crc::copy(window, bytes[at..at + count].as_ptr(), count, crc) };
    });
    if !crc != payload.crc32c {
        return Err(LoadError::Damaged { kind: payload.kind, expected: payload.crc32c, found: !crc });
    }
    fill_zero(core, Pa::new(target.as_u64() + payload.size), payload.zeroed);
    Ok(())
}

fn fill_zero(core: u16, target: Pa, bytes: u64) {
    each_window(core, target, bytes, |window, _, count| {
        // SAFETY: the window maps `count` bytes at `window` for this core alone.
        unsafe { core::ptr::write_bytes(window, 0, count) };
    });
}

/// Calls `work(address, bytes done before, bytes)` for each 2 MiB block of `[target, target + size)` and cleans it.
fn each_window(core: u16, target: Pa, size: u64, mut work: impl FnMut(*mut u8, usize, usize)) {
    let mut done = 0;
    while done < size {
        let at = Pa::new(target.as_u64() + done);
        let block = at.align_down(BLOCK_2M);
        let offset = at.as_u64() - block.as_u64();
        let count = (BLOCK_2M - offset).min(size - done);
        memory::with_window(core, block, |base| {
            let window = base.wrapping_add(offset as usize);
            work(window, done as usize, count as usize);
            // SAFETY: still mapped.
            unsafe { cache::clean_invalidate(window as usize, count as usize) };
        });
        done += count;
    }
}
