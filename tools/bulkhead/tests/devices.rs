//! Devices and pins of a Raspberry Pi 4 in system files that are right (promises P06, P07). What is wrong is in `bad/`.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use abi::PartitionId;
use abi::machine::DEVICES_END;
use abi::plan::{Line, Pin, Pull};
use bulkhead::file::Source;
use bulkhead::plan::{Plan, plan};
use manifest::PayloadKind;
use std::fs;
use std::path::Path;

/// A position-independent ELF file with one segment, for the service partition.
fn pie() -> Vec<u8> {
    let mut file = vec![0; 64 + 56 + 16];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (file[16], file[18], file[20], file[32], file[54], file[56]) = (3, 183, 1, 64, 56, 1);
    (file[64], file[68]) = (1, 5);
    for (n, word) in [120u64, 0, 0, 16, 16, 4].into_iter().enumerate() {
        file[72 + n * 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    file
}

/// The plan of a system with a service partition, `linux` with `keys`, and `control` with `others`.
fn planned(name: &str, keys: &str, others: &str) -> Plan {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("kernel.bin"), [0x14; 64]).unwrap();
    fs::write(folder.join("service.elf"), pie()).unwrap();
    let partition = |name: &str, core: u8, keys: &str| {
        format!(
            "[[partition]]\nname = \"{name}\"\ncores = [{core}]\nmemory = \"8M\"\nkernel = \"kernel.bin\"\n{keys}\n"
        )
    };
    let text = format!(
        "board = \"rpi4\"\n[service]\ncores = [0]\nkernel = \"service.elf\"\n{}{}",
        partition("linux", 1, keys),
        partition("control", 2, others)
    );
    let source = Source { shown: name.into(), folder, text };
    let plan = plan(&source).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    manifest::validate(plan.platform.board, &plan.system, &mut |mistake| panic!("{mistake}"));
    plan
}

/// The nodes of `linux`'s tree.
fn nodes(plan: &Plan) -> Vec<String> {
    let payloads = &plan.system.partitions[0].payloads;
    let tree = payloads.iter().position(|payload| payload.kind == PayloadKind::DeviceTreeV2).unwrap();
    let tree = fdt::Fdt::new(&plan.contents[0][tree]).unwrap();
    tree.find_node("/").unwrap().children().map(|node| node.name.to_owned()).collect()
}

fn devices(plan: &Plan, partition: usize) -> Vec<&'static str> {
    let ids = plan.system.partitions[partition].devices.iter();
    ids.map(|id| plan.platform.board.devices[usize::from(id.0)].name).collect()
}

#[test]
fn p07_blocks_bring_their_page_and_their_own_nodes() {
    let plan = planned("blocks", "devices = [\"spi0\", \"spi6\", \"i2c1\"]", "devices = [\"pwm\"]");
    assert_eq!(devices(&plan, 0), ["spi", "i2c1"]);
    assert_eq!(devices(&plan, 1), ["pwm"]);
    let nodes = nodes(&plan);
    let has = |name: &str| nodes.iter().any(|node| node == name);
    assert!(has("spi@fe204000") && has("spi@fe204c00") && has("i2c@fe804000") && has("core-clock"), "{nodes:?}");
    assert!(!has("spi@fe204600") && !has("pwm@fe20c000"), "{nodes:?}");
}

#[test]
fn p07_a_device_brings_all_its_blocks() {
    let nodes = nodes(&planned("group", "devices = [\"spi\", \"i2c\"]", ""));
    let count = |kind: &str| nodes.iter().filter(|node| node.starts_with(kind)).count();
    assert_eq!((count("spi@"), count("i2c@")), (5, 5), "{nodes:?}");
}

