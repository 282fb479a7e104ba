//! Rules about physical memory and where guests see it.

use super::{IPA_END, MEMORY_MIN, name, partitions};
use crate::{Bank, Board, Mistake, Name, Owner, Partition, System};
use abi::{Io, PartitionId, machine};
use addr::{Address, BLOCK_2M, PAGE_SIZE, Pa, Region};

/// An [`Owner`] that borrows, so that comparing every pair copies no names.
#[derive(Clone, Copy)]
enum Claim<'a> {
    Partition(PartitionId, &'a Partition),
    Kept(PartitionId, &'a Partition),
    Pool,
    Bundle,
    Board(&'static str),
    Channel(usize),
}

impl Claim<'_> {
    fn owner(self) -> Owner {
        match self {
            Self::Partition(id, partition) => Owner::Partition(name(id, partition)),
            Self::Kept(id, partition) => Owner::Kept(name(id, partition)),
            Self::Pool => Owner::Pool,
            Self::Bundle => Owner::Bundle,
            Self::Board(name) => Owner::Board(name),
            Self::Channel(number) => Owner::Channel(number),
        }
    }

    /// The board's ranges are firmware facts: they are not checked themselves, and the firmware keeps its own tree
    /// off the bundle, whose size it reads in the image header. EL2 checks the addresses that it really got.
    fn may_meet(self, other: Self) -> bool {
        matches!((self, other), (Self::Board(_), Self::Board(_) | Self::Bundle) | (Self::Bundle, Self::Board(_)))
    }
}

/// Everything that claims physical memory.
fn claims<'a>(board: &'a Board, system: &'a System) -> impl Iterator<Item = (Claim<'a>, Region<Pa>)> {
    let banks = partitions(system)
        .flat_map(|(id, partition)| partition.banks.iter().map(move |bank| (Claim::Partition(id, partition), bank.pa)));
    let kept = system.service.zip(system.service_partition());
    let kept = kept.map(|(service, (id, partition))| (Claim::Kept(id, partition), service.kept));
    let channels = system.channels.iter().enumerate();
    let channels = channels.filter_map(|(n, channel)| Some((Claim::Channel(n), channel.memory()?)));
    let bundle = Region::new(board.load_address, system.bundle_size).map(|region| (Claim::Bundle, region));
    let reserved = board.reserved.iter().filter_map(|r| Some((Claim::Board(r.name), Region::new(r.start, r.size)?)));
    banks.chain(kept).chain(channels).chain([(Claim::Pool, system.pool)]).chain(bundle).chain(reserved)
}

/// The claims from the `first` on. One copy of the chain above for both loops below: EL2 has a size budget.
fn from<'a>(board: &'a Board, system: &'a System, first: usize) -> impl Iterator<Item = (Claim<'a>, Region<Pa>)> {
    #[inline(never)]
    fn nth<'a>(board: &'a Board, system: &'a System, n: usize) -> Option<(Claim<'a>, Region<Pa>)> {
        claims(board, system).nth(n)
    }
    (first..).map_while(move |n| nth(board, system, n))
}

/// Calls `report` for each range that breaks a rule.
pub(super) fn validate(board: &Board, system: &System, report: &mut dyn FnMut(Mistake)) {
    for (place, (claim, region)) in from(board, system, 0).enumerate() {
        if matches!(claim, Claim::Board(_)) {
            continue;
        }
        if !region.is_sound() {
            report(Mistake::Unsound { owner: claim.owner(), start: region.start() });
            continue;
        }
        if !matches!(claim, Claim::Bundle) && !region.is_aligned(PAGE_SIZE) {
            report(Mistake::Unaligned { owner: claim.owner(), region });
        }
        if !board.ram_banks(system.machine).any(|bank| bank.covers(&region)) {
            report(Mistake::OutsideRam { owner: claim.owner(), region });
        }
        for (other, other_region) in from(board, system, place + 1) {
            if !claim.may_meet(other) && other_region.is_sound() && region.overlaps(&other_region) {
                report(Mistake::Overlap { first: claim.owner(), region, second: other.owner(), other: other_region });
            }
        }
    }
    for (id, partition) in partitions(system) {
        guest(&name(id, partition), partition, report);
    }
}

/// Rules about where one guest sees its RAM.
fn guest(owner: &Name, partition: &Partition, report: &mut dyn FnMut(Mistake)) {
    if partition.banks.is_empty() {
        return report(Mistake::NoMemory { partition: owner.clone() });
    }
    let size = partition.banks.iter().fold(0u64, |sum, bank| sum.saturating_add(bank.pa.size()));
    if size < MEMORY_MIN {
        report(Mistake::MemoryTooSmall { partition: owner.clone(), size });
    }
    let mut before: Option<&Bank> = None;
    for bank in &partition.banks {
        seen(owner, partition, bank, report);
        let is_behind = before.and_then(Bank::guest).is_none_or(|region| bank.ipa >= region.end());
        if !is_behind {
            report(Mistake::BanksOverlap { partition: owner.clone(), ipa: bank.ipa });
        }
        before = Some(bank);
    }
    if partition.io == Io::Window && !is_window(partition) {
        report(Mistake::BadWindow { partition: owner.clone() });
    }
}

/// Whether the first bank is a window: the service partition may see it, so nothing is there that its guest believes.
/// What is loaded lies in one bank (`payloads`), so its first byte says in which.
fn is_window(partition: &Partition) -> bool {
    let Some(main) = partition.banks.get(1).map(|bank| bank.ipa) else { return false };
    let is_apart = partition.entry >= main && partition.payloads.iter().all(|payload| payload.ipa >= main);
    is_apart && !partition.is_identity && !partition.virtio.is_empty()
}

/// Rules about one bank as the guest sees it.
fn seen(owner: &Name, partition: &Partition, bank: &Bank, report: &mut dyn FnMut(Mistake)) {
    let partition_name = || owner.clone();
    let (ipa, pa) = (bank.ipa, bank.pa);
    if partition.is_identity && ipa.as_u64() != pa.start().as_u64() {
        report(Mistake::NotIdentity { partition: partition_name(), ipa, pa: pa.start() });
    }
    let is_high_enough = ipa >= if partition.is_identity { machine::DEVICES_END } else { machine::RAM };
    let fits = bank.guest().is_some_and(|region| region.end().as_u64() <= IPA_END);
    if !is_high_enough || !fits {
        report(Mistake::OutsideMap { partition: partition_name(), ipa, size: pa.size() });
    }
    let offset = ipa.as_u64() ^ pa.start().as_u64();
    if !ipa.is_aligned(PAGE_SIZE) || (pa.size() >= BLOCK_2M && !addr::is_aligned(offset, BLOCK_2M)) {
        report(Mistake::NotCongruent { partition: partition_name(), ipa, pa });
    }
}
