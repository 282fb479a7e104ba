//! virtio devices of a partition, as EL2 knows them: registers, without a type and without a ring.
//!
//! The guest reads a device's page without an exit; its stores are permission faults and come here ([`store`]).
//! QueueNotify, the frequent one, takes no lock ([`notify`]): a word in the service's event page changes. Everything else
//! is the register model's (crate `virtio-mmio`), under the device's lock. Lock order: a partition's life, then a
//! device, then a vGIC.

use crate::arch::barrier;
use crate::arch::guest::GuestFrame;
use crate::arch::tlb;
use crate::core_local::{Assignment, Core};
use crate::exit::{self, Verdict};
use crate::interrupt;
use crate::lock::Lock;
use crate::memory;
use crate::partition::Partition;
use crate::service::{self, Kicks};
use aarch64_cpu::registers::{FAR_EL2, SPSR_EL2};
use abi::service::{MAX_PARTITION_DEVICES, Phase, Status};
use abi::{VirtioId, machine};
use addr::{Ipa, Pa};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use spin::mutex::SpinMutex;
use tock_registers::interfaces::Readable;
use trap::{Abort, Injection};
use virtio_mmio::{Effect, Page, Rings, Transport, offset};

/// One device of a partition.
pub struct Device {
    /// Its number among all of the system's.
    pub id: VirtioId,
    /// Where it is in physical memory: the page that the guest reads.
    pub pa: Pa,
    slot: u32,
    kicks: Kicks,
    is_optional: bool,
    /// [`Answer`] of the service.
    answer: AtomicU8,
    transport: SpinMutex<Transport>,
    shown: Shown,
}

/// What the service has said of a device.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Answer {
    None,
    Offered,
    Absent,
}

/// The page at its address in EL2, non-cacheable as the guest's view of it. Written under the device's lock, never read.
#[derive(Clone, Copy)]
struct Shown(usize);

impl Page for Shown {
    fn store(&mut self, offset: u16, value: u32) {
        // SAFETY: the page is mapped for good at this address (`memory::transport_page`), offsets of the model are
        // multiples of four below 4096, and nobody makes references to it.
        unsafe { AtomicU32::from_ptr((self.0 + usize::from(offset)) as *mut u32) }.store(value, Ordering::Relaxed);
    }
}

/// The devices of one partition, by slot.
pub type Devices = heapless::Vec<Device, MAX_PARTITION_DEVICES>;

/// Makes the devices of `partition`; `first` is the first one's number in the system.
pub fn create(partition: &manifest::Partition, first: u8) -> Devices {
    let make = |(n, device): (u8, &manifest::Virtio)| {
        let id = VirtioId::new(first + n);
        let (address, pa) = memory::transport_page(id.index());
        let mut shown = Shown(address);
        let transport = Transport::new(device.device_id, device.queues, device.queue_size);
        transport.show(&mut shown);
        Device {
            id,
            pa,
            slot: u32::from(n),
            kicks: Kicks::new(id, device.queues.into()),
            is_optional: device.is_optional,
            answer: AtomicU8::new(Answer::None as u8),
            transport: SpinMutex::new(transport),
            shown,
        }
    };
    (0..).zip(&partition.virtio).map(make).collect()
}

/// QueueNotify, the one store that is frequent: no lock, no loop. `esr` is that of [`Abort::is_refused_store_of_word`].
/// `false`: it was something else, or is not that simple ([`store`]).
///
/// No translation changes the offset in a page, so the address itself tells the register.
#[inline(always)]
pub fn notify(core: &'static Core, frame: &GuestFrame, esr: u64) -> bool {
    let (far, spsr) = (FAR_EL2.get(), SPSR_EL2.get());
    if far & (machine::VIRTIO_STRIDE - 1) != u64::from(offset::QUEUE_NOTIFY) || spsr & exit::SPSR_IS_32_BIT != 0 {
        return false;
    }
    let par = tlb::translate_stage1(far);
    let slot = (par & 0x000f_ffff_ffff_f000).wrapping_sub(machine::VIRTIO.as_u64()) / machine::VIRTIO_STRIDE;
    let Some(Assignment { partition, .. }) = core.assignment else { return false };
    let Some(device) = partition.virtio.get(slot as usize).filter(|_| par & 1 == 0) else { return false };
    core.counters.virtio.count();
    exit::skip_64_bit(spsr);
    device.kicks.tell(core, frame.register((esr >> 16 & 31) as u8) as u32);
    true
}

