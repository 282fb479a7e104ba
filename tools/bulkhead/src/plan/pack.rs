//! Payloads that have a place: what a kernel is copied as, and a partition with all that is copied for it.

use crate::fit::Fit;
use crate::kernel::{Bytes, Kernel};
use addr::Ipa;
use manifest::{Partition, Payload, PayloadKind, checksum};

/// What is copied to RAM: kind, address, bytes, zeros behind.
pub type Packed = (PayloadKind, Ipa, Bytes, u64);

/// Gives `partition` its entry and its payloads; returns their bytes.
pub fn pack(partition: &mut Partition, fit: &Fit, payloads: Vec<Packed>) -> Option<Vec<Bytes>> {
    partition.entry = fit.entry;
    partition.device_tree = fit.device_tree;
    let mut contents = Vec::new();
    for (kind, ipa, bytes, zeroed) in payloads {
        let size = bytes.len() as u64;
        // It fits, so it has a place.
        let checksum = checksum::of(partition.pa_of(ipa)?, &bytes);
        let payload = Payload { kind, offset: 0, size, checksum, ipa, zeroed };
        // ELF files with more segments were refused when they were read.
        partition.payloads.push(payload).ok()?;
        contents.push(bytes);
    }
    Some(contents)
}

/// A kernel's payloads.
pub fn kernel_payloads(kernel: &Kernel, fit: &Fit) -> Vec<Packed> {
    let at = fit.kernel.unwrap_or_default();
    match kernel {
        Kernel::Image { bytes, image_size, .. } => {
            vec![(PayloadKind::Kernel, at, bytes.clone(), image_size - bytes.len() as u64)]
        }
        Kernel::Raw { bytes } => vec![(PayloadKind::Kernel, at, bytes.clone(), 0)],
        Kernel::Elf { segments, .. } => segments
            .iter()
            .map(|segment| (PayloadKind::Kernel, Ipa::new(segment.address), segment.bytes.clone(), segment.zeroed))
            .collect(),
    }
}
