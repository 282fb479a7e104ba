//! [`Transport`]: the registers of one virtio-mmio device, version 2 (virtio section 4.2.2), without its device.
//!
//! The guest reads a page and never traps; its writes trap and come here. What they change is stored into the page at
//! once ([`Page`]). The authoritative state is here: nothing is ever read from the page.
//!
//! A reset is synchronous for its driver, which frees its rings when the store has returned: the store is tried again
//! ([`Effect::Retry`]) until whoever serves the device has said that nothing of it is outstanding
//! ([`Transport::quiet`]). Each reset has an epoch, so that an answer to an older one is told apart.

use abi::service::{MAX_QUEUES, Phase, Status};
use abi::{machine, service};

/// Bit 32: the one feature that every driver of this version must accept (virtio section 6).
pub const VERSION_1: u64 = 1 << 32;
/// Bit 33: the device sees a part of memory only, which a driver that does not accept it knows nothing of. The device
/// may refuse such a driver (section 6.2), and does.
pub const ACCESS_PLATFORM: u64 = 1 << 33;

/// Offsets of registers.
pub mod offset {
    #![expect(missing_docs, reason = "names of virtio section 4.2.2")]
    pub const MAGIC_VALUE: u16 = 0x000;
    pub const VERSION: u16 = 0x004;
    pub const DEVICE_ID: u16 = 0x008;
    pub const VENDOR_ID: u16 = 0x00c;
    pub const DEVICE_FEATURES: u16 = 0x010;
    pub const DEVICE_FEATURES_SEL: u16 = 0x014;
    pub const DRIVER_FEATURES: u16 = 0x020;
    pub const DRIVER_FEATURES_SEL: u16 = 0x024;
    pub const QUEUE_SEL: u16 = 0x030;
    pub const QUEUE_SIZE_MAX: u16 = 0x034;
    pub const QUEUE_SIZE: u16 = 0x038;
    pub const QUEUE_READY: u16 = 0x044;
    pub const QUEUE_NOTIFY: u16 = 0x050;
    pub const INTERRUPT_STATUS: u16 = 0x060;
    pub const INTERRUPT_ACK: u16 = 0x064;
    pub const STATUS: u16 = 0x070;
    pub const QUEUE_DESC_LOW: u16 = 0x080;
    pub const QUEUE_DESC_HIGH: u16 = 0x084;
    pub const QUEUE_DRIVER_LOW: u16 = 0x090;
    pub const QUEUE_DRIVER_HIGH: u16 = 0x094;
    pub const QUEUE_DEVICE_LOW: u16 = 0x0a0;
    pub const QUEUE_DEVICE_HIGH: u16 = 0x0a4;
    pub const SHM_LEN_LOW: u16 = 0x0b0;
    pub const SHM_BASE_HIGH: u16 = 0x0bc;
    pub const CONFIG_GENERATION: u16 = 0x0fc;
    pub const CONFIG: u16 = 0x100;
}

/// MagicValue: "virt".
const MAGIC: u32 = 0x7472_6976;
/// VendorID: "BULK".
const VENDOR: u32 = 0x4b4c_5542;
/// Bits of Status (virtio section 2.1).
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const NEEDS_RESET: u8 = 64;
/// Bits of InterruptStatus: used buffer, configuration.
const INTERRUPTS: u32 = 3;
const CONFIGURATION: u32 = 2;

/// The page that the guest reads: 32-bit stores at multiples of four below 4096.
pub trait Page {
    /// Stores one register.
    fn store(&mut self, offset: u16, value: u32);
}

/// What follows a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    Done,
    /// The service is told that the device's state changed.
    Tell,
    /// The store is to be tried again.
    Retry,
    /// Both: the service is told, and the store is to be tried again.
    TellAndRetry,
}

/// One queue as its driver set it up: allegations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rings {
    /// Elements. 0: the queue is not ready.
    pub size: u32,
    /// Guest-physical addresses of the descriptor table, the available ring and the used ring.
    pub addresses: [u64; 3],
}

