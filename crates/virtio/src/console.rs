//! The console device (section 5.3), with one port: text of a guest, and bytes that are typed for it.
//!
//! It has no features of its own and nothing in its configuration space: no size, since a serial line does not tell one, no
//! emergency write, since configuration spaces are not the service's to watch, and no further ports.
//!
//! A driver may take one buffer for each interrupt and leave the rest: Linux's does in version 4.18. So a buffer is given
//! back only when the driver has dealt with the one before ([`Reading`]) or had the time to, and event indexes, by which it
//! would hear of no further buffer either, are not offered.

use crate::{Broken, Chain, Data, Features, GuestMemory};

/// The console device's number (section 5).
pub const DEVICE_ID: u32 = 3;
/// The feature bits to offer.
pub const FEATURES: u64 = Features::OFFERED & !Features::EVENT_IDX;
/// Its queue of empty buffers, receiveq of port 0.
pub const RX: u16 = 0;
/// Its queue of text, transmitq of port 0.
pub const TX: u16 = 1;
/// Most bytes that are put into one buffer. Linux reads 16 at a time, and when it got so many it looks for more only after
/// some milliseconds.
pub const CHUNK: usize = 15;
/// Bytes of text fetched at a time.
const STEP: usize = 128;

/// Hands text from byte `from` of a buffer on to `show`, in order, at most `most` bytes; how many. Nothing, where a driver has
/// offered a buffer without text, or has made it shorter meanwhile.
pub fn text(
    memory: &impl GuestMemory,
    chain: &Chain,
    from: u32,
    most: u32,
    show: impl FnMut(&[u8]),
) -> Result<u32, Broken> {
    let bytes = chain.readable_bytes().saturating_sub(from).min(most);
    Data::new(chain.readable(), from, bytes).copy_out::<STEP>(memory, show)?;
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

/// What the driver does with the buffer that it was given last. `held` is [`Queue::held`](crate::Queue::held) throughout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// It reads while it has offered no more chains than this.
    left: Option<u16>,
}

impl Reading {
    /// In a queue of `size` elements that an earlier life of the service had. A driver that has offered as many buffers as
    /// there can be reads none; of another nobody knows, so it counts as reading.
    pub fn resumed(held: u16, size: u32) -> Self {
        Self { left: (u32::from(held) < size).then_some(held) }
    }

    /// A buffer was given back, one of those `held` before that.
    pub fn one_of(held: u16) -> Self {
        Self { left: held.checked_sub(1) }
    }

    /// Whether it reads, and has not offered a buffer since.
    pub fn goes_on(self, held: u16) -> bool {
        self.left.is_some_and(|left| held <= left)
    }
}
