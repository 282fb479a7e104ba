//! What EL2 says has happened: the event pages, compared with what they said last; and how the service sleeps.

use crate::arch::insn;
use crate::hypercall::Hello;
use abi::service::{DevicePage, Driven, EventPage, ServicePage};
use abi::{MAX_CORES, PartitionId};
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// What is new.
#[derive(Clone, Copy, Default, Debug)]
pub struct News {
    /// Some core has something, of whatever kind.
    pub any: bool,
    /// The console has.
    pub console: bool,
}

/// The pages, and what was seen in them.
pub struct Events {
    page: &'static EventPage,
    service: &'static ServicePage,
    cores: [u64; MAX_CORES],
    console: [u64; MAX_CORES],
}

impl Events {
    /// The pages that EL2 named.
    ///
    /// # Safety
    /// They are mapped there.
    pub unsafe fn new(hello: &Hello) -> Self {
        // SAFETY: the caller's promise; only atomics are in it, and this side only loads.
        let page = unsafe { &*(hello.events.as_u64() as *const EventPage) };
        // SAFETY: as above; this side stores.
        let service = unsafe { &*(hello.service.as_u64() as *const ServicePage) };
        Self { page, service, cores: [0; MAX_CORES], console: [0; MAX_CORES] }
    }

    /// Where EL2 says what happened to the virtio devices.
    ///
    /// # Safety
    /// The page is mapped there.
    pub unsafe fn devices(hello: &Hello) -> &'static DevicePage {
        // SAFETY: the caller's promise; only atomics are in it, and this side only loads.
        unsafe { &*(hello.devices.as_u64() as *const DevicePage) }
    }

    /// Looks at all words. The cores' words change last, so what changed with them is seen behind them.
    pub fn look(&mut self) -> News {
        let any = differ(&self.page.cores, &mut self.cores);
        News { any, console: any && differ(&self.page.console, &mut self.console) }
    }

    /// Whether [`Events::look`] would see something.
    pub fn has_news(&self) -> bool {
        self.page.cores.iter().zip(&self.cores).any(|(word, seen)| word.load(Ordering::Relaxed) != *seen)
    }

    /// What a guest drives at its PL061, as it was at the last look or has been since.
    pub fn driven(&self, partition: PartitionId) -> Driven {
        let word = self.page.driven.get(partition.index());
        Driven::from_word(word.map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    /// Whether all other partitions have stopped for good.
    pub fn is_over(&self) -> bool {
        self.page.is_over.load(Ordering::Acquire) != 0
    }

    /// From here on EL2 rings for every change. What changed before is seen by a look after this.
    pub fn announce_sleep(&self) {
        self.service.is_sleeping.store(1, Ordering::Relaxed);
        insn::dmb_ish();
    }

    /// Awake: EL2 need not ring.
    pub fn announce_awake(&self) {
        self.service.is_sleeping.store(0, Ordering::Relaxed);
    }
}

/// Whether any word differs from what was seen; sees them.
fn differ(words: &[AtomicU64], seen: &mut [u64]) -> bool {
    let mut has_changed = false;
    for (word, seen) in words.iter().zip(seen) {
        let value = word.load(Ordering::Relaxed);
        if value != *seen {
            has_changed = true;
            *seen = value;
        }
    }
    // What was written before the words is seen behind them.
    fence(Ordering::Acquire);
    has_changed
}
