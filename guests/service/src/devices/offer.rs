//! Which of the plan's devices there are: each is offered to its guest, or named as missing (S04).

use super::{Backend, Broker, Device, Devices, Link, Receiver, Terminal};
use crate::disk::Disk;
use crate::hypercall;
use crate::kept::Kept;
use crate::memory::Ram;
use crate::network::{MTU, Network};
use crate::say;
use crate::timer;
use crate::volumes::{Explained, Finder, Missing, Volume};
use crate::watchdog::Watchdog;
use abi::plan::{self, Kind, Origin, Plan, SERIAL};
use abi::service::DevicePage;
use abi::{Io, VirtioId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU64;
use rate::Bucket;
use virtio::{Chain, Features, blk, console, entropy, net};

/// A disk with a limit may have the requests of this part of a second at once, but no fewer than these.
const BURSTS_PER_SECOND: u64 = 50;
const LEAST_BURST: u64 = 4;

/// What there is to serve from.
pub struct Found<'f> {
    /// The board's disks.
    pub disks: &'f mut [Disk],
    /// Whether there is a generator.
    pub has_entropy: bool,
    /// The plan's network.
    pub network: &'f mut Option<Network>,
}

/// A device's origin, as the system file writes it.
struct Named<'n>(&'n Kind);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Entropy => f.write_str("rng"),
            Kind::Nic(_) => f.write_str("net"),
            Kind::Vsock(_) => f.write_str("vsock"),
            Kind::Console => f.write_str("hvc"),
            Kind::Disk(disk) => match &disk.from {
                Origin::Gpt(label) => write!(f, "disk gpt:{label}"),
                Origin::Disk(serial) => write!(f, "disk disk:{serial}"),
                Origin::Mbr(number) => write!(f, "disk mbr:{number}"),
            },
        }
    }
}

/// Looks for what is behind each device of the plan, and offers those that there are.
///
/// # Safety
/// `page` is mapped for good; so is the RAM of the plan's partitions.
pub unsafe fn offer_all(
    plan: &'static Plan,
    page: &'static DevicePage,
    kept: &Kept,
    found: Found<'_>,
    watchdog: &mut Watchdog,
) -> Devices {
    let Found { disks, has_entropy, network } = found;
    let mut finder = Finder::new(plan);
    let mut devices = Devices { page, all: Vec::new(), chain: Box::new(Chain::new()), first: 0 };
    for (number, planned) in (0..).zip(&plan.devices) {
        watchdog.feed(timer::now());
        let id = VirtioId::new(number);
        let (number, receiver) = match planned.kind {
            Kind::Nic(_) => (net::TX, kept.record(id, net::RX)),
            Kind::Vsock(_) => (vsock::TX, None),
            Kind::Console => (console::TX, kept.record(id, console::RX)),
            Kind::Disk(_) | Kind::Entropy => (0, None),
        };
        let partition = plan.partitions.get(planned.partition.index());
        let (Some(partition), Some(record)) = (partition, kept.record(id, number)) else { continue };
        let backend = match &planned.kind {
            Kind::Entropy if has_entropy => Ok(Backend::Entropy),
            Kind::Entropy if plan.soc.is_some() => Err(Missing::NoGenerator),
            Kind::Entropy => Err(Missing::NoEntropy),
            Kind::Nic(nic) => match network.as_mut() {
                Some(network) => Ok(Backend::Nic(network.connect(devices.all.len(), &partition.name, nic))),
                None => Err(Missing::NoNetwork),
            },
            Kind::Vsock(cid) => match kept.record(id, vsock::RX).zip(kept.record(id, vsock::EVENT)) {
                Some((received, events)) => {
                    // SAFETY: map.rs maps the plan's channels, and nothing of the service lies there.
                    let broker = unsafe { Broker::new(*cid, planned, plan, [received, events]) };
                    Ok(Backend::Sockets(Box::new(broker)))
                }
                None => continue,
            },
            Kind::Console => match kept.typed(id) {
                Some(typed) => Ok(Backend::Console(Terminal::new(planned.partition, typed))),
                None => continue,
            },
            Kind::Disk(wanted) => disk_backend(&mut finder, disks, wanted, &devices),
        };
        let backend = match backend {
            Ok(backend) => backend,
            Err(why) => {
                let why = Explained { why: &why, disks };
                let (what, name) = (Named(&planned.kind), &partition.name);
                if planned.is_optional {
                    say!("warn: '{name}' starts without {what}: {why}");
                } else {
                    say!("error: '{name}' cannot start without {what}: {why}");
                }
                // Refused only if a driver has seen the device in an earlier life, when the disk was still there.
                if hypercall::device_absent(id).is_ok() {
                    continue;
                }
                Backend::Lost
            }
        };
        let change = matches!(backend, Backend::Lost).then_some(Change::Goes);
        // SAFETY: the caller's promise.
        let ram = unsafe { Ram::new(partition) };
        let mut device = Device {
            id,
            name: (&partition.name, planned.slot),
            ram,
            backend,
            change,
            link: Link::new(number, record),
            receiver: receiver.map(|record| Box::new(Receiver::new(record))),
            resumes_at: None,
            seen: 0,
            is_unsure: true,
            said_at: None,
        };
        // What it sees not all of, its guest must not take for a device that does.
        let more = if partition.io == Io::Window { Features::ACCESS_PLATFORM } else { 0 };
        if device.offer(&planned.kind, more).is_err() {
            let (what, name) = (Named(&planned.kind), &partition.name);
            say!("error: '{name}' has lost {what}, which is not what its driver knows: restart '{name}'");
            let found = core::mem::replace(&mut device.backend, Backend::Lost);
            device.change = Some(Change::Becomes(found, &planned.kind, more));
        }
        devices.all.push(device);
    }
    devices
}

