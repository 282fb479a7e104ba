//! Trees as a guest's parser and as dtc read them.

use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

const M: u64 = 1 << 20;

fn region(start: u64, size: u64) -> Region<Ipa> {
    Region::new(Ipa::new(start), size).unwrap()
}

fn tree(vcpus: usize, gic: GicVersion) -> Vec<u8> {
    let devices: Vec<&Device> = platform_qemu_virt::BOARD.devices.iter().collect();
    let guest = Guest {
        vcpus,
        ram: &[region(0x4000_0000, 512 * M)],
        reach: Reach::All,
        bootargs: Some("console=ttyAMA0"),
        initrd: Some(region(0x5f00_0000, 1000)),
        devices: &devices,
        blocks: &[],
        has_power_key: false,
        lines: &[],
        watchdog_ms: 0,
        has_clock: false,
        virtio: 0,
        transports: platform_qemu_virt::BOARD.transports,
        channels: &[],
    };
    build(&guest, gic)
}

/// A guest without assigned devices.
fn alone(has_power_key: bool, watchdog_ms: u32) -> Vec<u8> {
    of(|guest| Guest { has_power_key, watchdog_ms, ..guest })
}

/// The tree of a small guest after `change`.
fn of(change: impl FnOnce(Guest<'static>) -> Guest<'static>) -> Vec<u8> {
    on(GicVersion::V3, change)
}

/// The same on a GICv2.
fn of_v2(change: impl FnOnce(Guest<'static>) -> Guest<'static>) -> Vec<u8> {
    on(GicVersion::V2, change)
}

fn on(gic: GicVersion, change: impl FnOnce(Guest<'static>) -> Guest<'static>) -> Vec<u8> {
    let guest = Guest {
        vcpus: 1,
        ram: Box::leak(Box::new([region(0x4000_0000, 64 * M)])),
        reach: Reach::All,
        bootargs: None,
        initrd: None,
        devices: &[],
        blocks: &[],
        has_power_key: false,
        lines: &[],
        watchdog_ms: 0,
        has_clock: false,
        virtio: 0,
        transports: platform_qemu_virt::BOARD.transports,
        channels: &[],
    };
    build(&change(guest), gic)
}

fn source(blob: &[u8]) -> String {
    let mut dtc = Command::new("dtc")
        .args(["-I", "dtb", "-O", "dts", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dtc is installed (package device-tree-compiler)");
    dtc.stdin.take().unwrap().write_all(blob).unwrap();
    let output = dtc.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "dtc has no warning");
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_guests_parser_finds_memory_cpus_console_and_initrd() {
    for gic in [GicVersion::V2, GicVersion::V3] {
        let blob = tree(2, gic);
        let fdt = fdt::Fdt::new(&blob).unwrap();
        let bank = fdt.memory().regions().next().unwrap();
        assert_eq!((bank.starting_address as usize, bank.size), (0x4000_0000, Some(512 << 20)));
        assert_eq!(fdt.cpus().count(), 2);
        assert_eq!(fdt.chosen().bootargs(), Some("console=ttyAMA0"));
        assert_eq!(fdt.chosen().stdout().unwrap().name, "pl011@9000000");
        let word = |name| fdt.find_node("/chosen").unwrap().property(name).unwrap().as_usize().unwrap();
        assert_eq!((word("linux,initrd-start"), word("linux,initrd-end")), (0x5f00_0000, 0x5f00_03e8));
    }
}

#[test]
fn the_tree_of_each_gic_describes_that_gic() {
    holds(
        &source(&tree(2, GicVersion::V2)),
        &[
            "\"arm,cortex-a15-gic\"",
            "reg = <0x00 0x8000000 0x00 0x10000 0x00 0x8010000 0x00 0x2000>",
            "interrupts = <0x01 0x0d 0x304 0x01 0x0e 0x304 0x01 0x0b 0x304 0x01 0x0a 0x304>",
        ],
    );
    holds(
        &source(&tree(2, GicVersion::V3)),
        &[
            "\"arm,gic-v3\"",
            "reg = <0x00 0x8000000 0x00 0x10000 0x00 0x80a0000 0x00 0x40000>",
            "interrupts = <0x01 0x0d 0x04 0x01 0x0e 0x04 0x01 0x0b 0x04 0x01 0x0a 0x04>",
        ],
    );
}

#[test]
fn affinities_count_16_to_a_cluster_on_gicv3() {
    holds(&source(&tree(18, GicVersion::V3)), &["cpu@f {", "cpu@100 {", "cpu@101 {"]);
}

#[test]
fn assigned_devices_have_nodes() {
    let text = source(&tree(1, GicVersion::V3));
    holds(&text, &["rtc@9010000 {", "\"arm,pl031\\0arm,primecell\"", "interrupts = <0x00 0x02 0x04>"]);
}

#[test]
fn the_power_key_is_where_qemu_has_it() {
    let text = source(&alone(true, 0));
    holds(
        &text,
        &[
            "pl061@9030000 {",
            "\"arm,pl061\\0arm,primecell\"",
            "reg = <0x00 0x9030000 0x00 0x1000>",
            "interrupts = <0x00 0x07 0x04>",
            "gpio-controller;",
            "#gpio-cells = <0x02>",
            "compatible = \"gpio-keys\"",
            "poweroff {",
            "linux,code = <0x74>",
            "gpios = <0x03 0x03 0x00>",
            "phandle = <0x03>",
        ],
    );
    assert!(!text.contains("watchdog"), "{text}");
    assert!(!source(&alone(false, 0)).contains("gpio"));
    assert!(!text.contains("gpio-line-names"), "a guest without plain pins has the tree that QEMU makes");
}

#[test]
fn plain_pins_have_names() {
    let line = |number, place| Line { number, partition: abi::PartitionId::new(0), place };
    let lines: &[Line] = Box::leak(Box::new([line(17, 0), line(27, 4)]));
    let text = source(&of(|guest| Guest { has_power_key: true, lines, ..guest }));
    holds(&text, &["gpio-line-names = \"gpio17\\0\\0\\0power\\0gpio27\\0\\0\\0\""]);
}

#[test]
fn a_watchdog_is_described_as_linux_binds_it() {
    holds(
        &source(&alone(true, 10_000)),
        &[
            "watchdog@90d0000 {",
            "compatible = \"arm,sbsa-gwdt\"",
            "reg = <0x00 0x90d0000 0x00 0x1000 0x00 0x90e0000 0x00 0x1000>",
            "interrupts = <0x00 0x0a 0x04>",
            "timeout-sec = <0x0a>",
        ],
    );
    // Whole seconds, never 0: Linux takes 0 for "not given".
    holds(&source(&alone(true, 1_999)), &["timeout-sec = <0x01>"]);
    holds(&source(&alone(true, 500)), &["timeout-sec = <0x01>"]);
}

#[test]
fn virtio_devices_have_a_page_and_an_edge_each() {
    let text = source(&of(|guest| Guest { virtio: 2, ..guest }));
    holds(
        &text,
        &[
            "virtio_mmio@a000000 {",
            "compatible = \"virtio,mmio\"",
            "reg = <0x00 0xa000000 0x00 0x1000>",
            "interrupts = <0x00 0x10 0x01>",
            "dma-coherent;",
            "virtio_mmio@a001000 {",
            "reg = <0x00 0xa001000 0x00 0x1000>",
            "interrupts = <0x00 0x11 0x01>",
        ],
    );
    // Linux names disks in this order.
    assert!(text.find("virtio_mmio@a000000") < text.find("virtio_mmio@a001000"), "{text}");
    assert!(!text.contains("virtio_mmio@a002000") && !source(&alone(false, 0)).contains("virtio"));
}

/// A guest with two virtio devices, and banks of which the first is a window.
fn windowed(reach: Reach) -> String {
    let ram: &'static [_] = Box::leak(Box::new([region(0x4000_0000, 64 * M), region(0x8000_0000, 192 * M)]));
    source(&of(|guest| Guest { ram, reach, virtio: 2, ..guest }))
}

#[test]
fn the_devices_of_a_guest_with_a_window_reach_that_alone() {
    let text = windowed(Reach::Window(region(0x4000_0000, 64 * M)));
    holds(&text, &["memory@40000000 {", "reg = <0x00 0x40000000 0x00 0x4000000>"]);
    holds(&text, &["memory@80000000 {", "reg = <0x00 0x80000000 0x00 0xc000000>"]);
    let (_, bus) = text.split_once("virtio-bus {").unwrap();
    holds(
        bus,
        &[
            "compatible = \"simple-bus\"",
            "\t\tranges;",
            "dma-ranges = <0x00 0x40000000 0x00 0x40000000 0x00 0x4000000>",
            "\t\tvirtio_mmio@a000000 {",
            "\t\tvirtio_mmio@a001000 {",
            "dma-coherent;",
        ],
    );
    assert!(bus.find("virtio_mmio@a000000") < bus.find("virtio_mmio@a001000"), "{text}");
    assert!(!text.contains("memory-region") && !text.contains("reserved-memory"), "{text}");
}

#[test]
fn a_pool_is_reserved_and_its_devices_name_it() {
    let text = windowed(Reach::Pool(region(0x4000_0000, 64 * M)));
    let (_, pool) = text.split_once("reserved-memory {").unwrap();
    holds(
        pool,
        &[
            "window@40000000 {",
            "compatible = \"restricted-dma-pool\"",
            "reg = <0x00 0x40000000 0x00 0x4000000>",
            "phandle = <0x04>",
        ],
    );
    assert_eq!(text.matches("memory-region = <0x04>").count(), 2, "{text}");
    holds(&text, &["virtio-bus {", "dma-ranges = <0x00 0x40000000 0x00 0x40000000 0x00 0x4000000>"]);
}

#[test]
fn a_channel_has_a_node_with_its_number_name_and_end() {
    let channels: &'static [_] = &[Channel { number: 1, name: "orders", size: 0x1_0000, end: 1 }];
    let text = source(&of(|guest| Guest { channels, ..guest }));
    let (_, node) = text.split_once("channel@b300000 {").unwrap();
    let (node, _) = node.split_once('}').unwrap();
    holds(
        node,
        &[
            "compatible = \"bulkhead,channel\"",
            "reg = <0x00 0xb300000 0x00 0x10000>",
            "interrupts = <0x00 0x31 0x01>",
            "label = \"orders\"",
            "bulkhead,channel = <0x01>",
            "bulkhead,end = <0x01>",
        ],
    );
    assert!(!source(&alone(false, 0)).contains("channel"));
}

#[test]
fn the_boards_transports_are_described_one_by_one() {
    let (_, device) = platform_qemu_virt::BOARD.device(VIRTIO).unwrap();
    let devices: &'static [&'static Device] = Box::leak(Box::new([device]));
    let text = source(&of(|guest| Guest { devices, ..guest }));
    holds(&text, &["virtio_mmio@a000000 {", "virtio_mmio@a003e00 {", "reg = <0x00 0xa003e00 0x00 0x200>"]);
    holds(&text, &["interrupts = <0x00 0x2f 0x01>"]);
    assert!(!text.contains("virtio@"), "{text}");
}

#[test]
fn the_clock_has_no_alarm() {
    let text = source(&of(|guest| Guest { has_clock: true, ..guest }));
    let node = text.split("pl031@9010000 {").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    holds(node, &["\"arm,pl031\\0arm,primecell\"", "reg = <0x00 0x9010000 0x00 0x1000>", "clock-names = \"apb_pclk\""]);
    assert!(!node.contains("interrupts"), "{node}");
}

/// Named `names` on the Raspberry Pi 4.
fn on_a_pi(names: &[&str]) -> String {
    let platform = crate::board::find("rpi4").unwrap();
    let blocks: Vec<_> = platform.blocks.iter().filter(|block| names.contains(&block.name)).collect();
    let of = |device: &&Device| blocks.iter().any(|block| block.device == device.name);
    let devices: &'static [_] = platform.board.devices.iter().filter(of).collect::<Vec<_>>().leak();
    let blocks: &'static [_] = blocks.leak();
    source(&of_v2(|guest| Guest { devices, blocks, ..guest }))
}

#[test]
fn an_i2c_bus_is_described_as_linux_binds_it() {
    let text = on_a_pi(&["i2c1", "i2c3"]);
    holds(
        &text,
        &[
            "i2c@fe804000 {",
            "compatible = \"brcm,bcm2711-i2c\\0brcm,bcm2835-i2c\"",
            "reg = <0x00 0xfe804000 0x00 0x1000>",
            "interrupts = <0x00 0x75 0x04>",
            "clock-frequency = <0x186a0>",
            "clocks = <0x05>",
            "i2c@fe205600 {",
            "reg = <0x00 0xfe205600 0x00 0x200>",
            "core-clock {",
            "clock-frequency = <0x1dcd6500>",
        ],
    );
    // Of a device that is made of blocks, no more than what is named.
    assert!(!text.contains("i2c@fe205000") && !text.contains("pwm-clock"), "{text}");
    assert_eq!(text.matches("core-clock {").count(), 1, "{text}");
}

#[test]
fn spi_pwm_and_the_auxiliary_block_are_described_as_linux_binds_them() {
    let text = on_a_pi(&["spi0", "spi1", "pwm0"]);
    holds(
        &text,
        &[
            "spi@fe204000 {",
            "compatible = \"brcm,bcm2835-spi\"",
            "interrupts = <0x00 0x76 0x04>",
            "#size-cells = <0x00>",
            "aux@fe215000 {",
            "compatible = \"brcm,bcm2835-aux\"",
            "#clock-cells = <0x01>",
            "spi@fe215080 {",
            "compatible = \"brcm,bcm2835-aux-spi\"",
            "interrupts = <0x00 0x5d 0x04>",
            "clocks = <0x07 0x01>",
            "pwm@fe20c000 {",
            "reg = <0x00 0xfe20c000 0x00 0x28>",
            "#pwm-cells = <0x03>",
            "clocks = <0x06>",
            "pwm-clock {",
            "clock-frequency = <0x895440>",
        ],
    );
}

#[test]
fn the_ethernet_controller_has_its_phy() {
    let text = on_a_pi(&["ethernet"]);
    holds(
        &text,
        &[
            "ethernet@fd580000 {",
            "compatible = \"brcm,bcm2711-genet-v5\"",
            "reg = <0x00 0xfd580000 0x00 0x10000>",
            "interrupts = <0x00 0x9d 0x04 0x00 0x9e 0x04>",
            "phy-mode = \"rgmii-rxid\"",
            "mdio@e14 {",
            "compatible = \"brcm,genet-mdio-v5\"",
            "ethernet-phy@1 {",
            "phy-handle = <0x08>",
        ],
    );
    // It reads and writes memory past the caches.
    assert!(!text.contains("dma-coherent") && !text.contains("clocks = <0x05>"), "{text}");
}

#[test]
fn the_largest_tree_fits_its_bound_and_is_the_same_twice() {
    let bootargs = "x".repeat(2047);
    let devices = vec![&platform_qemu_virt::BOARD.devices[0]; 8];
    let ram = [region(0x4000_0000, M), region(0x8000_0000, M)];
    let name = "x".repeat(abi::MAX_NAME);
    let channel = |number: usize| Channel { number: number as u32, name: &name, size: abi::channel::MAX_SIZE, end: 1 };
    let channels: Vec<Channel<'_>> = (0..abi::channel::MAX_CHANNELS).map(channel).collect();
    let guest = Guest {
        vcpus: 64,
        ram: &ram,
        reach: Reach::Pool(ram[0]),
        bootargs: Some(&bootargs),
        initrd: Some(region(0x4008_0000, 1)),
        devices: &devices,
        blocks: &[],
        has_power_key: true,
        lines: &[],
        watchdog_ms: 3_600_000,
        has_clock: true,
        virtio: 16,
        transports: platform_qemu_virt::BOARD.transports,
        channels: &channels,
    };
    let blob = build(&guest, GicVersion::V3);
    assert!((blob.len() as u64) < TREE_MAX, "{}", blob.len());
    assert_eq!(blob, build(&guest, GicVersion::V3));
}
