//! [`Driver`]: writes rings into RAM, right or wrong, word by word.

use crate::ram::{LOW, Ram};
use addr::Ipa;
use virtio::{Chain, Features, Head, Inflight, Owner, Queue, Rings};

pub const DESCRIPTORS: u64 = LOW + 0x1000;
pub const AVAILABLE: u64 = LOW + 0x2000;
pub const USED: u64 = LOW + 0x3000;
/// From here on RAM is free for buffers.
pub const BUFFERS: u64 = LOW + 0x4000;

pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

pub const OWNER: Owner = Owner { device: 3, queue: 1, epoch: 7 };
pub const BOTH: Features = Features { event_idx: true, indirect: true };
pub const NONE: Features = Features { event_idx: false, indirect: false };

/// A queue's driver.
pub struct Driver {
    pub ram: Ram,
    pub size: u32,
    pub available: u16,
}

impl Driver {
    pub fn new(size: u32) -> Self {
        Self { ram: Ram::new(0x2_0000), size, available: 0 }
    }
    pub fn rings(&self) -> Rings {
        Rings {
            size: self.size,
            descriptors: Ipa::new(DESCRIPTORS),
            driver: Ipa::new(AVAILABLE),
            device: Ipa::new(USED),
        }
    }
    pub fn queue<'r>(&self, features: Features, record: &'r Inflight) -> Queue<'r> {
        Queue::new(self.rings(), features, &self.ram, record, OWNER).expect("the rings are sound")
    }

    /// Writes entry `index` of the table at `table`.
    pub fn descriptor_at(&self, table: u64, index: u16, (at, bytes, flags, next): (u64, u32, u16, u16)) {
        let words = u128::from(at) | u128::from(bytes) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
        self.ram.put(table + 16 * u64::from(index), &words.to_le_bytes());
    }
    /// Writes entry `index` of the queue's table.
    pub fn descriptor(&self, index: u16, descriptor: (u64, u32, u16, u16)) {
        self.descriptor_at(DESCRIPTORS, index, descriptor);
    }
    /// Offers the chain that begins with `head`.
    pub fn offer(&mut self, head: u16) {
        self.ram.put_u16(AVAILABLE + 4 + 2 * (u64::from(self.available) % u64::from(self.size)), head);
        self.available = self.available.wrapping_add(1);
        self.ram.put_u16(AVAILABLE + 2, self.available);
    }
    /// Offers a chain of one descriptor, of 16 bytes that the device may write.
    pub fn offer_one(&mut self, head: u16) {
        self.descriptor(head, (BUFFERS + 16 * u64::from(head), 16, WRITE, 0));
        self.offer(head);
    }
    /// Lets the device take the next chain.
    pub fn take(&self, queue: &mut Queue<'_>, chain: &mut Chain) -> Head {
        queue.pop(&self.ram, chain).expect("the rings are sound").expect("one was offered")
    }
    pub fn used_index(&self) -> u16 {
        self.ram.get_u16(USED + 2)
    }
    /// The used element that was put at `index`: head and bytes written.
    pub fn used(&self, index: u16) -> (u32, u32) {
        let bytes: [u8; 8] = self.ram.get(USED + 4 + 8 * (u64::from(index) % u64::from(self.size)));
        let word = u64::from_le_bytes(bytes);
        (word as u32, (word >> 32) as u32)
    }
    pub fn set_used_event(&self, event: u16) {
        self.ram.put_u16(AVAILABLE + 4 + 2 * u64::from(self.size), event);
    }
    pub fn available_event(&self) -> u16 {
        self.ram.get_u16(USED + 4 + 8 * u64::from(self.size))
    }
}
