//! Takes the virtual timer's interrupt 1000 times a second and accounts for every beat (DESIGN section 9, "Beat").
//!
//! Beat k is due at `start + k * period`: the deadline advances by exactly one period per interrupt, never from the
//! time of the handler, so lateness does not add up. A handler that comes more than one period late finds the next
//! deadline already passed and is called again at once: each period has its own interrupt. Every 5 s of the counter
//!
//! ```text
//! control: late <1us 4990 <2us 8 <64us 2
//! control: beats 5000 expected 5000 lost 0 doubled 0 max_late_us 40 writes 83
//! ```
//!
//! - `beats`: timer interrupts taken while a deadline had passed. `expected`: periods that have passed, counted by
//!   the counter alone at an instant when interrupts are masked and no deadline waits.
//! - `lost`: expected and never taken. `doubled`: timer interrupts taken before their deadline. Both mean that
//!   someone lost or invented an interrupt; being late is neither.
//! - `late`: this interval's lateness of the handler, a count for each power of two of microseconds. `max_late_us`:
//!   since the start. `writes`: loads and stores of the console before this line, each one exit.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rt::arch::insn;
use rt::timer::{self, Timer};
use rt::{IntId, console, cpu, gic, println};

const HZ: u64 = 1000;
/// Beats between two reports.
const REPORT: u64 = 5 * HZ;
/// Lateness below 1, 2, 4 ... microseconds; the last one takes the rest.
const BUCKETS: usize = 24;

static PERIOD: AtomicU64 = AtomicU64::new(0);
static DEADLINE: AtomicU64 = AtomicU64::new(0);
static BEATS: AtomicU64 = AtomicU64::new(0);
static DOUBLED: AtomicU64 = AtomicU64::new(0);
/// In counter ticks.
static MAX_LATE: AtomicU64 = AtomicU64::new(0);
static LATE: [AtomicU64; BUCKETS] = [const { AtomicU64::new(0) }; BUCKETS];

rt::guest!(main = main, interrupt = interrupt);

fn main() -> ! {
    let frequency = timer::frequency();
    let period = frequency / HZ;
    println!("control: beat {HZ} Hz on vCPU {}, counter {frequency} Hz", cpu::index());

    let start = timer::now();
    PERIOD.store(period, Relaxed);
    DEADLINE.store(start + period, Relaxed);
    Timer::Virtual.set_deadline(start + period);
    gic::enable(Timer::Virtual.intid(), gic::PRIORITY);
    Timer::Virtual.enable();
    insn::unmask_irq();

    let mut next_report = REPORT;
    loop {
        insn::wfi();
        if BEATS.load(Relaxed) < next_report {
            continue;
        }
        if let Some(account) = cpu::without_interrupts(|| Account::at_rest(start, period)) {
            next_report += REPORT;
            account.print(frequency);
        }
    }
}

fn interrupt(intid: IntId) {
    if intid != Timer::Virtual.intid() {
        return;
    }
    let now = timer::now();
    let deadline = DEADLINE.load(Relaxed);
    let Some(late) = now.checked_sub(deadline) else {
        DOUBLED.fetch_add(1, Relaxed);
        return;
    };
    let next = deadline + PERIOD.load(Relaxed);
    DEADLINE.store(next, Relaxed);
    Timer::Virtual.set_deadline(next);
    BEATS.fetch_add(1, Relaxed);
    MAX_LATE.fetch_max(late, Relaxed);
    // A period is 1000 us, so this never divides by 0 and counts in the counter's own resolution.
    let late_us = late * 1000 / PERIOD.load(Relaxed);
    let bucket = (u64::BITS - late_us.leading_zeros()) as usize;
    LATE[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
}

/// The state of the beat at one instant.
struct Account {
    beats: u64,
    expected: u64,
    doubled: u64,
    max_late: u64,
}

impl Account {
    /// Call with interrupts masked. `None` while a deadline has passed whose interrupt is still to be taken.
    fn at_rest(start: u64, period: u64) -> Option<Self> {
        let now = timer::now();
        let is_waiting = now >= DEADLINE.load(Relaxed);
        (!is_waiting).then(|| Self {
            beats: BEATS.load(Relaxed),
            expected: (now - start) / period,
            doubled: DOUBLED.load(Relaxed),
            max_late: MAX_LATE.load(Relaxed),
        })
    }

    fn print(&self, frequency: u64) {
        rt::print!("control: late");
        for (power, bucket) in LATE.iter().enumerate() {
            let count = bucket.swap(0, Relaxed);
            if count != 0 {
                rt::print!(" <{}us {count}", 1_u64 << power);
            }
        }
        println!();
        println!(
            "control: beats {} expected {} lost {} doubled {} max_late_us {} writes {}",
            self.beats,
            self.expected,
            self.expected.saturating_sub(self.beats),
            self.doubled,
            self.max_late * 1_000_000 / frequency,
            console::accesses()
        );
    }
}
