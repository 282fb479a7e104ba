//! One test per rule: a sound system, one change, the exact message.

mod channels;
mod service;
mod window;

extern crate std;
use super::validate;
use crate::*;
use abi::{Again, CoreId, IntId, Io, Policy, RestartLimit};
use addr::{Ipa, Pa, Region};
use heapless::{String, Vec};
use std::string::ToString;

const M: u64 = 1 << 20;

const fn device(name: &'static str, start: u64, intids: &'static [IntId], is_dma_master: bool) -> Device {
    Device { name, start: Pa::new(start), size: 0x1000, intids, compatible: "test", is_dma_master }
}

pub(crate) static BOARD: Board = Board {
    name: "bench",
    compatible: "test",
    ram: &[(Pa::new(0x4000_0000), IPA_END / 2)],
    sizes: &[1 << 30],
    cores: 4,
    is_variable: true,
    load_address: Pa::new(0x4020_0000),
    reserved: &[NamedRegion { name: "the firmware's device tree", start: Pa::new(0x4800_0000), size: 2 * M }],
    gic: Gic {
        v2: Some(GicV2 { gicd: Pa::new(0), gicc: Pa::new(0), gich: Pa::new(0), gicv: Pa::new(0) }),
        v3: Some(GicV3 { gicd: Pa::new(0), gicr: Pa::new(0), gicr_size: 0 }),
        maintenance: IntId::ppi(9),
    },
    uart: Pa::new(0x0900_0000),
    uart_intid: IntId::spi(1),
    core_start: CoreStart::PsciSmc,
    power_off: PowerOff::PsciSmc,
    devices: &[
        device("rtc", 0x0901_0000, &[IntId::spi(2)], false),
        device("disk", 0x0a00_0000, &[IntId::spi(16)], true),
        device("net", 0x0a00_0800, &[IntId::spi(17)], false),
        device("far", 0x4100_0000, &[IntId::spi(300)], false),
        device("console", 0x0900_0000, &[IntId::spi(1)], false),
        device("gic", 0x0800_0000, &[], false),
        device("gpio", 0x0903_0000, &[IntId::spi(7)], false),
        device("dog", 0x090e_0000, &[], false),
        device("tenth", 0x0910_0000, &[IntId::spi(10)], false),
        device("beside the console", 0x0900_0800, &[IntId::spi(18)], false),
        device("on the console's line", 0x0a00_4000, &[IntId::spi(1)], false),
    ],
    transports: None,
    soc: None,
};

fn payload(kind: PayloadKind, offset: u64, size: u64, ipa: u64) -> Payload {
    Payload { kind, offset, size, checksum: [0; 4], ipa: Ipa::new(ipa), zeroed: 0 }
}

fn partition(name: &str, cores: &[u16], pa: u64) -> Partition {
    let tree = 0x4000_0000 + 8 * M - 0x1000;
    let payloads = [
        payload(PayloadKind::Kernel, 0x10_0000, 0x1000, 0x4000_0000),
        payload(PayloadKind::Initrd, 0x10_1000, 0x1000, tree - 0x1000),
        payload(PayloadKind::DeviceTreeV2, 0x10_2000, 0x1000, tree),
        payload(PayloadKind::DeviceTreeV3, 0x10_3000, 0x1000, tree),
    ];
    Partition {
        name: String::try_from(name).unwrap(),
        cores: cores.iter().map(|&n| CoreId::new(n)).collect(),
        banks: [Bank { ipa: Ipa::new(0x4000_0000), pa: region(pa, 8 * M) }].into_iter().collect(),
        io: Io::Open,
        is_identity: false,
        unsafe_dma: false,
        entry: Ipa::new(0x4000_0000),
        device_tree: Ipa::new(tree),
        payloads: payloads.into_iter().collect(),
        devices: Vec::new(),
        policy: Policy::DEFAULT,
        virtio: Vec::new(),
        watchdog_ms: 0,
    }
}

fn region(start: u64, size: u64) -> Region<Pa> {
    Region::new(Pa::new(start), size).unwrap()
}

