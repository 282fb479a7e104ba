//! [`Inflight`]: what a queue's next owner must know when the service dies, in memory that outlives the service.
//!
//! A service that stops between any two stores leaves a record from which [`State::repair`] finds where it was:
//!
//! | Step | Store | Found at the next start, if it was the last one |
//! |---|---|---|
//! | take 1 | [`Word::Taken`] = head, new available index | one chain fewer in flight than taken: its bit is set |
//! | take 2 | the head's bit in [`Word::Heads`] | the chain was never issued, or may not have been: it is issued again |
//! | use 1 | [`Word::Done`] = head, new used index | the used ring is one behind: as if not used, it is issued again |
//! | use 2 | the element, then the index in the used ring | one chain more in flight than taken: its bit is cleared |
//! | use 3 | the head's bit is cleared | all is well |
//!
//! Several chains are used together by one store of the used ring's index, for all or for none of them:
//!
//! | Step | Store | Found at the next start, if it was the last one |
//! |---|---|---|
//! | each 1 | the element | nobody sees it |
//! | each 2 | [`Word::Done`] = head, new used index, how many so far | the used ring is so many behind: as if none was used |
//! | each 3 | the head's bit is cleared | the same: the bits are set again, for the heads in the elements |
//! | all | the index in the used ring | all is well |
//!
//! So a chain may be carried out twice, which is why a device's requests must not mind, and the driver sees it used once.
//! Each repair is one store, or several that may be done again, and so may itself be cut off.
//!
//! Program order is enough: whoever reads the record comes after the exception that ended the service's life, and that
//! is precise. So the stores only have to stay in order for the compiler. The guest cannot reach the record, but it can
//! write the used ring, whose index and elements decide above: it can so have requests of its own lost or carried out
//! twice, or its queue found unusable.

mod state;

pub(crate) use state::State;

use crate::{Rings, Unusable};
use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};
use crc::{CRC_32_ISCSI, Crc, NoTable};

const MAGIC: u64 = u64::from_le_bytes(*b"BHRINGS\x01");
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISCSI);
/// Words of the bit map of heads.
pub(crate) const HEADS: usize = crate::MAX_QUEUE_SIZE as usize / 64;

/// Words of a record.
const WORDS: usize = 9 + HEADS;

/// The survivor record of one queue. Any content is a valid value, and means nothing if it is not a sound record.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Inflight {
    words: [AtomicU64; WORDS],
}

/// A word of an [`Inflight`] record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// A fixed number while the others mean something.
    Magic,
    /// CRC-32C of what does not change: the five words below.
    Checksum,
    /// Device, queue and size.
    Place,
    /// [`Owner::epoch`].
    Epoch,
    /// [`Rings::descriptors`].
    Descriptors,
    /// [`Rings::driver`].
    Driver,
    /// [`Rings::device`].
    Device,
    /// The available index up to which chains were taken, and the last one's head.
    Taken,
    /// The used index up to which chains were or are about to be used, the last one's head, and how many are used together.
    Done,
    /// 64 heads, a bit for each chain that was taken and not used; from 0 to 3.
    Heads(usize),
}

/// How a queue reaches its record. In the service it is the [`Inflight`] itself; a test may stop after each store.
pub trait Record {
    /// Loads a word.
    fn load(&self, word: Word) -> u64;
    /// Stores a word, after all that the program wrote before and before all that it writes later.
    fn store(&self, word: Word, value: u64);
}

impl Inflight {
    /// An empty record.
    pub const fn new() -> Self {
        Self { words: [const { AtomicU64::new(0) }; WORDS] }
    }
    /// Forgets the queue: its driver has reset the device, and nothing of it is outstanding.
    pub fn clear(&self) {
        self.store(Word::Magic, 0);
    }
}

impl Word {
    /// Its place in the record.
    #[inline]
    const fn index(self) -> usize {
        match self {
            Self::Magic => 0,
            Self::Checksum => 1,
            Self::Place => 2,
            Self::Epoch => 3,
            Self::Descriptors => 4,
            Self::Driver => 5,
            Self::Device => 6,
            Self::Taken => 7,
            Self::Done => 8,
            Self::Heads(index) => index.saturating_add(9),
        }
    }
}

impl Record for Inflight {
    #[inline]
    fn load(&self, word: Word) -> u64 {
        self.words.get(word.index()).map_or(0, |word| word.load(Ordering::Relaxed))
    }
    #[inline]
    fn store(&self, word: Word, value: u64) {
        compiler_fence(Ordering::SeqCst);
        if let Some(word) = self.words.get(word.index()) {
            word.store(value, Ordering::Relaxed);
        }
        compiler_fence(Ordering::SeqCst);
    }
}

