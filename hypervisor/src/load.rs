//! Fills a partition's RAM from the bundle, or empties it: the work between two lives.
//!
//! All cores of the partition share it: each takes the next block of 2 MiB from where it waits at EL2, until none is
//! left; the one that finishes last checks and goes on. Everything that no payload covers is zeroed before a further
//! life (and before the first with `scrub_at_boot`). Each payload's checksum is computed while its bytes are copied,
//! block by block, and a difference names the payload. What was written is cleaned to the point of coherency, since the
//! guest starts with its MMU and caches off.

use crate::arch::{barrier, cache};
use crate::channel;
use crate::core_local::{Assignment, Core};
use crate::gic;
use crate::memory;
use crate::partition::{self, Partition};
use addr::{Address, BLOCK_2M, Ipa, Pa};
use core::sync::atomic::{AtomicU32, Ordering};
use life::Event;
use manifest::{MAX_PAYLOADS, Payload, PayloadKind, checksum};
use vgic::Version;

/// What is to be done with the RAM.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Job {
    /// Nothing.
    None,
    /// Payloads in; the rest stays as it is.
    LoadOnly,
    /// Payloads in, the rest zeroed.
    ScrubAndLoad,
    /// All zeroed.
    Scrub,
}

/// Work that cores share. Blocks are numbered through the banks.
pub struct Work {
    job: AtomicU32,
    next: AtomicU32,
    done: AtomicU32,
    /// The payloads' checksums, of the pieces so far ([`manifest::checksum`]).
    sums: [[AtomicU32; 4]; MAX_PAYLOADS],
}

/// A run of guest RAM, `[start, end)`.
#[derive(Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
}

impl Run {
    fn within(self, other: Self) -> Self {
        let start = self.start.max(other.start).min(other.end);
        Self { start, end: self.end.min(other.end).max(start) }
    }
    const fn bytes(self) -> usize {
        (self.end - self.start) as usize
    }
}

impl Work {
    /// None.
    pub const fn new() -> Self {
        Self {
            job: AtomicU32::new(Job::None as u32),
            next: AtomicU32::new(0),
            done: AtomicU32::new(0),
            sums: [const { [const { AtomicU32::new(0) }; 4] }; MAX_PAYLOADS],
        }
    }

    /// Begins `job`; the caller wakes the cores. No other is under way.
    pub fn begin(&self, job: Job) {
        self.sums.as_flattened().iter().for_each(|lane| lane.store(0, Ordering::Relaxed));
        self.done.store(0, Ordering::Relaxed);
        self.job.store(job as u32, Ordering::Relaxed);
        self.next.store(0, Ordering::Release);
    }
}

/// Does one block of this core's partition's work. `false`: there was none to take.
pub fn step(core: &'static Core) -> bool {
    let Some(Assignment { partition, .. }) = core.assignment else { return false };
    let work = &partition.work;
    let total = blocks(partition);
    if work.job.load(Ordering::Acquire) == Job::None as u32 || work.next.load(Ordering::Acquire) >= total {
        return false;
    }
    let n = work.next.fetch_add(1, Ordering::AcqRel);
    let Some((bank, block)) = block(partition, n) else { return false };
    // Read after the number was taken: of whichever job that is.
    let job = work.job.load(Ordering::Acquire);
    do_block(core.id.number(), partition, bank, block, job);
    if work.done.fetch_add(1, Ordering::AcqRel) + 1 == total {
        work.job.store(Job::None as u32, Ordering::Relaxed);
        channel::renew(core, partition);
        finish(partition, job);
    }
    true
}

fn bank_blocks(bank: &manifest::Bank) -> u32 {
    let first = bank.pa.start().align_down(BLOCK_2M).as_u64();
    ((bank.pa.start().as_u64() + bank.pa.size() - first).div_ceil(BLOCK_2M)) as u32
}

fn blocks(partition: &Partition) -> u32 {
    partition.manifest.banks.iter().map(bank_blocks).sum()
}

/// The `n`th block of the partition: its bank and its address.
fn block(partition: &Partition, mut n: u32) -> Option<(&'static manifest::Bank, Pa)> {
    for bank in &partition.manifest.banks {
        let count = bank_blocks(bank);
        if n < count {
            let first = bank.pa.start().align_down(BLOCK_2M).as_u64();
            return Some((bank, Pa::new(first + u64::from(n) * BLOCK_2M)));
        }
        n -= count;
    }
    None
}

/// Payloads for a board with this GIC, numbered as in the manifest.
fn wanted(partition: &Partition) -> impl Iterator<Item = (usize, &'static Payload)> {
    let unwanted = match gic::version() {
        Version::V2 => PayloadKind::DeviceTreeV3,
        Version::V3 => PayloadKind::DeviceTreeV2,
    };
    partition.manifest.payloads.iter().enumerate().filter(move |(_, payload)| payload.kind != unwanted)
}

