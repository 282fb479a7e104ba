//! The service at work: what is set up in which order, and the loop.

use crate::arch::insn;
use crate::console::Console;
use crate::devices::{self, Devices, Found};
use crate::disk::{self, Disk};
use crate::entropy::Entropy;
use crate::events::Events;
use crate::firmware::Firmware;
use crate::gic::Gic;
use crate::hypercall::Hello;
use crate::kept::Kept;
use crate::lines::Lines;
use crate::network::Network;
use crate::uplink::Uplink;
use crate::watchdog::Watchdog;
use crate::{clock, dma, heap, hooks, pins, say, timer, transports};
use abi::plan::{DOORBELL_INTID, Kind, Plan};
use abi::{IntId, machine};
use alloc::vec::Vec;

/// Turns without work before the service sleeps: a guest that was given something back often asks for more at once, and
/// one that asks seldom asks for one thing only. Each costs some 250 instructions; to sleep and wake takes a guest an exit.
const PATIENCE: u32 = 32;
/// After frames have moved it sleeps only when none has for so many microseconds: whoever sends in bulk waits for an
/// acknowledgement now and then, which takes longer than the turns above.
const NETWORK_PATIENCE_US: u64 = 500;
/// So many turns in a row without a sleep, and it looks for what it would find there.
const BREATHE_EVERY: u32 = 64;
/// While it polls, it looks at EL2's words in each turn with a multiple of this number.
const LOOK_EVERY: u32 = 32;

/// Everything that the loop turns over.
struct Service {
    gic: Gic,
    events: Events,
    console: Console,
    watchdog: Watchdog,
    disks: Vec<Disk>,
    entropy: Option<Entropy>,
    network: Option<Network>,
    devices: Devices,
    lines: Option<Lines>,
    /// Turns since there was work for a disk or a guest.
    idle_turns: u32,
    /// How many of these are worth it.
    patience: u32,
    /// Frames have moved lately: until this tick it does not sleep.
    awake_until: u64,
    /// Turns since it last slept or breathed.
    turns: u32,
}

/// Sets everything up and serves for ever.
pub fn run(plan: &'static Plan, hello: &Hello) -> ! {
    hooks::arm(hello.restarts);
    let mut watchdog = Watchdog::start(plan.watchdog_ms);
    // SAFETY: the plan gives this region to the service alone, map.rs maps it, and this is the only call.
    let kept = unsafe { Kept::open(&plan.kept, hello.boot) };
    let kept = kept.unwrap_or_else(|| panic!("the kept memory {} is too small", plan.kept));
    transports::reset_all(plan.transports);
    let hosts = disk::reset_all(plan.soc);
    // SAFETY: behind the survivor pages; no device touches memory any more.
    unsafe { dma::open(kept.arena()) };
    let mut firmware = Firmware::open(plan.soc);
    let gic = Gic::start();
    gic.enable(DOORBELL_INTID);
    gic.enable(machine::VIRTUAL_TIMER);
    // SAFETY: EL2 named the pages, and map.rs maps them.
    let events = unsafe { Events::new(hello) };
    // SAFETY: as above.
    let page = unsafe { Events::devices(hello) };
    clock::set(plan.rtc);
    let console = Console::take(plan);
    gic.enable(console.uart().intid());

    plan.pins.iter().for_each(pins::set);
    let lines = plan.pins.as_ref().and_then(|pins| Lines::start(pins, &events));
    if let Some(lines) = &lines {
        gic.enable(lines.intid());
    }
    // The gateway wants numbers that nobody can guess.
    let wants_entropy = plan.network.is_some() || plan.devices.iter().any(|device| device.kind == Kind::Entropy);
    watchdog.feed(timer::now());
    let mut entropy = if wants_entropy { Entropy::start(plan) } else { None };
    if let Some(firmware) = &mut firmware {
        firmware.introduce();
    }
    let mut disks = disk::open_all(plan.transports, hosts, &mut firmware, &mut watchdog);
    let mut network = Network::start(plan, &kept, &mut entropy);
    let found = Found { disks: &mut disks, has_entropy: entropy.is_some(), network: &mut network };
    // SAFETY: map.rs maps the page, and the RAM of the plan's partitions.
    let devices = unsafe { devices::offer_all(plan, page, &kept, found, &mut watchdog) };
    for disk in &disks {
        gic.enable(disk.intid());
    }
    if let Some(uplink) = network.as_ref().and_then(|network| network.uplink.as_ref()) {
        gic.enable(uplink.place().intid);
    }
    let (used, total) = heap::usage();
    say!("life {}: {}K of {}K in use", hello.restarts + 1, used >> 10, total >> 10);
    let mut service = Service {
        gic,
        events,
        console,
        watchdog,
        disks,
        entropy,
        network,
        devices,
        lines,
        idle_turns: 0,
        patience: 0,
        awake_until: 0,
        turns: 0,
    };
    service.serve()
}

