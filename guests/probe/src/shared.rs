//! Free RAM that virtio devices reach: rings and buffers go there, and nothing else does.
//!
//! That is what the image leaves of RAM, or all of the window where there is one.

use rt::board::board;

/// Where it is: its first page, and its end.
pub fn ram() -> (u64, u64) {
    let (base, bytes) = board().ram;
    match board().window {
        Some((window, bytes)) => (window, window + bytes),
        None => (rt::arch::free_ram().next_multiple_of(4096), base + bytes),
    }
}

/// The first page of it.
pub fn memory() -> u64 {
    ram().0
}
