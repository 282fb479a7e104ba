//! A virtio disk whose every block is known: random reads and writes, many in flight, each byte that comes back checked.
//!
//! What a block must hold is in memory ([`table`]); a write that the device acknowledged may never be missing, and a
//! write that was in flight when the device was reset is either there or not.

mod table;

use crate::arch::{get, put};
use crate::reply::{Arguments, Refusal, Reply, check};
use crate::virtio::ring::{Completion, Ring};
use crate::virtio::{self, EVENT_IDX, INDIRECT, NEEDS_RESET, Transport, VERSION_1, register, ring};
use blocks::{BYTES as BLOCK, Kind, Random, Request, Workload};
use rt::arch::insn;
use rt::board::board;
use rt::timer::{self, Timer};
use rt::{print, println};
use spin::mutex::SpinMutex;
use table::Table;

/// VIRTIO_BLK_T_IN and its like.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
/// VIRTIO_BLK_T_GET_ID.
const GET_ID: u32 = 8;
/// Feature: the disk is read-only.
const RO: u64 = 1 << 5;
/// Feature: a write is on the medium only after a flush.
const FEATURE_FLUSH: u64 = 1 << 9;
/// Virtio device IDs.
const DISK: u32 = 2;
const ENTROPY: u32 = 4;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Most requests in flight.
const MAX_DEPTH: usize = 128;
/// Bytes of the largest request.
const MAX_REQUEST: u64 = 128 << 10;
/// Most bytes of all requests in flight.
const MAX_DATA: u64 = 4 << 20;
/// Most bytes of a request of a flood.
const MAX_FLOOD: u64 = 2 * BLOCK;
/// One request in so many is a flush.
const FLUSHES: u64 = 64;
/// Looks at an idle ring before this vCPU sleeps.
const LOOKS: u32 = 200;
/// Sleep without an interrupt, in seconds, after which a used buffer shows that one was lost.
const LOST_S: u64 = 3;
/// Seconds without a completion: as long as a service takes to come back, and more.
const PATIENCE_S: u64 = 60;

/// A disk in use, and what is in flight, by tag.
pub struct Disk {
    transport: Transport,
    ring: Ring,
    table: Table,
    capacity: u64,
    features: u64,
    /// Where data lies, and the bytes for each request.
    data: (u64, u64),
    stride: u64,
    flying: [Option<Request>; MAX_DEPTH],
    lost: u64,
}

static OPEN: SpinMutex<Option<Disk>> = SpinMutex::new(None);

/// The first page of RAM that neither the image nor the stacks use.
pub fn memory() -> u64 {
    rt::arch::free_ram().next_multiple_of(4096)
}

/// `disks`: each transport with a device: its slot, what it is, and a disk's sectors and mode.
pub fn list(_: &mut Arguments) -> Reply {
    print!("ok");
    for (slot, transport) in virtio::all().flatten().enumerate() {
        match transport.read(register::DEVICE_ID) {
            0 => {}
            DISK => {
                let features = transport.begin(VERSION_1 | RO)?;
                let mode = if features & RO != 0 { "ro" } else { "rw" };
                print!(" {slot}:disk,{},{mode}", transport.config64(0));
                transport.reset();
            }
            ENTROPY => print!(" {slot}:entropy"),
            other => print!(" {slot}:device{other}"),
        }
    }
    println!();
    Ok(())
}

/// `open`
pub fn open(arguments: &mut Arguments) -> Reply {
    let (slot, is_plain) = (arguments.number()?, arguments.next() == Some("plain"));
    let disk = Disk::open(slot, if is_plain { 0 } else { EVENT_IDX | INDIRECT })?;
    let Disk { transport, capacity, features, data, .. } = &disk;
    println!(
        "ok at=0x{:x} sectors={capacity} features=0x{features:x} depth={} memory=0x{:x} end=0x{:x}",
        transport.base(),
        disk.depth(),
        memory(),
        data.1
    );
    *OPEN.lock() = Some(disk);
    Ok(())
}

/// Runs `body` on the open disk.
pub fn with_disk(body: impl FnOnce(&mut Disk) -> Reply) -> Reply {
    body(OPEN.lock().as_mut().ok_or(Refusal::Error("no disk is open"))?)
}

/// Forgets the open disk: its memory is wanted for something else.
pub fn close() {
    *OPEN.lock() = None;
}

/// `io`
pub fn io(arguments: &mut Arguments) -> Reply {
    let (seed, count) = (arguments.number()?, arguments.number()?);
    let (depth, bytes) = (arguments.number()?, arguments.number()?);
    let writes = arguments.number()?;
    check(bytes.is_multiple_of(BLOCK) && (BLOCK..=MAX_REQUEST).contains(&bytes), "4096 to 131072 bytes, whole blocks")?;
    with_disk(|disk| {
        let depth = depth.clamp(1, disk.depth());
        check(depth * bytes <= disk.data.1 - disk.data.0, "so much data has no room")?;
        disk.stride = bytes;
        let (kicks, interrupts) = (disk.ring.kicks, virtio::interrupts());
        let workload = disk.workload(bytes / BLOCK, writes);
        disk.random_io(&mut Random::new(seed), count, depth, workload)?;
        println!(
            "ok ios={count} kicks={} interrupts={} lost={}",
            disk.ring.kicks - kicks,
            virtio::interrupts() - interrupts,
            disk.lost
        );
        Ok(())
    })
}

/// `scan`
pub fn scan(_: &mut Arguments) -> Reply {
    with_disk(|disk| {
        disk.scan()?;
        let (written, sum) = disk.table.summary();
        println!("ok blocks={} written={written} sum=0x{sum:x}", disk.table.count());
        Ok(())
    })
}

