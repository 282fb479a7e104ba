//! A virtio disk whose every block is known: random reads and writes, many in flight, each byte that comes back checked.
//!
//! What a block must hold is in memory (`table`); a write that the device acknowledged may never be missing, and a write
//! that was in flight when the device was reset is either there or not.

use super::table::Table;
use crate::reply::{Refusal, Reply, check};
use crate::shared::{self, memory};
use crate::virtio::ring::{Completion, Ring};
use crate::virtio::{self, ring};
use blocks::{BYTES as BLOCK, Kind, Random, Request, Workload};
use rt::arch::insn;
use rt::timer::{self, Timer};
use rt::virtio::{DISK, NEEDS_RESET, Transport, VERSION_1, register};

/// VIRTIO_BLK_T_IN and its like.
pub const IN: u32 = 0;
/// Writes.
pub const OUT: u32 = 1;
const FLUSH: u32 = 4;
/// Feature: the disk is read-only.
pub const RO: u64 = 1 << 5;
/// Feature: a write is on the medium only after a flush.
const FEATURE_FLUSH: u64 = 1 << 9;
/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Most requests in flight.
const MAX_DEPTH: usize = 128;
/// Bytes of the largest request.
pub const MAX_REQUEST: u64 = 128 << 10;
/// Most bytes of all requests in flight.
const MAX_DATA: u64 = 4 << 20;
/// Most bytes of a request of a flood.
const MAX_FLOOD: u64 = 2 * BLOCK;
/// One request in so many is a flush.
const FLUSHES: u64 = 64;
/// Looks at an idle ring before this vCPU sleeps.
const LOOKS: u32 = 200;
/// Sleep without an interrupt, in seconds, after which this looks for itself.
const LOST_S: u64 = 3;
/// Seconds without the interrupt of a buffer that was found so, after which it is lost: a service that dies between the
/// two interrupts in its next life.
const GRACE_S: u64 = 10;
/// Seconds without a completion: as long as a service takes to come back on a host that stands still now and then.
const PATIENCE_S: u64 = 120;

/// A disk in use, and what is in flight, by tag.
pub struct Disk {
    pub(super) transport: Transport,
    pub(super) ring: Ring,
    pub(super) table: Table,
    pub(super) capacity: u64,
    pub(super) features: u64,
    /// Where data lies, and the bytes for each request.
    pub(super) data: (u64, u64),
    stride: u64,
    flying: [Option<Request>; MAX_DEPTH],
    pub(super) lost: u64,
}

impl Disk {
    /// The disk in this slot, its driver ready, nothing known of its blocks.
    pub fn open(slot: u64, features: u64) -> Result<Self, Refusal> {
        let transport = virtio::find(slot)?;
        check(transport.read(register::DEVICE_ID) == DISK, "no disk is there")?;
        let (capacity, features, ring) = Self::begin(transport, features)?;
        let table = Table::unknown(memory() + ring::BYTES, capacity * SECTOR / BLOCK);
        let start = (memory() + ring::BYTES + Table::bytes(table.count())).next_multiple_of(BLOCK);
        // What lies behind is for canaries, and near the end for the device tree.
        let room = shared::ram().1.saturating_sub(start) / 2 / BLOCK * BLOCK;
        check(room >= MAX_DEPTH as u64 * MAX_FLOOD, "the disk is too large for this guest's RAM")?;
        let data = (start, start + room.min(MAX_DATA));
        virtio::watch(transport);
        let flying = [None; MAX_DEPTH];
        Ok(Self { transport, ring, table, capacity, features, data, stride: MAX_FLOOD, flying, lost: 0 })
    }

    fn begin(transport: Transport, features: u64) -> Result<(u64, u64, Ring), Refusal> {
        let features = virtio::begin(transport, features | VERSION_1 | RO | FEATURE_FLUSH)?;
        check(features & VERSION_1 != 0, "a legacy device")?;
        Ok((transport.config64(0), features, Ring::begin(transport, memory(), features)?))
    }