/// The registers of one device.
#[derive(Clone, Debug)]
pub struct Transport {
    /// DeviceID once the device is offered.
    device_id: u32,
    queue_count: u8,
    queue_size: u16,
    is_offered: bool,
    status: u8,
    phase: Phase,
    /// What the device is after it was quiet: still used, or as after a reset.
    resets: bool,
    epoch: u32,
    offered: u64,
    accepted: u64,
    device_select: u32,
    driver_select: u32,
    queue_select: u32,
    interrupts: u32,
    generation: u32,
    queues: [Rings; MAX_QUEUES],
    ready: u8,
}

impl Transport {
    /// An empty slot that will hold a device with this DeviceID and so many queues of at most `queue_size` elements.
    pub const fn new(device_id: u8, queue_count: u8, queue_size: u16) -> Self {
        Self {
            device_id: device_id as u32,
            queue_count,
            queue_size,
            is_offered: false,
            status: 0,
            phase: Phase::Idle,
            resets: false,
            epoch: 0,
            offered: 0,
            accepted: 0,
            device_select: 0,
            driver_select: 0,
            queue_select: 0,
            interrupts: 0,
            generation: 0,
            queues: [Rings { size: 0, addresses: [0; 3] }; MAX_QUEUES],
            ready: 0,
        }
    }

    /// Stores what every slot shows, with a device or without.
    pub fn show(&self, page: &mut impl Page) {
        let id = if self.is_offered { self.device_id } else { 0 };
        let registers = [
            (offset::MAGIC_VALUE, MAGIC),
            (offset::VERSION, 2),
            (offset::DEVICE_ID, id),
            (offset::VENDOR_ID, VENDOR),
            (offset::CONFIG_GENERATION, self.generation),
        ];
        registers.into_iter().for_each(|(at, value)| page.store(at, value));
        // No shared memory region: length and base read as all ones.
        (offset::SHM_LEN_LOW..=offset::SHM_BASE_HIGH).step_by(4).for_each(|at| page.store(at, u32::MAX));
        self.show_state(page);
    }

    /// Stores everything that a reset changes.
    fn show_state(&self, page: &mut impl Page) {
        page.store(offset::STATUS, u32::from(self.status));
        page.store(offset::INTERRUPT_STATUS, self.interrupts);
        self.show_features(page);
        self.show_queue(page);
    }

    fn show_features(&self, page: &mut impl Page) {
        let word = if self.is_offered { half(self.offered, self.device_select) } else { 0 };
        page.store(offset::DEVICE_FEATURES, word);
    }

    fn show_queue(&self, page: &mut impl Page) {
        let exists = self.selected().is_some() && self.is_offered;
        page.store(offset::QUEUE_SIZE_MAX, if exists { u32::from(self.queue_size) } else { 0 });
        page.store(offset::QUEUE_READY, self.selected().map_or(0, |n| u32::from(self.ready >> n & 1)));
    }

    fn selected(&self) -> Option<usize> {
        (self.queue_select < u32::from(self.queue_count)).then_some(self.queue_select as usize)
    }

    /// Whether a driver may have seen what was offered: it has begun, and its device was not reset since.
    fn is_in_use(&self) -> bool {
        self.is_offered && (self.status != 0 || self.phase != Phase::Idle)
    }

    /// The device is there, with these features. Again in a further life of whoever serves it.
    ///
    /// # Errors
    /// Other features than before, which a driver may have seen.
    pub fn offer(&mut self, features: u64, page: &mut impl Page) -> Result<(), Status> {
        if self.is_in_use() && self.offered != features {
            return Err(Status::WrongState);
        }
        self.is_offered = true;
        self.offered = features;
        self.show(page);
        Ok(())
    }

    /// There is no such device, or none any more.
    ///
    /// # Errors
    /// A driver may have seen it.
    pub fn withdraw(&mut self, page: &mut impl Page) -> Result<(), Status> {
        if self.is_in_use() {
            return Err(Status::WrongState);
        }
        self.is_offered = false;
        self.show(page);
        Ok(())
    }

