//! [`Ranges`]: what a request discards or fills with zeroes.

use super::{Disk, Limits, Status};
use crate::{Data, GuestMemory};

/// Most ranges of a request.
pub const MAX_RANGES: usize = 16;
/// Bytes of a range in a request: sector, count of sectors, flags.
const RANGE: usize = 16;
/// The only flag: the range may be discarded while it is filled.
const UNMAP: u32 = 1;

/// Sectors that all lie on the disk; at least one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// The first one.
    pub sector: u64,
    /// How many.
    pub sectors: u32,
    /// Whether the guest does not mind if they are discarded, so long as they read as zeroes.
    pub unmap: bool,
}

/// The ranges of a request, in the guest's RAM so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranges<'c> {
    data: Data<'c>,
    disk: &'c Disk,
    /// Most sectors of a range.
    most: u32,
    /// Flags that a range may have.
    known: u32,
}

impl<'c> Ranges<'c> {
    /// To be discarded. The status if this cannot be.
    pub(super) fn to_discard(data: Data<'c>, disk: &'c Disk) -> Result<Self, Status> {
        Self::new(data, disk, disk.discard, 0)
    }
    /// To be filled with zeroes. The status if this cannot be.
    pub(super) fn to_fill(data: Data<'c>, disk: &'c Disk) -> Result<Self, Status> {
        Self::new(data, disk, disk.write_zeroes, UNMAP)
    }

    fn new(data: Data<'c>, disk: &'c Disk, limits: Option<Limits>, known: u32) -> Result<Self, Status> {
        let limits = limits.ok_or(Status::Unsupported)?;
        let (count, rest) = (data.bytes() / RANGE as u32, data.bytes() % RANGE as u32);
        if count == 0 || rest != 0 || count > limits.ranges() {
            return Err(Status::IoError);
        }
        Ok(Self { data, disk, most: limits.sectors, known })
    }

    /// Reads and checks all of them, before any is carried out: how many there are in `into`. Those of no sectors are left
    /// out.
    pub fn read(&self, memory: &impl GuestMemory, into: &mut [Range; MAX_RANGES]) -> Result<usize, Status> {
        let mut bytes = [0; RANGE * MAX_RANGES];
        let count = self.data.read(memory, &mut bytes).map_err(|_| Status::IoError)?;
        let (ranges, _) = bytes.get(..count).unwrap_or_default().as_chunks::<RANGE>();
        let mut places = into.iter_mut();
        let mut used = 0;
        for range in ranges {
            let range = self.check(u128::from_le_bytes(*range))?;
            if range.sectors == 0 {
                continue;
            }
            let Some(place) = places.next() else { return Err(Status::IoError) };
            *place = range;
            used += 1;
        }
        Ok(used)
    }

    fn check(&self, word: u128) -> Result<Range, Status> {
        let (sector, sectors, flags) = (word as u64, (word >> 64) as u32, (word >> 96) as u32);
        if flags & !self.known != 0 {
            return Err(Status::Unsupported);
        }
        if sectors > self.most || !self.disk.has(sector, u64::from(sectors)) {
            return Err(Status::IoError);
        }
        Ok(Range { sector, sectors, unmap: flags & UNMAP != 0 })
    }
}
