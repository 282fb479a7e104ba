//! [`Slot`]: a virtio transport without registers. A notification runs the device at once, on the driver's thread.

use crate::guest::Guest;
use addr::Ipa;
use virtio::{Features, Inflight, Owner, Queue, Rings};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A device's work on the queue with this number: takes chains and gives them back, until there are none.
pub type Work = Box<dyn FnMut(u16, &mut Queue<'static>)>;
/// Most queues of a device.
const QUEUES: usize = 2;

/// What driver and device share of a device besides its rings.
pub struct Slot {
    pub kind: DeviceType,
    pub offered: u64,
    pub config: Vec<u8>,
    pub work: Work,
    pub accepted: u64,
    /// What the driver set up.
    pub rings: [Option<Rings>; QUEUES],
    queues: [Option<Queue<'static>>; QUEUES],
    status: DeviceStatus,
}

impl Slot {
    pub fn new(kind: DeviceType, offered: u64, config: Vec<u8>, work: Work) -> Self {
        let (rings, queues, status) = ([None; QUEUES], [None, None], DeviceStatus::empty());
        Self { kind, offered, config, work, accepted: 0, rings, queues, status }
    }
}

impl Transport for Slot {
    fn device_type(&self) -> DeviceType {
        self.kind
    }
    fn read_device_features(&mut self) -> u64 {
        self.offered
    }
    fn write_driver_features(&mut self, driver_features: u64) {
        self.accepted = driver_features;
    }
    fn max_queue_size(&mut self, _: u16) -> u32 {
        virtio::MAX_QUEUE_SIZE
    }
    fn notify(&mut self, number: u16) {
        let rings = self.rings[usize::from(number)].expect("a driver notifies a queue that it set up");
        let queue = self.queues[usize::from(number)].get_or_insert_with(|| {
            // As the page that outlives a service, it outlives everything here.
            let record: &'static Inflight = Box::leak(Box::default());
            let owner = Owner { device: 0, queue: 0, epoch: 1 };
            Queue::new(rings, Features::accepted(self.accepted), &Guest, record, owner).expect("sound rings")
        });
        // The device's dance: work without kicks, ask for them, and look once more. What it left there is not for now.
        loop {
            queue.suppress_kicks(&Guest).expect("sound rings");
            (self.work)(number, queue);
            let is_left = queue.has_work(&Guest).expect("sound rings");
            if !queue.request_kicks(&Guest).expect("sound rings") || is_left {
                return;
            }
        }
    }
    fn get_status(&self) -> DeviceStatus {
        self.status
    }
    fn set_status(&mut self, status: DeviceStatus) {
        self.status = status;
    }
    fn set_guest_page_size(&mut self, _: u32) {}
    fn requires_legacy_layout(&self) -> bool {
        false
    }
    fn queue_set(&mut self, number: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        let [descriptors, driver, device] = [descriptors, driver, device].map(Ipa::new);
        self.rings[usize::from(number)] = Some(Rings { size, descriptors, driver, device });
    }
    fn queue_unset(&mut self, number: u16) {
        (self.rings[usize::from(number)], self.queues[usize::from(number)]) = (None, None);
    }
    fn queue_used(&mut self, number: u16) -> bool {
        self.rings[usize::from(number)].is_some()
    }
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }
    fn read_config_generation(&self) -> u32 {
        0
    }
    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let bytes = self.config.get(offset..offset + size_of::<T>()).ok_or(Error::ConfigSpaceTooSmall)?;
        T::read_from_bytes(bytes).map_err(|_| Error::ConfigSpaceTooSmall)
    }
    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        unreachable!("these drivers only read it")
    }
}
