//! Where a test lets the service die. The ordinary build has the empty half: nothing here is in it.

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