/// Whose queue it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The device's number in the system.
    pub device: u16,
    /// The queue's number in the device.
    pub queue: u16,
    /// The device's epoch.
    pub epoch: u64,
}

/// An index of a ring and a head, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mark {
    pub index: u16,
    pub head: u16,
    /// How many chains up to this one are used together; 0: it is used alone.
    pub batch: u16,
}

impl Mark {
    const fn word(self) -> u64 {
        (self.batch as u64) << 32 | (self.index as u64) << 16 | self.head as u64
    }
    const fn of(word: u64) -> Self {
        Self { index: (word >> 16) as u16, head: word as u16, batch: (word >> 32) as u16 }
    }
}

/// The words that do not change while a queue is in use, and their checksum.
fn fixed(rings: &Rings, owner: Owner) -> ([(Word, u64); 5], u32) {
    let words = [
        (Word::Place, u64::from(owner.device) | u64::from(owner.queue) << 16 | u64::from(rings.size) << 32),
        (Word::Epoch, owner.epoch),
        (Word::Descriptors, rings.descriptors.as_u64()),
        (Word::Driver, rings.driver.as_u64()),
        (Word::Device, rings.device.as_u64()),
    ];
    (words, checksum(words.map(|(_, value)| value)))
}

fn checksum(words: [u64; 5]) -> u32 {
    let mut digest = CRC.digest();
    words.iter().for_each(|word| digest.update(&word.to_le_bytes()));
    digest.finalize()
}

/// Records a queue from which nothing was taken. It counts once the last store is done.
pub(crate) fn begin(record: &impl Record, rings: &Rings, owner: Owner) {
    record.store(Word::Magic, 0);
    let (words, checksum) = fixed(rings, owner);
    words.into_iter().for_each(|(word, value)| record.store(word, value));
    record.store(Word::Checksum, u64::from(checksum));
    record.store(Word::Taken, Mark::default().word());
    record.store(Word::Done, Mark::default().word());
    (0..HEADS).for_each(|index| record.store(Word::Heads(index), 0));
    record.store(Word::Magic, MAGIC);
}

/// Compares the unchanging part with the queue that EL2 describes now.
pub(crate) fn check(record: &impl Record, rings: &Rings, owner: Owner) -> Result<(), Unusable> {
    if record.load(Word::Magic) != MAGIC {
        return Err(Unusable::Blank);
    }
    let (words, _) = fixed(rings, owner);
    let expected = checksum(words.map(|(word, _)| record.load(word)));
    let found = record.load(Word::Checksum) as u32;
    if expected != found {
        return Err(Unusable::Checksum { expected, found });
    }
    let epoch = record.load(Word::Epoch);
    if epoch != owner.epoch {
        return Err(Unusable::Epoch { expected: owner.epoch, found: epoch });
    }
    if words.iter().any(|&(word, value)| record.load(word) != value) {
        return Err(Unusable::Foreign);
    }
    Ok(())
}

/// Take 1 and 2: chain `head` was taken, and the available index is `index` from now on.
#[inline]
pub(crate) fn take(record: &impl Record, index: u16, head: u16) {
    record.store(Word::Taken, Mark { index, head, batch: 0 }.word());
    restore(record, head);
}

/// Take 2, or each 3 undone: chain `head` is in flight.
#[inline]
pub(crate) fn restore(record: &impl Record, head: u16) {
    let (word, bit) = place(head);
    record.store(word, record.load(word) | bit);
}

/// Use 1 or each 2: chain `head` is about to be used, alone or as the last of `batch`, and the used index will be `index`.
#[inline]
pub(crate) fn announce(record: &impl Record, index: u16, head: u16, batch: u16) {
    record.store(Word::Done, Mark { index, head, batch }.word());
}

/// Use 3 or each 3: chain `head` is not in flight any more.
#[inline]
pub(crate) fn release(record: &impl Record, head: u16) {
    let (word, bit) = place(head);
    record.store(word, record.load(word) & !bit);
}

/// Whether chain `head` was taken and not used.
#[inline]
pub(crate) fn is_in_flight(record: &impl Record, head: u16) -> bool {
    let (word, bit) = place(head);
    record.load(word) & bit != 0
}

fn place(head: u16) -> (Word, u64) {
    (Word::Heads(usize::from(head / 64)), 1 << (head % 64))
}
