//! Between two vCPUs: CPU_ON, and SGIs there and back, waiting by WFI or by `yield`.
//!
//! Both read one counter. Under icount the vCPUs share one thread, so a waiting vCPU must give it up: WFI and
//! `yield` do, a plain load loop would be counted for a whole slice.

use crate::arch;
use crate::interrupts::{SEEN, SGI, Sgi};
use crate::samples::{Samples, phase, row};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rt::arch::insn;
use rt::board::board;
use rt::{cpu, gic, println, psci, timer};

/// The names of this file's rows, for a machine with one vCPU.
const ROWS: [&str; 5] = [
    "cpu_on_to_running",
    "sgi_cross_roundtrip_wfi",
    "sgi_cross_oneway_wfi",
    "sgi_cross_roundtrip_spin",
    "sgi_cross_oneway_spin",
];
/// CPU_ON and CPU_OFF again and again.
const STARTS: usize = 20;
const ROUNDS: usize = 1000;
/// AFFINITY_INFO: OFF.
const OFF: i32 = 1;
/// Times to ask for OFF before giving up: a vCPU that called CPU_OFF needs no time of ours.
const PATIENCE: u32 = 1_000_000;

/// vCPU 1's first reading of the clock in Rust; 0 = not yet.
static RUNNING_AT: AtomicU64 = AtomicU64::new(0);

/// All measurements of this file, or a line for each that needs a second vCPU.
pub fn run() {
    if board().vcpus < 2 {
        for row in ROWS {
            println!("SKIP {row} needs 2 vCPUs");
        }
        return;
    }
    cpu_on();
    exchange::<109>(["sgi_cross_roundtrip_wfi", "sgi_cross_oneway_wfi"], wait_in_wfi, || answer(wait_in_wfi));
    exchange::<110>(["sgi_cross_roundtrip_spin", "sgi_cross_oneway_spin"], wait_by_yield, || answer(wait_by_yield));
}

/// From before CPU_ON to vCPU 1's first reading of the clock in Rust: stack, MMU and caches on, GIC CPU interface on.
fn cpu_on() {
    row::<108>("cpu_on_to_running", STARTS, || {
        RUNNING_AT.store(0, Relaxed);
        let start = timer::now();
        start_second(|| RUNNING_AT.store(timer::now(), Relaxed));
        while RUNNING_AT.load(Relaxed) == 0 {
            insn::yield_now();
        }
        await_off();
        RUNNING_AT.load(Relaxed) - start
    });
}

fn start_second(entry: fn()) {
    cpu::start(1, entry).expect("vCPU 1 is off: it was never started, or await_off saw it");
}

fn await_off() {
    for _ in 0..PATIENCE {
        if psci::affinity(board().mpidr[1]) == OFF {
            return;
        }
        insn::yield_now();
    }
    panic!("vCPU 1 called CPU_OFF and AFFINITY_INFO still says it is on");
}

/// From before sending to the handler of vCPU 0 that takes the answer; to the handler of vCPU 1.
#[inline(never)]
fn exchange<const HINT: u8>(names: [&str; 2], wait: fn(usize, u64), second: fn()) {
    RUNNING_AT.store(0, Relaxed);
    start_second(second);
    while RUNNING_AT.load(Relaxed) == 0 {
        insn::yield_now();
    }
    let (mut round, mut oneway) = (Samples::new(), Samples::new());
    let sgi = Sgi::to(1);
    phase::<HINT>(names[0], || {
        for _ in 0..ROUNDS {
            let before = SEEN[0].count.load(Relaxed);
            let start = sgi.send();
            wait(0, before);
            round.push(SEEN[0].at.load(Relaxed) - start);
            oneway.push(SEEN[1].at.load(Relaxed) - start);
        }
    });
    // Lets vCPU 1 go: see `answer`.
    sgi.send();
    await_off();
    round.report(names[0]);
    oneway.report(names[1]);
}

/// vCPU 1: answers every SGI by one. It waits once more after the last answer, for an SGI that it does not answer: what
/// ends it, CPU_OFF, would otherwise be counted in the last round.
fn answer(wait: fn(usize, u64)) {
    arch::install_vectors();
    gic::enable(SGI, gic::PRIORITY);
    insn::unmask_irq();
    let sgi = Sgi::to(0);
    let first = SEEN[1].count.load(Relaxed);
    RUNNING_AT.store(timer::now(), Relaxed);
    for round in 0..ROUNDS as u64 {
        wait(1, first + round);
        sgi.send();
    }
    wait(1, first + ROUNDS as u64);
    insn::mask_irq();
}

/// Until this vCPU took more than `before` interrupts; masked between the look and the sleep, or the interrupt
/// could come in between and the sleep would be for ever.
fn wait_in_wfi(vcpu: usize, before: u64) {
    loop {
        insn::mask_irq();
        let is_done = SEEN[vcpu].count.load(Relaxed) != before;
        if !is_done {
            insn::wfi();
        }
        insn::unmask_irq();
        if is_done {
            return;
        }
    }
}

fn wait_by_yield(vcpu: usize, before: u64) {
    while SEEN[vcpu].count.load(Relaxed) == before {
        insn::yield_now();
    }
}