    /// Requests that can be in flight.
    pub(super) fn depth(&self) -> u64 {
        self.ring.depth().min(MAX_DEPTH as u64)
    }

    /// Where the data of a request lies.
    fn buffer(&self, tag: u64) -> u64 {
        self.data.0 + tag * self.stride
    }

    /// Random requests of so many blocks.
    pub(super) fn workload(&self, each: u64, writes: u64) -> Workload {
        let writes = if self.features & RO == 0 { writes } else { 0 };
        let flushes = if self.features & FEATURE_FLUSH == 0 { 0 } else { FLUSHES };
        Workload { blocks: self.table.count(), each, writes, flushes }
    }

    /// Makes `count` random requests, `depth` in flight, and checks each.
    pub(super) fn random_io(&mut self, random: &mut Random, count: u64, depth: u64, workload: Workload) -> Reply {
        self.stride = workload.each * BLOCK;
        check(depth * self.stride <= self.data.1 - self.data.0, "so much data has no room")?;
        let (mut issued, mut done) = (0, 0);
        while done < count {
            while issued < count && issued - done < depth && self.issue_random(random, workload) {
                issued += 1;
            }
            self.ring.kick();
            let completion = self.wait()?;
            self.finish(completion)?;
            done += 1;
            while let Some(completion) = self.ring.completed()? {
                self.finish(completion)?;
                done += 1;
            }
        }
        Ok(())
    }

    /// Issues one request; false if there was no place for it at the first try.
    fn issue_random(&mut self, random: &mut Random, workload: Workload) -> bool {
        let tag = self.flying.iter().position(Option::is_none);
        let request = workload.next(random, self.flying.iter().flatten());
        if let (Some(tag), Some(request)) = (tag, request) {
            self.issue(tag as u64, request);
        }
        tag.is_some() && request.is_some()
    }

    fn issue(&mut self, tag: u64, request: Request) {
        let Request { kind, block, count } = request;
        let at = self.buffer(tag);
        if kind == Kind::Write {
            (0..count).for_each(|n| self.table.fill_next(block + n, at + n * BLOCK));
        }
        self.flying[tag as usize] = Some(request);
        let is_input = kind == Kind::Read;
        let kind = match kind {
            Kind::Read => IN,
            Kind::Write => OUT,
            Kind::Flush => FLUSH,
        };
        let (sector, bytes) = (block * (BLOCK / SECTOR), count * BLOCK);
        self.ring.submit(tag, ring::Request { kind, sector, at, bytes, is_input, piece: BLOCK });
    }

    /// Checks what a request came to.
    fn finish(&mut self, completion: Completion) -> Reply {
        let slot = self.flying.get_mut(completion.tag as usize).and_then(Option::take);
        let Some(Request { kind, block, count }) = slot else {
            return Err(Refusal::Wrong("completed twice: tag", completion.tag, completion.status.into()));
        };
        if completion.status != 0 {
            return Err(Refusal::Wrong("I/O error: block, status", block, completion.status.into()));
        }
        let expected = if kind == Kind::Read { count * BLOCK + 1 } else { 1 };
        if u64::from(completion.written) != expected {
            return Err(Refusal::Wrong("bytes written: expected, said", expected, completion.written.into()));
        }
        let at = self.buffer(completion.tag);
        for n in 0..count {
            match kind {
                Kind::Read => self.table.check(block + n, at + n * BLOCK)?,
                _ => self.table.acknowledge(block + n),
            }
        }
        Ok(())
    }

    /// Makes one request, sound or not, with its data at the beginning of [`Self::data`], and waits for it.
    pub(super) fn raw(&mut self, kind: u32, sector: u64, bytes: u64, is_input: bool) -> Result<Completion, Refusal> {
        self.raw_at(kind, sector, self.data.0, bytes, is_input)
    }

    /// The same with its data at `at`, wherever that is.
    pub(super) fn raw_at(
        &mut self,
        kind: u32,
        sector: u64,
        at: u64,
        bytes: u64,
        is_input: bool,
    ) -> Result<Completion, Refusal> {
        let request = ring::Request { kind, sector, at, bytes, is_input, piece: BLOCK };
        self.ring.submit(0, request);
        self.ring.kick();
        self.wait()
    }

