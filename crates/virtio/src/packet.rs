//! [`SocketPacket`]: a header of fixed size and what is behind it, in one chain, as socket devices have it (section 5.10.6).
//!
//! What the header says is for others; nothing here looks into it.

use crate::{Broken, Chain, Data, GuestMemory, Outside};

/// Bytes that are copied out of a guest's RAM in one piece.
const PIECE: usize = 512;

/// A packet that a guest sends: its header, copied once, and where the rest is.
#[derive(Clone, Copy, Debug)]
pub struct SocketPacket<'c, const HEADER: usize> {
    header: [u8; HEADER],
    payload: Data<'c>,
}

impl<'c, const HEADER: usize> SocketPacket<'c, HEADER> {
    /// The packet in `chain`; `None` where that has no whole header. That a chain to send has bytes to write is of no use, and
    /// forbidden nowhere.
    pub fn read(memory: &impl GuestMemory, chain: &'c Chain) -> Result<Option<Self>, Outside> {
        let Some(bytes) = chain.readable_bytes().checked_sub(HEADER as u32) else { return Ok(None) };
        let mut header = [0; HEADER];
        Data::new(chain.readable(), 0, HEADER as u32).read(memory, &mut header)?;
        Ok(Some(Self { header, payload: Data::new(chain.readable(), HEADER as u32, bytes) }))
    }

    /// The header.
    pub fn header(&self) -> &[u8; HEADER] {
        &self.header
    }

    /// Bytes behind it.
    pub fn payload_bytes(&self) -> u32 {
        self.payload.bytes()
    }

    /// Hands the first `bytes` behind the header to `each`, in order and in pieces, copied once.
    pub fn copy_out(&self, memory: &impl GuestMemory, bytes: u32, each: impl FnMut(&[u8])) -> Result<(), Outside> {
        self.payload.first(bytes).copy_out::<PIECE>(memory, each)
    }
}

/// Puts a packet into a guest's buffer: the bytes written. A buffer without room for it is broken.
pub fn put_packet(memory: &impl GuestMemory, chain: &Chain, header: &[u8], payload: &[u8]) -> Result<u32, Broken> {
    let bytes = chain.writable_bytes();
    let (behind, wanted) = (header.len() as u32, header.len() + payload.len());
    if (bytes as usize) < wanted {
        return Err(Broken::NoRoom);
    }
    Data::new(chain.writable(), 0, bytes).write(memory, header)?;
    if !payload.is_empty() {
        Data::new(chain.writable(), behind, bytes - behind).write(memory, payload)?;
    }
    Ok(wanted as u32)
}