/// A system without a mistake.
pub(crate) fn sound() -> System {
    System {
        board: String::try_from("bench").unwrap(),
        machine: Machine { cores: 4, memory: 1 << 30 },
        console: ConsoleMode::Interactive,
        when_all_stopped: WhenAllStopped::PowerOff,
        scrub_at_boot: false,
        on_hypervisor_panic: OnPanic::Stop,
        pool: region(0x4100_0000, 2 * M),
        bundle_size: 2 * M,
        partitions: [partition("linux", &[1, 2], 0x6000_0000), partition("control", &[3], 0x7000_0000)]
            .into_iter()
            .collect(),
        service: None,
        channels: Vec::new(),
    }
}

/// A system with a service partition, without a mistake: 'linux' has two virtio devices.
pub(crate) fn served() -> System {
    let mut system = sound();
    let at = 0x7800_0000;
    let plan = at + 8 * M - 0x1000;
    let payloads =
        [payload(PayloadKind::Kernel, 0x10_0000, 0x1000, at), payload(PayloadKind::Plan, 0x10_1000, 0x100, plan)];
    system.partitions[0].virtio = [(4, 64), (2, 256)]
        .into_iter()
        .map(|(device_id, queue_size)| Virtio { device_id, queues: 1, queue_size, is_optional: false })
        .collect();
    let service = Partition {
        banks: [Bank { ipa: Ipa::new(at), pa: region(at, 8 * M) }].into_iter().collect(),
        is_identity: true,
        entry: Ipa::new(at),
        device_tree: Ipa::new(plan),
        payloads: payloads.into_iter().collect(),
        devices: [DeviceId(1), DeviceId(2)].into_iter().collect(),
        ..partition("service", &[0], at)
    };
    system.partitions.push(service).unwrap();
    system.service = Some(Service { kept: region(at - 2 * M, 2 * M) });
    system
}

fn on(board: &Board, system: &System) -> std::vec::Vec<std::string::String> {
    let mut found = std::vec::Vec::new();
    validate(board, system, &mut |mistake| found.push(mistake.to_string()));
    found
}

/// The messages after `change` to a sound system.
fn after(change: impl FnOnce(&mut System)) -> std::vec::Vec<std::string::String> {
    let mut system = sound();
    change(&mut system);
    on(&BOARD, &system)
}

#[track_caller]
fn refused(change: impl FnOnce(&mut System), message: &str) {
    assert_eq!(after(change), [message]);
}

#[test]
fn a_sound_system_is_accepted() {
    assert_eq!(after(|_| ()), [""; 0]);
}

#[test]
fn another_boards_image_is_refused() {
    refused(
        |s| s.board = String::try_from("rpi4").unwrap(),
        "the image is for board 'rpi4', this is board 'bench': build one with board = \"bench\"",
    );
}

#[test]
fn a_machine_that_a_fixed_board_is_not_is_refused() {
    let fixed = Board { is_variable: false, ..BOARD };
    let mut system = sound();
    system.machine.cores = 6;
    assert_eq!(on(&fixed, &system), ["board 'bench' has 4 cores, not 6: leave `cores` out"]);
}

#[test]
fn a_size_that_a_board_does_not_come_with_is_refused() {
    let of = |sizes| Board { is_variable: false, sizes, ..BOARD };
    let mut system = sound();
    system.machine.memory = 3 << 30;
    let refused = |sizes, list| {
        let expected = std::format!("board 'bench' does not come with 3G of memory: it comes with {list}");
        assert_eq!(on(&of(sizes), &system), [expected]);
    };
    refused(&[1 << 30], "1G");
    refused(&[1 << 30, 2 << 30], "1G or 2G");
    refused(&[1 << 30, 2 << 30, 8 << 30], "1G, 2G or 8G");
}

#[test]
fn a_board_with_holes_has_what_lies_below_its_size() {
    static RAM: [(Pa, u64); 3] =
        [(Pa::new(0), 0x3b40_0000), (Pa::new(0x4000_0000), 0xbc00_0000), (Pa::new(1 << 32), 1 << 32)];
    let board = Board { ram: &RAM, ..BOARD };
    let ends = |gib: u64| -> std::vec::Vec<u64> {
        let banks = board.ram_banks(Machine { cores: 4, memory: gib << 30 });
        banks.map(|bank| bank.end().as_u64()).collect()
    };
    assert_eq!(ends(1), [0x3b40_0000]);
    assert_eq!(ends(2), [0x3b40_0000, 2 << 30]);
    assert_eq!(ends(4), [0x3b40_0000, 0xfc00_0000]);
    assert_eq!(ends(8), [0x3b40_0000, 0xfc00_0000, 8 << 30]);
    assert_eq!(ends(u64::MAX >> 30), [0x3b40_0000, 0xfc00_0000, 8 << 30]);
}

