//! What `Ctrl-T` and a key do. Whatever ends or starts a guest asks first.
//!
//! EL2's questions carry a number that changes with each boot and that no guest can know: a guest with the raw console
//! can print anything, but not a question of this boot.

use super::{State, partition_of, queue};
use crate::core_local;
use crate::fault;
use crate::memory;
use crate::partition::{self, Partition};
use crate::timer::{self, Slot};
use abi::PartitionId;
use abi::service::{Command, Status};
use console::{Key, Source};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use life::{Event, Reason, Refused};

/// How long the power key stays down, in milliseconds: longer than what a guest takes for a bounce.
const PRESS_MS: u32 = 200;

/// What the user is asked to confirm.
#[derive(Clone, Copy)]
pub struct Question {
    verb: Verb,
    /// `None`: nothing was asked.
    partition: Option<&'static Partition>,
}

impl Question {
    /// Nothing. All zero, so that the console's state lies in .bss.
    pub const NONE: Self = Self { verb: Verb::Restart, partition: None };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Restart,
    Stop,
    Start,
    PressPower,
}

impl Verb {
    const fn text(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::PressPower => "press the power key of",
        }
    }
}

static NONCE: AtomicU32 = AtomicU32::new(0);
static BOOT: AtomicU64 = AtomicU64::new(0);

/// Chooses this boot's number, from the moment of the boot in ticks, and shows it before any guest runs.
pub fn start() {
    let number = timer::now().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    BOOT.store(number, Ordering::Relaxed);
    let nonce = (number >> 48) as u32;
    NONCE.store(nonce, Ordering::Relaxed);
    info!("questions of this boot begin with #{nonce:04x}; Ctrl-T ? helps");
}

/// A number that is another at each boot, almost always.
pub fn boot_number() -> u64 {
    BOOT.load(Ordering::Relaxed)
}

/// Does what a key asks.
pub fn obey(state: &mut State, key: Key) {
    match key {
        Key::Focus(n) => focus(state, n, false),
        // EL2 knows no types of devices: without the service there are no such consoles.
        Key::VirtioConsole => unknown(b'h'),
        Key::Help => help(),
        Key::Status => status(),
        Key::Faults => fault::show_all(),
        Key::Restart => ask(state, Verb::Restart),
        Key::Stop => ask(state, Verb::Stop),
        Key::Start => ask(state, Verb::Start),
        Key::Power => ask(state, Verb::PressPower),
        Key::Answer(is_yes) => answer(state, is_yes),
        Key::Unknown(key) => unknown(key),
        Key::Input(_) => {}
    }
}

/// The service partition has read a key. Whatever ends or starts a guest was asked about by [`Command::Ask`].
///
/// # Errors
/// No such command or partition.
pub fn from_service(state: &mut State, command: u64, argument: u64, wanted: u64) -> Result<(), Status> {
    let of = |number: u64| Command::from_number(number).ok_or(Status::Invalid);
    let verb = |command: Command| match command {
        Command::Restart => Ok(Verb::Restart),
        Command::Stop => Ok(Verb::Stop),
        Command::Start => Ok(Verb::Start),
        Command::PressPower => Ok(Verb::PressPower),
        _ => Err(Status::Invalid),
    };
    let partition = u8::try_from(argument).ok().map(PartitionId::new).and_then(partition_of);
    match of(command)? {
        Command::Help => help(),
        Command::Status => status(),
        Command::Faults => fault::show_all(),
        Command::Cancel => info!("cancelled"),
        Command::Unknown => unknown(argument as u8),
        // One that does not exist is answered in words.
        Command::Focus => focus(state, PartitionId::new(argument as u8), wanted != 0),
        Command::Ask => {
            let partition = partition.ok_or(Status::Invalid)?;
            return ask_about(partition, verb(of(wanted)?)?).then_some(()).ok_or(Status::WrongState);
        }
        command => act(state, verb(command)?, partition.ok_or(Status::Invalid)?),
    }
    Ok(())
}

