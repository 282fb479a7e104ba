//! The register file as Linux's drivers/virtio/virtio_mmio.c uses it, and as nobody should.

use abi::service::{Phase, Status};
use proptest::prelude::*;
use virtio_mmio::{ACCESS_PLATFORM, Effect, Page, Rings, Transport, VERSION_1, offset};

/// The guest's view.
struct Seen([u32; 1024]);

impl Page for Seen {
    fn store(&mut self, offset: u16, value: u32) {
        assert_eq!(offset % 4, 0);
        self.0[usize::from(offset / 4)] = value;
    }
}

struct Guest {
    device: Transport,
    page: Seen,
}

const FEATURES: u64 = VERSION_1 | 1 << 29 | 1 << 9;
const DRIVER_OK: u32 = 1 | 2 | 4 | 8;

impl Guest {
    fn new() -> Self {
        let mut guest = Self { device: Transport::new(2, 1, 256), page: Seen([0; 1024]) };
        guest.device.show(&mut guest.page);
        guest
    }
    fn offered() -> Self {
        let mut guest = Self::new();
        guest.device.offer(FEATURES, &mut guest.page).expect("allowed");
        guest
    }
    fn ready() -> Self {
        let mut guest = Self::offered();
        assert_eq!(guest.start(FEATURES), Effect::Tell);
        guest
    }
    fn read(&self, at: u16) -> u32 {
        self.page.0[usize::from(at / 4)]
    }
    fn write(&mut self, at: u16, value: u32) -> Effect {
        self.device.write(at, value, &mut self.page)
    }
    fn accept(&mut self, features: u64) {
        for (select, half) in [(1, (features >> 32) as u32), (0, features as u32)] {
            self.write(offset::DRIVER_FEATURES_SEL, select);
            self.write(offset::DRIVER_FEATURES, half);
        }
    }
    /// As virtio_mmio.c brings a device up; the effect of DRIVER_OK.
    fn start(&mut self, features: u64) -> Effect {
        assert_eq!(self.write(offset::STATUS, 0), Effect::Done);
        self.write(offset::STATUS, 1);
        self.write(offset::STATUS, 3);
        self.accept(features);
        self.write(offset::STATUS, 11);
        self.write(offset::QUEUE_SEL, 0);
        self.write(offset::QUEUE_SIZE, 128);
        for (at, value) in [(offset::QUEUE_DESC_LOW, 0x4000_1000), (offset::QUEUE_DESC_HIGH, 1)] {
            self.write(at, value);
        }
        self.write(offset::QUEUE_DRIVER_LOW, 0x4000_2000);
        self.write(offset::QUEUE_DEVICE_LOW, 0x4000_3000);
        self.write(offset::QUEUE_READY, 1);
        self.write(offset::STATUS, DRIVER_OK)
    }
    fn epoch(&self) -> u64 {
        self.device.state()[0]
    }
}

#[test]
fn an_empty_slot_shows_device_0_and_takes_nothing() {
    let mut guest = Guest::new();
    assert_eq!((guest.read(0), guest.read(4), guest.read(8)), (0x7472_6976, 2, 0));
    assert_eq!(guest.write(offset::STATUS, DRIVER_OK), Effect::Done);
    assert_eq!((guest.read(offset::STATUS), guest.device.phase()), (0, Phase::Idle));
    assert_eq!(guest.read(offset::QUEUE_SIZE_MAX), 0);
}

#[test]
fn linux_brings_it_up() {
    let mut guest = Guest::offered();
    assert_eq!(guest.read(offset::DEVICE_ID), 2);
    guest.write(offset::DEVICE_FEATURES_SEL, 1);
    assert_eq!(guest.read(offset::DEVICE_FEATURES), 1);
    guest.write(offset::DEVICE_FEATURES_SEL, 0);
    assert_eq!(guest.read(offset::DEVICE_FEATURES), FEATURES as u32);
    guest.write(offset::DEVICE_FEATURES_SEL, 2);
    assert_eq!(guest.read(offset::DEVICE_FEATURES), 0);
    assert_eq!(guest.start(FEATURES), Effect::Tell);
    assert_eq!(guest.read(offset::STATUS), DRIVER_OK);
    assert_eq!(guest.device.state(), [0, u64::from(DRIVER_OK) | 1 << 8, FEATURES]);
    let rings = Rings { size: 128, addresses: [0x1_4000_1000, 0x4000_2000, 0x4000_3000] };
    assert_eq!(guest.device.rings(0, 0), Ok(rings));
    assert_eq!(guest.device.rings(0, 1), Err(Status::Invalid));
}

#[test]
fn features_that_were_not_offered_or_no_version_1_are_refused() {
    for features in [FEATURES | 1 << 5, FEATURES & !VERSION_1, 0] {
        let mut guest = Guest::offered();
        assert_eq!(guest.start(features), Effect::Done, "{features:#x}");
        assert_eq!(guest.read(offset::STATUS) & 12, 0, "neither FEATURES_OK nor DRIVER_OK");
    }
}