    /// A byte offset and value of the configuration space, four bytes at a time.
    ///
    /// # Errors
    /// An offset that is no multiple of four or beyond the page.
    pub fn configure(&mut self, at: u64, value: u32, page: &mut impl Page) -> Result<(), Status> {
        let room = machine::VIRTIO_STRIDE - u64::from(offset::CONFIG);
        if at >= room || !at.is_multiple_of(4) {
            return Err(Status::Invalid);
        }
        self.generation = self.generation.wrapping_add(1);
        page.store(offset::CONFIG + at as u16, value);
        page.store(offset::CONFIG_GENERATION, self.generation);
        Ok(())
    }

    /// The driver stores `value` at `at`: any register but QueueNotify, which changes nothing here.
    pub fn write(&mut self, at: u16, value: u32, page: &mut impl Page) -> Effect {
        if at == offset::INTERRUPT_ACK {
            self.interrupts &= !value;
            page.store(offset::INTERRUPT_STATUS, self.interrupts);
            return Effect::Done;
        }
        if !self.is_offered {
            return Effect::Done;
        }
        if self.phase == Phase::Quieting {
            return Effect::Retry;
        }
        match at {
            offset::DEVICE_FEATURES_SEL => {
                self.device_select = value;
                self.show_features(page);
            }
            offset::DRIVER_FEATURES_SEL => self.driver_select = value,
            offset::DRIVER_FEATURES if self.status & FEATURES_OK == 0 && self.driver_select < 2 => {
                set_half(&mut self.accepted, self.driver_select, value);
            }
            offset::QUEUE_SEL => {
                self.queue_select = value;
                self.show_queue(page);
            }
            offset::QUEUE_READY => return self.set_ready(value & 1 != 0, page),
            offset::STATUS => return self.set_status(value as u8, page),
            _ => self.set_rings(at, value),
        }
        Effect::Done
    }

    /// The selected queue's size and addresses, which stand while it is ready.
    fn set_rings(&mut self, at: u16, value: u32) {
        let Some(n) = self.selected().filter(|n| self.ready >> n & 1 == 0) else { return };
        let Some(queue) = self.queues.get_mut(n) else { return };
        let [descriptors, driver, device] = &mut queue.addresses;
        match at {
            offset::QUEUE_SIZE if value <= u32::from(self.queue_size) => queue.size = value,
            offset::QUEUE_DESC_LOW => set_half(descriptors, 0, value),
            offset::QUEUE_DESC_HIGH => set_half(descriptors, 1, value),
            offset::QUEUE_DRIVER_LOW => set_half(driver, 0, value),
            offset::QUEUE_DRIVER_HIGH => set_half(driver, 1, value),
            offset::QUEUE_DEVICE_LOW => set_half(device, 0, value),
            offset::QUEUE_DEVICE_HIGH => set_half(device, 1, value),
            _ => {}
        }
    }

    fn set_ready(&mut self, is_ready: bool, page: &mut impl Page) -> Effect {
        let Some(n) = self.selected() else { return Effect::Done };
        let was_ready = self.ready >> n & 1 != 0;
        if is_ready {
            self.ready |= 1 << n;
        } else {
            self.ready &= !(1 << n);
        }
        if was_ready && !is_ready && self.phase == Phase::Active {
            // The page goes on saying so until nothing of the queue is outstanding.
            self.begin_quieting(false);
            return Effect::TellAndRetry;
        }
        self.show_queue(page);
        Effect::Done
    }

    fn set_status(&mut self, value: u8, page: &mut impl Page) -> Effect {
        if value == 0 {
            return if self.reset(page) { Effect::TellAndRetry } else { Effect::Done };
        }
        let mut status = value | self.status & NEEDS_RESET;
        if status & FEATURES_OK != 0 && self.status & FEATURES_OK == 0 {
            let needed = VERSION_1 | self.offered & ACCESS_PLATFORM;
            let fits = self.accepted & !self.offered == 0 && self.accepted & needed == needed;
            status &= if fits { !0 } else { !FEATURES_OK };
        }
        if status & FEATURES_OK == 0 {
            status &= !DRIVER_OK;
        }
        self.status = status;
        page.store(offset::STATUS, u32::from(status));
        if status & DRIVER_OK != 0 && self.phase == Phase::Idle {
            self.phase = Phase::Active;
            return Effect::Tell;
        }
        Effect::Done
    }