/// What a lost device becomes.
pub(super) enum Change {
    /// What was found, by its place in the plan, offered with these features too.
    Becomes(Backend, &'static Kind, u64),
    /// Nothing is there.
    Goes,
}

impl Device {
    /// Its driver has let go of it. Should EL2 say that one has seen it already, its next reset is another occasion.
    #[cold]
    pub(super) fn change(&mut self) {
        let (partition, slot) = self.name;
        match self.change.take() {
            Some(Change::Goes) if hypercall::device_absent(self.id).is_err() => self.change = Some(Change::Goes),
            None | Some(Change::Goes) => {}
            Some(Change::Becomes(found, kind, more)) => {
                let lost = core::mem::replace(&mut self.backend, found);
                if self.offer(kind, more).is_ok() {
                    say!("'{partition}' has virtio device {slot} again");
                } else {
                    let found = core::mem::replace(&mut self.backend, lost);
                    self.change = Some(Change::Becomes(found, kind, more));
                }
            }
        }
    }

    /// Offers it with its own features and those in `more`.
    fn offer(&self, kind: &Kind, more: u64) -> Result<(), abi::service::Status> {
        match &self.backend {
            Backend::Lost => Ok(()),
            Backend::Entropy => hypercall::device_offer(self.id, entropy::FEATURES | more),
            Backend::Sockets(_) => {
                let Kind::Vsock(cid) = kind else { return Ok(()) };
                hypercall::device_config(self.id, &vsock::config((*cid).into()))?;
                hypercall::device_offer(self.id, Features::OFFERED | vsock::F_STREAM | more)
            }
            Backend::Console(_) => hypercall::device_offer(self.id, console::FEATURES | more),
            Backend::Nic(_) => {
                let Kind::Nic(nic) = kind else { return Ok(()) };
                let shown = net::Config { mac: nic.mac, is_up: true, mtu: MTU };
                hypercall::device_config(self.id, &shown.bytes())?;
                hypercall::device_offer(self.id, net::FEATURES | more)
            }
            Backend::Disk { shown, .. } => {
                hypercall::device_config(self.id, &shown.config())?;
                hypercall::device_offer(self.id, shown.features() | more)
            }
        }
    }
}

fn disk_backend(
    finder: &mut Finder,
    disks: &mut [Disk],
    wanted: &plan::Disk,
    devices: &Devices,
) -> Result<Backend, Missing> {
    let volume = finder.find(disks, wanted).and_then(|volume| devices.exclusive(volume, wanted.is_read_only))?;
    let facts = disks.get(volume.disk).ok_or(Missing::NoDisk)?.facts();
    let mode = if wanted.is_read_only { blk::Mode::ReadOnly } else { blk::Mode::ReadWrite };
    let shown = blk::Disk {
        capacity: volume.extent.sectors,
        block_size: facts.block_size,
        size_max: facts.size_max,
        mode,
        discard: facts.discard,
        write_zeroes: facts.write_zeroes,
    };
    let mut serial = [0; SERIAL];
    serial.iter_mut().zip(wanted.serial.bytes()).for_each(|(place, byte)| *place = byte);
    let limit = NonZeroU64::new(wanted.iops.into())
        .map(|rate| Bucket::new(rate, (rate.get() / BURSTS_PER_SECOND).max(LEAST_BURST), timer::ticks(1000)));
    Ok(Backend::Disk { volume, shown, serial, has_flush: facts.has_flush, limit })
}

impl Devices {
    /// The volume, if no other device has any of its sectors, or none of those that do may write.
    fn exclusive(&self, volume: Volume, is_read_only: bool) -> Result<Volume, Missing> {
        for device in &self.all {
            let Backend::Disk { volume: other, shown, .. } = &device.backend else { continue };
            let may_write = !is_read_only || shown.mode == blk::Mode::ReadWrite;
            if may_write && other.disk == volume.disk && other.extent.overlaps(&volume.extent) {
                let (partition, slot) = device.name;
                return Err(Missing::Shared(partition, slot));
            }
        }
        Ok(volume)
    }
}
