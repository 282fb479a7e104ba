//! An SD card: its controller, and requests in a queue, one after the other.
//!
//! The service moves the data itself, through the controller's buffer port and a block on its own stack. So the controller
//! touches no memory, and what a crash leaves of it is a card that waits: the next life tells it to stop. A turn moves a
//! few blocks and never waits for the card.

use super::{Disk, Facts, Full, Medium, Ticket, Work};
use crate::arch::insn;
use crate::arch::mmio;
use crate::firmware::Firmware;
use crate::hooks;
use crate::watchdog::Watchdog;
use crate::{say, timer};
use abi::IntId;
use abi::plan::{SdHost, Soc};
use addr::ByteSize;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Write as _;
use gpt::SECTOR;
use heapless::Deque;
use sdhci::{BLOCK, Blocks, Host, Order, Progress, Slot};
use virtio::blk::{SEG_MAX, Status};
use virtio::{MAX_SEGMENTS, PhysicalPiece};

/// Requests under way at once.
const REQUESTS: usize = 32;
/// Blocks that one command transfers at most: no other request has its turn meanwhile.
const BLOCKS: u64 = 1024;
/// Most bytes of one piece of a request, and of all: the longest that a card can be asked for, and that others wait for, is
/// under a second at 20 MB/s. Who does not keep to what it was offered gets an error.
const PIECE: u32 = 128 << 10;
const LONGEST: u64 = PIECE as u64 * SEG_MAX as u64;
/// How long the service sleeps at most while the card has something to do: no interrupt tells of an answer that is lost.
const PATIENCE_MS: u64 = 100;
/// Shortest time between two lines about a card's errors.
const SILENCE_MS: u64 = 1000;

/// The registers of a controller.
#[derive(Clone, Copy, Debug)]
pub struct Registers(mmio::Registers);

impl sdhci::Registers for Registers {
    #[inline(always)]
    fn read(&mut self, offset: u32) -> u32 {
        self.0.read32(offset.into())
    }

    #[inline(always)]
    fn write(&mut self, offset: u32, value: u32) {
        self.0.write32(offset.into(), value);
    }

    fn pause(&mut self, microseconds: u32) {
        let until = timer::now_us().saturating_add(u64::from(microseconds) + 1);
        while timer::now_us() < until {}
    }
}

/// The board's controllers.
pub type Hosts = heapless::Vec<SdHost, 2>;

fn registers(host: &SdHost) -> Registers {
    // SAFETY: the plan says that a controller is there, and map.rs maps it. Nothing here programs its DMA.
    Registers(unsafe { mmio::Registers::new(host.registers.as_u64()) })
}

/// Resets every controller that the life before may have used; those that can be used.
#[inline(never)]
pub fn reset_all(soc: Option<Soc>) -> Hosts {
    let is_reset = |host: &SdHost| {
        let result = Host::new(registers(host), 0).reset(&mut timer::now_us);
        if let Err(fault) = result {
            // It moves no data by itself, so this life is safe from it.
            say!("error: the SD host at {} is not used: {fault}", host.registers);
        }
        result.is_ok()
    };
    soc.iter().flat_map(|soc| soc.hosts).filter(is_reset).collect()
}

/// Looks for a card, and starts the first that there is.
#[inline(never)]
pub(super) fn open(hosts: Hosts, firmware: &mut Option<Firmware>, watchdog: &mut Watchdog) -> Option<Disk> {
    let mut time = || {
        watchdog.feed(timer::now());
        timer::now_us()
    };
    for host in &hosts {
        if let (Some(firmware), Some(pin)) = (&mut *firmware, host.low_voltage_pin) {
            firmware.set_pin(pin, false);
        }
        let hz = firmware.as_mut().and_then(|firmware| firmware.clock_hz(host.clock)).unwrap_or(0);
        match Host::new(registers(host), hz).start(&mut time) {
            Ok(slot) => return Some(found(slot, host)),
            Err((mut rest, sdhci::Fault::NoCard)) => drop(rest.reset(&mut time)),
            Err((mut rest, fault)) => {
                let _ = rest.reset(&mut time);
                say!("warn: the SD host at {}: {fault}", host.registers);
            }
        }
    }
    if !hosts.is_empty() {
        say!("warn: there is no SD card");
    }
    None
}

