//! The service partition's side of EL2: event pages, doorbell, hypercalls.
//!
//! EL2 writes the event pages and never reads them; the service's own page it reads for one word, `is_sleeping`, which
//! decides about an interrupt and nothing else. Each core numbers what it tells: a word's value never comes twice, so
//! no word that two sides see needs an atomic operation ([`abi::service`]).
//!
//! Every hypercall checks that its caller is the service, that it has said hello in this life, and that each argument
//! names what exists; refusals are counted.

use crate::arch::barrier;
use crate::arch::guest::GuestFrame;
use crate::console;
use crate::core_local::{Assignment, Core};
use crate::interrupt;
use crate::memory;
use crate::partition::{self, Partition};
use crate::timer;
use crate::virtio::Device;
use aarch64_cpu::registers::CNTFRQ_EL0;
use abi::service::{Call, DevicePage, Driven, EventPage, ServicePage, Status, TEXT, VERSION};
use abi::{MAX_CORES, PartitionId, VcpuId, VirtioId, plan};
use addr::{PAGE_SIZE, Pa};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use spin::Once;
use tock_registers::interfaces::Readable;

/// The three shared pages, and whom they are shared with.
struct Pages {
    events: &'static EventPage,
    devices: &'static DevicePage,
    own: &'static ServicePage,
    pa: Pa,
    core: Once<&'static Core>,
}

static PAGES: Once<Pages> = Once::new();
/// The service has said hello in this life.
static IS_UP: AtomicBool = AtomicBool::new(false);
/// Seconds since 1970 when the counter was 0; 0 until the service has said so.
static CLOCK: AtomicU64 = AtomicU64::new(0);

/// The shared pages: what the service may read, and what it may write. Before the pool is frozen.
pub fn create() -> (Pa, Pa) {
    let pages = pages();
    (pages.pa, Pa::new(pages.pa.as_u64() + 2 * PAGE_SIZE))
}

/// Makes them with the first call.
fn pages() -> &'static Pages {
    PAGES.call_once(|| {
        let (pa, address) = memory::shared_pages(3);
        // SAFETY: three zeroed pages that live for ever and are accessed as atomics only; zeros are valid values.
        let events = unsafe { &*(address as *const EventPage) };
        // SAFETY: as above.
        let devices = unsafe { &*((address + PAGE_SIZE as usize) as *const DevicePage) };
        // SAFETY: as above.
        let own = unsafe { &*((address + 2 * PAGE_SIZE as usize) as *const ServicePage) };
        Pages { events, devices, own, pa, core: Once::new() }
    })
}

/// Knows the service's core from here on.
pub fn start() {
    if let (Some(pages), Some(core)) = (PAGES.get(), partition::service().and_then(|own| own.core(VcpuId::new(0)))) {
        pages.core.call_once(|| core);
    }
}

/// Whether the service has said hello and its life goes on.
pub fn is_up() -> bool {
    IS_UP.load(Ordering::Acquire)
}

/// Where the service learns of kicks of a device's queues.
pub struct Kicks {
    pages: &'static Pages,
    queues: &'static [AtomicU64],
}

impl Kicks {
    /// Those of the queues of this device. While its partition is created, before the pool is frozen.
    pub fn new(device: VirtioId, queues: usize) -> Self {
        let pages = pages();
        let words = pages.devices.devices.get(device.index()).and_then(|device| device.queues.get(..queues));
        Self { pages, queues: words.expect("the manifest was validated: its devices and their queues have words") }
    }

    /// Tells the service that a queue was kicked, if there is such a queue. In the time of an exit: no lock, no loop.
    #[inline(always)]
    pub fn tell(&self, core: &'static Core, queue: u32) {
        if let Some(word) = self.queues.get(queue as usize) {
            tell(core, self.pages, word);
        }
    }
}

/// Tells the service that a device's state changed.
pub fn tell_state(core: &'static Core, device: VirtioId) {
    let Some(pages) = PAGES.get() else { return };
    if let Some(device) = pages.devices.devices.get(device.index()) {
        tell(core, pages, &device.state);
    }
}

/// Tells the service that a console ring has something, or an input buffer has room.
pub fn tell_console(core: &'static Core) {
    let Some(pages) = PAGES.get() else { return };
    if let Some(word) = pages.events.console.get(core.id.index()) {
        tell(core, pages, word);
    }
}