#[test]
fn a_machine_of_no_or_too_many_cores_is_refused() {
    assert!(after(|s| s.machine.cores = 65).contains(&"a machine of 65 cores: give it 1 to 64".to_string()));
    assert!(after(|s| s.machine.cores = 0).contains(&"a machine of 0 cores: give it 1 to 64".to_string()));
}

#[test]
fn a_machine_of_odd_memory_is_refused() {
    refused(
        |s| s.machine.memory = (1 << 30) + 4096,
        "a machine with 1048580K of memory: give it whole 2M blocks, 256M to 512G",
    );
    assert!(!after(|s| s.machine.memory = 128 * M).is_empty());
    assert!(!after(|s| s.machine.memory = u64::MAX).is_empty());
}

#[test]
fn a_system_without_partitions_is_refused() {
    refused(|s| s.partitions.clear(), "no partition: add a [[partition]]");
}

#[test]
fn a_bundle_that_el2_cannot_map_is_refused() {
    let found = after(|s| s.bundle_size = 0);
    assert_eq!(found[0], "a boot bundle of 0 bytes: use smaller kernels and initrds, 1G in all");
    assert!(after(|s| s.bundle_size = u64::MAX)[0].starts_with("a boot bundle of"));
}

#[test]
fn a_pool_that_cannot_hold_the_tables_is_refused() {
    refused(
        |s| s.pool = region(0x4100_0000, 4096),
        "the hypervisor's frame pool has 4K of the 2M it needs: build the image again with `bulkhead build`",
    );
}

#[test]
fn names_that_tags_cannot_carry_are_refused() {
    refused(|s| s.partitions[0].name.clear(), "partition number 1 has no name: give it a `name`");
    refused(
        |s| s.partitions[0].name = String::try_from("a b\n").unwrap(),
        "partition name 'a b\\n' has other characters than letters, digits, '-' and '_': \
         use those only: the name tags console lines and log lines",
    );
    refused(
        |s| s.partitions[0].name = String::try_from("bulkhead").unwrap(),
        "partition name 'bulkhead' is the hypervisor's own console tag: choose another name",
    );
}

#[test]
fn a_name_with_two_owners_is_refused() {
    refused(
        |s| s.partitions[1].name = String::try_from("linux").unwrap(),
        "partitions 1 and 2 are both named 'linux': choose another name",
    );
}

#[test]
fn a_partition_without_cores_is_refused() {
    refused(
        |s| s.partitions[1].cores.clear(),
        "partition 'control' has no cores: give it at least one core: a vCPU is pinned to a core of its own",
    );
}

#[test]
fn a_core_absent_from_the_board_is_refused() {
    refused(
        |s| s.partitions[1].cores[0] = CoreId::new(4),
        "partition 'control' asks for core 4, the board has 4 cores: choose from core 0 to core 3",
    );
    assert_eq!(after(|s| s.partitions[1].cores[0] = CoreId::new(u16::MAX)).len(), 1);
}

#[test]
fn a_core_with_two_owners_is_refused() {
    refused(
        |s| s.partitions[1].cores[0] = CoreId::new(2),
        "core 2 belongs to partition 'linux' and to partition 'control': \
         take it from one of them: a core has exactly one owner",
    );
    refused(|s| s.partitions[0].cores[1] = CoreId::new(1), "partition 'linux' lists core 1 twice: list it once");
}

#[test]
fn more_vcpus_than_a_gicv2_serves_are_refused() {
    let board = Board { gic: Gic { v3: None, ..BOARD.gic }, ..BOARD };
    let mut system = sound();
    system.machine.cores = 16;
    system.partitions[1].cores = (4..13).map(CoreId::new).collect();
    assert!(
        on(&board, &system)
            .contains(&"partition 'control' has 9 cores, the board's GICv2 serves 8: give it fewer cores".to_string())
    );
}