impl Service {
    fn serve(&mut self) -> ! {
        loop {
            let has_news = self.idle_turns.is_multiple_of(LOOK_EVERY) && self.look();
            let has_worked = self.work();
            let now = timer::now();
            self.watchdog.feed(now);
            let has_shown = self.console.pump(now, &mut self.devices);
            if self.console.take_status()
                && let Some(network) = &self.network
            {
                network.say_counters();
            }
            hooks::turn(has_worked);
            if has_worked {
                self.idle_turns = 0;
            } else {
                self.idle_turns += 1;
            }
            if !has_news && !has_worked && !has_shown && self.idle_turns > self.patience && now >= self.awake_until {
                self.sleep();
            }
            self.turns += 1;
            if self.turns >= BREATHE_EVERY {
                self.breathe();
            }
        }
    }

    /// A guest that always has work for it keeps it from sleeping: what is typed must be heard all the same, and what the
    /// network has to say be said. A disk that has stopped to answer is seen here too: each sleep ends when the watchdog wants to
    /// be fed.
    #[inline(never)]
    fn breathe(&mut self) {
        self.turns = 0;
        let now = timer::now();
        if let Some(disk) = self.disks.iter().find(|disk| disk.is_stuck(now)) {
            panic!("the disk '{}' does not answer", disk.facts().serial);
        }
        while self.take_interrupt() {}
        if let Some(lines) = &mut self.lines {
            lines.breathe();
        }
        if let Some(network) = &mut self.network {
            network.report();
        }
    }

    /// Looks at what EL2 says. Whether anything is new.
    fn look(&mut self) -> bool {
        let news = self.events.look();
        if news.console {
            self.console.notice();
        } else if news.any {
            self.console.retry();
        }
        if news.any {
            self.console.set_over(self.events.is_over());
            if let Some(lines) = &mut self.lines {
                lines.look(&self.events);
            }
        }
        news.any
    }

    /// Serves the guests. Whether there was anything to do.
    fn work(&mut self) -> bool {
        self.devices.look();
        let has_completed = self.devices.complete(&mut self.disks);
        let has_begun = self.devices.serve(&mut self.disks, &mut self.entropy, &mut self.network, &mut self.console);
        self.disks.iter_mut().for_each(Disk::notify);
        let has_received = self.network.as_mut().is_some_and(|network| {
            let has_received = self.devices.receive(network);
            network.turn();
            if has_received || core::mem::take(&mut network.has_moved) {
                self.awake_until = timer::now() + timer::microseconds(NETWORK_PATIENCE_US);
            }
            has_received
        });
        self.devices.interrupt(false);
        if let Some(entropy) = &mut self.entropy {
            entropy.turn();
        }
        let has_worked = has_completed || has_begun || has_received;
        if has_worked {
            self.patience = PATIENCE;
        }
        has_worked
    }

    /// Waits for an interrupt, unless something happened meanwhile.
    #[inline(never)]
    fn sleep(&mut self) {
        self.devices.interrupt(true);
        let has_work = self.devices.request_kicks(&self.console);
        let busy = |disk: &&mut Disk| disk.outstanding() > 0;
        self.disks.iter_mut().filter(busy).for_each(|disk| disk.enable_interrupt(true));
        let mut uplink = self.network.as_mut().and_then(|network| network.uplink.as_mut());
        if let Some(uplink) = &mut uplink {
            uplink.enable_interrupt(true);
        }
        self.events.announce_sleep();
        let has_received = uplink.is_some_and(|uplink| uplink.has_received());
        let has_completed = has_received || self.disks.iter().any(Disk::has_completed);
        if !has_work && !has_completed && !self.events.has_news() && !self.devices.has_news() {
            let network = self.network.as_ref().and_then(Network::deadline);
            let disk = self.disks.iter().filter_map(Disk::deadline).min();
            let lines = self.lines.as_ref().and_then(Lines::deadline);
            let own = [self.watchdog.deadline(), self.console.deadline(), self.devices.deadline()];
            let deadlines = own.into_iter().chain([network, disk, lines]);
            timer::wake_at(deadlines.flatten().min());
            insn::wfi();
            // Without I/O it sleeps again at once.
            self.patience = 0;
        }
        self.events.announce_awake();
        self.breathe();
        self.disks.iter_mut().for_each(|disk| disk.enable_interrupt(false));
        let uplink = self.network.as_mut().and_then(|network| network.uplink.as_mut());
        uplink.into_iter().for_each(|uplink| uplink.enable_interrupt(false));
        self.idle_turns = 0;
    }

    fn take_interrupt(&mut self) -> bool {
        let Self { gic, console, disks, network, lines, .. } = self;
        let uplink = network.as_mut().and_then(|network| network.uplink.as_mut());
        gic.take(|intid| quiet(intid, console, disks, uplink, lines.as_mut()))
    }
}

/// Takes away what asserts an interrupt. What it stands for is found by the next turn.
fn quiet(
    intid: IntId,
    console: &mut Console,
    disks: &mut [Disk],
    uplink: Option<&mut Uplink>,
    lines: Option<&mut Lines>,
) {
    if intid == machine::VIRTUAL_TIMER {
        timer::wake_at(None);
    } else if intid == console.uart().intid() {
        console.uart().acknowledge();
        console.notice();
    } else if let Some(disk) = disks.iter_mut().find(|disk| disk.intid() == intid) {
        disk.acknowledge();
    } else if let Some(uplink) = uplink.filter(|uplink| uplink.place().intid == intid) {
        uplink.acknowledge();
    } else if let Some(lines) = lines.filter(|lines| lines.intid() == intid) {
        lines.acknowledge();
    }
}
