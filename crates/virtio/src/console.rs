//! The console device (section 5.3), with one port: text of a guest, and bytes that are typed for it.
//!
//! It has no features of its own and nothing in its configuration space: no size, since a serial line does not tell one, no
//! emergency write, since configuration spaces are not the service's to watch, and no further ports.

use crate::rings::offset;
use crate::{Broken, Chain, Data, Features, GuestMemory};

/// The console device's number (section 5).
pub const DEVICE_ID: u32 = 3;
/// The feature bits to offer.
pub const FEATURES: u64 = Features::OFFERED;
/// Its queue of empty buffers, receiveq of port 0.
pub const RX: u16 = 0;
/// Its queue of text, transmitq of port 0.
pub const TX: u16 = 1;
/// Bytes of text fetched at a time.
const STEP: usize = 128;

/// Hands text from byte `from` of a buffer on to `show`, in order, at most `most` bytes; how many. Nothing, where a driver has
/// offered a buffer without text, or has made it shorter meanwhile.
pub fn text(
    memory: &impl GuestMemory,
    chain: &Chain,
    from: u32,
    most: u32,
    mut show: impl FnMut(&[u8]),
) -> Result<u32, Broken> {
    let bytes = chain.readable_bytes().saturating_sub(from).min(most);
    for piece in Data::new(chain.readable(), from, bytes).pieces() {
        let mut done = 0;
        while done < piece.bytes {
            let mut text = [0; STEP];
            let count = (piece.bytes - done).min(STEP as u32);
            let Some(part) = text.get_mut(..count as usize) else { break };
            memory.read(offset(piece.at, u64::from(done)), part)?;
            show(part);
            done += count;
        }
    }
    Ok(bytes)
}

/// Puts what was typed into an empty buffer, as much as fits: the bytes written, for [`Queue::push`](crate::Queue::push). A
/// buffer without room is broken, since no driver waits for nothing.
pub fn put(memory: &impl GuestMemory, chain: &Chain, typed: &[u8]) -> Result<u32, Broken> {
    match Data::new(chain.writable(), 0, chain.writable_bytes()).write(memory, typed)? {
        0 => Err(Broken::NoRoom),
        written => Ok(written),
    }
}
