//! Flight recorder: the last synchronous exits of each core, for the record of a fault.
//!
//! One word an exit: its class and the guest's PC. Nothing else is on the exit path; who reads is the partition that the
//! core belongs to, when the core has left the guest.

use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use trap::Exit;

/// Exits kept, a power of two.
const EXITS: usize = 16;
/// Exits shown.
const SHOWN: usize = 4;
/// Bits of the PC that are kept: ESR_EL2.EC, 6 bits, lies above them. Addresses have at most 52 significant ones, and
/// the rest repeats the highest (or is a tag).
const PC_BITS: u32 = 58;

/// The ring of one core, written by that core.
pub struct Recorder {
    next: AtomicUsize,
    exits: [AtomicU64; EXITS],
}

impl Recorder {
    /// Nothing recorded.
    pub const fn new() -> Self {
        Self { next: AtomicUsize::new(0), exits: [const { AtomicU64::new(0) }; EXITS] }
    }

    /// One more exit.
    #[inline(always)]
    pub fn record(&self, esr: u64, pc: u64) {
        let next = self.next.load(Ordering::Relaxed);
        let exit = esr >> 26 << PC_BITS | pc & ((1 << PC_BITS) - 1);
        self.exits[next % EXITS].store(exit, Ordering::Relaxed);
        self.next.store(next.wrapping_add(1), Ordering::Relaxed);
    }

    /// Forgets all, for a new life.
    pub fn clear(&self) {
        self.next.store(0, Ordering::Relaxed);
    }

    /// The newest exits.
    pub fn newest(&self) -> Flight {
        let next = self.next.load(Ordering::Relaxed);
        let mut flight = Flight { exits: [0; SHOWN], count: next.min(SHOWN) };
        for (n, exit) in flight.exits.iter_mut().enumerate().take(flight.count) {
            *exit = self.exits[(next - 1 - n) % EXITS].load(Ordering::Relaxed);
        }
        flight
    }
}

/// A few exits, newest first.
#[derive(Clone, Copy, Default)]
pub struct Flight {
    exits: [u64; SHOWN],
    count: usize,
}

impl fmt::Display for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str(" none");
        }
        for exit in self.exits.iter().take(self.count) {
            let class = (exit >> PC_BITS) << 26;
            // The highest bit that was kept is repeated above.
            let pc = ((exit << (64 - PC_BITS)) as i64 >> (64 - PC_BITS)) as u64;
            write!(f, " {} at {pc:#x},", Exit::decode(class).name())?;
        }
        f.write_str(" newest first")
    }
}
