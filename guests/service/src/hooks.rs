//! Where a test lets the service die, and what it counts by. The ordinary build has the empty half of the first.

use crate::arch::insn;

#[cfg(feature = "crash-hooks")]
mod armed;
#[cfg(feature = "crash-hooks")]
pub use armed::{Survivor, arm, completed, issued, submitted};

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
}
#[cfg(not(feature = "crash-hooks"))]
pub use absent::{Survivor, arm, completed, issued, submitted};

/// A turn of the loop ends. A NOP tells an instruction-counting emulator (`tools/elcount`) whether it had work: what the
/// service spends on a request is not to be mixed with how long it looked for the next one.
#[inline(always)]
pub fn turn(has_worked: bool) {
    if has_worked { insn::hint::<98>() } else { insn::hint::<99>() }
}