/// A store to a page that its guest may only read, and nothing else: HPFAR_EL2 says nothing of permission faults, so
/// stage 1 is walked again for `ipa`.
#[inline(never)]
pub fn store(core: &'static Core, frame: &mut GuestFrame, abort: Abort, ipa: Option<Ipa>) -> Verdict {
    let Some(Assignment { partition, .. }) = core.assignment else { return Verdict::Resume };
    let place = ipa.map(|ipa| ipa.as_u64().wrapping_sub(machine::VIRTIO.as_u64()));
    let device = place.and_then(|place| partition.virtio.get((place / machine::VIRTIO_STRIDE) as usize));
    let (Some(place), Some(device)) = (place, device) else {
        // The guest changed its tables meanwhile: it tries again and faults properly. Other pages that it may only read stay
        // where they are: the service's, and the epochs of channels.
        let is_kept = partition.serves || ipa.is_some_and(machine::is_in_channels);
        return match is_kept {
            false => Verdict::Resume,
            // It stores nothing: who maintains all of a channel's memory does no wrong.
            true if abort.is_cache_maintenance() => Verdict::Skip,
            true => Verdict::Inject(Injection::DataAbort(abort)),
        };
    };
    if abort.is_cache_maintenance() {
        return Verdict::Skip;
    }
    let Some(access) = abort.access() else { return Verdict::Decode(abort) };
    core.counters.virtio.count();
    // Registers have 32 bits (virtio section 4.2.2.2), and no driver writes a configuration space.
    if access.bytes() != 4 || !access.is_write() {
        return Verdict::Skip;
    }
    let (at, value) = ((place % machine::VIRTIO_STRIDE) as u16, frame.register(access.register() as u8) as u32);
    if at == offset::QUEUE_NOTIFY {
        // By an instruction that had to be decoded first.
        device.kicks.tell(core, value);
        return Verdict::Skip;
    }
    device.write(core, at, value)
}

impl Device {
    #[inline(never)]
    fn write(&self, core: &'static Core, at: u16, value: u32) -> Verdict {
        let effect = self.transport.hold().write(at, value, &mut { self.shown });
        // The guest reads the page as Device memory next, and this was a store to Normal memory.
        barrier::dmb_ish();
        if matches!(effect, Effect::Tell | Effect::TellAndRetry) {
            service::tell_state(core, self.id);
        }
        if matches!(effect, Effect::Retry | Effect::TellAndRetry) { Verdict::Resume } else { Verdict::Skip }
    }

    /// [`Transport::state`].
    pub fn state(&self) -> [u64; 3] {
        self.transport.hold().state()
    }
    /// [`Transport::rings`].
    pub fn rings(&self, epoch: u64, queue: u64) -> Result<Rings, Status> {
        self.transport.hold().rings(epoch, queue)
    }
    /// [`Transport::configure`].
    pub fn configure(&self, at: u64, value: u64) -> Result<(), Status> {
        let result = self.transport.hold().configure(at, value as u32, &mut { self.shown });
        barrier::dmb_ish();
        result
    }
    /// [`Transport::quiet`].
    pub fn quiet(&self, epoch: u64) -> Result<(), Status> {
        self.transport.hold().quiet(epoch, &mut { self.shown })
    }
    /// [`Transport::raise`].
    pub fn raise(&self, epoch: u64, bits: u64) -> Result<(), Status> {
        self.transport.hold().raise(epoch, bits, &mut { self.shown })
    }
    /// [`Transport::fail`].
    pub fn fail(&self, epoch: u64) -> Result<(), Status> {
        self.transport.hold().fail(epoch, &mut { self.shown })
    }

    /// Whether nothing of it is outstanding.
    pub fn is_idle(&self) -> bool {
        self.transport.hold().phase() == Phase::Idle
    }

    /// The partition's life ends: as after a reset, once nothing is outstanding.
    pub fn end_life(&self, core: &'static Core) {
        if self.transport.hold().reset(&mut { self.shown }) {
            service::tell_state(core, self.id);
        }
    }

    /// The service offers it, with these features.
    pub fn offer(&self, features: u64) -> Result<(), Status> {
        self.transport.hold().offer(features, &mut { self.shown })?;
        barrier::dmb_ish();
        self.answer.store(Answer::Offered as u8, Ordering::Release);
        Ok(())
    }

    /// The service has no such device.
    pub fn be_absent(&self) -> Result<(), Status> {
        self.transport.hold().withdraw(&mut { self.shown })?;
        barrier::dmb_ish();
        self.answer.store(Answer::Absent as u8, Ordering::Release);
        Ok(())
    }

    /// Interrupts the guest.
    pub fn interrupt(&self, core: &'static Core, partition: &'static Partition) {
        interrupt::pulse(core, partition, machine::virtio_intid(self.slot));
    }
}

/// Whether a partition can start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Every device is there, or may be missing.
    Yes,
    /// The service has not said so of every device.
    NotYet,
    /// A device that it cannot do without does not exist.
    Never,
}

/// Whether a partition with these devices can start.
pub fn are_served(devices: &[Device]) -> Served {
    let answers =
        |wanted: Answer| devices.iter().filter(move |device| device.answer.load(Ordering::Acquire) == wanted as u8);
    if answers(Answer::Absent).any(|device| !device.is_optional) {
        Served::Never
    } else if answers(Answer::None).next().is_some() {
        Served::NotYet
    } else {
        Served::Yes
    }
}
