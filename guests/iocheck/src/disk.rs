//! Requests of one device, and what is known of its blocks.

use crate::Failure;
use crate::arch::{get, put};
use crate::linux::{Device, Operation, Requests, map};
use blocks::{BYTES, Block, Kind, Random, Request, WORDS, Workload, weight, word};
use core::ffi::CStr;

/// Most requests in flight.
pub const MAX_DEPTH: u64 = 256;
/// Bytes of a request of a scan.
pub const SCAN: u64 = 128 << 10;
/// One request in so many is a flush, where there are writes.
const FLUSHES: u64 = 64;

/// An open device.
pub struct Disk {
    device: Device,
    requests: Requests,
    flying: [Option<Request>; MAX_DEPTH as usize],
    depth: u64,
    /// Where the requests' data lies, and the bytes for each.
    data: u64,
    stride: u64,
    table: u64,
}

impl Disk {
    /// Opens a device of which nothing is known, for `depth` requests of at most `stride` bytes.
    pub fn open(path: &CStr, is_writable: bool, depth: u64, stride: u64) -> Result<Self, Failure> {
        let kernel = |call| move |errno| Failure::Kernel(call, errno);
        let device = Device::open(path, is_writable).map_err(kernel("open"))?;
        let requests = Requests::new(depth).map_err(kernel("io_setup"))?;
        let data = map(depth * stride).map_err(kernel("mmap"))?;
        let table = map(device.bytes / BYTES * 8).map_err(kernel("mmap"))?;
        let disk = Self { device, requests, flying: [None; MAX_DEPTH as usize], depth, data, stride, table };
        (0..disk.blocks()).for_each(|number| disk.set(number, Block::UNKNOWN));
        Ok(disk)
    }

    /// How many blocks it has.
    pub fn blocks(&self) -> u64 {
        self.device.bytes / BYTES
    }

    fn of(&self, number: u64) -> Block {
        Block::from_bits(get(self.table + 8 * number))
    }

    fn set(&self, number: u64, block: Block) {
        put(self.table + 8 * number, block.to_bits());
    }

    /// `count` random requests of `each` blocks, as many in flight as there may be.
    pub fn random_io(
        &mut self,
        seed: u64,
        count: u64,
        each: u64,
        writes: u64,
        is_checked: bool,
    ) -> Result<(), Failure> {
        let flushes = if writes == 0 { 0 } else { FLUSHES };
        let workload = Workload { blocks: self.blocks(), each, writes, flushes };
        let mut random = Random::new(seed);
        let (mut issued, mut done) = (0, 0);
        while done < count {
            while issued < count && issued - done < self.depth {
                let tag = self.flying.iter().position(Option::is_none);
                let request = workload.next(&mut random, self.flying.iter().flatten());
                let (Some(tag), Some(request)) = (tag, request) else { break };
                self.issue(tag, request);
                issued += 1;
            }
            done += self.finish(is_checked)?;
        }
        Ok(())
    }

    fn issue(&mut self, tag: usize, request: Request) {
        let Request { kind, block, count } = request;
        let at = self.data + tag as u64 * self.stride;
        let operation = match kind {
            Kind::Read => Operation::Read,
            Kind::Flush => Operation::Sync,
            Kind::Write => {
                (0..count).for_each(|n| self.fill_next(block + n, at + n * BYTES));
                Operation::Write
            }
        };
        self.flying[tag] = Some(request);
        // The kernel refuses a flush that names memory.
        let at = if kind == Kind::Flush { 0 } else { at };
        self.requests.prepare(tag as u64, &self.device, operation, at, count * BYTES, block * BYTES);
    }

    fn fill_next(&self, number: u64, at: u64) {
        let mut block = self.of(number);
        let generation = block.write();
        self.set(number, block);
        (0..WORDS).for_each(|n| put(at + 8 * n, word(number, generation, n)));
    }

    /// Hands over what was issued, waits, and checks what is done; returns how many.
    fn finish(&mut self, is_checked: bool) -> Result<u64, Failure> {
        self.requests.submit().map_err(|errno| Failure::Kernel("io_submit", errno))?;
        let events = self.requests.wait().map_err(|errno| Failure::Kernel("io_getevents", errno))?;
        let mut done = 0;
        for (tag, result) in events {
            let request = self.flying.get_mut(tag as usize).and_then(Option::take);
            let Request { kind, block, count } = request.expect("the kernel gives back the tags it was given, once");
            let bytes = result.map_err(|errno| Failure::Request(block, errno))?;
            if kind != Kind::Flush && bytes != count * BYTES {
                return Err(Failure::Short(block, bytes));
            }
            let at = self.data + tag * self.stride;
            for n in 0..if is_checked { count } else { 0 } {
                self.check(kind, block + n, at + n * BYTES)?;
            }
            done += 1;
        }
        Ok(done)
    }

    fn check(&self, kind: Kind, number: u64, at: u64) -> Result<(), Failure> {
        let mut block = self.of(number);
        match kind {
            Kind::Read => {
                block.read(number, |n| get(at + 8 * n)).map(drop).map_err(|flaw| Failure::Block(number, flaw))?
            }
            Kind::Write => block.acknowledge(),
            Kind::Flush => {}
        }
        self.set(number, block);
        Ok(())
    }

    /// Reads and checks every block. How many were ever written, and the sum of all.
    pub fn scan(&mut self) -> Result<(u64, u64), Failure> {
        let step = SCAN / BYTES;
        for block in (0..self.blocks()).step_by(step as usize) {
            self.issue(0, Request { kind: Kind::Read, block, count: step.min(self.blocks() - block) });
            self.finish(true)?;
        }
        let known = (0..self.blocks()).filter_map(|number| Some((number, self.of(number).generation()?)));
        Ok(known.fold((0, 0), |(written, sum), (number, generation)| {
            (written + u64::from(generation != 0), sum.wrapping_add(weight(number, generation)))
        }))
    }
}
