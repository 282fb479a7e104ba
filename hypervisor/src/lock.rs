//! Locks, taken out of line.

use spin::mutex::{SpinMutex, SpinMutexGuard};

/// What [`SpinMutex::lock`] does, as a call: inlined, every place that locks has its own loop of exclusive loads and
/// stores. The most frequent exits use `lock`.
pub trait Lock<T> {
    /// Locks.
    fn hold(&self) -> SpinMutexGuard<'_, T>;
}

impl<T> Lock<T> for SpinMutex<T> {
    #[inline(never)]
    fn hold(&self) -> SpinMutexGuard<'_, T> {
        self.lock()
    }
}