/// Tells the service that one of its channels was rung or cleared.
pub fn tell_channels(core: &'static Core) {
    let Some(pages) = PAGES.get() else { return };
    tell(core, pages, &pages.events.channels);
}

/// Tells the service what a guest drives at its PL061. In the order in which it changes: under the PL061's lock.
pub fn tell_lines(core: &'static Core, partition: PartitionId, driven: Driven) {
    let Some(pages) = PAGES.get() else { return };
    if let Some(word) = pages.events.driven.get(partition.index()) {
        word.store(driven.word(), Ordering::Relaxed);
        tell_console(core);
    }
}

/// Tells the service whether all other partitions have stopped for good.
pub fn tell_over(core: &'static Core, is_over: bool) {
    let Some(pages) = PAGES.get() else { return };
    pages.events.is_over.store(u64::from(is_over), Ordering::Release);
    tell_console(core);
}

/// Changes `word`, then this core's own word, and wakes the service if it sleeps: it stores `is_sleeping`, issues a
/// barrier, and looks at all words once more, so either it sees this or this sees that it sleeps.
#[inline(always)]
fn tell(core: &'static Core, pages: &Pages, word: &AtomicU64) {
    let value = core.told.load(Ordering::Relaxed).wrapping_add(1 << 8);
    core.told.store(value, Ordering::Relaxed);
    word.store(value, Ordering::Relaxed);
    // Core numbers are below `MAX_CORES`.
    pages.events.cores[core.id.index() % MAX_CORES].store(value, Ordering::Release);
    barrier::dmb_ish();
    if pages.own.is_sleeping.load(Ordering::Relaxed) != 0 {
        wake(pages);
    }
}

/// Ends the service's sleep, by an SGI from itself: its core has a list register's word ready for that.
///
/// It has one such interrupt for each time that it goes to sleep, or a guest that kicks without end would keep its core at
/// EL2. The word that it stores to ask for the next is stored behind the interrupt, so this store never hides that.
fn wake(pages: &Pages) {
    let Some(service) = pages.core.get() else { return };
    pages.own.is_sleeping.store(0, Ordering::Relaxed);
    interrupt::ring_sgi(service, plan::DOORBELL_INTID);
}

/// A life of the service begins or has ended: nothing that it said counts, and EL2 has the console. Behind the reset of its
/// vGIC, which disables the UART's interrupt.
pub fn forget(core: &'static Core) {
    IS_UP.store(false, Ordering::Release);
    if let Some(pages) = PAGES.get() {
        let words = core::iter::once(&pages.own.is_sleeping).chain(&pages.own.rest);
        words.for_each(|word| word.store(0, Ordering::Relaxed));
    }
    console::take_back(core);
}

/// Seconds since 1970, as far as anybody has said.
pub fn seconds() -> u64 {
    CLOCK.load(Ordering::Relaxed).wrapping_add(timer::now() / CNTFRQ_EL0.get().max(1))
}

/// Answers a hypercall of the service partition.
pub fn call(core: &'static Core, partition: &'static Partition, call: Call, frame: &mut GuestFrame) -> u64 {
    let status = match answer(core, partition, call, frame) {
        Ok(()) => Status::Ok,
        Err(status) => {
            core.counters.refused.count();
            status
        }
    };
    status.number()
}

fn answer(
    core: &'static Core,
    partition: &'static Partition,
    call: Call,
    frame: &mut GuestFrame,
) -> Result<(), Status> {
    let [first, second, third] = [1, 2, 3].map(|n| frame.register(n));
    if call == Call::Hello {
        return hello(partition, first, frame);
    }
    if !is_up() {
        return Err(Status::WrongState);
    }
    match call {
        Call::Hello => {}
        Call::ConsoleTake if first == 0 => console::give_back(core),
        Call::ConsoleTake => {
            let (focus, is_virtio) = console::take(core, partition)?;
            results(frame, &[u64::from(focus.number()), u64::from(is_virtio)]);
        }
        Call::ConsoleRead => {
            let mut text = [0; TEXT];
            let (bytes, dropped) = console::read_source(first, &mut text)?;
            results(frame, &[bytes as u64, u64::from(dropped)]);
            set_text(frame, 3, &text);
        }
        Call::ConsoleType => console::type_for(core, partition_of(first)?, second as u8)?,
        Call::Command => console::command(first, second, third)?,
        Call::Log => {
            let (bytes, text) = (usize::try_from(first).unwrap_or(usize::MAX), text(frame, 2));
            console::service_says(partition, text.get(..bytes).ok_or(Status::Invalid)?);
        }
        Call::SetLines => partition_of(first)?.set_lines(core, second, third)?,
        Call::SetClock => CLOCK.store(first.wrapping_sub(timer::now() / CNTFRQ_EL0.get().max(1)), Ordering::Relaxed),
        Call::DeviceState
        | Call::DeviceQueue
        | Call::DeviceConfig
        | Call::DeviceOffer
        | Call::DeviceAbsent
        | Call::DeviceQuiet
        | Call::DeviceRaise
        | Call::DeviceBreak => {
            let (owner, device) = device_of(first)?;
            return about_device(core, owner, device, call, [second, third], frame);
        }
    }
    Ok(())
}

