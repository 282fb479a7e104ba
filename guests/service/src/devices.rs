//! The virtio devices that the guests see: setting them up, and serving their queues in turn.
//!
//! Each device has a cap per turn, and the turn begins with another device each time, so that a guest that never stops
//! asking slows down the others of its disk by its share and no more.

mod broker;
mod keyboard;
mod link;
mod nic;
mod offer;
mod receiver;
mod requests;
mod terminal;

pub use offer::{Found, offer_all};

use crate::console::Console;
use crate::disk::{Disk, Ticket};
use crate::entropy::Entropy;
use crate::hooks;
use crate::hypercall::{self, DeviceState};
use crate::memory::Ram;
use crate::network::Network;
use crate::volumes::Volume;
use crate::{say, timer};
use abi::VirtioId;
use abi::service::{DevicePage, MAX_DEVICES, Phase};
use alloc::boxed::Box;
use alloc::vec::Vec;
use broker::Broker;
use core::fmt;
use core::sync::atomic::Ordering;
use link::Link;
use offer::Change;
use rate::Bucket;
use receiver::Receiver;
use terminal::Terminal;
use virtio::blk;
use virtio::{Broken, Chain, Unusable};

/// Requests that one disk may have begun in a turn.
const CAP: usize = 16;
/// The same for entropy: up to 4 KiB each, and all of it is computed here.
const ENTROPY_CAP: usize = 1;
/// Shortest time between two lines about one device's broken rings.
const SILENCE_MS: u64 = 1000;
/// Status register: DRIVER_OK, DEVICE_NEEDS_RESET.
const DRIVER_OK: u8 = 4;
const NEEDS_RESET: u8 = 0x40;

/// What is behind a device.
enum Backend {
    /// Nothing: in a life of the service before this one there was something, which its driver knows, and now there is another
    /// thing or none. Who uses it is told that it is broken, and resets are answered.
    Lost,
    /// The generator.
    Entropy,
    /// A part of a disk.
    Disk {
        volume: Volume,
        /// As the guest sees it.
        shown: blk::Disk,
        serial: [u8; abi::plan::SERIAL],
        /// The board's disk has a cache.
        has_flush: bool,
        /// What limits its requests per second.
        limit: Option<Bucket>,
    },
    /// A port of the network.
    Nic(usize),
    /// Channels, each behind a port, and a socket device's other queues.
    Sockets(Box<Broker>),
    /// A console beside the partition's PL011.
    Console(Terminal),
}

/// A virtio device.
struct Device {
    id: VirtioId,
    /// Its partition's name, and its slot there.
    name: (&'static str, u8),
    ram: Ram,
    backend: Backend,
    /// What it becomes when its driver lets go of it.
    change: Option<Change>,
    /// The queue by which the guest asks: the only one, or a network device's or a console's for sending.
    link: Link,
    /// A network device's or a console's other queue.
    receiver: Option<Box<Receiver>>,
    /// No request is taken before this tick: it has used up what it may have per second.
    resumes_at: Option<u64>,
    /// The state's word when it was last looked at.
    seen: u64,
    /// The state may have changed without its word.
    is_unsure: bool,
    /// When its driver's mistake was last said.
    said_at: Option<u64>,
}

/// All virtio devices.
pub struct Devices {
    page: &'static DevicePage,
    all: Vec<Device>,
    /// The chain at hand.
    chain: Box<Chain>,
    /// Whose turn it is first.
    first: usize,
}

impl Devices {
    /// What EL2 says about the devices' states is as new as this call.
    pub fn look(&mut self) {
        for device in &mut self.all {
            let word =
                self.page.devices.get(device.id.index()).map_or(0, |events| events.state.load(Ordering::Acquire));
            if word != device.seen || device.is_unsure {
                device.seen = word;
                device.is_unsure = false;
                device.refresh();
            }
            device.quiet();
        }
    }

    /// Whether [`Devices::look`] would find something.
    pub fn has_news(&self) -> bool {
        let word_of =
            |id: VirtioId| self.page.devices.get(id.index()).map_or(0, |events| events.state.load(Ordering::Acquire));
        self.all.iter().any(|device| device.is_unsure || word_of(device.id) != device.seen)
    }

    /// Gives back what the disks have completed. Whether there was anything.
    pub fn complete(&mut self, disks: &mut [Disk]) -> bool {
        let mut has_worked = false;
        for disk in disks {
            has_worked |= disk.turn();
            while disk.has_completed() {
                has_worked = true;
                self.complete_one(disk);
            }
        }
        has_worked
    }

    #[inline(never)]
    fn complete_one(&mut self, disk: &mut Disk) {
        let Some((Ticket::Guest(guest), status)) = disk.reap() else { return };
        hooks::completed();
        let Some(device) = self.all.get_mut(guest.device) else { return };
        if let Err(broken) = device.complete(disk, guest, status) {
            device.break_down(&broken);
        }
    }

