//! Where a test lets the service die or reach where it may not, and what it counts by. The ordinary build has the empty
//! half of the first two.

use crate::arch::insn;

#[cfg(feature = "crash-hooks")]
mod armed;
#[cfg(feature = "crash-hooks")]
mod reach;
#[cfg(feature = "crash-hooks")]
pub use armed::{Survivor, arm, completed, issued, submitted};
#[cfg(feature = "crash-hooks")]
pub use reach::typed;

#[cfg(not(feature = "crash-hooks"))]
mod absent {
    /// A queue's record.
    pub type Survivor = virtio::Inflight;

    /// Life number `restarts` has begun.
    #[inline(always)]
    pub fn arm(_restarts: u64) {}
    /// A request was given to a disk that has so many under way now.
    #[inline(always)]
    pub fn submitted(_outstanding: usize) {}
    /// The disk was told of what it was given.
    #[inline(always)]
    pub fn issued() {}
    /// A disk has completed a request, and nothing else has happened to it.
    #[inline(always)]
    pub fn completed() {}
    /// A byte was typed while the service has the keyboard.
    #[inline(always)]
    pub fn typed(_byte: u8) {}
}
#[cfg(not(feature = "crash-hooks"))]
pub use absent::{Survivor, arm, completed, issued, submitted, typed};

/// A turn of the loop ends. A NOP tells an instruction-counting emulator (`tools/elcount`) whether it had work: what
/// the service spends on a request is not to be mixed with how long it looked for the next one.
#[inline(always)]
pub fn turn(has_worked: bool) {
    if has_worked { insn::hint::<98>() } else { insn::hint::<99>() }
}