fn hello(partition: &'static Partition, version: u64, frame: &mut GuestFrame) -> Result<(), Status> {
    let pages = PAGES.get().filter(|_| version == VERSION).ok_or(Status::Invalid)?;
    IS_UP.store(true, Ordering::Release);
    let at = pages.pa.as_u64();
    results(frame, &[partition.restarts(), at, at + PAGE_SIZE, at + 2 * PAGE_SIZE, console::boot_number()]);
    Ok(())
}

fn about_device(
    core: &'static Core,
    owner: &'static Partition,
    device: &'static Device,
    call: Call,
    [second, third]: [u64; 2],
    frame: &mut GuestFrame,
) -> Result<(), Status> {
    match call {
        Call::DeviceState => results(frame, &device.state()),
        Call::DeviceQueue => {
            let rings = device.rings(second, third)?;
            results(frame, &[u64::from(rings.size)]);
            (2..).zip(rings.addresses).for_each(|(n, address)| frame.set_register(n, address));
        }
        Call::DeviceConfig => device.configure(second, third)?,
        Call::DeviceOffer => {
            device.offer(second)?;
            owner.tell_of_device();
        }
        Call::DeviceAbsent => {
            device.be_absent()?;
            owner.tell_of_device();
        }
        Call::DeviceQuiet => {
            device.quiet(second)?;
            owner.tell_of_device();
        }
        Call::DeviceRaise => {
            device.raise(second, third)?;
            device.interrupt(core, owner);
        }
        _ => {
            device.fail(second)?;
            device.interrupt(core, owner);
        }
    }
    Ok(())
}

/// Results from X1 on.
fn results(frame: &mut GuestFrame, values: &[u64]) {
    (1..).zip(values).for_each(|(n, value)| frame.set_register(n, *value));
}

/// The bytes of eight registers, the first being `first`.
fn text(frame: &GuestFrame, first: u8) -> [u8; TEXT] {
    let mut text = [0; TEXT];
    for (n, bytes) in (first..).zip(text.chunks_exact_mut(8)) {
        bytes.copy_from_slice(&frame.register(n).to_le_bytes());
    }
    text
}

fn set_text(frame: &mut GuestFrame, first: u8, text: &[u8; TEXT]) {
    let (words, _) = text.as_chunks::<8>();
    (first..).zip(words).for_each(|(n, word)| frame.set_register(n, u64::from_le_bytes(*word)));
}

/// The partition with this number.
fn partition_of(number: u64) -> Result<&'static Partition, Status> {
    usize::try_from(number).ok().and_then(|n| partition::all().get(n)).copied().ok_or(Status::Invalid)
}

/// The device with this number, and its partition.
fn device_of(number: u64) -> Result<(&'static Partition, &'static Device), Status> {
    let mut rest = usize::try_from(number).map_err(|_| Status::Invalid)?;
    for owner in partition::all() {
        if let Some(device) = owner.virtio.get(rest) {
            return Ok((owner, device));
        }
        // At least as many, or there would have been one.
        rest -= owner.virtio.len();
    }
    Err(Status::Invalid)
}

/// Whether a call is one of the service's, and comes from it.
#[inline(never)]
pub fn call_of(core: &'static Core, function: u32) -> Option<Call> {
    let call = Call::from_function(function)?;
    match core.assignment {
        Some(Assignment { partition, .. }) if partition.serves => Some(call),
        _ => {
            core.counters.refused.count();
            None
        }
    }
}
