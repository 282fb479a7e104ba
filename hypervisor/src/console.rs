//! The board's one UART, shared by all partitions and EL2.
//!
//! A guest's byte goes into its own ring and its core goes on; one *console core* moves rings to the UART and input to
//! the partition with the keyboard. The console core is the lowest core that no partition owns, else the first core of
//! the first partition. A service partition takes all this over and gives it back ([`handover`]); the console core is
//! then its own. Lock order: `STATE` (console core and boot only), then a terminal's `uart`, then its vGIC.

mod commands;
mod handover;
mod logger;
mod terminal;

pub use commands::boot_number;
pub use handover::{command, give_back, is_taken, read_source, service_says, take, take_back, type_for};
pub use logger::say;
pub use terminal::{Terminal, guest_read, guest_write};

use crate::core_local::{self, Core, Doorbell};
use crate::firmware;
use crate::gic;
use crate::lock::Lock;
use crate::panic;
use crate::partition::{self, Partition, State as Life};
use crate::service;
use crate::timer::{self, Slot};
use crate::uart;
use abi::{PartitionId, VcpuId};
use commands::Question;
use console::{BURST, HOLD_MS, Key, Keys, Mode, Mux, Ring, SOURCES, Source};
use core::sync::atomic::{AtomicBool, Ordering};
use manifest::{Board, ConsoleMode, PowerOff, System, WhenAllStopped};
use spin::{Once, mutex::SpinMutex};

/// Bytes that a partition, or EL2, may be ahead of the UART before it loses lines.
const OUTPUT: usize = 8 * 1024;
/// Bytes that wait for the UART itself.
const TRANSMIT: usize = 4096;
/// How long a guest may leave its input unread before the keyboard goes on without it.
const PATIENCE_MS: u32 = 1000;
/// The same for what is typed at a virtio console while the service partition restarts.
const SERVICE_PATIENCE_MS: u32 = 5000;
/// Milliseconds between two touches of a GIC that needs them ([`gic::needs_nudges`]): any acknowledge is one.
const NUDGE_MS: u32 = 1;
/// Full transmit queues in a row before the console core looks at its other work: interrupts are masked meanwhile.
const ROUNDS: usize = 2;
/// How long it then looks at nothing but that, in milliseconds: guests that write without end must not have all of it.
const REST_MS: u32 = 1;
const _: () = assert!(TRANSMIT >= 2 * BURST, "a turn of the multiplexer always fits");

struct State {
    mux: Mux,
    keys: Keys,
    focus: PartitionId,
    /// The keyboard is at that partition's virtio console, which only the service partition reaches.
    is_virtio: bool,
    transmit: heapless::Deque<u8, TRANSMIT>,
    /// Until which tick the UART is not read because the focused guest does not.
    paused_until: Option<u64>,
    /// Until which tick the console rests.
    rest_until: u64,
    /// What EL2 has asked and the keyboard has not answered.
    question: Question,
    /// Whose power key is held down.
    pressed: Option<PartitionId>,
}

static STATE: SpinMutex<State> = SpinMutex::new(State {
    mux: Mux::new(Mode::Interactive),
    keys: Keys::new(),
    focus: PartitionId::new(0),
    is_virtio: false,
    transmit: heapless::Deque::new(),
    paused_until: None,
    rest_until: 0,
    question: Question::NONE,
    pressed: None,
});
/// Output of each source, at its [`console::Source::index`]. A partition's producers hold its `uart` lock, EL2's the
/// logger's.
static OUTPUTS: [Ring<OUTPUT>; SOURCES] = [const { Ring::new() }; SOURCES];
static CONSOLE_CORE: Once<&'static Core> = Once::new();
/// The console core comes back by its timer: nobody need ring.
static IS_RESTING: AtomicBool = AtomicBool::new(false);
/// The service's life has ended, perhaps in the middle of a line of somebody's.
static ENDS_LINE: AtomicBool = AtomicBool::new(false);
static IS_PAUSED: AtomicBool = AtomicBool::new(false);
static ALL_STOPPED: AtomicBool = AtomicBool::new(false);
static WHEN_ALL_STOPPED: Once<(WhenAllStopped, PowerOff)> = Once::new();

