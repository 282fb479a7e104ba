//! The entropy device (section 5.4): fills buffers with random bytes. It has no features and no configuration space.

use crate::rings::offset;
use crate::{Broken, Chain, Data, Features, GuestMemory};

/// The entropy device's number (section 5).
pub const DEVICE_ID: u32 = 4;
/// The feature bits to offer: its own has none.
pub const FEATURES: u64 = Features::OFFERED;
/// Most random bytes for one request; a driver that wants more asks again.
pub const MAX_BYTES: u32 = 4096;
/// Bytes fetched from the source at a time.
const STEP: usize = 64;

/// Answers a request with random bytes from `source`, which fills all that it is given: the bytes written, for
/// [`Queue::push`](crate::Queue::push). A request without room is broken, since it must get at least one byte.
pub fn fill(memory: &impl GuestMemory, chain: &Chain, mut source: impl FnMut(&mut [u8])) -> Result<u32, Broken> {
    let bytes = chain.writable_bytes().min(MAX_BYTES);
    if bytes == 0 {
        return Err(Broken::NoRoom);
    }
    for piece in Data::new(chain.writable(), 0, bytes).pieces() {
        let mut done = 0;
        while done < piece.bytes {
            let mut random = [0; STEP];
            let count = (piece.bytes - done).min(STEP as u32);
            let Some(part) = random.get_mut(..count as usize) else { break };
            source(part);
            memory.write(offset(piece.at, u64::from(done)), part)?;
            done += count;
        }
    }
    Ok(bytes)
}