#[test]
fn a_driver_that_ignores_the_window_is_refused() {
    let offered = FEATURES | ACCESS_PLATFORM;
    let start = |features| {
        let mut guest = Guest::new();
        guest.device.offer(offered, &mut guest.page).unwrap();
        (guest.start(features), guest.read(offset::STATUS) & 12)
    };
    assert_eq!(start(FEATURES), (Effect::Done, 0), "neither FEATURES_OK nor DRIVER_OK");
    assert_eq!(start(offered), (Effect::Tell, 12));
}

#[test]
fn features_stand_once_they_are_agreed_on() {
    let mut guest = Guest::ready();
    guest.accept(VERSION_1);
    assert_eq!(guest.device.state()[2], FEATURES);
}

#[test]
fn a_used_device_is_reset_when_the_service_has_answered() {
    let mut guest = Guest::ready();
    assert_eq!(guest.write(offset::STATUS, 0), Effect::TellAndRetry);
    assert_eq!(guest.write(offset::STATUS, 0), Effect::Retry);
    assert_eq!(guest.read(offset::STATUS), DRIVER_OK, "not before");
    assert_eq!((guest.device.phase(), guest.epoch()), (Phase::Quieting, 1));
    assert_eq!(guest.device.quiet(0, &mut guest.page), Err(Status::Stale));
    assert_eq!(guest.device.quiet(1, &mut guest.page), Ok(()));
    assert_eq!(guest.read(offset::STATUS), 0);
    assert_eq!(guest.write(offset::STATUS, 0), Effect::Done);
    assert_eq!(guest.device.rings(1, 0), Ok(Rings::default()));
    assert_eq!(guest.device.quiet(1, &mut guest.page), Err(Status::WrongState), "nobody asked again");
    assert_eq!(guest.start(FEATURES), Effect::Tell, "and it can be used again");
}

#[test]
fn an_unused_device_is_reset_at_once() {
    let mut guest = Guest::offered();
    guest.write(offset::STATUS, 3);
    assert_eq!(guest.write(offset::STATUS, 0), Effect::Done);
    assert_eq!((guest.read(offset::STATUS), guest.epoch()), (0, 0));
}

#[test]
fn a_queue_taken_away_reads_ready_until_the_service_has_answered() {
    let mut guest = Guest::ready();
    assert_eq!(guest.write(offset::QUEUE_READY, 0), Effect::TellAndRetry);
    assert_eq!((guest.read(offset::QUEUE_READY), guest.epoch()), (1, 1));
    assert_eq!(guest.device.rings(1, 0), Ok(Rings::default()), "the service must not begin with it");
    assert_eq!(guest.write(offset::QUEUE_READY, 0), Effect::Retry);
    guest.device.quiet(1, &mut guest.page).expect("allowed");
    assert_eq!(guest.write(offset::QUEUE_READY, 0), Effect::Done);
    assert_eq!((guest.read(offset::QUEUE_READY), guest.device.phase()), (0, Phase::Active));
}

#[test]
fn a_life_that_ends_during_a_queue_stop_resets_the_device() {
    let mut guest = Guest::ready();
    guest.write(offset::QUEUE_READY, 0);
    assert!(!guest.device.reset(&mut guest.page), "the service has been told");
    guest.device.quiet(1, &mut guest.page).expect("allowed");
    assert_eq!((guest.device.phase(), guest.read(offset::STATUS)), (Phase::Idle, 0));
}

#[test]
fn interrupts_are_raised_and_acknowledged() {
    let mut guest = Guest::ready();
    assert_eq!(guest.device.raise(0, 1, &mut guest.page), Ok(()));
    assert_eq!(guest.device.raise(0, 2, &mut guest.page), Ok(()));
    assert_eq!(guest.read(offset::INTERRUPT_STATUS), 3);
    guest.write(offset::INTERRUPT_ACK, 1);
    assert_eq!(guest.read(offset::INTERRUPT_STATUS), 2);
    assert_eq!(guest.device.raise(0, 4, &mut guest.page), Err(Status::Invalid));
    assert_eq!(guest.device.raise(0, 0, &mut guest.page), Err(Status::Invalid));
    assert_eq!(guest.device.raise(1, 1, &mut guest.page), Err(Status::Stale));
    guest.write(offset::STATUS, 0);
    assert_eq!(guest.device.raise(0, 1, &mut guest.page), Err(Status::Stale), "of before the reset");
    assert_eq!(guest.device.raise(1, 1, &mut guest.page), Err(Status::WrongState));
}

#[test]
fn a_broken_device_needs_a_reset_and_keeps_saying_so() {
    let mut guest = Guest::ready();
    guest.device.fail(0, &mut guest.page).expect("allowed");
    assert_eq!((guest.read(offset::STATUS), guest.read(offset::INTERRUPT_STATUS)), (DRIVER_OK | 64, 2));
    guest.write(offset::STATUS, DRIVER_OK);
    assert_eq!(guest.read(offset::STATUS), DRIVER_OK | 64, "only a reset clears it");
}