    /// Takes requests, a few of each device. Whether there were any.
    pub fn serve(
        &mut self,
        disks: &mut [Disk],
        entropy: &mut Option<Entropy>,
        network: &mut Option<Network>,
        console: &mut Console,
    ) -> bool {
        let count = self.all.len();
        let first = self.first;
        self.first = if first + 1 < count { first + 1 } else { 0 };
        for disk in &mut *disks {
            // Who waited and was reset waits no more.
            disk.keep_waiting(|number| self.all.get(number).is_some_and(|device| device.link.is_parked()));
        }
        let mut has_worked = false;
        for place in first..first + count {
            let number = if place < count { place } else { place - count };
            let Some(device) = self.all.get_mut(number) else { continue };
            if !device.link.is_running() || device.is_resting() || !device.has_work() {
                continue;
            }
            let worked = match (&device.backend, network.as_mut()) {
                (&Backend::Nic(port), Some(network)) => {
                    let sent = self.send(number, port, network);
                    network.has_moved |= matches!(sent, Ok(true));
                    sent
                }
                (Backend::Nic(_), None) => Ok(false),
                (Backend::Sockets(_), _) => device.serve_sockets(&mut self.chain),
                (Backend::Console(_), _) => device.converse(console, &mut self.chain),
                (Backend::Lost | Backend::Entropy | Backend::Disk { .. }, _) => {
                    device.serve(number, disks, entropy, &mut self.chain)
                }
            };
            has_worked |= worked.unwrap_or_else(|broken| self.break_down(number, &broken));
        }
        has_worked
    }

    /// [`Device::break_down`] of the device with this number, after which there is more to do.
    #[cold]
    fn break_down(&mut self, number: usize, why: &Broken) -> bool {
        self.all.get_mut(number).into_iter().for_each(|device| device.break_down(why));
        true
    }

    /// Interrupts the guests that want to hear of what was given back. `is_last`: no turn follows for some time.
    pub fn interrupt(&mut self, is_last: bool) {
        for device in self.all.iter_mut().filter(|device| device.link.is_running()) {
            let mut is_worth_it = device.link.is_worth_an_interrupt(is_last);
            for link in other_links(&mut device.receiver, &mut device.backend) {
                is_worth_it |= link.is_worth_an_interrupt(is_last);
            }
            if !is_worth_it {
                continue;
            }
            match device.wants_interrupt() {
                // Stale: a reset came first, and the state's word says so.
                Ok(true) => drop(hypercall::device_raise(device.id, device.link.epoch)),
                Ok(false) => {}
                Err(broken) => device.break_down(&broken),
            }
        }
    }

    /// Asks all drivers to kick from now on. Whether one has offered something meanwhile.
    pub fn request_kicks(&mut self, console: &Console) -> bool {
        let mut has_work = false;
        for device in &mut self.all {
            match device.request_kicks(console) {
                Ok(is_there) => has_work |= is_there,
                Err(broken) => device.break_down(&broken),
            }
        }
        has_work
    }

    /// When a device that rests may go on, or a console waits no longer.
    pub fn deadline(&self) -> Option<u64> {
        let deadline = |device: &Device| match &device.backend {
            Backend::Console(terminal) => terminal.deadline(),
            _ => device.resumes_at,
        };
        self.all.iter().filter_map(deadline).min()
    }
}

/// A device's queues beside the one by which the guest asks.
#[inline]
fn other_links<'d>(
    receiver: &'d mut Option<Box<Receiver>>,
    backend: &'d mut Backend,
) -> impl Iterator<Item = &'d mut Link> {
    let brokered = match backend {
        Backend::Sockets(broker) => Some(broker.links()),
        _ => None,
    };
    receiver.iter_mut().map(|receiver| &mut receiver.link).chain(brokered.into_iter().flatten())
}

impl Device {
    /// Whether there may be something to do for it.
    #[inline]
    fn has_work(&mut self) -> bool {
        match self.backend {
            // What a channel brings, or was typed, may wait although the guest asks for nothing.
            Backend::Sockets(_) | Backend::Console(_) => true,
            _ => self.link.has_work(&self.ram),
        }
    }

    /// Asks the driver to kick from now on. Whether it has offered something meanwhile that can be taken.
    fn request_kicks(&mut self, console: &Console) -> Result<bool, Broken> {
        // A receiver's empty buffers are found when there is something for them.
        let is_there = self.link.request_kicks(&self.ram)?;
        match &mut self.backend {
            // Where there is no room, the UART or a line's age says when there is.
            Backend::Console(terminal) => Ok((is_there || self.link.is_parked()) && terminal.would_take(console)),
            // A driver without buffers for the answers kicks when it has some.
            Backend::Sockets(broker) => {
                let has_news = self.link.is_running() && broker.request_kicks(&self.ram)?;
                Ok(has_news || (is_there && broker.takes_packets()))
            }
            _ => Ok(is_there && !self.is_resting()),
        }
    }

