//! The `log` crate's way to the console: straight to the UART while EL2 boots, into EL2's ring afterwards.

use super::{CONSOLE_CORE, OUTPUTS, ring_console};
use crate::arch::barrier;
use crate::lock::Lock;
use crate::{core_local, timer, uart};
use aarch64_cpu::registers::CNTFRQ_EL0;
use console::Source;
use core::fmt::{self, Write};
use log::Level;
use spin::mutex::SpinMutex;
use tock_registers::interfaces::Readable;

/// Longest line of EL2's; what is longer loses its end.
const LINE: usize = 256;

/// The producer side of EL2's ring.
static WRITER: SpinMutex<()> = SpinMutex::new(());
static LOGGER: Logger = Logger;

struct Logger;

/// A line of EL2's. All of them go through this one call into the `log` crate: its macros write out more than a hundred
/// bytes of code and data for each.
pub fn say(level: Level, text: fmt::Arguments<'_>) {
    log::log!(level, "{text}");
}

/// Sends `log`'s records here.
pub fn start() {
    log::set_max_level(log::LevelFilter::Info);
    // Fails only when a logger is set already, and this is the only place.
    let _ = log::set_logger(&LOGGER);
}

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let mut line = heapless::String::<LINE>::new();
        let frequency = CNTFRQ_EL0.get().max(1);
        let now = timer::now();
        let (seconds, rest) = (now / frequency, now % frequency);
        let core = core_local::try_this().map_or(0, |core| u64::from(core.id.number()));
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warn: ",
            _ => "",
        };
        // A line that is too long loses its end.
        let _ = write!(line, "[{seconds:3}.{:06}] core{core} {level}{}", rest * 1_000_000 / frequency, record.args());
        write_line(line.as_bytes());
    }
    fn flush(&self) {}
}

fn write_line(line: &[u8]) {
    if CONSOLE_CORE.get().is_none() {
        // The boot log: nobody else writes yet, and a guest's start waits for it.
        b"bulkhead| ".iter().chain(line).chain(b"\r\n").for_each(|byte| uart::put(*byte));
        return;
    }
    let writer = WRITER.hold();
    OUTPUTS[Source::EL2.index()].write(line);
    OUTPUTS[Source::EL2.index()].push(b'\n');
    drop(writer);
    barrier::dsb_ishst();
    ring_console();
}
