//! Rules about what is copied into a partition's RAM, and where its first vCPU starts.

use super::DEVICE_TREE_MAX;
use crate::{Bank, Board, Mistake, Name, Partition, Payload, PayloadKind, System};
use abi::{bundle::ALIGN, plan};
use addr::{Address, Ipa, PAGE_SIZE, Region, is_aligned};

/// Calls `report` for each payload of `partition` that breaks a rule.
pub(super) fn validate(
    board: &Board,
    system: &System,
    owner: &Name,
    partition: &Partition,
    report: &mut dyn FnMut(Mistake),
) {
    let name = || owner.clone();
    for (place, payload) in partition.payloads.iter().enumerate() {
        in_bundle(system, owner, payload, report);
        if !in_ram(owner, partition, payload, report) {
            continue;
        }
        for other in partition.payloads.iter().skip(place + 1) {
            pair(owner, payload, other, report);
        }
    }
    if !partition.payloads.iter().any(|p| p.kind == PayloadKind::Kernel) {
        report(Mistake::NoKernel { partition: name() });
    }
    let is_service = system.service_partition().is_some_and(|(id, _)| id == owner.id);
    // The service partition has a plan instead.
    let trees = board.trees(system.machine).filter(|_| !is_service);
    for kind in trees.chain(is_service.then_some(PayloadKind::Plan)) {
        if !partition.payloads.iter().any(|p| p.kind == kind) {
            report(Mistake::NoTree { partition: name(), kind });
        }
    }
    if !holds(partition, partition.entry, 4) || !partition.entry.is_aligned(4) {
        report(Mistake::BadEntry { partition: name(), entry: partition.entry });
    }
    // Eight bytes: a guest reads magic and size before it knows more.
    if !holds(partition, partition.device_tree, 8) || !partition.device_tree.is_aligned(8) {
        report(Mistake::BadTree { partition: name(), device_tree: partition.device_tree });
    }
}

/// Whether one bank of `partition` holds `size` bytes at `ipa`.
fn holds(partition: &Partition, ipa: Ipa, size: u64) -> bool {
    Region::new(ipa, size)
        .is_some_and(|inner| partition.banks.iter().filter_map(Bank::guest).any(|ram| ram.covers(&inner)))
}

fn in_bundle(system: &System, owner: &Name, payload: &Payload, report: &mut dyn FnMut(Mistake)) {
    let &Payload { kind, offset, size, .. } = payload;
    if !is_aligned(offset, ALIGN) {
        report(Mistake::PayloadUnaligned { partition: owner.clone(), kind, offset });
    }
    if offset.checked_add(size).is_none_or(|end| end > system.bundle_size) {
        let bundle = system.bundle_size;
        report(Mistake::PayloadOutsideBundle { partition: owner.clone(), kind, offset, size, bundle });
    }
}

/// Whether the payload lies in the partition's RAM; what else is wrong with its place is reported too.
fn in_ram(owner: &Name, partition: &Partition, payload: &Payload, report: &mut dyn FnMut(Mistake)) -> bool {
    let &Payload { kind, ipa, .. } = payload;
    let size = payload.size.saturating_add(payload.zeroed);
    let is_in_ram = holds(partition, ipa, size);
    if !is_in_ram {
        report(Mistake::PayloadOutsideRam { partition: owner.clone(), kind, ipa, size });
    }
    if kind == PayloadKind::Plan {
        let is_at_x0 = ipa == partition.device_tree && ipa.is_aligned(PAGE_SIZE);
        if !is_at_x0 || size > plan::MAX as u64 {
            report(Mistake::BadPlan { partition: owner.clone(), ipa, size });
        }
    }
    if !kind.is_tree() {
        return is_in_ram;
    }
    if size > DEVICE_TREE_MAX {
        report(Mistake::TreeTooLarge { partition: owner.clone(), size });
    }
    if ipa != partition.device_tree {
        report(Mistake::TreeElsewhere { partition: owner.clone(), ipa, device_tree: partition.device_tree });
    }
    is_in_ram
}

fn pair(owner: &Name, one: &Payload, other: &Payload, report: &mut dyn FnMut(Mistake)) {
    if one.kind == other.kind && one.kind != PayloadKind::Kernel {
        return report(Mistake::PayloadTwice { partition: owner.clone(), kind: one.kind });
    }
    // Only one of two trees is loaded, so they may share their place.
    if one.kind.is_tree() && other.kind.is_tree() {
        return;
    }
    let overlap = one.destination().zip(other.destination()).is_some_and(|(a, b)| a.overlaps(&b));
    if overlap {
        report(Mistake::PayloadsOverlap {
            partition: owner.clone(),
            kind: one.kind,
            ipa: one.ipa,
            other: other.kind,
            other_ipa: other.ipa,
        });
    }
}
