//! Random requests of a disk, several in flight, of which no two touch one block: so what each must read is known.

use crate::Random;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads the blocks.
    Read,
    /// Writes each block's next generation.
    Write,
    /// Puts what was acknowledged on the medium; of no block.
    Flush,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it does.
    pub kind: Kind,
    /// The first block.
    pub block: u64,
    /// How many.
    pub count: u64,
}

impl Request {
    /// A flush.
    pub const FLUSH: Self = Self { kind: Kind::Flush, block: 0, count: 0 };

    fn overlaps(&self, other: &Self) -> bool {
        self.block < other.block + other.count && other.block < self.block + self.count
    }
}

/// What kind of requests.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Blocks of the disk.
    pub blocks: u64,
    /// Blocks of a request.
    pub each: u64,
    /// Writes, in percent of reads and writes.
    pub writes: u64,
    /// One request in so many is a flush; 0: none.
    pub flushes: u64,
}

impl Workload {
    /// The next request, beside those in flight. `None`: the place that came up is taken.
    pub fn next<'a>(&self, random: &mut Random, flying: impl IntoIterator<Item = &'a Request>) -> Option<Request> {
        if self.flushes != 0 && random.below(self.flushes) == 0 {
            return Some(Request::FLUSH);
        }
        let places = self.blocks.checked_div(self.each).filter(|&places| places != 0)?;
        let block = random.below(places) * self.each;
        let kind = if random.below(100) < self.writes { Kind::Write } else { Kind::Read };
        let request = Request { kind, block, count: self.each };
        let is_free = flying.into_iter().all(|other| !other.overlaps(&request));
        is_free.then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_in_flight_touch_one_block() {
        let workload = Workload { blocks: 40, each: 4, writes: 50, flushes: 8 };
        let mut random = Random::new(1);
        let mut flying = [Request::FLUSH; 6];
        let (mut made, mut refused) = (0, 0);
        for n in 0..1000 {
            let slot = n % flying.len();
            flying[slot] = Request::FLUSH;
            match workload.next(&mut random, &flying) {
                Some(request) => {
                    assert!(flying.iter().all(|other| !other.overlaps(&request)));
                    assert!(request.block + request.count <= 40);
                    flying[slot] = request;
                    made += 1;
                }
                None => refused += 1,
            }
        }
        assert!(made > 500 && refused > 50, "{made} made, {refused} refused");
    }

    #[test]
    fn a_disk_smaller_than_a_request_has_no_place() {
        let workload = Workload { blocks: 3, each: 4, writes: 50, flushes: 0 };
        assert_eq!(workload.next(&mut Random::new(1), []), None);
    }
}
