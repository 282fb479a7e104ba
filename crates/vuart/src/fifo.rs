//! The receive FIFO: 16 bytes, of which a guest without LCR_H.FEN has one.

/// The FIFO holds as many bytes as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Bytes in a PL011 revision 1 FIFO.
pub(crate) const DEPTH: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct Fifo {
    bytes: [u8; DEPTH],
    first: usize,
    count: usize,
    depth: usize,
}

impl Fifo {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; DEPTH], first: 0, count: 0, depth: 1 }
    }
    /// Empties the FIFO and makes it 16 deep or 1.
    pub(crate) fn reset(&mut self, enabled: bool) {
        self.count = 0;
        self.depth = if enabled { DEPTH } else { 1 };
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
    pub(crate) fn room(&self) -> usize {
        self.depth - self.count
    }
    pub(crate) fn push(&mut self, byte: u8) -> Result<(), Full> {
        if self.room() == 0 {
            return Err(Full);
        }
        self.bytes[(self.first + self.count) % DEPTH] = byte;
        self.count += 1;
        Ok(())
    }
    pub(crate) fn pop(&mut self) -> Option<u8> {
        self.count = self.count.checked_sub(1)?;
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % DEPTH;
        Some(byte)
    }
}
