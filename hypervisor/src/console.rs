//! The board's one UART, shared by all partitions and EL2.
//!
//! A guest's byte goes into its own ring and its core goes on; one *console core* moves rings to the UART and input to
//! the partition with the keyboard. The console core is the lowest core that no partition owns, else the first core of
//! the first partition. Lock order: `STATE` (console core and boot only), then a terminal's `uart`, then its vGIC.

use crate::arch::barrier;
use crate::arch::sysreg::CNTHP_CVAL_EL2;
use crate::core_local::{self, Core, Doorbell};
use crate::firmware;
use crate::gic::{self, Gic};
use crate::interrupt::{self, Edge};
use crate::memory;
use crate::partition::{self, Partition};
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTHP_CTL_EL2, CNTPCT_EL0};
use abi::{IntId, PartitionId, VcpuId, machine};
use addr::Pa;
use console::{BURST, HOLD_MS, Key, Keys, Mode, Mux, Ring, SOURCES, Source};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use manifest::{Board, ConsoleMode, PowerOff, System, WhenAllStopped};
use spin::{Once, mutex::SpinMutex};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use vgic::Effects;
use vuart::Pl011;

register_structs! {
    /// PL011 (Arm DDI 0183): the registers that EL2 uses.
    Uart {
        (0x000 => dr: ReadWrite<u32>),
        (0x004 => _reserved0),
        (0x018 => fr: ReadOnly<u32>),
        (0x01c => _reserved1),
        (0x030 => cr: ReadWrite<u32>),
        (0x034 => _reserved2),
        (0x038 => imsc: ReadWrite<u32>),
        (0x03c => _reserved3),
        (0x040 => mis: ReadOnly<u32>),
        (0x044 => icr: WriteOnly<u32>),
        (0x048 => @END),
    }
}
const FR_TXFF: u32 = 1 << 5;
const FR_RXFE: u32 = 1 << 4;
/// UARTEN, TXE, RXE.
const CR_ON: u32 = 0x301;
/// RX, TX and receive timeout interrupts.
const INT_RX: u32 = 1 << 4 | 1 << 6;
const INT_TX: u32 = 1 << 5;

/// Bytes that a partition, or EL2, may be ahead of the UART before it loses lines.
const OUTPUT: usize = 8 * 1024;
/// Bytes of pasted input that wait for a guest before the UART is throttled.
const INPUT: usize = 1024;
/// Bytes that wait for the UART itself.
const TRANSMIT: usize = 4096;
/// How long a guest may leave its input unread before the keyboard goes on without it.
const PATIENCE_MS: u64 = 1000;
/// Milliseconds between two touches of a GIC that needs them ([`Gic::needs_nudges`]): any acknowledge is one.
const NUDGE_MS: u64 = 1;
/// Full transmit queues in a row before the console core looks at its other work.
const ROUNDS: usize = 16;
const _: () = assert!(TRANSMIT >= 2 * BURST, "a turn of the multiplexer always fits");
/// A partition's console.
pub struct Terminal {
    uart: SpinMutex<Line>,
    input: Ring<INPUT>,
    /// Bytes that `input` takes yet: a full [`Ring`] would drop lines, so the console core asks first.
    input_room: AtomicUsize,
}

/// The model and the interrupt line it drove last.
struct Line {
    model: Pl011,
    level: bool,
}

struct State {
    mux: Mux,
    keys: Keys,
    focus: PartitionId,
    transmit: heapless::Deque<u8, TRANSMIT>,
    /// Since when the UART is not read because the focused guest does not.
    paused_since_ms: Option<u64>,
}