fn found(slot: Slot<Registers>, host: &SdHost) -> Disk {
    let card = *slot.card();
    let mut serial = heapless::String::new();
    // Eleven characters of twenty.
    let _ = write!(serial, "sd-{:08x}", card.serial);
    let name = core::str::from_utf8(&card.name).unwrap_or("?");
    let speed = if card.is_fast { 50 } else { 25 };
    let size = ByteSize(card.capacity.saturating_mul(SECTOR));
    say!("disk '{serial}' at the SD host {}: {size}, card '{}', {speed} MHz", host.registers, name.escape_default());
    let facts = Facts {
        serial,
        capacity: card.capacity,
        block_size: BLOCK as u32,
        seg_max: 0,
        size_max: Some(PIECE),
        is_read_only: card.is_read_only,
        has_flush: true,
        discard: None,
        write_zeroes: None,
    };
    Disk::new(Medium::Card(Box::new(Card::new(slot, host.intid))), facts)
}

/// What a request is to do.
#[derive(Clone, Copy, Debug)]
enum Task {
    Read(u64),
    Write(u64),
    Flush,
    /// Nothing that a card can.
    Refused,
}

/// A request.
struct Request {
    task: Task,
    /// Sectors of its data, and how many of them were transferred.
    sectors: u64,
    done: u64,
    pieces: heapless::Vec<PhysicalPiece, MAX_SEGMENTS>,
    is_too_long: bool,
    /// A piece, and the bytes of the data before it: where the last block was.
    place: (usize, u64),
    ticket: Ticket,
}

/// A card.
pub(super) struct Card {
    slot: Slot<Registers>,
    intid: IntId,
    requests: Box<[Request]>,
    /// Requests under way, by their places, in order; the first is the card's.
    queue: Deque<u8, REQUESTS>,
    free: heapless::Vec<u8, REQUESTS>,
    completed: Deque<(Ticket, Status), REQUESTS>,
    has_news: bool,
    listens: bool,
    said_at: Option<u64>,
    /// An order has ended well since the last look.
    has_progressed: bool,
}

impl Card {
    fn new(slot: Slot<Registers>, intid: IntId) -> Self {
        let idle = || Request {
            task: Task::Refused,
            sectors: 0,
            done: 0,
            pieces: heapless::Vec::new(),
            is_too_long: false,
            place: (0, 0),
            ticket: Ticket::Own,
        };
        Self {
            slot,
            intid,
            requests: (0..REQUESTS).map(|_| idle()).collect::<Vec<_>>().into_boxed_slice(),
            queue: Deque::new(),
            free: (0..REQUESTS as u8).rev().collect(),
            completed: Deque::new(),
            has_news: false,
            listens: false,
            said_at: None,
            has_progressed: false,
        }
    }

    pub(super) fn intid(&self) -> IntId {
        self.intid
    }

    pub(super) fn outstanding(&self) -> usize {
        self.queue.len() + self.completed.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.outstanding() < REQUESTS
    }

    pub(super) fn has_completed(&self) -> bool {
        !self.completed.is_empty()
    }

    /// Adds a request.
    ///
    /// # Safety
    /// As for [`Disk::submit`].
    // Not inlined, as `turn` and `reap`: a virtio disk's requests pass by here.
    #[inline(never)]
    pub(super) unsafe fn submit(
        &mut self,
        work: Work<'_>,
        pieces: &mut dyn Iterator<Item = PhysicalPiece>,
        ticket: Ticket,
    ) -> Result<(), Full> {
        if !self.has_room() {
            return Err(Full(ticket));
        }
        let Some(place) = self.free.pop() else { return Err(Full(ticket)) };
        let Some(request) = self.requests.get_mut(usize::from(place)) else { return Err(Full(ticket)) };
        request.task = match work {
            Work::Read(sector) => Task::Read(sector),
            Work::Write(sector) => Task::Write(sector),
            Work::Flush => Task::Flush,
            Work::Discard(_) | Work::Fill(_) | Work::Identify => Task::Refused,
        };
        request.pieces.clear();
        request.is_too_long = false;
        // A chain has no more pieces.
        request.pieces.extend(pieces.take(MAX_SEGMENTS));
        let bytes: u64 = request.pieces.iter().map(|piece| u64::from(piece.bytes)).sum();
        (request.sectors, request.done, request.place, request.ticket) = (bytes / SECTOR, 0, (0, 0), ticket);
        request.is_too_long = bytes > LONGEST;
        // There are as many places as requests.
        let _ = self.queue.push_back(place);
        self.has_news = true;
        Ok(())
    }

    pub(super) fn notify(&mut self) {
        if core::mem::take(&mut self.has_news) {
            hooks::issued();
        }
    }