#[test]
fn a_device_absent_or_with_two_owners_is_refused() {
    let give = |s: &mut System, to: usize, id: u8| s.partitions[to].devices.push(DeviceId(id)).unwrap();
    assert_eq!(after(|s| give(s, 0, 0)), [""; 0]);
    refused(
        |s| give(s, 0, 99),
        "partition 'linux' has device 99, the board does not: build the image again with `bulkhead build`",
    );
    refused(
        |s| [0, 1].map(|to| give(s, to, 0)).into_iter().collect(),
        "device 'rtc' belongs to partition 'linux' and to partition 'control': \
         take it from one of them: a device has exactly one owner",
    );
    refused(
        |s| [0, 0].map(|to| give(s, to, 0)).into_iter().collect(),
        "partition 'linux' lists device 'rtc' twice: list it once",
    );
}

/// The messages where 'linux' has a disk that writes memory by itself, after `change`.
fn with_dma(change: impl FnOnce(&mut Partition)) -> std::vec::Vec<std::string::String> {
    after(|s| {
        let linux = &mut s.partitions[0];
        linux.devices.push(DeviceId(1)).unwrap();
        linux.policy = Policy { on_crash: Again::Stop, on_reset: Again::Stop, on_off: Again::Stop, ..Policy::DEFAULT };
        linux.unsafe_dma = true;
        service::give_identity(linux);
        change(linux);
    })
}

/// P06.
#[test]
fn a_dma_master_needs_the_service_partition_or_unsafe_dma() {
    assert_eq!(with_dma(|_| ()), [""; 0]);
    assert_eq!(
        with_dma(|linux| linux.unsafe_dma = false),
        [
            "device 'disk' of partition 'linux' writes memory by itself, and no SMMU holds it back: leave it to the service \
          partition, or add `unsafe_dma = true`: whoever runs there can then read and write all memory"
        ]
    );
}

/// P06.
#[test]
fn a_dma_master_without_identity_is_refused() {
    refused(
        |s| {
            s.partitions[0].devices.push(DeviceId(1)).unwrap();
            s.partitions[0].unsafe_dma = true;
        },
        "device 'disk' writes memory by itself, and partition 'linux' does not see physical addresses: \
         add `identity = true`, or do without the device",
    );
}

/// P06. What the old life asked a device for would be written into the new one.
#[test]
fn a_dma_master_in_a_partition_that_restarts_is_refused() {
    let restart: [fn(&mut Policy); 3] =
        [|p| p.on_crash = Again::Restart, |p| p.on_reset = Again::Restart, |p| p.on_off = Again::Restart];
    for change in restart {
        assert_eq!(
            with_dma(|linux| change(&mut linux.policy)),
            ["device 'disk' may still write memory when partition 'linux' restarts: nothing here resets it: \
              add on_crash = \"stop\" and on_reset = \"stop\", or do without the device"]
        );
    }
}

#[test]
fn physical_addresses_are_above_the_guest_machines_devices() {
    static RAM: [(Pa, u64); 1] = [(Pa::new(0), 2 << 30)];
    let board = Board { ram: &RAM, ..BOARD };
    let mut system = sound();
    system.machine.memory = 2 << 30;
    let partition = &mut system.partitions[0];
    partition.is_identity = true;
    partition.banks[0] = Bank { ipa: Ipa::new(0x0900_0000), pa: region(0x0900_0000, 8 * M) };
    let found = on(&board, &system);
    assert!(found.iter().any(|said| said.contains("is outside the guest machine's map")), "{found:?}");
}

#[test]
fn devices_that_share_a_page_have_one_owner() {
    let found = after(|s| {
        s.partitions[0].devices.push(DeviceId(1)).unwrap();
        s.partitions[1].devices.push(DeviceId(2)).unwrap();
    });
    assert_eq!(
        found[1],
        "device 'disk' of partition 'linux' shares a page or an interrupt with device 'net' of partition 'control': \
         give both to one partition"
    );
}

