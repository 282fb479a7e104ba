//! The service partition, the devices it serves, and what it keeps.

use super::*;

/// The messages after `change` to a sound system with a service partition.
fn after(change: impl FnOnce(&mut System)) -> std::vec::Vec<std::string::String> {
    let mut system = served();
    change(&mut system);
    on(&BOARD, &system)
}

#[track_caller]
fn refused(change: impl FnOnce(&mut System), message: &str) {
    assert_eq!(after(change), [message]);
}

#[test]
fn a_sound_system_with_a_service_partition_is_accepted() {
    assert_eq!(after(|_| ()), [""; 0]);
    let system = served();
    let (id, partition) = system.service_partition().unwrap();
    assert_eq!((id.number(), partition.name.as_str()), (2, "service"));
    assert_eq!(sound().service_partition(), None);
}

#[test]
fn a_service_partition_that_does_not_see_physical_addresses_is_refused() {
    let found = after(|s| s.partitions[2].is_identity = false);
    assert!(
        found.contains(
            &"partition 'service' is the service partition and does not see physical addresses: \
              build the image again with `bulkhead build`"
                .to_string()
        ),
        "{found:?}"
    );
}

#[test]
fn a_service_partition_with_two_cores_is_refused() {
    let found = after(|s| {
        s.machine.cores = 5;
        s.pool = region(s.pool.start().as_u64(), pool_size(s));
        s.partitions[2].cores.push(CoreId::new(4)).unwrap();
    });
    let message = "partition 'service' is the service partition and has more than one core: \
                   build the image again with `bulkhead build`";
    assert_eq!(found, [message]);
}

#[test]
fn a_service_without_any_partition_is_refused() {
    assert!(after(|s| s.partitions.clear()).contains(&"no partition: add a [[partition]]".to_string()));
}

#[test]
fn virtio_devices_that_nobody_serves_are_refused() {
    let mend = "add a [service] with a core of its own, such as `cores = [0]`, or do without them";
    let without = after(|s| {
        s.service = None;
        s.partitions.pop();
    });
    assert_eq!(
        without,
        [std::format!("partition 'linux' has virtio devices that no service partition serves: {mend}")]
    );
    let own = after(|s| s.partitions[2].virtio = s.partitions[0].virtio.clone());
    assert!(own[0].starts_with("partition 'service' has virtio devices that no service partition serves"), "{own:?}");
}

#[test]
fn more_virtio_devices_than_the_event_page_has_room_for_are_refused() {
    let mut system = served();
    let devices = [system.partitions[0].virtio[1]; 16];
    for n in 0..4u16 {
        let mut more = partition(&std::format!("p{n}"), &[n + 4], 0x5000_0000 + u64::from(n) * 16 * M);
        more.virtio = devices.into_iter().collect();
        system.partitions.insert(0, more).unwrap();
    }
    system.machine.cores = 8;
    assert_eq!(on(&BOARD, &system), ["66 virtio devices in one system: use at most 64"]);
    system.partitions[4].virtio.clear();
    assert_eq!(on(&BOARD, &system), [""; 0]);
}

#[test]
fn virtio_numbers_that_no_driver_could_use_are_refused() {
    let message = "virtio device 1 of partition 'linux' has no type, no queues, more than 4, or a queue size that is no \
                   power of two up to 256: build the image again with `bulkhead build`";
    let changes: [fn(&mut Virtio); 6] = [
        |device| device.device_id = 0,
        |device| device.queues = 0,
        |device| device.queues = 5,
        |device| device.queue_size = 0,
        |device| device.queue_size = 100,
        |device| device.queue_size = 512,
    ];
    for change in changes {
        refused(|s| change(&mut s.partitions[0].virtio[1]), message);
    }
}

#[test]
fn a_virtio_device_under_a_device_or_ram_is_refused() {
    let covered = |slot| {
        std::format!(
            "partition 'linux' has RAM or a device where its virtio device {slot} would be: \
             do without virtio devices, without `identity`, or without the device"
        )
    };
    // Another interrupt of the bench's devices, and the page of another.
    let by_interrupt = after(|s| {
        s.partitions[2].devices.clear();
        s.partitions[0].devices.push(DeviceId(2)).unwrap();
    });
    assert_eq!(by_interrupt, [covered(0), covered(1)]);
    let by_ram = after(|s| s.partitions[0].banks[0].ipa = Ipa::new(0x0a00_1000 - 8 * M));
    assert!(by_ram.contains(&covered(0)) && !by_ram.contains(&covered(1)), "{by_ram:?}");
}

#[test]
fn dma_masters_belong_to_the_service_partition() {
    let message = "device 'disk' of partition 'linux' writes memory by itself, and no SMMU holds it back: \
                   leave it to the service partition, or add `unsafe_dma = true`: whoever runs there can then read and \
                   write all memory";
    let give = |s: &mut System| {
        s.partitions[2].devices.clear();
        s.partitions[0].virtio.clear();
        s.partitions[0].devices.push(DeviceId(1)).unwrap();
    };
    refused(give, message);
    let with_identity = after(|s| {
        give(s);
        s.partitions[0].is_identity = true;
    });
    assert!(with_identity.contains(&message.to_string()), "{with_identity:?}");
}

