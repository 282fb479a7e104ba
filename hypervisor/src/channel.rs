//! Channels: memory that two partitions share, and the doorbell between them ([`abi::channel`]).
//!
//! EL2 reads nothing there. It maps the memory for both ends and for nobody else, clears it when a life begins at either end,
//! and carries a doorbell to the other end. Where the service partition stands in for an end, it is the one that has the memory.

use crate::arch::{barrier, cache};
use crate::core_local::Core;
use crate::interrupt;
use crate::memory;
use crate::partition::{self, Partition};
use crate::service;
use abi::channel::{EPOCH, MAX_CHANNELS};
use abi::service::Status;
use abi::{PartitionId, machine};
use addr::{Address, BLOCK_2M};
use core::sync::atomic::{AtomicU64, Ordering};
use manifest::Channel;

/// How often each channel was cleared.
static EPOCHS: [AtomicU64; MAX_CHANNELS] = [const { AtomicU64::new(0) }; MAX_CHANNELS];

fn all() -> &'static [Channel] {
    partition::system().map_or(&[], |system| &system.channels)
}

/// A partition rings the doorbell of a channel's other end.
pub fn ring_doorbell(core: &'static Core, partition: &'static Partition, number: u64) -> Status {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    match all().get(number).and_then(|channel| channel.peer_of(partition.id)) {
        Some(peer) => {
            tell(core, number, peer);
            Status::Ok
        }
        None => {
            core.counters.refused.count();
            Status::Invalid
        }
    }
}

fn tell(core: &'static Core, number: usize, peer: PartitionId) {
    match partition::all().get(peer.index()) {
        Some(peer) if peer.serves => service::tell_channels(core),
        // The remainder changes no channel's number: it shows the compiler that `channel_intid` has no reason to panic.
        Some(peer) => interrupt::pulse(core, peer, machine::channel_intid(number % MAX_CHANNELS)),
        None => {}
    }
}

/// The channels of a partition that is about to begin a life, or has ended its last, become empty: nothing that one life
/// wrote reaches the next. Whoever is at the other end hears of it, and may write meanwhile: what it writes is its own.
pub fn renew(core: &'static Core, partition: &'static Partition) {
    for ((number, channel), last) in all().iter().enumerate().zip(&EPOCHS) {
        if channel.is_of(partition.id) {
            clear(core, channel, last);
            let users = channel.ends.iter().map(|end| end.user);
            users.filter(|user| *user != partition.id).for_each(|user| tell(core, number, user));
        }
    }
}

fn clear(core: &'static Core, channel: &Channel, last: &AtomicU64) {
    let Some(memory) = channel.memory() else { return };
    let block = memory.start().align_down(BLOCK_2M);
    memory::with_window(core.id.number(), block, |window| {
        let start = window.wrapping_add((memory.start().as_u64() - block.as_u64()) as usize);
        // SAFETY: the first bytes of the channel, which lies in this block (validated), aligned to a page.
        let epoch = unsafe { AtomicU64::from_ptr(start.wrapping_add(EPOCH).cast()) };
        // Whoever has read a zero of what follows finds that the epoch is over.
        epoch.store(0, Ordering::Relaxed);
        barrier::dmb_ish();
        // SAFETY: in the window, as above. Guests may store here at the same time, which changes values and nothing else: no
        // Rust object is there but the word above.
        unsafe { cache::zero(start, memory.size() as usize) };
        barrier::dsb_sy();
        epoch.store(last.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Release);
        barrier::dsb_sy();
    });
}
