//! [`Guest`]: a partition's RAM that a driver reaches by pointers and the device by [`GuestMemory`].

use addr::Ipa;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::ptr::NonNull;
use virtio::{GuestMemory, Outside};

/// Where RAM begins for the guest.
const BASE: u64 = 0x4000_0000;
/// Bytes of RAM: enough for a ring, and for what a test has in flight.
const BYTES: usize = 4 << 20;
const LAYOUT: Layout = match Layout::from_size_align(BYTES, 4096) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

thread_local! {
    static RAM: Ram = Ram::new();
}

/// This thread's RAM. It is reached by raw pointers only, so that driver and device may take turns.
struct Ram {
    start: NonNull<u8>,
    /// What is in use, as offset and length, in order.
    used: RefCell<Vec<(usize, usize)>>,
}

impl Ram {
    fn new() -> Self {
        // SAFETY: the layout has a size.
        let start = unsafe { alloc_zeroed(LAYOUT) };
        Self { start: NonNull::new(start).expect("the host has memory"), used: RefCell::default() }
    }

    /// A pointer to bytes that all lie in RAM.
    fn pointer(&self, at: Ipa, bytes: u64) -> Option<NonNull<u8>> {
        let offset = at.as_u64().checked_sub(BASE)?;
        if offset.checked_add(bytes)? > BYTES as u64 {
            return None;
        }
        // SAFETY: the offset is not above the allocation's size, as was just checked.
        Some(unsafe { self.start.add(offset as usize) })
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout; a thread that ends has no driver and no device left.
        unsafe { dealloc(self.start.as_ptr(), LAYOUT) };
    }
}

/// This thread's guest.
#[derive(Clone, Copy)]
pub struct Guest;

impl Guest {
    /// Takes zeroed bytes of RAM at a multiple of `align`: where the guest sees them, and where the driver does.
    pub fn allocate(bytes: usize, align: usize) -> (u64, NonNull<u8>) {
        RAM.with(|ram| {
            let mut used = ram.used.borrow_mut();
            let (mut from, mut place) = (0, 0);
            for (index, &(start, len)) in used.iter().enumerate() {
                if from + bytes <= start {
                    break;
                }
                (from, place) = ((start + len).next_multiple_of(align), index + 1);
            }
            used.insert(place, (from, bytes));
            let at = BASE + from as u64;
            let pointer = ram.pointer(Ipa::new(at), bytes as u64).expect("the test has RAM for what is in flight");
            // SAFETY: the bytes lie in RAM, and nobody uses them yet.
            unsafe { pointer.write_bytes(0, bytes) };
            (at, pointer)
        })
    }
    /// Gives it back.
    pub fn free(at: u64) {
        RAM.with(|ram| ram.used.borrow_mut().retain(|(start, _)| BASE + *start as u64 != at));
    }

    /// Where the driver sees bytes of RAM.
    pub fn pointer(at: u64, bytes: usize) -> NonNull<u8> {
        Self::access(Ipa::new(at), bytes).expect("it was allocated")
    }

    fn access(at: Ipa, bytes: usize) -> Result<NonNull<u8>, Outside> {
        let bytes = bytes as u64;
        RAM.with(|ram| ram.pointer(at, bytes)).ok_or(Outside { at, bytes })
    }
}

impl GuestMemory for Guest {
    fn read(&self, at: Ipa, into: &mut [u8]) -> Result<(), Outside> {
        let from = Self::access(at, into.len())?;
        // SAFETY: `access` found all of it in RAM; `into` is the caller's own memory.
        unsafe { from.as_ptr().copy_to(into.as_mut_ptr(), into.len()) };
        Ok(())
    }
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside> {
        let to = Self::access(at, bytes.len())?;
        // SAFETY: `access` found all of it in RAM; `bytes` is the caller's own memory.
        unsafe { to.as_ptr().copy_from(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }
    fn load_u16(&self, at: Ipa) -> Result<u16, Outside> {
        let mut bytes = [0; 2];
        self.read(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }
    fn store_u16(&self, at: Ipa, value: u16) -> Result<(), Outside> {
        self.write(at, &value.to_le_bytes())
    }
    fn contains(&self, at: Ipa, bytes: u64) -> bool {
        RAM.with(|ram| ram.pointer(at, bytes).is_some())
    }
    fn fence(&self) {}
}
