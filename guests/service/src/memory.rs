//! A partition's RAM as the service sees it: identity-mapped at its physical address, written by the guest at any time.
//!
//! Every access goes through atomics, so that what a guest changes meanwhile is another value and nothing worse.

use crate::arch::insn;
use abi::plan::Served;
use addr::Ipa;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
use virtio::{Banks, GuestMemory, Outside};

/// The RAM of one partition.
#[derive(Clone, Debug)]
pub struct Ram {
    banks: Banks,
}

impl Ram {
    /// The RAM that the plan gives the service of this partition.
    ///
    /// # Safety
    /// All of it is mapped at its physical address, as Normal memory, and no Rust object is there.
    pub unsafe fn new(partition: &Served) -> Self {
        Self { banks: Banks::new(partition.ram.iter().map(|memory| (memory.ipa, memory.pa))) }
    }

    /// Where it is.
    pub fn banks(&self) -> &Banks {
        &self.banks
    }

    /// The word at `at`, which must be a multiple of two.
    fn word(&self, at: Ipa) -> Result<&AtomicU16, Outside> {
        let address = self.banks.locate(at, 2)?.as_u64();
        if !address.is_multiple_of(2) {
            return Err(Outside { at, bytes: 2 });
        }
        // SAFETY: `locate` found the two bytes in RAM that is mapped by the contract of `new`; aligned; accessed as atomics.
        Ok(unsafe { AtomicU16::from_ptr(address as *mut u16) })
    }
}

impl GuestMemory for Ram {
    #[inline]
    fn read(&self, at: Ipa, into: &mut [u8]) -> Result<(), Outside> {
        let from = self.banks.locate(at, into.len() as u64)?.as_u64();
        let words = if from.is_multiple_of(8) { into.len() / 8 } else { 0 };
        let (whole, rest) = into.split_at_mut(words * 8);
        for (place, word) in (from..).step_by(8).zip(whole.chunks_exact_mut(8)) {
            // SAFETY: inside the range that `locate` found in mapped RAM; aligned.
            let value = unsafe { AtomicU64::from_ptr(place as *mut u64) }.load(Ordering::Relaxed);
            word.copy_from_slice(&value.to_le_bytes());
        }
        for (place, byte) in (from + words as u64 * 8..).zip(rest) {
            // SAFETY: as above.
            *byte = unsafe { AtomicU8::from_ptr(place as *mut u8) }.load(Ordering::Relaxed);
        }
        Ok(())
    }

    #[inline]
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside> {
        let to = self.banks.locate(at, bytes.len() as u64)?.as_u64();
        let words = if to.is_multiple_of(8) { bytes.len() / 8 } else { 0 };
        let (whole, rest) = bytes.split_at(words * 8);
        let (whole, _) = whole.as_chunks::<8>();
        for (place, word) in (to..).step_by(8).zip(whole) {
            // SAFETY: inside the range that `locate` found in mapped RAM; aligned.
            unsafe { AtomicU64::from_ptr(place as *mut u64) }.store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        for (place, byte) in (to + words as u64 * 8..).zip(rest) {
            // SAFETY: as above.
            unsafe { AtomicU8::from_ptr(place as *mut u8) }.store(*byte, Ordering::Relaxed);
        }
        Ok(())
    }

    #[inline]
    fn load_u16(&self, at: Ipa) -> Result<u16, Outside> {
        Ok(self.word(at)?.load(Ordering::Acquire))
    }

    #[inline]
    fn store_u16(&self, at: Ipa, value: u16) -> Result<(), Outside> {
        self.word(at)?.store(value, Ordering::Release);
        Ok(())
    }

    fn contains(&self, at: Ipa, bytes: u64) -> bool {
        self.banks.locate(at, bytes).is_ok()
    }

    #[inline]
    fn fence(&self) {
        insn::dmb_ish();
    }
}