    /// Whether it has used up what it may have per second.
    #[inline]
    fn is_resting(&mut self) -> bool {
        let Some(resumes_at) = self.resumes_at else { return false };
        let rests = timer::now() < resumes_at;
        if !rests {
            self.resumes_at = None;
        }
        rests
    }

    /// Whether the driver wants to hear of what was given back.
    fn wants_interrupt(&mut self) -> Result<bool, Broken> {
        let mut is_wanted = false;
        for link in other_links(&mut self.receiver, &mut self.backend) {
            is_wanted |= link.wants_interrupt(&self.ram)?;
        }
        Ok(self.link.wants_interrupt(&self.ram)? || is_wanted)
    }

    /// Begins to serve a driver. False: it has reset the device meanwhile.
    fn start(&mut self, state: &DeviceState) -> Result<bool, Unusable> {
        // Whatever is wrong with its queues is wrong in this epoch.
        self.link.epoch = state.epoch;
        for link in other_links(&mut self.receiver, &mut self.backend) {
            if !link.start(self.id, state, &self.ram)? {
                return Ok(false);
            }
        }
        match (&mut self.backend, &mut self.receiver) {
            (Backend::Sockets(broker), _) => broker.begin(),
            (Backend::Console(console), Some(receiver)) => console.keyboard.begin(&mut receiver.link, &self.ram)?,
            _ => {}
        }
        self.link.start(self.id, state, &self.ram)
    }

    fn set_broken(&mut self, epoch: u64) {
        self.link.set_broken(epoch);
        other_links(&mut self.receiver, &mut self.backend).for_each(|link| link.set_broken(epoch));
        self.forget();
    }

    fn stop(&mut self, epoch: u64) {
        self.link.stop(epoch);
        other_links(&mut self.receiver, &mut self.backend).for_each(|link| link.stop(epoch));
        self.forget();
    }

    /// What was under way with its driver is so no more.
    fn forget(&mut self) {
        self.resumes_at = None;
        if let Some(receiver) = &mut self.receiver {
            receiver.forget();
        }
        match &mut self.backend {
            Backend::Sockets(broker) => broker.forget(),
            Backend::Console(console) => console.forget(),
            Backend::Lost | Backend::Entropy | Backend::Disk { .. } | Backend::Nic(_) => {}
        }
    }

    /// Reads the device's state and follows it.
    #[cold]
    fn refresh(&mut self) {
        let Ok(state) = hypercall::device_state(self.id) else { return };
        match state.phase {
            Phase::Active if state.status & DRIVER_OK != 0 => {
                if self.link.is_known(state.epoch) {
                    return;
                }
                if state.status & NEEDS_RESET != 0 {
                    // A life before this one has said so already.
                    self.set_broken(state.epoch);
                    return;
                }
                if matches!(self.backend, Backend::Lost) {
                    self.set_broken(state.epoch);
                    // Stale: it has been reset already, and the state's word says so.
                    let _ = hypercall::device_break(self.id, state.epoch);
                    return;
                }
                match self.start(&state) {
                    Ok(is_current) => self.is_unsure = !is_current,
                    Err(why) => self.break_down(&why),
                }
            }
            Phase::Active | Phase::Idle => {}
            Phase::Quieting => self.stop(state.epoch),
        }
    }

    /// Answers a reset once nothing of the device is outstanding.
    fn quiet(&mut self) {
        if let Some(epoch) = self.link.has_become_quiet() {
            for link in other_links(&mut self.receiver, &mut self.backend) {
                // Nothing is ever outstanding there.
                let _ = link.has_become_quiet();
            }
            // Refused: something happened meanwhile, look again.
            self.is_unsure = hypercall::device_quiet(self.id, epoch).is_err();
            if self.change.is_some() {
                self.change();
            }
        }
    }

    /// The driver broke a ring: the device is of no use until it is reset.
    #[cold]
    fn break_down(&mut self, why: &dyn fmt::Display) {
        let epoch = self.link.epoch;
        self.set_broken(epoch);
        // Stale: it has been reset already, and the state's word says so.
        let _ = hypercall::device_break(self.id, epoch);
        let now = timer::now();
        if self.said_at.is_none_or(|said_at| now > said_at + timer::ticks(SILENCE_MS)) {
            self.said_at = Some(now);
            let (partition, slot) = self.name;
            say!("warn: '{partition}' broke its virtio device {slot}, which waits for a reset: {why}");
        }
    }
}

const _: () = assert!(MAX_DEVICES <= u8::MAX as usize);