#[test]
fn devices_that_the_guest_machine_has_no_room_for_are_refused() {
    assert_eq!(
        after(|s| s.partitions[0].devices.push(DeviceId(3)).unwrap()),
        ["device 'far' has SPI 300, which the GIC of partition 'linux' does not: do without the device"]
    );
    let covered = "device 'gic' [0x0800_0000..0x0800_1000) lies where partition 'linux' has RAM, its GIC or its \
                   console: do without the device";
    refused(|s| s.partitions[0].devices.push(DeviceId(5)).unwrap(), covered);
    for device in [4, 9, 10] {
        let console = after(|s| s.partitions[0].devices.push(DeviceId(device)).unwrap());
        assert!(console[0].contains("shares a page or an interrupt with the hypervisor's console"), "{console:?}");
    }
}

#[test]
fn a_partition_without_or_with_too_little_memory_is_refused() {
    assert!(
        after(|s| s.partitions[0].banks.clear())
            .contains(&"partition 'linux' has no memory: give it `memory`, such as \"64M\"".to_string())
    );
    assert!(
        after(|s| s.partitions[0].banks[0].pa = region(0x6000_0000, 4096))
            .contains(&"partition 'linux' has 4K of memory: give it at least 128K".to_string())
    );
}

#[test]
fn memory_with_two_owners_is_refused() {
    refused(
        |s| s.partitions[1].banks[0].pa = region(0x6020_0000, 8 * M),
        "RAM of partition 'linux' [0x6000_0000..0x6080_0000) overlaps \
         RAM of partition 'control' [0x6020_0000..0x60a0_0000): \
         leave `memory_at` out, or pin it elsewhere: memory has exactly one owner",
    );
    let overlap = |pa| after(|s| s.partitions[1].banks[0].pa = region(pa, 8 * M));
    assert!(overlap(0x4020_0000)[0].contains("overlaps the hypervisor and its boot bundle [0x4020_0000..0x4040_0000)"));
    assert!(overlap(0x40c0_0000)[0].contains("overlaps the hypervisor's frame pool [0x4100_0000..0x4120_0000)"));
    assert!(overlap(0x4780_0000 + 4096)[0].contains("overlaps the firmware's device tree [0x4800_0000..0x4820_0000)"));
    assert_eq!(overlap(0x4780_0000), [""; 0]);
}

#[test]
fn memory_that_is_not_ram_is_refused() {
    refused(
        |s| s.partitions[1].banks[0].pa = region(0x7fc0_0000, 8 * M),
        "RAM of partition 'control' [0x7fc0_0000..0x8040_0000) is not all in the board's RAM: \
         ask for less memory, or leave `memory_at` out",
    );
    assert!(!after(|s| s.pool = region(0x1000_0000, 2 * M)).is_empty());
}

#[test]
fn memory_off_its_blocks_is_refused() {
    refused(
        |s| s.partitions[1].banks[0].pa = region(0x7000_1000, 8 * M),
        "RAM of partition 'control' [0x7000_1000..0x7080_1000) is seen at 0x4000_0000, off by a part of 2M: \
         pin `memory_at` to a multiple of 2M",
    );
    assert!(after(|s| s.partitions[1].banks[0].pa = region(0x7000_0000, 8 * M + 1)).contains(
        &"RAM of partition 'control' [0x7000_0000..0x7080_0001) is not whole pages: use multiples of 4K".to_string()
    ));
}

#[test]
fn a_region_from_a_hostile_blob_that_wraps_is_refused() {
    let mut bytes = [0; 32];
    let raw = postcard::to_slice(&(0x8000_0000u64, u64::MAX), &mut bytes).unwrap();
    let wrapped: Region<Pa> = postcard::from_bytes(raw).unwrap();
    let found = after(|s| s.partitions[0].banks[0].pa = wrapped);
    assert_eq!(
        found[0],
        "RAM of partition 'linux' from 0x8000_0000 is empty or ends above 64 bits: \
         build the image again with `bulkhead build`"
    );
}

#[test]
fn memory_outside_the_guests_map_is_refused() {
    let found = after(|s| s.partitions[0].banks[0].ipa = Ipa::new(0x3fe0_0000));
    assert!(
        found[0].starts_with("RAM of partition 'linux' at [0x3fe0_0000..0x405e_0000) is outside the guest")
            || found[0].contains("outside the guest machine's map"),
        "{found:?}"
    );
    let found = after(|s| s.partitions[0].banks[0].ipa = Ipa::new((1 << 40) - 2 * M));
    assert!(
        found[0].ends_with("is outside the guest machine's map: ask for less memory, or leave `memory_at` out"),
        "{found:?}"
    );
}