/// `request`
pub fn request(arguments: &mut Arguments) -> Reply {
    let (kind, sector) = (arguments.number()? as u32, arguments.number()?);
    let (bytes, fill) = (arguments.number()?, arguments.optional()?.unwrap_or(0));
    check(bytes <= MAX_REQUEST, "at most 131072 bytes")?;
    with_disk(|disk| {
        let at = disk.data.0;
        let words = bytes.next_multiple_of(8);
        (at..at + words).step_by(8).for_each(|at| put(at, fill));
        let is_input = matches!(kind, IN | GET_ID);
        disk.ring.submit(0, ring::Request { kind, sector, at, bytes, is_input, piece: bytes.max(1) });
        disk.ring.kick();
        let Completion { status, written, .. } = disk.wait()?;
        let words = || (at..at + words).step_by(8).map(get::<u64>);
        let (first, last) = (words().next().unwrap_or(0), words().last().unwrap_or(0));
        let others = words().filter(|&word| word != first).count();
        println!("ok status={status} written={written} first=0x{first:x} last=0x{last:x} others={others}");
        Ok(())
    })
}

/// `whole`
pub fn whole(arguments: &mut Arguments) -> Reply {
    let (kind, word) = (arguments.number()? as u32, arguments.number()?);
    check(matches!(kind, IN | OUT), "0 reads and 1 writes")?;
    with_disk(|disk| {
        let at = disk.data.0;
        let words = || (at..at + MAX_REQUEST).step_by(8);
        words().for_each(|at| put(at, word));
        let (mut requests, mut others) = (0_u64, 0);
        for sector in (0..disk.capacity).step_by((MAX_REQUEST / SECTOR) as usize) {
            let bytes = MAX_REQUEST.min((disk.capacity - sector) * SECTOR);
            if kind == IN {
                words().for_each(|at| put(at, !word));
            }
            disk.ring.submit(0, ring::Request { kind, sector, at, bytes, is_input: kind == IN, piece: BLOCK });
            disk.ring.kick();
            let Completion { status, .. } = disk.wait()?;
            if status != 0 {
                return Err(Refusal::Wrong("I/O error: sector, status", sector, status.into()));
            }
            requests += 1;
            others += (at..at + bytes).step_by(8).filter(|&at| get::<u64>(at) != word).count();
        }
        println!("ok requests={requests} others={others}");
        Ok(())
    })
}

impl Disk {
    /// The disk in this slot, its driver ready, nothing known of its blocks.
    pub fn open(slot: u64, features: u64) -> Result<Self, Refusal> {
        let transport = Transport::find(slot)?;
        check(transport.read(register::DEVICE_ID) == DISK, "no disk is there")?;
        let (capacity, features, ring) = Self::begin(transport, features)?;
        let table = Table::unknown(memory() + ring::BYTES, capacity * SECTOR / BLOCK);
        let start = (memory() + ring::BYTES + Table::bytes(table.count())).next_multiple_of(BLOCK);
        let (base, bytes) = board().ram;
        // What lies behind is for canaries, and near the end for the device tree.
        let room = (base + bytes).saturating_sub(start) / 2 / BLOCK * BLOCK;
        check(room >= MAX_DEPTH as u64 * MAX_FLOOD, "the disk is too large for this guest's RAM")?;
        let data = (start, start + room.min(MAX_DATA));
        transport.watch();
        let flying = [None; MAX_DEPTH];
        Ok(Self { transport, ring, table, capacity, features, data, stride: MAX_FLOOD, flying, lost: 0 })
    }

    fn begin(transport: Transport, features: u64) -> Result<(u64, u64, Ring), Refusal> {
        let features = transport.begin(features | VERSION_1 | RO | FEATURE_FLUSH)?;
        check(features & VERSION_1 != 0, "a legacy device")?;
        Ok((transport.config64(0), features, Ring::begin(transport, memory(), features)?))
    }

    /// Requests that can be in flight.
    fn depth(&self) -> u64 {
        self.ring.depth().min(MAX_DEPTH as u64)
    }

    /// Where the data of a request lies.
    fn buffer(&self, tag: u64) -> u64 {
        self.data.0 + tag * self.stride
    }

    /// Random requests of so many blocks.
    fn workload(&self, each: u64, writes: u64) -> Workload {
        let writes = if self.features & RO == 0 { writes } else { 0 };
        let flushes = if self.features & FEATURE_FLUSH == 0 { 0 } else { FLUSHES };
        Workload { blocks: self.table.count(), each, writes, flushes }
    }

    /// Makes `count` random requests, `depth` in flight, and checks each.
    fn random_io(&mut self, random: &mut Random, count: u64, depth: u64, workload: Workload) -> Reply {
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
                return Err(Refusal::Error("nothing was completed in 60 s"));
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
        let is_idle = !self.ring.has_used();
        let end = Timer::Physical.count() + LOST_S * timer::frequency();
        if is_idle {
            Timer::Physical.set_deadline(end);
            Timer::Physical.enable();
            insn::wfi();
        }
        insn::unmask_irq();
        Timer::Physical.stop();
        self.ring.want_interrupt(false);
        let is_late = Timer::Physical.count() >= end && virtio::interrupts() == before;
        self.lost += u64::from(is_idle && is_late && self.ring.has_used());
    }

    /// Reads every block and checks it; what was unknown is known then.
    fn scan(&mut self) -> Reply {
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
        self.stride = BLOCK;
        self.random_io(random, 8, 4, self.workload(1, 50))
    }
}