    /// The driver resets the device, or its life ends. `true`: the service is to be told, and nothing has changed yet.
    pub fn reset(&mut self, page: &mut impl Page) -> bool {
        match self.phase {
            Phase::Idle => {
                self.clear();
                self.show_state(page);
                false
            }
            Phase::Active => {
                self.begin_quieting(true);
                true
            }
            Phase::Quieting => {
                self.resets = true;
                false
            }
        }
    }

    fn begin_quieting(&mut self, resets: bool) {
        self.epoch = self.epoch.wrapping_add(1);
        self.phase = Phase::Quieting;
        self.resets = resets;
    }

    fn clear(&mut self) {
        (self.status, self.ready, self.interrupts) = (0, 0, 0);
        (self.accepted, self.device_select, self.driver_select, self.queue_select) = (0, 0, 0, 0);
        self.queues = [Rings::default(); MAX_QUEUES];
    }

    /// What [`service::Call::DeviceState`] answers: epoch, status and phase, accepted features.
    pub const fn state(&self) -> [u64; 3] {
        [self.epoch as u64, self.status as u64 | (self.phase as u64) << 8, self.accepted]
    }
    /// What the device waits for.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    fn check(&self, epoch: u64) -> Result<(), Status> {
        if epoch == u64::from(self.epoch) { Ok(()) } else { Err(Status::Stale) }
    }

    /// Queue `n` as the driver set it up.
    ///
    /// # Errors
    /// No such queue, or a stale epoch.
    pub fn rings(&self, epoch: u64, n: u64) -> Result<Rings, Status> {
        self.check(epoch)?;
        if n >= u64::from(self.queue_count) {
            return Err(Status::Invalid);
        }
        let rings = self.queues.get(n as usize).copied().unwrap_or_default();
        Ok(if self.ready >> n & 1 != 0 { rings } else { Rings::default() })
    }

    /// Nothing of the device is outstanding: the driver's store may go on.
    ///
    /// # Errors
    /// Nobody asked, or a stale epoch.
    pub fn quiet(&mut self, epoch: u64, page: &mut impl Page) -> Result<(), Status> {
        self.check(epoch)?;
        if self.phase != Phase::Quieting {
            return Err(Status::WrongState);
        }
        if self.resets {
            self.phase = Phase::Idle;
            self.clear();
        } else {
            self.phase = Phase::Active;
        }
        self.show_state(page);
        Ok(())
    }

    /// Sets bits of InterruptStatus.
    ///
    /// # Errors
    /// Other bits, a stale epoch, or a driver that is not ready.
    pub fn raise(&mut self, epoch: u64, bits: u64, page: &mut impl Page) -> Result<(), Status> {
        self.check(epoch)?;
        if bits == 0 || bits & !u64::from(INTERRUPTS) != 0 {
            return Err(Status::Invalid);
        }
        if self.phase != Phase::Active {
            return Err(Status::WrongState);
        }
        self.interrupts |= bits as u32;
        page.store(offset::INTERRUPT_STATUS, self.interrupts);
        Ok(())
    }

    /// The driver broke something: it has to reset the device (virtio section 2.1.2).
    ///
    /// # Errors
    /// As [`Transport::raise`].
    pub fn fail(&mut self, epoch: u64, page: &mut impl Page) -> Result<(), Status> {
        self.raise(epoch, u64::from(CONFIGURATION), page)?;
        self.status |= NEEDS_RESET;
        page.store(offset::STATUS, u32::from(self.status));
        Ok(())
    }
}

/// The lower half of a 64-bit register with `select` 0, the upper with 1; others do not exist.
const fn half(value: u64, select: u32) -> u32 {
    match select {
        0 => value as u32,
        1 => (value >> 32) as u32,
        _ => 0,
    }
}

fn set_half(register: &mut u64, select: u32, value: u32) {
    let shift = 32 * (select & 1);
    *register = *register & !(0xffff_ffff << shift) | u64::from(value) << shift;
}

const _: () = assert!(service::MAX_QUEUES <= 8, "`ready` has a bit for each queue");