#[test]
fn p07_the_service_partition_is_told_of_every_pin() {
    let plan = planned(
        "pins",
        "devices = [\"i2c1\", \"spi1\"]\npins = { 3 = \"i2c1.scl\", 20 = \"spi1.mosi\", 2 = \"i2c1.sda\" }",
        "devices = [\"pwm0\"]\npins = { 18 = \"pwm0.0\" }",
    );
    let pin = |number, code, pull| Pin { number, code, pull };
    let pins = plan.service.as_ref().unwrap().pins.as_ref().unwrap();
    assert_eq!((pins.registers.as_u64(), pins.pwm_clock.unwrap().as_u64()), (0xfe20_0000, 0xfe10_1000));
    assert_eq!(pins.pins, [pin(2, 4, Pull::Up), pin(3, 4, Pull::Up), pin(18, 2, Pull::None), pin(20, 3, Pull::None)]);
    let map = bulkhead::map::table(&plan);
    assert!(map.contains("pin 18") && map.contains("control: pwm0.0"), "{map}");
}

#[test]
fn p07_plain_pins_are_at_the_pl061_of_their_guest() {
    let plan = planned(
        "plain",
        "devices = [\"i2c1\"]\npins = { 27 = \"gpio\", 4 = \"gpio\", 17 = \"gpio\", 2 = \"i2c1.sda\", 6 = \"gpio\" }",
        "pins = { 22 = \"gpio\" }",
    );
    let line = |number, partition, place| Line { number, partition: PartitionId::new(partition), place };
    let pins = plan.service.as_ref().unwrap().pins.as_ref().unwrap();
    // The PL061's pin 3 is the power key.
    assert_eq!(pins.lines, [line(4, 0, 0), line(6, 0, 1), line(17, 0, 2), line(27, 0, 4), line(22, 1, 0)]);
    assert_eq!((pins.pins.len(), pins.intid.number(), pins.pwm_clock), (1, 113 + 32, None));
    let names = |partition: usize| {
        let payloads = &plan.system.partitions[partition].payloads;
        let tree = payloads.iter().position(|payload| payload.kind == PayloadKind::DeviceTreeV2).unwrap();
        let tree = fdt::Fdt::new(&plan.contents[partition][tree]).unwrap();
        let names = tree.find_node("/pl061@9030000").unwrap().property("gpio-line-names").unwrap().value;
        String::from_utf8(names.to_vec()).unwrap()
    };
    assert_eq!(names(0), "gpio4\0gpio6\0gpio17\0power\0gpio27\0\0\0\0");
    assert_eq!(names(1), "gpio22\0\0\0power\0\0\0\0\0");
    let map = bulkhead::map::table(&plan);
    assert!(map.contains("pin 22") && map.contains("control: gpio"), "{map}");
}

#[test]
fn p07_seven_plain_pins_and_no_device_are_enough() {
    let keys =
        "pins = { 5 = \"gpio\", 6 = \"gpio\", 7 = \"gpio\", 8 = \"gpio\", 9 = \"gpio\", 10 = \"gpio\", 11 = \"gpio\" }";
    let plan = planned("seven", keys, "");
    let lines = &plan.service.as_ref().unwrap().pins.as_ref().unwrap().lines;
    assert_eq!(lines.iter().map(|line| line.place).collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6, 7]);
}

#[test]
fn p06_unsafe_dma_gives_a_device_that_writes_memory_to_a_guest_with_physical_addresses() {
    let keys = "devices = [\"ethernet\"]\nidentity = true\nunsafe_dma = true\non_crash = \"stop\"\non_reset = \"stop\"";
    let plan = planned("dma", keys, "");
    let linux = &plan.system.partitions[0];
    assert!(linux.unsafe_dma && linux.is_identity && linux.banks[0].ipa >= DEVICES_END);
    let nodes = nodes(&plan);
    // EL2 emulates GIC and console where every guest has them.
    for node in ["ethernet@fd580000", "intc@8000000", "pl011@9000000"] {
        assert!(nodes.iter().any(|other| other == node), "{nodes:?}");
    }
}
