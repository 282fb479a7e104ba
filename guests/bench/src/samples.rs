//! Samples of one measurement and their summary line.

use rt::arch::insn;
use rt::{println, timer};

/// Most samples of one measurement.
const MAX: usize = 1000;

/// Durations in counter ticks.
pub struct Samples {
    ticks: [u64; MAX],
    length: usize,
}

impl Samples {
    /// No samples yet.
    pub const fn new() -> Self {
        Self { ticks: [0; MAX], length: 0 }
    }

    /// The result of one measurement.
    pub const fn one(ticks: u64) -> Self {
        let mut samples = Self::new();
        samples.ticks[0] = ticks;
        samples.length = 1;
        samples
    }

    /// Adds a sample unless there are 1000.
    pub fn push(&mut self, ticks: u64) {
        if let Some(slot) = self.ticks.get_mut(self.length) {
            *slot = ticks;
            self.length += 1;
        }
    }

    /// Prints `RESULT name min median p99 max mean`.
    #[inline(never)]
    pub fn report(&mut self, name: &str) {
        let ticks = &mut self.ticks[..self.length];
        ticks.sort_unstable();
        let (Some(&min), Some(&max)) = (ticks.first(), ticks.last()) else {
            println!("SKIP {name} no samples");
            return;
        };
        let (median, p99) = (ticks[ticks.len() / 2], ticks[ticks.len() * 99 / 100]);
        let mean = ticks.iter().sum::<u64>() / ticks.len() as u64;
        println!("RESULT {name} {min} {median} {p99} {max} {mean}");
    }
}

/// Opens phase `HINT` for the plugin, runs the body, closes it. Not inlined: a frame holds one phase's samples.
#[inline(never)]
pub fn phase<const HINT: u8>(name: &str, body: impl FnOnce()) {
    println!("PHASE {HINT} {name}");
    settle();
    insn::hint::<HINT>();
    body();
    insn::hint::<127>();
}

/// Two milliseconds for what this guest printed to leave the machine: its own output is not what is measured.
fn settle() {
    let end = timer::now() + timer::frequency() / 500;
    while timer::now() < end {
        insn::yield_now();
    }
}

/// A phase of one row: `count` measurements, at most 1000.
#[inline(never)]
pub fn row<const HINT: u8>(name: &str, count: usize, mut measure: impl FnMut() -> u64) {
    let mut samples = Samples::new();
    phase::<HINT>(name, || {
        for _ in 0..count {
            samples.push(measure());
        }
    });
    samples.report(name);
}