static UART: AtomicUsize = AtomicUsize::new(0);
static UART_INTID: AtomicU32 = AtomicU32::new(u32::MAX);
static STATE: SpinMutex<State> = SpinMutex::new(State {
    mux: Mux::new(Mode::Interactive),
    keys: Keys::new(),
    focus: PartitionId::new(0),
    transmit: heapless::Deque::new(),
    paused_since_ms: None,
});
/// Output of each source, at its [`Source::index`]. A partition's producers hold its `uart` lock, EL2's `EL2_WRITER`.
static OUTPUTS: [Ring<OUTPUT>; SOURCES] = [const { Ring::new() }; SOURCES];
static EL2_WRITER: SpinMutex<()> = SpinMutex::new(());
static CONSOLE_CORE: Once<&'static Core> = Once::new();
static IS_PAUSED: AtomicBool = AtomicBool::new(false);
static ALL_STOPPED: AtomicBool = AtomicBool::new(false);
static WHEN_ALL_STOPPED: Once<(WhenAllStopped, PowerOff)> = Once::new();
static NEEDS_NUDGES: AtomicBool = AtomicBool::new(false);
static IS_TIMER_OPEN: AtomicBool = AtomicBool::new(false);
static LOGGER: Logger = Logger;

fn uart() -> Option<&'static Uart> {
    let address = UART.load(Ordering::Relaxed);
    // SAFETY: `open` mapped a PL011's registers there as device memory.
    (address != 0).then(|| unsafe { &*(address as *const Uart) })
}

fn put(byte: u8) {
    if let Some(uart) = uart() {
        while uart.fr.get() & FR_TXFF != 0 {
            core::hint::spin_loop();
        }
        uart.dr.set(u32::from(byte));
    }
}

/// Opens the UART at `pa`: the first thing that can say anything.
pub fn open(pa: Pa, intid: IntId) {
    UART.store(memory::map_device(pa, 0x1000), Ordering::Relaxed);
    UART_INTID.store(intid.number(), Ordering::Relaxed);
    if let Some(uart) = uart() {
        uart.imsc.set(0);
        uart.cr.set(CR_ON);
    }
}

/// The UART's interrupt.
pub fn intid() -> u32 {
    UART_INTID.load(Ordering::Relaxed)
}

/// Knows the partitions' names from here on; the boot log goes straight to the UART.
pub fn configure(system: &'static System) {
    let mode = match system.console {
        ConsoleMode::Interactive => Mode::Interactive,
        ConsoleMode::Tagged => Mode::Tagged,
    };
    let mut state = STATE.lock();
    state.mux.set_mode(mode);
    for (n, partition) in (0..).zip(&system.partitions) {
        state.mux.set_name(PartitionId::new(n), &partition.name);
    }
    state.mux.focus(PartitionId::new(0), 0, &mut |_: &[u8]| {});
    log::set_max_level(log::LevelFilter::Info);
    // Fails only when a logger is set already, and this is the only place.
    let _ = log::set_logger(&LOGGER);
}

/// Hands the UART to the console core: from here on nothing else writes to it.
pub fn start(system: &System, board: &Board) {
    WHEN_ALL_STOPPED.call_once(|| (system.when_all_stopped, board.power_off));
    let core = core_local::all()
        .find(|core| core.assignment.is_none())
        .or_else(|| partition::all().first().and_then(|partition| partition.core(VcpuId::new(0))))
        .or_else(core_local::try_this)
        .expect("the boot core exists");
    if let Some(uart) = uart() {
        uart.icr.set(0x7ff);
        uart.imsc.set(INT_RX);
    }
    CONSOLE_CORE.call_once(|| core);
    gic::own_spi(core, board.uart_intid);
    // The boot core arms it for the console core, which may be another one, by a doorbell.
    NEEDS_NUDGES.store(gic::needs_nudges(), Ordering::Relaxed);
    core.ask(Doorbell::Console, gic::ring);
}

/// On the console core: makes its own timer usable. Idempotent.
fn open_timer<G: Gic>() {
    G::set_enabled(core_local::this(), machine::HYPERVISOR_TIMER, true);
    if NEEDS_NUDGES.load(Ordering::Relaxed) {
        come_back_in(NUDGE_MS);
    }
}

