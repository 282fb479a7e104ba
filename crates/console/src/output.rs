//! The sink for one call, and how much may still be done in it.

use crate::Ring;
use crate::line::LINE;
use crate::source::VIRTIO;
use abi::MAX_NAME;

/// Most bytes that one step of [`crate::Mux::pump`] hands to the sink: a line and a report of dropped ones, both with tag.
pub const BURST: usize = LINE + 2 * (MAX_NAME + VIRTIO.len() + 32);

/// The sink and what may still happen in this call.
pub(crate) struct Output<'a, F> {
    sink: &'a mut F,
    /// Bytes that the sink takes yet.
    left: usize,
    /// Bytes that may be taken from rings yet: a guest that sends only what is filtered must not keep a core busy.
    takes_left: usize,
}

impl<'a, F: FnMut(&[u8])> Output<'a, F> {
    pub(crate) fn new(sink: &'a mut F, budget: usize) -> Self {
        Self { sink, left: budget, takes_left: budget }
    }
    pub(crate) fn take<const N: usize>(&mut self, ring: &Ring<N>) -> Option<u8> {
        if !self.has_room() {
            return None;
        }
        let byte = ring.pop()?;
        self.takes_left -= 1;
        Some(byte)
    }
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.left = self.left.saturating_sub(bytes.len());
        (self.sink)(bytes);
    }
    pub(crate) fn has_room(&self) -> bool {
        self.left >= BURST && self.takes_left > 0
    }
    /// A number in decimal.
    pub(crate) fn put_number(&mut self, number: u32) {
        let mut digits = [0; 10];
        let mut rest = number;
        let mut first = digits.len();
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            first = place;
            if rest == 0 {
                break;
            }
        }
        self.put(digits.get(first..).unwrap_or(&[]));
    }
}