/// One block: `job` on the part of it that is in `bank`.
fn do_block(core: u16, partition: &Partition, bank: &manifest::Bank, block: Pa, job: u32) {
    let is_scrubbed = job != Job::LoadOnly as u32;
    let is_loaded = job != Job::Scrub as u32;
    // In bytes from the start of the bank, as the guest and the board see it alike.
    let start = block.as_u64().max(bank.pa.start().as_u64()) - bank.pa.start().as_u64();
    let end = (block.as_u64() + BLOCK_2M - bank.pa.start().as_u64()).min(bank.pa.size());
    let here = Run { start, end };
    let offset = bank.pa.start().as_u64().wrapping_sub(block.as_u64());
    memory::with_window(core, block, |window| {
        let address = |at: u64| window.wrapping_add(offset.wrapping_add(at) as usize);
        // SAFETY: `address` of a run within `here` lies in the window, which is this core's alone.
        let zero = |run: Run| unsafe { cache::zero(address(run.start), run.bytes()) };
        let mut done = here.start;
        while is_loaded
            && done < here.end
            && let Some((n, payload, first)) = next_payload(partition, bank, Run { start: done, ..here })
        {
            let copied = Run { start: first, end: first + payload.size }.within(here);
            let behind = Run { start: first + payload.size, end: first + payload.size + payload.zeroed }.within(here);
            if is_scrubbed {
                zero(Run { start: done, end: copied.start.max(done) });
            }
            copy_piece(
                partition,
                n,
                payload,
                copied.start - first.min(copied.start),
                address(copied.start),
                copied.bytes(),
            );
            zero(behind);
            done = behind.end.max(copied.end);
        }
        if is_scrubbed {
            zero(Run { start: done, end: here.end });
        }
        barrier::dsb_sy();
    });
}

/// The first payload with bytes in `run` of `bank`: its number, itself, and its offset in the bank.
fn next_payload(partition: &Partition, bank: &manifest::Bank, run: Run) -> Option<(usize, &'static Payload, u64)> {
    wanted(partition)
        .filter_map(|(n, payload)| Some((n, payload, offset_in(bank, payload.ipa)?)))
        .filter(|(_, payload, first)| *first < run.end && first + payload.size + payload.zeroed > run.start)
        .min_by_key(|(_, _, first)| *first)
}

fn offset_in(bank: &manifest::Bank, ipa: Ipa) -> Option<u64> {
    ipa.offset_from(bank.ipa).filter(|offset| *offset < bank.pa.size())
}

/// Copies `count` bytes of `payload` from its byte `from` on, and adds them to its checksum.
fn copy_piece(partition: &Partition, n: usize, payload: &Payload, from: u64, to: *mut u8, count: usize) {
    if count == 0 {
        return;
    }
    // The manifest's payloads lie in the bundle (validated): an empty slice here fails the check.
    let bytes = payload
        .offset
        .checked_add(from)
        .and_then(|start| partition::bundle().get(start as usize..start as usize + count))
        .unwrap_or(&[]);
    let start = checksum::start(from, payload.size);
    // SAFETY: `to` has room for `count` bytes in this core's window, and the bundle does not overlap guest RAM. This core
    // is between two lives of its guest (`vcpu::idle`): the way back is `guest::enter`.
    let sum = unsafe { cache::copy(to, bytes.as_ptr(), bytes.len(), start) };
    for (all, lane) in partition.work.sums[n].iter().zip(sum) {
        all.fetch_add(lane, Ordering::AcqRel);
    }
}

/// Every block is done: check, and tell the life.
fn finish(partition: &'static Partition, job: u32) {
    cache::invalidate_instructions();
    let event = if job == Job::Scrub as u32 {
        Event::Cleared
    } else if is_intact(partition) {
        Event::Loaded
    } else {
        Event::Damaged
    };
    // Loading and scrubbing are awaited: the life refuses none of these.
    let _ = partition.tell(event);
}

fn is_intact(partition: &Partition) -> bool {
    let mut is_intact = true;
    for (n, payload) in wanted(partition) {
        let found = partition.work.sums[n].each_ref().map(|lane| lane.load(Ordering::Acquire));
        if found != payload.checksum {
            is_intact = false;
            let what = match payload.kind {
                PayloadKind::Kernel => "kernel",
                PayloadKind::Initrd => "initrd",
                PayloadKind::Plan => "plan",
                PayloadKind::DeviceTreeV2 | PayloadKind::DeviceTreeV3 => "device tree",
            };
            error!(
                "partition '{}' does not start: its {what} is damaged in the image: write the image again",
                partition.name(),
            );
        }
    }
    is_intact
}