/// Asks the console core to look at the rings.
fn ring_console() {
    if let Some(core) = CONSOLE_CORE.get() {
        core.ask(Doorbell::Console, gic::ring);
    }
}

/// A guest writes to its PL011, on its own core.
pub fn guest_write<G: Gic>(core: &'static Core, partition: &'static Partition, offset: u64, bytes: u8, value: u32) {
    core.counters.uart.count();
    let mut line = partition.terminal.uart.lock();
    let source = Source::partition(partition.id);
    if let Some(byte) = line.model.write(offset, u32::from(bytes), value)
        && let Some(output) = source.and_then(|source| OUTPUTS.get(source.index()))
    {
        output.push(byte);
        ring_console();
    }
    drive::<G>(core, partition, &mut line);
}

/// A guest reads its PL011, on its own core.
pub fn guest_read<G: Gic>(core: &'static Core, partition: &'static Partition, offset: u64, bytes: u8) -> u32 {
    core.counters.uart.count();
    let mut line = partition.terminal.uart.lock();
    let value = line.model.read(offset, u32::from(bytes));
    partition.terminal.feed(&mut line);
    drive::<G>(core, partition, &mut line);
    if IS_PAUSED.load(Ordering::Relaxed) && partition.terminal.input.is_empty() {
        ring_console();
    }
    value
}

/// Carries a change of the interrupt line to the vGIC, from a core of the partition.
fn drive<G: Gic>(core: &'static Core, partition: &'static Partition, line: &mut Line) {
    let level = line.model.irq_level();
    if level != line.level {
        line.level = level;
        // A vCPU that is off has no list registers: the model keeps what comes.
        let is_own = core.assignment.is_some_and(|a| core::ptr::eq(a.partition, partition))
            && core.power.state() == psci::PowerState::On;
        if is_own {
            interrupt::with_vgic::<G, _>(core, |vgic, _, edge| vgic.set_level(machine::UART_INTID, level, edge));
        } else {
            let mut edge = Edge::<G>::new(partition, core);
            partition.vgic.lock().set_level(machine::UART_INTID, level, &mut edge as &mut dyn Effects);
        }
    }
}

impl Terminal {
    /// A console with nothing in it.
    pub const fn new() -> Self {
        let line = Line { model: Pl011::new(), level: false };
        Self { uart: SpinMutex::new(line), input: Ring::new(), input_room: AtomicUsize::new(INPUT) }
    }

    /// As at power-on, for a new life; output that waits for the UART stays.
    pub fn reset(&self) {
        *self.uart.lock() = Line { model: Pl011::new(), level: false };
    }

    /// Moves waiting input into the model, under its lock.
    fn feed(&self, line: &mut Line) {
        while line.model.room() > 0 {
            let mut byte = [0];
            if self.input.read(&mut byte) == 0 {
                return;
            }
            self.input_room.fetch_add(1, Ordering::AcqRel);
            if line.model.receive(byte[0]).is_err() {
                return;
            }
        }
    }
}

/// The UART's interrupt, on the console core.
pub fn uart_interrupt() {
    if let Some(uart) = uart() {
        uart.icr.set(uart.mis.get());
    }
    pump();
}

/// The console core's doorbell.
pub fn doorbell<G: Gic>() {
    if !IS_TIMER_OPEN.swap(true, Ordering::Relaxed) {
        open_timer::<G>();
    }
    pump();
}