/// Knows the partitions' names from here on; the boot log goes straight to the UART.
pub fn configure(system: &'static System) {
    let mode = match system.console {
        ConsoleMode::Interactive => Mode::Interactive,
        ConsoleMode::Tagged => Mode::Tagged,
    };
    let mut state = STATE.hold();
    state.mux.set_mode(mode);
    for (n, partition) in (0..).zip(&system.partitions) {
        state.mux.set_name(PartitionId::new(n), &partition.name);
    }
    if let Some(first) = Source::partition(PartitionId::new(0)) {
        state.mux.focus(first, 0, &mut |_: &[u8]| {});
    }
    logger::start();
}

/// Hands the UART to the console core: from here on nothing else writes to it.
pub fn start(system: &System, board: &Board) {
    WHEN_ALL_STOPPED.call_once(|| (system.when_all_stopped, board.power_off));
    let core = partition::service()
        .and_then(|service| service.core(VcpuId::new(0)))
        .or_else(|| core_local::all().find(|core| core.assignment.is_none()))
        .or_else(|| partition::all().first().and_then(|partition| partition.core(VcpuId::new(0))))
        .or_else(core_local::try_this)
        .expect("the boot core exists");
    commands::start();
    uart::start_interrupts();
    CONSOLE_CORE.call_once(|| core);
    gic::own_spi(core, board.uart_intid);
    core.ask(Doorbell::Console, gic::ring);
}

/// The core that has the console, once [`start`] has chosen one.
pub fn core() -> Option<&'static Core> {
    CONSOLE_CORE.get().copied()
}

/// Asks the console core to look at the rings.
fn ring_console() {
    if is_taken() {
        service::tell_console(core_local::this());
    } else if !IS_RESTING.load(Ordering::SeqCst)
        && let Some(core) = CONSOLE_CORE.get()
    {
        core.ask(Doorbell::Console, gic::ring);
    }
}

/// Whether the UART is not read until the focused guest has taken what waits.
fn is_paused() -> bool {
    IS_PAUSED.load(Ordering::Relaxed)
}

/// The UART's interrupt, on the console core.
pub fn uart_interrupt() {
    uart::acknowledge();
    pump();
}

/// The console core's doorbell.
pub fn doorbell() {
    if gic::needs_nudges() {
        come_back_in(NUDGE_MS);
    }
    pump();
}

/// EL2's timer, on whichever core: the console's deadlines exist on the console core only.
pub fn timer_interrupt(core: &'static Core) {
    if timer::take_due(core, Slot::Button) {
        let pressed = STATE.hold().pressed.take();
        if let Some(partition) = pressed.and_then(partition_of) {
            partition.set_power_key(core, false);
        }
    }
    if timer::take_due(core, Slot::Silence) {
        partition::all().iter().for_each(|partition| partition.see_silence(core));
    }
    if timer::take_due(core, Slot::Console) {
        pump();
        if gic::needs_nudges() {
            come_back_in(NUDGE_MS);
        }
    }
}

/// Moves what can be moved: input to its partition, rings to the UART. On the console core only.
fn pump() {
    if is_taken() {
        return;
    }
    let state = &mut *STATE.hold();
    if timer::now() < state.rest_until {
        come_back_at(state.rest_until);
        return;
    }
    // Before the rings are looked at, and not reordered with that: a producer stores and looks whether the console rests.
    IS_RESTING.store(false, Ordering::SeqCst);
    if ENDS_LINE.swap(false, Ordering::Relaxed) {
        queue(&mut state.transmit, b"\r\n");
    }
    let mut is_waiting = false;
    for round in 0..=ROUNDS {
        read_input(state);
        if drain(state) {
            return;
        }
        if round == ROUNDS {
            state.rest_until = timer::now() + timer::ticks(REST_MS);
            IS_RESTING.store(true, Ordering::Relaxed);
            come_back_at(state.rest_until);
            return;
        }
        let State { mux, transmit, .. } = state;
        // The queue is empty, so it has room for the budget.
        let mut sink = |bytes: &[u8]| queue(transmit, bytes);
        is_waiting = mux.pump(&OUTPUTS, timer::now_ms(), TRANSMIT, &mut sink);
        if state.transmit.is_empty() {
            break;
        }
    }
    if is_waiting {
        // A line waits for another's to end or to get old: come back when it is.
        come_back_in(HOLD_MS as u32);
    }
    if ALL_STOPPED.load(Ordering::Acquire) {
        finish(state);
    }
}

