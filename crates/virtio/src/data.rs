//! [`Data`]: a request's data where it lies, as the pieces of a chain without what surrounds them.

use crate::rings::offset;
use crate::{GuestMemory, Outside, Segment};

/// Bytes of a chain, in order. It borrows the chain, so it is used before the next one is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Data<'c> {
    segments: &'c [Segment],
    /// Bytes of the first segment that are not part of it; fewer than the segment has.
    skip: u32,
    bytes: u32,
}

impl<'c> Data<'c> {
    /// Up to `bytes` of the segments behind the first `skip`.
    pub(crate) fn new(mut segments: &'c [Segment], mut skip: u32, bytes: u32) -> Self {
        while let [first, rest @ ..] = segments
            && first.bytes <= skip
        {
            skip -= first.bytes;
            segments = rest;
        }
        Self { segments, skip, bytes }
    }

    /// How many bytes.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }
    /// The pieces, none of them empty, at most [`MAX_SEGMENTS`](crate::MAX_SEGMENTS).
    pub fn pieces(&self) -> Pieces<'c> {
        Pieces { segments: self.segments.iter(), skip: self.skip, left: self.bytes }
    }

    /// Its first bytes, at most `bytes`.
    pub(crate) fn first(&self, bytes: u32) -> Self {
        Self { bytes: self.bytes.min(bytes), ..*self }
    }

    /// Hands all of it to `each`, in order and in pieces of at most `PIECE` bytes, each byte copied once.
    pub(crate) fn copy_out<const PIECE: usize>(
        &self,
        memory: &impl GuestMemory,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Outside> {
        for segment in self.pieces() {
            let mut done = 0;
            while done < segment.bytes {
                let mut piece = [0; PIECE];
                let count = (segment.bytes - done).min(PIECE as u32);
                let Some(part) = piece.get_mut(..count as usize) else { break };
                memory.read(offset(segment.at, done.into()), part)?;
                each(part);
                done += count;
            }
        }
        Ok(())
    }

    /// Copies the first bytes into `into`; how many.
    pub(crate) fn read(&self, memory: &impl GuestMemory, into: &mut [u8]) -> Result<usize, Outside> {
        let mut done = 0;
        for piece in self.pieces() {
            let rest = into.get_mut(done..).unwrap_or_default();
            let count = rest.len().min(piece.bytes as usize);
            let Some(part) = rest.get_mut(..count).filter(|part| !part.is_empty()) else { break };
            memory.read(piece.at, part)?;
            done += count;
        }
        Ok(done)
    }

    /// Copies bytes to the front, as many as fit; how many.
    pub fn write(&self, memory: &impl GuestMemory, bytes: &[u8]) -> Result<u32, Outside> {
        let (mut done, mut rest) = (0, bytes);
        for piece in self.pieces() {
            let count = rest.len().min(piece.bytes as usize);
            let Some((part, behind)) = rest.split_at_checked(count).filter(|(part, _)| !part.is_empty()) else { break };
            memory.write(piece.at, part)?;
            (done, rest) = (done + count as u32, behind);
        }
        Ok(done)
    }
}

/// The pieces of a [`Data`].
#[derive(Clone, Debug)]
pub struct Pieces<'c> {
    segments: core::slice::Iter<'c, Segment>,
    skip: u32,
    left: u32,
}

impl Iterator for Pieces<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        if self.left == 0 {
            return None;
        }
        let segment = self.segments.next()?;
        let skip = core::mem::take(&mut self.skip);
        let bytes = segment.bytes.saturating_sub(skip).min(self.left);
        self.left -= bytes;
        Some(Segment { at: offset(segment.at, u64::from(skip)), bytes })
    }
}