/// Moves what can be moved: input to its partition, rings to the UART. On the console core only.
fn pump() {
    let state = &mut *STATE.lock();
    let mut is_waiting = false;
    for round in 0..=ROUNDS {
        read_input(state);
        if drain(state) {
            return;
        }
        if round == ROUNDS {
            // A guest that never stops writing must not keep this core for ever: it may run a guest itself.
            ring_console();
            return;
        }
        let State { mux, transmit, .. } = state;
        // The queue is empty, so it has room for the budget.
        let mut sink = |bytes: &[u8]| queue(transmit, bytes);
        is_waiting = mux.pump(&OUTPUTS, now_ms(), TRANSMIT, &mut sink);
        if state.transmit.is_empty() {
            break;
        }
    }
    if is_waiting {
        // A line waits for another's to end or to get old: come back when it is.
        come_back_in(HOLD_MS);
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

/// EL2's timer, on the console core.
pub fn timer_interrupt() {
    CNTHP_CTL_EL2.set(0);
    pump();
    if NEEDS_NUDGES.load(Ordering::Relaxed) {
        come_back_in(NUDGE_MS);
    }
}

/// Sets EL2's timer, unless nudges keep it going anyway.
fn come_back_in(milliseconds: u64) {
    if CNTHP_CTL_EL2.get() & 1 == 0 {
        CNTHP_CVAL_EL2.set(CNTPCT_EL0.get() + CNTFRQ_EL0.get() * milliseconds / 1000);
        CNTHP_CTL_EL2.set(1);
    }
}

fn now_ms() -> u64 {
    CNTPCT_EL0.get() * 1000 / CNTFRQ_EL0.get().max(1)
}

/// Gives the UART what it takes. Returns whether more waits, for its interrupt.
fn drain(state: &mut State) -> bool {
    let Some(uart) = uart() else { return false };
    while let Some(byte) = state.transmit.front().copied() {
        if uart.fr.get() & FR_TXFF != 0 {
            uart.imsc.set(uart.imsc.get() | INT_TX);
            return true;
        }
        uart.dr.set(u32::from(byte));
        state.transmit.pop_front();
    }
    uart.imsc.set(uart.imsc.get() & !INT_TX);
    false
}

fn read_input(state: &mut State) {
    let Some(uart) = uart() else { return };
    if let Some(since) = state.paused_since_ms {
        if is_full(state.focus) && now_ms().saturating_sub(since) < PATIENCE_MS {
            return;
        }
        IS_PAUSED.store(false, Ordering::Relaxed);
        uart.imsc.set(uart.imsc.get() | INT_RX);
    }
    while uart.fr.get() & FR_RXFE == 0 {
        if !is_full(state.focus) {
            state.paused_since_ms = None;
        } else if state.paused_since_ms.is_none() {
            // The sender is paced by the UART's own flow control until the guest has read, or shows that it never will.
            state.paused_since_ms = Some(now_ms());
            IS_PAUSED.store(true, Ordering::Relaxed);
            uart.imsc.set(uart.imsc.get() & !INT_RX);
            come_back_in(PATIENCE_MS);
            return;
        }
        let byte = uart.dr.get() as u8;
        match state.keys.push(byte) {
            Some(Key::Input(byte)) => input(state.focus, byte),
            Some(Key::Focus(n)) => focus(state, n),
            Some(Key::Help) => help(),
            Some(Key::Status) => status(),
            Some(Key::Unknown(key)) => log::warn!("Ctrl-T {}: no such command, Ctrl-T ? helps", key.escape_ascii()),
            None => {}
        }
    }
}

/// Whether the partition with the keyboard runs and takes no more input.
fn is_full(focus: PartitionId) -> bool {
    partition::all().get(focus.index()).is_some_and(|partition| {
        partition.state() == partition::State::Running && partition.terminal.input_room.load(Ordering::Acquire) == 0
    })
}

fn input(focus: PartitionId, byte: u8) {
    let Some(partition) = partition::all().get(focus.index()) else { return };
    // Input for a guest that does not run, or has not read for long, is lost; commands never are.
    if partition.state() != partition::State::Running || is_full(focus) {
        return;
    }
    partition.terminal.input_room.fetch_sub(1, Ordering::AcqRel);
    partition.terminal.input.push(byte);
    match gic::version() {
        vgic::Version::V2 => deliver::<gic::V2>(partition),
        vgic::Version::V3 => deliver::<gic::V3>(partition),
    }
}

fn deliver<G: Gic>(partition: &'static Partition) {
    let mut line = partition.terminal.uart.lock();
    partition.terminal.feed(&mut line);
    drive::<G>(core_local::this(), partition, &mut line);
}

fn focus(state: &mut State, id: PartitionId) {
    let Some(partition) = partition::all().get(id.index()) else {
        log::warn!("Ctrl-T {}: there are partitions 1 to {}", id.number() + 1, partition::all().len());
        return;
    };
    state.focus = id;
    let State { mux, transmit, .. } = state;
    mux.focus(id, now_ms(), &mut |bytes: &[u8]| queue(transmit, bytes));
    log::info!("keyboard: {}", partition.name());
}

fn help() {
    log::info!(
        "Ctrl-T, then: a digit moves the keyboard, s shows partitions and counters, Ctrl-T sends Ctrl-T, ? helps"
    );
    for (n, partition) in partition::all().iter().enumerate() {
        log::info!("Ctrl-T {}: {} ({})", n + 1, partition.name(), partition.state());
    }
}

fn status() {
    for partition in partition::all() {
        for (n, core) in partition.cores().enumerate() {
            let power = match core.power.state() {
                psci::PowerState::On => "on",
                psci::PowerState::Off => "off",
                psci::PowerState::OnPending => "on-pending",
            };
            log::info!("{}/v{n} {} {} {power}{}", partition.name(), core.id, partition.state(), core.counters);
        }
    }
}

/// Every partition has stopped for good: say so, and end once the UART has said it.
pub fn all_stopped() {
    let what = match WHEN_ALL_STOPPED.get() {
        Some((WhenAllStopped::PowerOff, PowerOff::PsciSmc)) => "the board powers off",
        Some((WhenAllStopped::PowerOff, PowerOff::None)) => "this board cannot be powered off: EL2 halts",
        _ => "EL2 stays (when_all_stopped = \"halt\")",
    };
    log::info!("all partitions have stopped: {what}");
    ALL_STOPPED.store(true, Ordering::Release);
    ring_console();
}

fn finish(state: &mut State) {
    state.mux.flush(now_ms(), &mut |bytes: &[u8]| bytes.iter().for_each(|byte| put(*byte)));
    if let Some((WhenAllStopped::PowerOff, PowerOff::PsciSmc)) = WHEN_ALL_STOPPED.get() {
        firmware::power_off();
    }
}

/// Writes past every lock: for refusals at boot and for panics.
pub fn emergency(text: fmt::Arguments<'_>) {
    struct Raw;
    impl Write for Raw {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().for_each(put);
            Ok(())
        }
    }
    // Writing to the UART cannot fail.
    let _ = Raw.write_fmt(text);
}

/// The `log` crate's way to the console.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let mut line = heapless::String::<224>::new();
        let frequency = CNTFRQ_EL0.get().max(1);
        let now = CNTPCT_EL0.get();
        let (seconds, rest) = (now / frequency, now % frequency);
        let core = core_local::try_this().map_or(0, |core| core.id.number());
        // A line that is too long loses its end.
        let _ = write!(line, "[{seconds:3}.{:06}] core{core} ", rest * 1_000_000 / frequency);
        let level = match record.level() {
            log::Level::Error => "error: ",
            log::Level::Warn => "warn: ",
            _ => "",
        };
        line.push_str(level).expect("the prefix fits");
        let _ = write!(line, "{}", record.args());
        write_line(line.as_bytes());
    }
    fn flush(&self) {}
}

fn write_line(line: &[u8]) {
    if CONSOLE_CORE.get().is_none() {
        // The boot log: nobody else writes yet, and a guest's start waits for it.
        b"bulkhead| ".iter().chain(line).chain(b"\r\n").for_each(|byte| put(*byte));
        return;
    }
    let writer = EL2_WRITER.lock();
    OUTPUTS[Source::EL2.index()].write(line);
    OUTPUTS[Source::EL2.index()].push(b'\n');
    drop(writer);
    barrier::dsb_ishst();
    ring_console();
}