/// Shows `partition` its RAM where the board has it.
pub(super) fn give_identity(partition: &mut Partition) {
    let pa = partition.banks[0].pa.start().as_u64();
    let moved = |ipa: Ipa| Ipa::new(ipa.as_u64() - 0x4000_0000 + pa);
    partition.is_identity = true;
    partition.banks[0].ipa = Ipa::new(pa);
    partition.entry = moved(partition.entry);
    partition.device_tree = moved(partition.device_tree);
    partition.payloads.iter_mut().for_each(|payload| payload.ipa = moved(payload.ipa));
}

#[test]
fn the_services_device_has_no_other_owner() {
    refused(
        |s| {
            s.partitions[2].devices[0] = DeviceId(0);
            s.partitions[1].devices.push(DeviceId(0)).unwrap();
        },
        "device 'rtc' belongs to partition 'control' and to partition 'service': \
         take it from one of them: a device has exactly one owner",
    );
}

#[test]
fn what_the_service_keeps_has_one_owner() {
    let kept = |start, size| after(move |s| s.service = Some(Service { kept: region(start, size) }));
    let mend = "leave `memory_at` out, or pin it elsewhere: memory has exactly one owner";
    assert_eq!(
        kept(0x6040_0000, 2 * M),
        [std::format!(
            "RAM of partition 'linux' [0x6000_0000..0x6080_0000) overlaps \
             memory kept for partition 'service' [0x6040_0000..0x6060_0000): {mend}"
        )]
    );
    assert_eq!(
        kept(0x7800_0000, 2 * M),
        [std::format!(
            "RAM of partition 'service' [0x7800_0000..0x7880_0000) overlaps \
             memory kept for partition 'service' [0x7800_0000..0x7820_0000): {mend}"
        )]
    );
    for (start, other) in [
        (0x4100_0000, "the hypervisor's frame pool [0x4100_0000..0x4120_0000)"),
        (0x4020_0000, "the hypervisor and its boot bundle [0x4020_0000..0x4040_0000)"),
        (0x4800_0000, "the firmware's device tree [0x4800_0000..0x4820_0000)"),
    ] {
        let found = kept(start, 2 * M);
        assert!(found.len() == 1 && found[0].contains(&std::format!("overlaps {other}")), "{found:?}");
    }
}

#[test]
fn what_the_service_keeps_is_whole_pages_of_ram() {
    let kept = |start, size| after(move |s| s.service = Some(Service { kept: region(start, size) }));
    assert_eq!(
        kept(0x7f00_0000, 0x1001),
        ["memory kept for partition 'service' [0x7f00_0000..0x7f00_1001) is not whole pages: use multiples of 4K"]
    );
    assert_eq!(
        kept(0x8000_0000, 0x1000),
        ["memory kept for partition 'service' [0x8000_0000..0x8000_1000) is not all in the board's RAM: \
          ask for less memory, or leave `memory_at` out"]
    );
}

#[test]
fn a_service_partition_has_a_plan_and_no_tree() {
    refused(
        |s| s.partitions[2].payloads.retain(|p| p.kind != PayloadKind::Plan),
        "partition 'service' has no plan: build the image again with `bulkhead build`",
    );
    let message = |at, size| {
        std::format!(
            "plan of partition 'service' at {at}, {size} bytes, is not where it is announced, off a page, or larger than \
             16384 bytes: build the image again with `bulkhead build`"
        )
    };
    refused(|s| s.partitions[2].payloads[1].ipa = Ipa::new(0x7840_0000), &message("0x7840_0000", 256));
    let off = after(|s| {
        s.partitions[2].payloads[1].ipa = Ipa::new(0x787f_f800);
        s.partitions[2].device_tree = Ipa::new(0x787f_f800);
    });
    assert_eq!(off, [message("0x787f_f800", 256)]);
    let large = after(|s| {
        s.partitions[2].payloads[1].ipa = Ipa::new(0x7840_0000);
        s.partitions[2].device_tree = Ipa::new(0x7840_0000);
        s.partitions[2].payloads[1].zeroed = 16 << 10;
    });
    assert_eq!(large, [message("0x7840_0000", 16640)]);
}

#[test]
fn the_clock_comes_with_the_service_partition_and_gives_way_to_devices() {
    let has = |system: &System, n: usize| system.has_clock(&BOARD, &system.partitions[n]);
    assert!(has(&served(), 0) && has(&served(), 1));
    assert!(!has(&sound(), 0));
    let mut system = served();
    system.partitions[2].devices.push(DeviceId(0)).unwrap();
    assert!(!has(&system, 2), "the service partition has the board's");
}