/// Bytes for the UART. What does not fit is lost; the multiplexer writes at most the room it was told.
fn queue(transmit: &mut heapless::Deque<u8, TRANSMIT>, bytes: &[u8]) {
    for byte in bytes {
        let _ = transmit.push_back(*byte);
    }
}

/// Sets the console's deadline, unless it comes anyway.
fn come_back_in(milliseconds: u32) {
    come_back_at(timer::now() + timer::ticks(milliseconds));
}

/// Sets the console's deadline, unless an earlier one is set.
fn come_back_at(tick: u64) {
    let core = core_local::this();
    if timer::deadline(core, Slot::Console) > tick {
        timer::set(core, Slot::Console, tick);
    }
}

/// Gives the UART what it takes. Returns whether more waits, for its interrupt.
fn drain(state: &mut State) -> bool {
    while let Some(byte) = state.transmit.front().copied() {
        if panic::is_told() || !uart::try_put(byte) {
            uart::enable_transmit(true);
            return true;
        }
        state.transmit.pop_front();
    }
    uart::enable_transmit(false);
    false
}

fn read_input(state: &mut State) {
    if let Some(until) = state.paused_until {
        if is_full(state) && timer::now() < until {
            return;
        }
        IS_PAUSED.store(false, Ordering::Relaxed);
        uart::enable_receive(true);
    }
    while uart::has_input() {
        if !is_full(state) {
            state.paused_until = None;
        } else if state.paused_until.is_none() {
            // The sender is paced by the UART's own flow control until the guest has read, or shows that it never will.
            let patience_ms = if state.is_virtio { SERVICE_PATIENCE_MS } else { PATIENCE_MS };
            state.paused_until = Some(timer::now() + timer::ticks(patience_ms));
            IS_PAUSED.store(true, Ordering::Relaxed);
            uart::enable_receive(false);
            come_back_in(patience_ms);
            return;
        }
        let Some(byte) = uart::receive() else { return };
        match state.keys.push(byte) {
            Some(Key::Input(byte)) => input(state, byte),
            Some(key) => commands::obey(state, key),
            None => {}
        }
    }
}

fn partition_of(id: PartitionId) -> Option<&'static Partition> {
    partition::all().get(id.index()).copied()
}

/// The partition with the keyboard, while it runs.
fn listener(state: &State) -> Option<&'static Partition> {
    partition_of(state.focus).filter(|partition| partition.state() == Life::Running)
}

/// Whether the partition with the keyboard runs and takes no more input. What is for its virtio console waits for the service
/// to come back, if it does.
fn is_full(state: &State) -> bool {
    listener(state).is_some_and(|partition| match state.is_virtio {
        true => partition::service().is_some_and(|service| service.state() != Life::Stopped),
        false => partition.terminal.is_full(),
    })
}

fn input(state: &State, byte: u8) {
    // Input for a guest that does not run, or has not read for long, or for a virtio console that nobody serves, is lost;
    // commands never are.
    if let Some(partition) = listener(state).filter(|_| !state.is_virtio && !is_full(state)) {
        partition.terminal.type_byte(core_local::this(), partition, byte);
    }
}

/// Every partition has stopped for good: say so, and end once the UART has said it.
pub fn all_stopped() {
    let what = match WHEN_ALL_STOPPED.get() {
        Some((WhenAllStopped::PowerOff, PowerOff::PsciSmc)) => "the board powers off",
        Some((WhenAllStopped::PowerOff, PowerOff::None)) => "this board cannot be powered off: EL2 halts",
        _ => "EL2 stays (when_all_stopped = \"halt\")",
    };
    info!("all partitions have stopped: {what}");
    ALL_STOPPED.store(true, Ordering::Release);
    if is_taken() {
        service::tell_over(core_local::this(), true);
    }
    ring_console();
}

fn finish(state: &mut State) {
    // A key may have started one again meanwhile.
    if !partition::all_stopped() {
        ALL_STOPPED.store(false, Ordering::Release);
        service::tell_over(core_local::this(), false);
        return;
    }
    state.mux.flush(timer::now_ms(), &mut |bytes: &[u8]| bytes.iter().for_each(|byte| uart::put(*byte)));
    if let Some((WhenAllStopped::PowerOff, PowerOff::PsciSmc)) = WHEN_ALL_STOPPED.get() {
        firmware::power_off();
    }
}
