//! Memory that a driver shares with a device: free RAM, where no Rust object is.

use core::sync::atomic::{Ordering, fence};

/// What a device and its driver exchange in one access.
pub trait Word: Copy {}
impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// Loads what is at `address`, a multiple of its size.
#[inline(always)]
pub fn get<T: Word>(address: u64) -> T {
    // SAFETY: callers pass aligned addresses of free RAM ([`super::free_ram`] up), so no Rust object is there.
    unsafe { (address as *const T).read_volatile() }
}

/// Stores at `address`, a multiple of the size.
#[inline(always)]
pub fn put<T: Word>(address: u64, value: T) {
    // SAFETY: as for `get`.
    unsafe { (address as *mut T).write_volatile(value) }
}

/// What was accessed before is so for a device too when it sees what is accessed later (DMB ISH).
#[inline(always)]
pub fn order() {
    fence(Ordering::SeqCst);
}