    /// Waits for a completion; asleep, if it does not come at once.
    fn wait(&mut self) -> Result<Completion, Refusal> {
        let end = timer::now() + PATIENCE_S * timer::frequency();
        loop {
            for _ in 0..LOOKS {
                if let Some(completion) = self.ring.completed()? {
                    return Ok(completion);
                }
            }
            if timer::now() > end {
                return Err(Refusal::Error("nothing was completed in 120 s"));
            }
            self.sleep();
        }
    }

    /// Sleeps until an interrupt comes, or for a while.
    fn sleep(&mut self) {
        let before = virtio::interrupts();
        self.ring.want_interrupt(true);
        insn::mask_irq();
        // Until now a used buffer may have come without an interrupt.
        if !self.ring.has_used() && !doze(LOST_S, before) && self.ring.has_used() {
            self.lost += u64::from(!doze(GRACE_S, before));
        }
        insn::unmask_irq();
        self.ring.want_interrupt(false);
    }

    /// Reads every block and checks it; what was unknown is known then.
    pub(super) fn scan(&mut self) -> Reply {
        let step = MAX_REQUEST / BLOCK;
        self.stride = MAX_REQUEST;
        for block in (0..self.table.count()).step_by(step as usize) {
            let count = step.min(self.table.count() - block);
            self.issue(0, Request { kind: Kind::Read, block, count });
            self.ring.kick();
            let completion = self.wait()?;
            self.finish(completion)?;
        }
        Ok(())
    }
}

/// Sleeps for so many seconds, or until the device has interrupted more than `before` times; returns whether it has.
/// Interrupts are masked, and taken only in here.
fn doze(seconds: u64, before: u64) -> bool {
    let end = Timer::Physical.count() + seconds * timer::frequency();
    Timer::Physical.set_deadline(end);
    Timer::Physical.enable();
    while virtio::interrupts() == before && Timer::Physical.count() < end {
        insn::wfi();
        insn::unmask_irq();
        insn::mask_irq();
    }
    Timer::Physical.stop();
    virtio::interrupts() != before
}

/// For what resets a device under its requests.
impl Disk {
    /// Fills the ring with random requests and tells the device; returns how many.
    pub fn flood(&mut self, random: &mut Random, writes: u64) -> u64 {
        self.stride = MAX_FLOOD;
        let depth = self.depth();
        let is_issued = |_: &u64| {
            let workload = self.workload(1 + random.below(MAX_FLOOD / BLOCK), writes);
            self.issue_random(random, workload)
        };
        let issued = (0..depth).filter(is_issued).count();
        self.ring.kick();
        issued as u64
    }

    /// Resets the device while requests are in flight, which ends them; returns how many were not completed. Nothing
    /// of theirs may be written to memory from here on.
    pub fn reset_in_flight(&mut self) -> Result<u64, Refusal> {
        self.transport.reset();
        check(self.transport.read(register::STATUS) & !NEEDS_RESET == 0, "the device is not reset")?;
        // What was completed before the reset counts.
        while self.ring.has_used() {
            let Some(completion) = self.ring.completed()? else { break };
            self.finish(completion)?;
        }
        Ok(self.flying.iter_mut().filter_map(Option::take).count() as u64)
    }

    /// Makes the driver ready again after a reset.
    pub fn begin_again(&mut self) -> Reply {
        (_, _, self.ring) = Self::begin(self.transport, self.features)?;
        Ok(())
    }

    /// All memory that the device was told of in a flood: ring, buffers.
    pub fn shared(&self) -> [(u64, u64); 2] {
        [(memory(), memory() + ring::BYTES), (self.data.0, self.data.0 + self.depth() * MAX_FLOOD)]
    }

    /// Reads and writes a few blocks.
    pub fn spot_check(&mut self, random: &mut Random) -> Reply {
        self.random_io(random, 8, 4, self.workload(1, 50))
    }
}