#[test]
fn identity_means_physical_addresses() {
    let found = after(|s| s.partitions[0].is_identity = true);
    assert_eq!(
        found,
        ["partition 'linux' has identity = true, but its RAM at 0x6000_0000 is seen at 0x4000_0000: \
          build the image again with `bulkhead build`"]
    );
}

#[test]
fn banks_at_one_guest_address_are_refused() {
    let bank = Bank { ipa: Ipa::new(0x4040_0000), pa: region(0x6100_0000, 8 * M) };
    refused(
        |s| s.partitions[0].banks.push(bank).unwrap(),
        "RAM bank of partition 'linux' at 0x4040_0000 lies on or below the bank before: \
         build the image again with `bulkhead build`",
    );
}

#[test]
fn missing_payloads_are_refused() {
    let without = |kind| after(move |s| s.partitions[0].payloads.retain(|p| p.kind != kind));
    assert_eq!(without(PayloadKind::Kernel), ["partition 'linux' has no kernel: give it a `kernel`"]);
    assert_eq!(without(PayloadKind::Initrd), [""; 0]);
    assert_eq!(
        without(PayloadKind::DeviceTreeV2),
        ["partition 'linux' has no device tree for GICv2: build the image again with `bulkhead build`"]
    );
    assert_eq!(without(PayloadKind::DeviceTreeV3).len(), 1);
}

