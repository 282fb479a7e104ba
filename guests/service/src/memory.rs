//! A partition's RAM as the service sees it: identity-mapped at its physical address, written by the guest at any time.
//!
//! Every access goes through atomics or assembly, so that what a guest changes meanwhile is another value and nothing
//! worse.

use crate::arch::insn;
use abi::plan::Served;
use addr::Ipa;
use core::sync::atomic::{AtomicU16, Ordering};
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

    /// Copies from one partition's RAM to another's.
    #[inline]
    pub fn copy(&self, from: Ipa, target: &Self, to: Ipa, bytes: u32) -> Result<(), Outside> {
        let source = self.banks.locate(from, bytes.into())?.as_u64();
        let place = target.banks.locate(to, bytes.into())?.as_u64();
        // SAFETY: `locate` found both ranges in RAM that is mapped by the contract of `new`, where no Rust object is. They
        // do not overlap: two partitions share no RAM, and nobody sends frames to himself.
        unsafe { insn::copy(source, place, bytes.into()) };
        Ok(())
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
        let bytes = into.len() as u64;
        let from = self.banks.locate(at, bytes)?.as_u64();
        // SAFETY: `locate` found the range in RAM that is mapped by the contract of `new`, where no Rust object is; the
        // other one is the slice.
        unsafe { insn::copy(from, into.as_mut_ptr() as u64, bytes) };
        Ok(())
    }

    #[inline]
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside> {
        let to = self.banks.locate(at, bytes.len() as u64)?.as_u64();
        // SAFETY: as in `read`, the other way round.
        unsafe { insn::copy(bytes.as_ptr() as u64, to, bytes.len() as u64) };
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
