//! The smallest interactive guest: a tick a second, an echoing prompt, and two ways to crash.
//!
//! Everything is driven by interrupts: the PL011's for input, the virtual timer's for the tick. With nothing to do
//! the vCPU sleeps in WFI. A tick never breaks into a line that somebody is typing.
#![no_std]
#![no_main]

mod input;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use input::Line;
use rt::arch::{access, insn};
use rt::timer::{self, Timer};
use rt::{IntId, board, console, gic, print, println, psci};

/// Seconds since the start, as many as there were timer interrupts.
static TICKS: AtomicU64 = AtomicU64::new(0);

const HELP: &str = "\
help   this text
ticks  turns the line once a second off or on
crash  executes an undefined instruction
stray  reads an address that this guest does not own
off    PSCI SYSTEM_OFF
reset  PSCI SYSTEM_RESET";

rt::guest!(main = main, interrupt = interrupt);

fn main() -> ! {
    let board = board::board();
    let gic_version = if gic::is_v3() { 3 } else { 2 };
    println!("hello: {} vCPU(s), {} MiB, GICv{gic_version}", board.vcpus, board.ram.1 >> 20);
    println!("hello: type help");
    print!("hello> ");

    input::enable();
    gic::enable(Timer::Virtual.intid(), gic::PRIORITY);
    Timer::Virtual.set_deadline(timer::now() + timer::frequency());
    Timer::Virtual.enable();

    let mut line = Line::new();
    let mut shown = 0;
    let mut says_ticks = true;
    loop {
        // Masked between the look and the sleep: an interrupt in between is pending and so ends the WFI at once.
        insn::mask_irq();
        if !input::is_waiting() && TICKS.load(Relaxed) == shown {
            insn::wfi();
        }
        insn::unmask_irq();

        while let Some(byte) = input::take() {
            if let Some(command) = line.type_byte(byte) {
                obey(command, &mut says_ticks);
                line.clear();
                print!("hello> ");
            }
        }
        let ticks = TICKS.load(Relaxed);
        if ticks != shown && line.is_empty() && says_ticks {
            print!("\rhello: tick {ticks}\nhello> ");
        }
        shown = ticks;
    }
}

fn interrupt(intid: IntId) {
    if intid == Timer::Virtual.intid() {
        TICKS.fetch_add(1, Relaxed);
        // From the deadline, not from now, so that ticks do not drift.
        Timer::Virtual.set_deadline(Timer::Virtual.deadline() + timer::frequency());
    } else if intid == console::INTID {
        input::interrupt();
    }
}

fn obey(command: &str, says_ticks: &mut bool) {
    match command.trim() {
        "" => {}
        "help" => println!("{HELP}"),
        "ticks" => *says_ticks = !*says_ticks,
        "crash" => insn::undefined(),
        "stray" => stray(),
        "off" => psci::system_off(),
        "reset" => psci::system_reset(),
        other => println!("hello: no command '{other}', try help"),
    }
}

fn stray() {
    const UNOWNED: u64 = 0x0b00_0000;
    println!("hello: reading 0x{UNOWNED:08x}, nobody catches this");
    // SAFETY: no Rust object is there; the load faults and the runtime ends the guest.
    let value = unsafe { access::rt_load32(UNOWNED, 0) };
    println!("hello: read 0x{value:x} without a fault");
}