#[test]
fn a_board_of_many_cores_has_no_gicv2() {
    let found = after(|s| {
        s.machine.cores = 9;
        s.partitions[0].payloads.retain(|p| p.kind != PayloadKind::DeviceTreeV2);
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn two_initrds_are_refused() {
    let second = payload(PayloadKind::Initrd, 0x10_0000, 16, 0x4020_0000);
    assert_eq!(
        after(|s| s.partitions[0].payloads.push(second).unwrap())[0],
        "partition 'linux' has two payloads 'initrd': build the image again with `bulkhead build`"
    );
}

#[test]
fn a_payload_that_the_bundle_does_not_hold_is_refused() {
    assert_eq!(
        after(|s| s.partitions[0].payloads[0].offset = 2 * M)[0],
        "kernel of partition 'linux', 4096 bytes at 2097152 of the bundle, ends behind its 2097152 bytes: \
         build the image again with `bulkhead build`"
    );
    assert!(!after(|s| s.partitions[0].payloads[0].offset = u64::MAX - 4095).is_empty());
    assert_eq!(
        after(|s| s.partitions[0].payloads[0].offset = 100)[0],
        "kernel of partition 'linux' lies at 100 of the bundle, not a multiple of 4096: \
         build the image again with `bulkhead build`"
    );
}

#[test]
fn a_payload_outside_ram_is_refused() {
    refused(
        |s| s.partitions[0].payloads[0].zeroed = 9 * M,
        "kernel of partition 'linux' at [0x4000_0000..0x4090_1000) is not in its RAM: \
         give the partition more `memory`, or pin the payload lower",
    )
}

#[test]
fn a_payload_whose_size_wraps_is_refused() {
    assert!(!after(|s| s.partitions[0].payloads[0].zeroed = u64::MAX).is_empty());
    assert!(!after(|s| s.partitions[0].payloads[0].size = u64::MAX).is_empty());
}

#[test]
fn payloads_at_one_place_are_refused() {
    refused(
        |s| s.partitions[0].payloads[0].zeroed = 8 * M - 0x3000 + 1,
        "kernel of partition 'linux' at 0x4000_0000 overlaps its initrd at 0x407f_e000: \
         give the partition more `memory`, or pin them apart",
    );
}

#[test]
fn a_tree_that_linux_would_not_map_or_find_is_refused() {
    let large = after(|s| s.partitions[0].payloads[2].zeroed = 2 * M);
    assert!(large.iter().any(|m| m.ends_with("it may have 2097152: shorten `bootargs`")), "{large:?}");
    let elsewhere = after(|s| s.partitions[0].device_tree = Ipa::new(0x4010_0000));
    assert_eq!(
        elsewhere[0],
        "device tree of partition 'linux' is loaded at 0x407f_f000, but announced at 0x4010_0000: \
         build the image again with `bulkhead build`"
    );
}

#[test]
fn a_start_outside_ram_is_refused() {
    refused(
        |s| s.partitions[0].entry = Ipa::new(0x4080_0000),
        "partition 'linux' would start at 0x4080_0000, outside its RAM or inside an instruction: \
         link the kernel for the guest's RAM",
    );
    assert_eq!(after(|s| s.partitions[0].entry = Ipa::new(0x4000_0002)).len(), 1);
    assert!(
        after(|s| s.partitions[0].device_tree = Ipa::new(0x4080_0000))
            .iter()
            .any(|m| m.contains("at 0x4080_0000 is outside its RAM or not a multiple of 8"))
    );
}

#[test]
fn a_restart_limit_that_cannot_be_counted_is_refused() {
    let limit =
        |restarts, window_ms| after(move |s| s.partitions[0].policy.limit = Some(RestartLimit { restarts, window_ms }));
    assert_eq!(limit(1, 1000), [""; 0]);
    assert_eq!(limit(16, 3_600_000), [""; 0]);
    assert_eq!(after(|s| s.partitions[0].policy.limit = None), [""; 0]);
    assert_eq!(limit(0, 60_000), ["partition 'linux' has a restart limit of 0: give it 1 to 16, or \"none\""]);
    assert_eq!(limit(17, 60_000).len(), 1);
    assert_eq!(
        limit(5, 999),
        ["partition 'linux' has a restart limit with a window of 999ms: give it 1s to 60m, or \"none\""]
    );
    assert_eq!(limit(5, 3_600_001).len(), 1);
}

#[test]
fn a_back_off_above_the_longest_wait_is_refused() {
    for good in [0, 1, 5000] {
        assert_eq!(after(|s| s.partitions[0].policy.backoff_ms = good), [""; 0], "{good}");
    }
    refused(
        |s| s.partitions[0].policy.backoff_ms = 6000,
        "partition 'linux' has a restart back-off of 6s: give it 1ms to 5s, or \"none\"",
    );
}

#[test]
fn a_watchdog_that_is_too_short_or_too_long_is_refused() {
    for good in [0, 1000, 3_600_000] {
        assert_eq!(after(|s| s.partitions[1].watchdog_ms = good), [""; 0], "{good}");
    }
    refused(
        |s| s.partitions[1].watchdog_ms = 500,
        "partition 'control' has a watchdog of 500ms: give it 1s to 60m, or \"none\"",
    );
    refused(
        |s| s.partitions[1].watchdog_ms = 7_200_000,
        "partition 'control' has a watchdog of 120m: give it 1s to 60m, or \"none\"",
    );
}

#[test]
fn a_watchdog_under_a_device_or_ram_is_refused() {
    let covered = "partition 'linux' has RAM or a device where its watchdog would be: \
                   do without `watchdog`, without `identity`, or without the device";
    for device in [7, 8] {
        let give = |s: &mut System| s.partitions[0].devices.push(DeviceId(device)).unwrap();
        assert_eq!(after(give), [""; 0], "without a watchdog it does not matter");
        refused(
            |s| {
                give(s);
                s.partitions[0].watchdog_ms = 10_000;
            },
            covered,
        );
    }
    let found = after(|s| {
        s.partitions[0].watchdog_ms = 10_000;
        s.partitions[0].banks[0].ipa = Ipa::new(0x0900_0000);
    });
    assert!(found.contains(&covered.to_string()), "{found:?}");
}

#[test]
fn the_power_key_gives_way_to_ram_and_devices() {
    let has = |change: &dyn Fn(&mut Partition)| {
        let mut system = sound();
        change(&mut system.partitions[0]);
        system.partitions[0].has_power_key(&BOARD)
    };
    assert!(has(&|_| ()));
    assert!(has(&|p| p.devices.push(DeviceId(0)).unwrap()));
    assert!(!has(&|p| p.devices.push(DeviceId(6)).unwrap()));
    assert!(!has(&|p| p.banks[0].ipa = Ipa::new(0x0900_0000)));
}

#[test]
fn two_mistakes_are_both_reported() {
    let found = after(|s| {
        s.partitions[1].cores[0] = CoreId::new(9);
        s.partitions[0].entry = Ipa::new(0);
    });
    assert_eq!(found.len(), 2);
}