    /// Carries the first request on. Whether something has happened, or must be looked for again at once.
    #[inline(never)]
    pub(super) fn turn(&mut self) -> bool {
        let Some(place) = self.queue.front().copied() else { return false };
        let Some(request) = self.requests.get_mut(usize::from(place)) else { return false };
        let now_us = timer::now_us();
        if !self.slot.is_busy() {
            let count = request.sectors.saturating_sub(request.done).min(BLOCKS) as u16;
            let order = match request.task {
                _ if request.is_too_long => return self.complete(Status::IoError),
                Task::Read(sector) if count > 0 => Order::Read(sector + request.done, count),
                Task::Write(sector) if count > 0 => Order::Write(sector + request.done, count),
                Task::Flush => Order::Flush,
                Task::Read(_) | Task::Write(_) => return self.complete(Status::Ok),
                Task::Refused => return self.complete(Status::Unsupported),
            };
            self.slot.begin(order, now_us);
        }
        match self.slot.poll(now_us, request) {
            Progress::Waiting => false,
            Progress::Moving => true,
            Progress::Done(Ok(())) => {
                self.has_progressed = true;
                request.done += request.sectors.saturating_sub(request.done).min(BLOCKS);
                if request.done >= request.sectors { self.complete(Status::Ok) } else { true }
            }
            Progress::Done(Err(fault)) => {
                let now = timer::now();
                if self.said_at.is_none_or(|said_at| now > said_at + timer::ticks(SILENCE_MS)) {
                    self.said_at = Some(now);
                    say!("error: the SD card fails: {:?} at sector {}: {fault}", request.task, request.done);
                }
                self.complete(Status::IoError)
            }
        }
    }

    /// The first request has ended.
    fn complete(&mut self, status: Status) -> bool {
        let Some(place) = self.queue.pop_front() else { return false };
        let request = self.requests.get_mut(usize::from(place));
        let ticket = request.map_or(Ticket::Own, |request| core::mem::replace(&mut request.ticket, Ticket::Own));
        // There is a place for each: `has_room` counts these, too.
        let _ = self.completed.push_back((ticket, status));
        let _ = self.free.push(place);
        true
    }

    #[inline(never)]
    pub(super) fn reap(&mut self) -> Option<(Ticket, Status)> {
        self.completed.pop_front()
    }

    /// Whether an order has ended well since this was asked.
    pub(super) fn take_progress(&mut self) -> bool {
        core::mem::take(&mut self.has_progressed)
    }

    /// Whether the controller interrupts.
    pub(super) fn enable_interrupt(&mut self, is_enabled: bool) {
        if self.listens != is_enabled {
            self.listens = is_enabled;
            self.slot.listen(is_enabled);
        }
    }

    /// When it is to be looked at although it has not interrupted.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.slot.is_busy().then(|| timer::now() + timer::ticks(PATIENCE_MS))
    }

    /// Forgets all requests.
    pub(super) fn abandon(&mut self) {
        self.enable_interrupt(false);
        self.queue.clear();
    }
}

impl Request {
    /// Calls `visit` with the address, the place in the block and the length of each run of block `number`.
    fn runs(&mut self, number: u32, visit: &mut dyn FnMut(u64, usize, usize)) {
        let start = (self.done + u64::from(number)) * SECTOR;
        if start < self.place.1 {
            // Begun again.
            self.place = (0, 0);
        }
        let mut at = 0;
        while let Some(piece) = self.pieces.get(self.place.0).filter(|_| at < BLOCK) {
            let skip = start + at as u64 - self.place.1;
            let left = u64::from(piece.bytes).saturating_sub(skip);
            if left == 0 {
                self.place = (self.place.0 + 1, self.place.1 + u64::from(piece.bytes));
                continue;
            }
            let count = left.min((BLOCK - at) as u64) as usize;
            visit(piece.at.as_u64() + skip, at, count);
            at += count;
        }
    }
}

impl Blocks for Request {
    fn put(&mut self, number: u32, bytes: &[u8; BLOCK]) {
        let from = bytes.as_ptr() as u64;
        self.runs(number, &mut |to, at, count| {
            // SAFETY: a run of the request's pieces, which are mapped and no Rust object by the contract of `submit`; the
            // run's part of the block.
            unsafe { insn::copy(from + at as u64, to, count as u64) };
        });
    }

    fn give(&mut self, number: u32, bytes: &mut [u8; BLOCK]) {
        let to = bytes.as_mut_ptr() as u64;
        self.runs(number, &mut |from, at, count| {
            // SAFETY: as above, the other way round.
            unsafe { insn::copy(from, to + at as u64, count as u64) };
        });
    }
}
