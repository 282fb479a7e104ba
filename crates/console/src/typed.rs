//! [`Typed`]: what is typed for a virtio console, from the UART to its driver, in memory that outlives the service.
//!
//! A service that stops between any two stores leaves a state from which [`Typed::begin`] goes on, so that the driver gets
//! each byte once:
//!
//! | Step | Store | Found at the next start, if it was the last one |
//! |---|---|---|
//! | type 1 | the byte | nobody sees it |
//! | type 2 | `stored` | it waits for the driver |
//! | give 1 | `giving` = the used ring's index behind the buffer, `taken` behind its bytes | the used ring is one behind: they wait |
//! | give 2 | the index in the used ring, which is the queue's | the used ring is there: `taken` is stored, as in give 3 |
//! | give 3 | `taken`, as `giving` has it | the same: the same value is stored again |
//!
//! `giving` stays until the next buffer: only the last one is in doubt. The first start of an epoch forgets what was typed for
//! another driver, its own number last, so that a forgetting that was cut off is done again.
//!
//! Program order is enough, as for the queue's own record: whoever reads comes after the exception that ended the life. All
//! fields are atomics, so any content is a valid value; what cannot be is forgotten. It knows no queue: who uses it stores the
//! used ring's index.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, compiler_fence};

/// In `giving`: there is a last buffer.
const IS_THERE: u64 = 1 << 63;

/// Up to `N` typed bytes, a power of two. Zeros are an empty one.
#[derive(Debug)]
#[repr(C)]
pub struct Typed<const N: usize> {
    bytes: [AtomicU8; N],
    /// Bytes ever typed, and bytes that the driver has.
    stored: AtomicU32,
    taken: AtomicU32,
    /// The last buffer: `taken` behind it, the used ring's index behind it above that, [`IS_THERE`].
    giving: AtomicU64,
    /// Whose driver it is for.
    epoch: AtomicU64,
}

impl<const N: usize> Default for Typed<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Typed<N> {
    /// Nothing, for nobody.
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two() && N <= 1 << 16, "indexes wrap with the counters") };
        Self {
            bytes: [const { AtomicU8::new(0) }; N],
            stored: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            giving: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
        }
    }

    /// The driver of this epoch reads from here on. `used`: the used ring's index, where its queue was taken over from the life
    /// before; what that life had not given waits on.
    pub fn begin(&self, epoch: u64, used: Option<u16>) {
        let is_its_own = self.epoch.load(Ordering::Relaxed) == epoch && self.waiting() <= N;
        let Some(used) = used.filter(|_| is_its_own) else {
            self.forget();
            in_order(|| self.epoch.store(epoch, Ordering::Relaxed));
            return;
        };
        let giving = self.giving.load(Ordering::Relaxed);
        let count = (giving as u32).wrapping_sub(self.taken.load(Ordering::Relaxed)) as usize;
        if giving & IS_THERE != 0 && (giving >> 32) as u16 == used && count <= self.waiting() {
            self.finish();
        }
    }

    /// Nobody reads what was typed.
    pub fn forget(&self) {
        in_order(|| self.giving.store(0, Ordering::Relaxed));
        in_order(|| self.taken.store(self.stored.load(Ordering::Relaxed), Ordering::Relaxed));
    }

    /// Bytes that the driver does not have.
    fn waiting(&self) -> usize {
        self.stored.load(Ordering::Relaxed).wrapping_sub(self.taken.load(Ordering::Relaxed)) as usize
    }

    /// Whether the driver has all of it.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Whether [`Typed::push`] takes a byte.
    pub fn has_room(&self) -> bool {
        self.waiting() < N
    }

    /// Takes a typed byte, if there is room for it; whether there was.
    pub fn push(&self, byte: u8) -> bool {
        let stored = self.stored.load(Ordering::Relaxed);
        let place = self.bytes.get(stored as usize % N).filter(|_| self.has_room());
        let Some(place) = place else { return false };
        place.store(byte, Ordering::Relaxed);
        in_order(|| self.stored.store(stored.wrapping_add(1), Ordering::Relaxed));
        true
    }

    /// Copies as many bytes as there are and fit, and takes none; how many.
    pub fn peek(&self, buffer: &mut [u8]) -> usize {
        let count = self.waiting().min(N).min(buffer.len());
        let from = self.taken.load(Ordering::Relaxed) as usize;
        let bytes = self.bytes.iter().cycle().skip(from % N);
        buffer.iter_mut().zip(bytes).take(count).for_each(|(place, byte)| *place = byte.load(Ordering::Relaxed));
        count
    }

    /// Give 1: a buffer with the first `count` bytes is about to be used, and the used ring's index will be `used`.
    pub fn announce(&self, count: u32, used: u16) {
        let behind = self.taken.load(Ordering::Relaxed).wrapping_add(count);
        in_order(|| self.giving.store(IS_THERE | u64::from(used) << 32 | u64::from(behind), Ordering::Relaxed));
    }

    /// Give 3: the driver has what was announced.
    pub fn finish(&self) {
        let giving = self.giving.load(Ordering::Relaxed);
        in_order(|| self.taken.store(giving as u32, Ordering::Relaxed));
    }
}