#[test]
fn a_ready_queue_keeps_its_addresses_and_size() {
    let mut guest = Guest::ready();
    let before = guest.device.rings(0, 0).expect("it exists");
    for at in [offset::QUEUE_SIZE, offset::QUEUE_DESC_LOW, offset::QUEUE_DRIVER_HIGH, offset::QUEUE_DEVICE_LOW] {
        guest.write(at, 64);
    }
    assert_eq!(guest.device.rings(0, 0), Ok(before));
}

#[test]
fn a_size_beyond_the_maximum_is_ignored() {
    let mut guest = Guest::offered();
    guest.write(offset::QUEUE_SIZE, 257);
    guest.write(offset::QUEUE_READY, 1);
    assert_eq!(guest.device.rings(0, 0), Ok(Rings::default()));
}

#[test]
fn configuration_is_shown_and_counted() {
    let mut guest = Guest::offered();
    guest.device.configure(0, 0x1234, &mut guest.page).expect("allowed");
    assert_eq!((guest.read(offset::CONFIG), guest.read(offset::CONFIG_GENERATION)), (0x1234, 1));
    assert_eq!(guest.device.configure(2, 0, &mut guest.page), Err(Status::Invalid));
    assert_eq!(guest.device.configure(0xf00, 0, &mut guest.page), Err(Status::Invalid));
    assert_eq!(guest.device.configure(0xefc, 7, &mut guest.page), Ok(()));
    assert_eq!(guest.write(offset::CONFIG, 9), Effect::Done);
    assert_eq!(guest.read(offset::CONFIG), 0x1234, "no driver writes it");
}

#[test]
fn an_offer_is_repeated_and_not_changed_while_a_driver_uses_it() {
    let mut guest = Guest::ready();
    assert_eq!(guest.device.offer(FEATURES, &mut guest.page), Ok(()));
    assert_eq!(guest.read(offset::STATUS), DRIVER_OK, "a driver does not notice");
    assert_eq!(guest.device.offer(FEATURES | 2, &mut guest.page), Err(Status::WrongState));
    assert_eq!(guest.device.withdraw(&mut guest.page), Err(Status::WrongState));
    // A reset that waits for its end is use, too.
    guest.write(offset::STATUS, 0);
    assert_eq!(guest.device.offer(FEATURES | 2, &mut guest.page), Err(Status::WrongState));
    assert_eq!(guest.device.withdraw(&mut guest.page), Err(Status::WrongState));
    // A driver that has only begun has seen the features.
    let mut guest = Guest::offered();
    guest.write(offset::STATUS, 1);
    assert_eq!(guest.device.offer(FEATURES | 2, &mut guest.page), Err(Status::WrongState));
}

#[test]
fn an_offer_changes_and_ends_once_no_driver_uses_it() {
    let mut guest = Guest::ready();
    guest.write(offset::STATUS, 0);
    let epoch = guest.epoch();
    guest.device.quiet(epoch, &mut guest.page).expect("asked for");
    assert_eq!(guest.device.offer(FEATURES | 2, &mut guest.page), Ok(()));
    assert_eq!(u64::from(guest.read(offset::DEVICE_FEATURES)), (FEATURES | 2) & 0xffff_ffff);
    assert_eq!(guest.device.withdraw(&mut guest.page), Ok(()));
    assert_eq!((guest.read(offset::DEVICE_ID), guest.read(offset::DEVICE_FEATURES)), (0, 0));
    assert_eq!(guest.write(offset::STATUS, DRIVER_OK), Effect::Done);
    assert_eq!(guest.read(offset::STATUS), 0, "nothing is there");
    assert_eq!(guest.device.offer(FEATURES, &mut guest.page), Ok(()));
    assert_ne!(guest.read(offset::DEVICE_ID), 0);
}

proptest! {
    /// Any stores, in any order, with the service's answers between: the page shows what the state says, and the
    /// service is told of every change that it has to act on.
    #[test]
    fn any_stores_leave_the_page_true(stores in prop::collection::vec((0u16..0x120, 0u32..300, any::<bool>()), 1..200)) {
        let mut guest = Guest::offered();
        for (at, value, answers) in stores {
            let before = guest.device.phase();
            let effect = guest.write(at & !3, value);
            let after = guest.device.phase();
            let told = matches!(effect, Effect::Tell | Effect::TellAndRetry);
            prop_assert_eq!(told, before != after);
            if matches!(effect, Effect::Retry | Effect::TellAndRetry) {
                prop_assert_eq!(after, Phase::Quieting);
            }
            if answers && after == Phase::Quieting {
                let epoch = guest.epoch();
                guest.device.quiet(epoch, &mut guest.page).expect("allowed");
            }
            prop_assert_eq!(u64::from(guest.read(offset::STATUS)), guest.device.state()[1] & 0xff);
            let ok = guest.read(offset::STATUS) & 12;
            prop_assert!(ok != 4, "DRIVER_OK without FEATURES_OK");
        }
    }
}
