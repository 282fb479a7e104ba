//! The armed half, for tests: life n of the service dies at one of five points, chosen by n, up to [`LIVES`].
//!
//! It dies when [`BUSY`] requests were under way at once (or after [`MANY`] requests where a guest never gives that many)
//! and then some more have passed, a number drawn from n. So every point is met with other requests around it.

use crate::{arch, say};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use virtio::{Inflight, Record, Word};

/// Lives that end so.
const LIVES: u64 = 100;
/// Requests under way at once.
const BUSY: usize = 32;
/// Requests after which it dies although it was never so busy.
const MANY: u32 = 2000;
/// More requests than this do not pass after that.
const MORE: u64 = 500;

/// Where it dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
enum Point {
    /// The disk has been told of a request.
    Issued,
    /// The disk has completed one, and the guest does not know.
    Completed,
    /// The record says that the used element follows.
    BeforeUsed,
    /// The guest can see the used element, and the record has the chain in flight.
    AfterUsed,
    /// It spins for ever: its watchdog ends it.
    Spinning,
    /// It lives on.
    Nowhere,
}

const POINTS: [Point; 4] = [Point::Issued, Point::Completed, Point::BeforeUsed, Point::AfterUsed];

static LIFE: AtomicU64 = AtomicU64::new(0);
static POINT: AtomicU32 = AtomicU32::new(Point::Nowhere as u32);
/// Requests to pass yet; [`u32::MAX`] while it was not busy enough.
static LEFT: AtomicU32 = AtomicU32::new(u32::MAX);
static SEEN: AtomicU32 = AtomicU32::new(0);

/// Life number `restarts` has begun.
pub fn arm(restarts: u64) {
    let point = match restarts {
        LIVES.. => Point::Nowhere,
        n if n % 10 == 9 => Point::Spinning,
        n => POINTS[(n % 4) as usize],
    };
    LIFE.store(restarts, Relaxed);
    POINT.store(point as u32, Relaxed);
}

/// This life does not end any more.
pub fn disarm() {
    POINT.store(Point::Nowhere as u32, Relaxed);
}

/// A request was given to a disk that has so many under way now.
pub fn submitted(outstanding: usize) {
    let seen = SEEN.fetch_add(1, Relaxed) + 1;
    match LEFT.load(Relaxed) {
        u32::MAX if outstanding >= BUSY || seen >= MANY => {
            // Fibonacci hashing: neighbouring lives draw numbers far apart.
            let drawn = LIFE.load(Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            LEFT.store((drawn % MORE) as u32, Relaxed);
        }
        u32::MAX | 0 => {}
        left => LEFT.store(left - 1, Relaxed),
    }
}

/// The disk was told of what it was given.
pub fn issued() {
    pass(Point::Issued);
    pass(Point::Spinning);
}

/// A disk has completed a request, and nothing else has happened to it.
pub fn completed() {
    pass(Point::Completed);
}

fn pass(point: Point) {
    if LEFT.load(Relaxed) != 0 || POINT.load(Relaxed) != point as u32 {
        return;
    }
    say!("crash hook: life {} ends, {point:?}, after {} requests", LIFE.load(Relaxed) + 1, SEEN.load(Relaxed));
    if point == Point::Spinning {
        loop {
            core::hint::spin_loop();
        }
    }
    arch::crash()
}

/// A queue's record, which knows when it is about to say that a chain was used, and when it has said so.
#[repr(transparent)]
#[derive(Debug)]
pub struct Survivor(Inflight);

impl Survivor {
    /// [`Inflight::clear`].
    pub fn clear(&self) {
        self.0.clear();
    }
}

impl Record for Survivor {
    fn load(&self, word: Word) -> u64 {
        self.0.load(word)
    }

    fn store(&self, word: Word, value: u64) {
        let is_release = matches!(word, Word::Heads(_)) && value.count_ones() < self.0.load(word).count_ones();
        if is_release {
            pass(Point::AfterUsed);
        }
        self.0.store(word, value);
        if word == Word::Done {
            pass(Point::BeforeUsed);
        }
    }
}
