//! Rings of a hostile driver, and records that something wrote over.

use crate::feed::Feed;
use crate::memory::{AVAILABLE, BUFFERS, DESCRIPTORS, TABLE, Treacherous, USED};
use addr::Ipa;
use virtio::{Chain, Features, GuestMemory, Head, Inflight, MAX_SEGMENTS, Owner, Queue, Record, Rings, Segment, Word};

const OWNER: Owner = Owner { device: 1, queue: 2, epoch: 3 };
/// Reads of one `pop`: two indexes, each descriptor, the one that refers to a table, and the one too many.
const MOST_READS: usize = 4 + MAX_SEGMENTS;

/// A device, and what it knows of its driver's chains.
struct Device<'a> {
    feed: &'a Feed<'a>,
    memory: &'a Treacherous<'a>,
    queue: Queue<'a>,
    chain: Chain,
    in_flight: Vec<Head>,
    /// The driver's index in the available ring.
    available: u16,
    record: &'a Inflight,
    features: Features,
}

/// Does what the bytes say.
pub fn run(bytes: &[u8]) {
    let feed = Feed::new(bytes);
    let memory = Treacherous::new(&feed);
    let record = Inflight::new();
    let features = Features { event_idx: feed.one_in(2), indirect: !feed.one_in(4) };
    let place = |at| if feed.one_in(32) { feed.number() } else { at };
    let rings = Rings {
        size: feed.pick(&[8, 8, 8, 4, 1, 256, 0, 3, 512, 1 << 31]),
        descriptors: Ipa::new(place(DESCRIPTORS)),
        driver: Ipa::new(place(AVAILABLE)),
        device: Ipa::new(place(USED)),
    };
    let Ok(queue) = Queue::new(rings, features, &memory, &record, OWNER) else {
        return memory.check_book(&[]);
    };
    let chain = Chain::new();
    let mut device = Device {
        feed: &feed,
        memory: &memory,
        queue,
        chain,
        in_flight: Vec::new(),
        available: 0,
        record: &record,
        features,
    };
    (0..8).for_each(|index| memory.put_words(DESCRIPTORS + 16 * index, (BUFFERS + 64 * index, 64, 0, 0)));
    (0..8).for_each(|index| memory.put_words(TABLE + 16 * index, (BUFFERS + 64 * index, 64, 1, index as u16 + 1)));
    while !feed.is_empty() {
        device.guest_writes();
        memory.open_book();
        device.step();
        let Rings { size, device: used, .. } = *device.queue.rings();
        memory.check_book(&[(used.as_u64(), 6 + 8 * u64::from(size))]);
        assert!(u32::from(device.queue.in_flight()) <= size);
    }
}

impl Device<'_> {
    fn guest_writes(&mut self) {
        let (feed, memory) = (self.feed, self.memory);
        let Rings { size, driver, .. } = *self.queue.rings();
        for _ in 0..feed.below(4) {
            match feed.below(6) {
                0 | 1 => memory.put_descriptor(DESCRIPTORS + 16 * feed.below(8) as u64),
                2 => memory.put_descriptor(TABLE + 16 * feed.below(8) as u64),
                3 => memory.put(crate::memory::BASE + (feed.number() & 0x3fff), &[feed.byte()]),
                _ => {
                    let entry = driver.as_u64() + 4 + 2 * (u64::from(self.available) % u64::from(size));
                    let bound = if feed.one_in(32) { 9 } else { size.min(8) as usize };
                    memory.put_u16(entry, feed.below(bound) as u16);
                    let ahead = if feed.one_in(64) { feed.number() as u16 } else { 1 };
                    self.available = self.available.wrapping_add(ahead);
                    memory.put_u16(driver.as_u64() + 2, self.available);
                }
            }
        }
    }

    fn step(&mut self) {
        match self.feed.below(16) {
            0..=5 => self.pop(),
            6..=9 => self.push(),
            10 => self.chain_again(),
            11 => {
                let _ = self.queue.wants_interrupt(self.memory);
            }
            12 => {
                let _ = self.queue.suppress_kicks(self.memory);
            }
            13 => {
                let _ = self.queue.request_kicks(self.memory);
            }
            14 => {
                let _ = self.queue.has_work(self.memory);
            }
            _ => self.die(),
        }
    }

    fn pop(&mut self) {
        let popped = self.queue.pop(self.memory, &mut self.chain);
        assert!(self.memory.reads.get() <= MOST_READS, "{} reads", self.memory.reads.get());
        match popped {
            Ok(Some(head)) => {
                check_chain(self.memory, &self.chain);
                assert!(!self.in_flight.contains(&head), "{head:?} twice");
                self.in_flight.push(head);
            }
            Ok(None) => {}
            // Mostly the device stops there, but it need not.
            Err(_) if self.feed.one_in(4) => {}
            Err(_) => self.reset(),
        }
        assert_eq!(usize::from(self.queue.in_flight()), self.in_flight.len());
    }

    fn push(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let head = self.in_flight.swap_remove(self.feed.below(self.in_flight.len()));
        self.queue.push(self.memory, head, self.feed.number() as u32).expect("in flight, and the rings are in RAM");
        assert_eq!(self.memory.reads.get(), 0, "giving back asks the driver nothing");
    }

    fn chain_again(&mut self) {
        let Some(head) = self.in_flight.first() else { return };
        if self.queue.chain_again(self.memory, head, &mut self.chain).is_ok() {
            check_chain(self.memory, &self.chain);
        }
        assert!(self.memory.reads.get() <= MOST_READS);
    }

    /// The service's next life finds the record, perhaps with a word that is wrong.
    fn die(&mut self) {
        if self.feed.one_in(2) {
            let word = match self.feed.below(12) {
                0 => Word::Magic,
                1 => Word::Checksum,
                2 => Word::Place,
                3 => Word::Epoch,
                4 => Word::Taken,
                5 => Word::Done,
                index => Word::Heads(index - 6),
            };
            self.record.store(word, self.record.load(word) ^ self.feed.number());
        }
        let rings = *self.queue.rings();
        match Queue::resume(rings, self.features, self.memory, self.record, OWNER) {
            Ok((queue, heads)) => {
                self.queue = queue;
                self.in_flight = heads.collect();
                assert_eq!(usize::from(self.queue.in_flight()), self.in_flight.len());
                assert!(self.in_flight.iter().all(|head| u32::from(head.number()) < rings.size));
            }
            Err(_) => self.reset(),
        }
    }

    /// The driver resets the device, and begins anew.
    fn reset(&mut self) {
        let rings = *self.queue.rings();
        self.available = 0;
        self.memory.put_u16(rings.driver.as_u64() + 2, 0);
        self.memory.put_u16(rings.device.as_u64() + 2, 0);
        self.queue = Queue::new(rings, self.features, self.memory, self.record, OWNER)
            .expect("the rings were sound, and the used ring is empty");
        self.in_flight.clear();
    }
}

/// What a chain promises, whatever the driver wrote.
pub fn check_chain(memory: &impl GuestMemory, chain: &Chain) {
    let sum = |segments: &[Segment]| segments.iter().map(|segment| u64::from(segment.bytes)).sum::<u64>();
    let all = || chain.readable().iter().chain(chain.writable());
    assert!((1..=MAX_SEGMENTS).contains(&all().count()));
    assert!(all().all(|segment| segment.bytes > 0 && memory.contains(segment.at, segment.bytes.into())));
    assert_eq!(sum(chain.readable()), u64::from(chain.readable_bytes()));
    assert_eq!(sum(chain.writable()), u64::from(chain.writable_bytes()));
}
