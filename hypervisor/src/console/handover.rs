//! The console in the service partition's hands: EL2 keeps the rings, the questions and what the keys do; the service
//! has the UART, joins the output and reads the keyboard.
//!
//! Its life's end gives all of it back, so that EL2 always has a console of its own: before the service has started,
//! while it restarts, and after it has stopped for good. A panic of EL2's writes to the UART whoever has it.

use super::{ALL_STOPPED, CONSOLE_CORE, ENDS_LINE, IS_PAUSED, IS_RESTING, OUTPUTS, STATE, commands, ring_console};
use crate::core_local::Core;
use crate::gic;
use crate::lock::Lock;
use crate::partition::{Partition, State as Life};
use crate::timer;
use crate::uart;
use abi::service::{CONSOLE_EL2, Status};
use abi::{IntId, PartitionId};
use console::{Ring, Source};
use core::sync::atomic::{AtomicBool, Ordering};

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether the service partition has the console.
pub fn is_taken() -> bool {
    IS_TAKEN.load(Ordering::Relaxed)
}

/// The service takes the console, on its core. The partition with the keyboard, and whether that is at its virtio console.
///
/// # Errors
/// The UART has not taken all that EL2 has for it: the service asks again.
pub fn take(core: &'static Core, partition: &'static Partition) -> Result<(PartitionId, bool), Status> {
    let mut state = STATE.hold();
    let is_console_core = CONSOLE_CORE.get().is_some_and(|own| core::ptr::eq(*own, core));
    if !state.transmit.is_empty() || !is_console_core || ALL_STOPPED.load(Ordering::Acquire) {
        return Err(Status::WrongState);
    }
    if !IS_TAKEN.swap(true, Ordering::AcqRel) {
        IS_PAUSED.store(false, Ordering::Relaxed);
        // The service does not know of a line that is open.
        state.mux.flush(timer::now_ms(), &mut |bytes: &[u8]| bytes.iter().for_each(|byte| uart::put(*byte)));
        uart::stop_interrupts();
        // The interrupt is the service's: enabled if it has enabled it.
        let intid = IntId::new(uart::intid());
        gic::set_enabled(core, intid, partition.vgic.lock().is_enabled(intid));
    }
    let focus = (state.focus, state.is_virtio);
    // What is typed while the service is away next time waits as long.
    state.paused_until = None;
    drop(state);
    if ALL_STOPPED.load(Ordering::Acquire) {
        // Said while it was being taken.
        give_back(core);
        return Err(Status::WrongState);
    }
    ring_console();
    Ok(focus)
}

/// EL2 has the console again, on the service's core.
pub fn give_back(core: &'static Core) {
    if IS_TAKEN.swap(false, Ordering::AcqRel) {
        IS_PAUSED.store(false, Ordering::Relaxed);
        uart::restart();
        gic::forget(core, IntId::new(uart::intid()));
    }
    // Whatever the console rested for was before it was taken, and its timer may have come meanwhile.
    IS_RESTING.store(false, Ordering::SeqCst);
    // In any case: a life that never took it has disabled the interrupt with the rest of its GIC.
    gic::own_spi(core, IntId::new(uart::intid()));
    ring_console();
}

/// The service's life begins or has ended: EL2 has the console, if it had not, and does not know where the cursor is.
pub fn take_back(core: &'static Core) {
    if is_taken() {
        ENDS_LINE.store(true, Ordering::Relaxed);
    }
    give_back(core);
}

fn ring(number: u64) -> Result<&'static Ring<{ super::OUTPUT }>, Status> {
    let source = match number {
        CONSOLE_EL2 => Some(Source::EL2),
        n => u8::try_from(n).ok().and_then(|n| Source::partition(PartitionId::new(n))),
    };
    source.and_then(|source| OUTPUTS.get(source.index())).ok_or(Status::Invalid)
}

/// Takes output of a source: how many bytes, and how many lines were dropped behind them.
///
/// # Errors
/// No such source, or EL2 has the console.
pub fn read_source(number: u64, text: &mut [u8]) -> Result<(usize, u32), Status> {
    let ring = ring(number)?;
    if !is_taken() {
        return Err(Status::WrongState);
    }
    Ok((ring.read(text), ring.take_dropped()))
}

/// A typed byte for a partition.
///
/// # Errors
/// It does not run, or takes none now; then the console is told when it does.
pub fn type_for(core: &'static Core, partition: &'static Partition, byte: u8) -> Result<(), Status> {
    if !is_taken() || partition.state() != Life::Running {
        return Err(Status::Invalid);
    }
    if partition.terminal.is_full() {
        IS_PAUSED.store(true, Ordering::Relaxed);
        return Err(Status::WrongState);
    }
    IS_PAUSED.store(false, Ordering::Relaxed);
    partition.terminal.type_byte(core, partition, byte);
    Ok(())
}

/// Does what a key asked for, on the service's core.
///
/// # Errors
/// No such command, no such partition, or EL2 has the console.
pub fn command(command: u64, argument: u64, wanted: u64) -> Result<(), Status> {
    if !is_taken() {
        return Err(Status::WrongState);
    }
    commands::from_service(&mut STATE.hold(), command, argument, wanted)
}

/// The service's own output.
pub fn service_says(partition: &'static Partition, text: &[u8]) {
    if let Some(output) = Source::partition(partition.id).and_then(|source| OUTPUTS.get(source.index())) {
        output.write(text);
        ring_console();
    }
}
