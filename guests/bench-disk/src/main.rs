//! Reads a virtio disk so that what a read costs can be counted: the driver of a guest that does nothing else.
//!
//! Two runs make the figures: one with all cores side by side, where exits are counted, and one under `-icount shift=0`,
//! where instructions are. Output:
//!
//! ```text
//! PHASE 2 read_4k_d1 500                hints 100 + n and 127 bracket phase n for the plugin; so many reads or kicks
//! RESULT notify_asleep 150 150 ...      min median p99 max mean, integers, in ticks, as the bench guest has them
//! BENCH-DONE
//! ```
//!
//! The driver is what Linux has, less its block layer: EVENT_IDX and INDIRECT_DESC, an interrupt acknowledged in its
//! handler, WFI while there is nothing to do. Every block that comes back is compared with what the test has put there.
#![no_std]
#![no_main]

mod disk;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use disk::Disk;
use rt::arch::insn;
use rt::timer;
use rt::{IntId, gic, machine, println, psci};

rt::guest!(main = main, interrupt = interrupt);

/// Kicks that are measured.
const KICKS: usize = 128;
/// Bytes of a small and of a large read.
const SMALL: u64 = 4 << 10;
const LARGE: u64 = 128 << 10;

/// Interrupts of the disk so far.
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);

fn main() -> ! {
    let mut disk = Disk::open();
    gic::set_edge(machine::virtio_intid(0));
    gic::enable(machine::virtio_intid(0), gic::PRIORITY);
    disk.read(SMALL, 1, 64);
    kicks_asleep(&disk);
    kicks_awake(&disk);
    reads::<102>(&mut disk, "read_4k_d1", SMALL, 1, 500);
    reads::<103>(&mut disk, "read_4k_d32", SMALL, 32, 3200);
    reads::<104>(&mut disk, "read_128k_d1", LARGE, 1, 100);
    println!("BENCH-DONE");
    psci::system_off()
}

fn interrupt(intid: IntId) {
    if intid == machine::virtio_intid(0) {
        disk::transport().acknowledge();
        INTERRUPTS.store(INTERRUPTS.load(Relaxed) + 1, Relaxed);
    }
}

/// Kicks for nothing, each while the service sleeps: what the interrupt costs that wakes it is in it.
fn kicks_asleep(disk: &Disk) {
    let mut ticks = [0; KICKS];
    println!("PHASE 0 notify_asleep {KICKS}");
    settle();
    insn::hint::<100>();
    for sample in &mut ticks {
        // The service wakes, finds nothing, and sleeps again.
        insn::yield_now();
        insn::yield_now();
        *sample = time_kick(disk);
    }
    insn::yield_now();
    insn::hint::<127>();
    report("notify_asleep", &mut ticks);
}

/// Kicks while the service is awake, each in a phase of its own and behind another one, which wakes it.
///
/// That takes cores that run side by side. Where they take turns, as under icount, the service sleeps again first.
fn kicks_awake(disk: &Disk) {
    println!("PHASE 1 notify_awake {KICKS}");
    settle();
    for _ in 0..KICKS {
        disk.notify();
        insn::hint::<101>();
        disk.notify();
        insn::hint::<127>();
    }
}

/// Random reads, always `depth` in flight.
#[inline(never)]
fn reads<const HINT: u8>(disk: &mut Disk, name: &str, bytes: u64, depth: u16, count: u16) {
    println!("PHASE {} {name} {count}", HINT - 100);
    // 64 tables of up to 34 descriptors are no part of a read.
    disk.describe_all(bytes);
    settle();
    let (kicks, interrupts) = (disk.kicks(), INTERRUPTS.load(Relaxed));
    insn::hint::<HINT>();
    disk.read(bytes, depth, count);
    insn::hint::<127>();
    let (kicks, interrupts) = (disk.kicks() - kicks, INTERRUPTS.load(Relaxed) - interrupts);
    println!("bench: {name}: {count} reads, {kicks} kicks, {interrupts} interrupts");
}

/// Waits for an interrupt and takes it; `has_come` is asked while interrupts are masked, so none is missed.
pub fn wait(has_come: impl Fn() -> bool) {
    while !has_come() {
        insn::wfi();
        insn::unmask_irq();
        insn::mask_irq();
    }
}

fn time_kick(disk: &Disk) -> u64 {
    let start = timer::now();
    disk.notify();
    timer::now() - start
}

fn report(name: &str, ticks: &mut [u64]) {
    ticks.sort_unstable();
    let [min, .., max] = ticks else { return };
    let (min, max) = (*min, *max);
    let (median, p99) = (ticks[ticks.len() / 2], ticks[ticks.len() * 99 / 100]);
    println!("RESULT {name} {min} {median} {p99} {max} {}", ticks.iter().sum::<u64>() / ticks.len() as u64);
}

/// Two milliseconds for what this guest printed to leave the machine.
fn settle() {
    let end = timer::now() + timer::frequency() / 500;
    while timer::now() < end {
        insn::yield_now();
    }
}