fn unknown(key: u8) {
    warn!("Ctrl-T {}: no such command, Ctrl-T ? helps", key.escape_ascii());
}

fn focus(state: &mut State, id: PartitionId, is_virtio: bool) {
    let Some(partition) = partition_of(id) else {
        warn!("Ctrl-T {}: there are partitions 1 to {}", u64::from(id.number()) + 1, partition::all().len());
        return;
    };
    (state.focus, state.is_virtio) = (id, is_virtio);
    let State { mux, transmit, .. } = state;
    // While the service has the console, it shows what waits.
    let shows = !super::is_taken();
    if let Some(source) = Source::partition(id) {
        mux.focus(source, timer::now_ms(), &mut |bytes: &[u8]| {
            if shows {
                queue(transmit, bytes)
            }
        });
    }
    info!("keyboard: {}{}", partition.name(), if is_virtio { "/hvc0" } else { "" });
}

fn help() {
    info!(
        "Ctrl-T, then: digit keyboard,{} s state, f faults, r restart, k stop, g start, p power key (r k g p ask first)",
        if super::is_taken() { " h its hvc0," } else { "" }
    );
    for (n, partition) in (1u64..).zip(partition::all()) {
        info!("Ctrl-T {n}: {} ({})", partition.name(), partition.state().name());
    }
}

fn status() {
    info!("EL2: {}K of {}K in use", memory::pool_used() >> 10, memory::pool_bytes() >> 10);
    for partition in partition::all() {
        info!("{} {}", partition.name(), partition.history());
        for (n, core) in (0u64..).zip(partition.cores()) {
            let power = match core.power.state() {
                psci::PowerState::On => "on",
                psci::PowerState::Off => "off",
                psci::PowerState::OnPending => "on-pending",
            };
            info!("{}/v{n} {} {} {power}{}", partition.name(), core.id, partition.state().name(), core.counters);
        }
    }
}

fn ask(state: &mut State, verb: Verb) {
    let Some(partition) = partition_of(state.focus) else { return };
    if ask_about(partition, verb) {
        state.question = Question { verb, partition: Some(partition) };
        state.keys.ask();
    }
}

/// Puts the question. `false`: there is nothing to ask.
fn ask_about(partition: &'static Partition, verb: Verb) -> bool {
    if verb == Verb::PressPower && !partition.has_power_key() {
        warn!("'{}' has no power key: its system file assigns the board's gpio to it", partition.name());
        return false;
    }
    info!("#{:04x}: {} '{}'? y/n", NONCE.load(Ordering::Relaxed), verb.text(), partition.name());
    true
}

fn answer(state: &mut State, is_yes: bool) {
    let Question { verb, partition: Some(partition) } = core::mem::replace(&mut state.question, Question::NONE) else {
        return;
    };
    if !is_yes {
        info!("cancelled");
        return;
    }
    act(state, verb, partition);
}

fn act(state: &mut State, verb: Verb, partition: &'static Partition) {
    let result = match verb {
        Verb::Restart => partition.tell(Event::Ended(Reason::RestartKey)),
        Verb::Stop => partition.tell(Event::Ended(Reason::StopKey)),
        Verb::Start => partition.tell(Event::Start),
        Verb::PressPower if partition.state() != partition::State::Running => Err(Refused::Stopped),
        Verb::PressPower => {
            let core = core_local::this();
            // One timer, one key: whichever is held down yet is let go now.
            if let Some(held) = state.pressed.replace(partition.id).and_then(partition_of) {
                held.set_power_key(core, false);
            }
            partition.set_power_key(core, true);
            timer::set_in(core, Slot::Button, PRESS_MS);
            Ok(())
        }
    };
    timer::set_in(core_local::this(), Slot::Silence, partition::ANSWER_MS);
    if result.is_err() {
        warn!("'{}' is {}: not now", partition.name(), partition.state().name());
    }
}