/// A store after all that the program wrote before, and before all that it writes later.
fn in_order(store: impl FnOnce()) {
    compiler_fence(Ordering::SeqCst);
    store();
    compiler_fence(Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    const EPOCH: u64 = 7;
    /// Stores of giving one buffer.
    const STEPS: usize = 3;

    /// The driver: the used ring's index, and what it has read.
    #[derive(Default)]
    struct Driver {
        used: u16,
        read: Vec<u8>,
    }

    /// A life gives what there is, three bytes a buffer, and ends after so many stores.
    fn live(typed: &Typed<8>, driver: &mut Driver, mut stores: usize) {
        let mut may_store = || stores.checked_sub(1).map(|left| stores = left).is_some();
        while !typed.is_empty() {
            let mut buffer = [0; 3];
            let count = typed.peek(&mut buffer);
            if !may_store() {
                return;
            }
            typed.announce(count as u32, driver.used.wrapping_add(1));
            if !may_store() {
                return;
            }
            driver.used = driver.used.wrapping_add(1);
            driver.read.extend(&buffer[..count]);
            if !may_store() {
                return;
            }
            typed.finish();
        }
    }

    fn typed(text: &[u8]) -> Typed<8> {
        let typed = Typed::new();
        typed.begin(EPOCH, None);
        assert!(text.iter().all(|&byte| typed.push(byte)));
        typed
    }

    #[test]
    fn each_byte_comes_once_wherever_lives_end() {
        for first in 0..=3 * STEPS {
            for second in 0..=3 * STEPS {
                // Indexes that wrap meanwhile.
                let (typed, mut driver) = (typed(b"abcdefgh"), Driver { used: u16::MAX, ..Driver::default() });
                live(&typed, &mut driver, first);
                // The repair is one store: it may be cut off behind it, and is done again.
                (0..3).for_each(|_| typed.begin(EPOCH, Some(driver.used)));
                live(&typed, &mut driver, second);
                typed.begin(EPOCH, Some(driver.used));
                live(&typed, &mut driver, usize::MAX);
                assert_eq!(driver.read, b"abcdefgh", "ends after {first} and {second} stores");
            }
        }
    }

    #[test]
    fn what_was_typed_for_one_driver_is_not_for_the_next() {
        for used in [None, Some(0)] {
            let typed = typed(b"secret");
            typed.begin(EPOCH + 1, used);
            assert!(typed.is_empty());
        }
        let typed = typed(b"secret");
        typed.begin(EPOCH, None);
        assert!(typed.is_empty(), "its queue is a new one");
    }

    #[test]
    fn a_full_one_takes_no_byte() {
        let typed = typed(b"abcdefgh");
        assert!(!typed.has_room() && !typed.push(b'x'));
        live(&typed, &mut Driver::default(), STEPS);
        assert!(typed.has_room() && typed.push(b'i'));
        let mut rest = [0; 8];
        assert_eq!((typed.peek(&mut rest), &rest[..6]), (6, &b"defghi"[..]));
    }

    #[test]
    fn what_cannot_be_is_forgotten() {
        for (stored, taken) in [(9, 0), (0, 1), (u32::MAX, 0), (5, 4_000_000_000)] {
            let typed = typed(b"");
            typed.stored.store(stored, Ordering::Relaxed);
            typed.taken.store(taken, Ordering::Relaxed);
            assert!(!typed.has_room() && typed.peek(&mut [0; 16]) == 8, "{stored} {taken}");
            typed.begin(EPOCH, Some(3));
            assert!(typed.is_empty() && typed.has_room(), "{stored} {taken}");
        }
        // A last buffer with more bytes than were typed, or with some that were given before.
        for behind in [4, u32::MAX] {
            let typed = typed(b"abc");
            typed.giving.store(IS_THERE | 3 << 32 | u64::from(behind), Ordering::Relaxed);
            typed.begin(EPOCH, Some(3));
            assert_eq!(typed.peek(&mut [0; 8]), 3, "{behind}");
        }
    }
}
