//! `bulkhead build` with an EL2 binary made here: the image's layout, byte by byte, and that it is the same twice.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "linux/image.rs"]
mod linux;

use abi::bundle;
use manifest::PayloadKind;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const IMAGE_BASE: u64 = 0x40_0000_0000;
const EL2_SIZE: u64 = 0x5000;

/// An EL2 binary as the link script makes it: headers, one segment of code, one of data with .bss behind.
fn el2() -> Vec<u8> {
    let mut code = vec![0xaa; 0x1000];
    code[..bundle::HEADER].fill(0);
    code[bundle::IMAGE_MAGIC_OFFSET..][..4].copy_from_slice(&bundle::IMAGE_MAGIC);
    code[bundle::HEADER..][..8].copy_from_slice(&bundle::MAGIC);
    code[bundle::HEADER + 8..][..8].copy_from_slice(&u64::from(bundle::FORMAT).to_le_bytes());
    code[bundle::MANIFEST_OFFSET..][..8].copy_from_slice(&EL2_SIZE.to_le_bytes());
    let mut file = vec![0; 0x1000];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16] = 2;
    file[18] = 183;
    file[32] = 64;
    file[54] = 56;
    file[56] = 2;
    let segments = [
        [0x1000, IMAGE_BASE, IMAGE_BASE, 0x1000, 0x1000, 4096],
        [0x2000, IMAGE_BASE + 0x2000, IMAGE_BASE + 0x2000, 0x800, 0x2f00, 4096],
    ];
    for (n, words) in segments.iter().enumerate() {
        let header = &mut file[64 + 56 * n..];
        header[0] = 1;
        for (w, word) in words.iter().enumerate() {
            header[8 + 8 * w..][..8].copy_from_slice(&u64::to_le_bytes(*word));
        }
    }
    file.extend(code);
    file.extend(vec![0xbb; 0x800]);
    file
}

/// A folder with a system of two partitions that run one kernel.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("el2.elf"), el2()).unwrap();
    fs::write(folder.join("kernel.bin"), vec![0x14; 5000]).unwrap();
    fs::write(folder.join("initrd"), vec![0x77; 100]).unwrap();
    let system = "board = \"qemu-virt\"\nconsole = \"tagged\"\n\
                  [[partition]]\nname = \"one\"\ncores = [1, 2]\nmemory = \"64M\"\nkernel = \"kernel.bin\"\ninitrd = \"initrd\"\n\
                  [[partition]]\nname = \"two\"\ncores = [3]\nmemory = \"8M\"\nkernel = \"kernel.bin\"\n";
    fs::write(folder.join("my system.toml"), system).unwrap();
    folder
}

fn bulkhead(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bulkhead")).current_dir(folder).args(arguments).output().unwrap()
}

fn build(folder: &Path, image: &str) -> Vec<u8> {
    let output = bulkhead(folder, &["build", "my system.toml", "-o", image, "--hypervisor", "el2.elf"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(folder.join(image)).unwrap()
}

#[test]
fn the_image_has_the_layout_that_el2_reads() {
    let image = build(&folder("layout"), "layout.img");
    let word = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    assert_eq!(word(bundle::IMAGE_SIZE), image.len() as u64);
    assert_eq!(word(bundle::IMAGE_TEXT_OFFSET), 0);
    assert_eq!(image[0x100], 0xaa);
    assert_eq!((image[0x1fff], image[0x2000], image[0x27ff], image[0x2800]), (0, 0xbb, 0xbb, 0), ".bss is zeros");

    let system = manifest::decode(&image[EL2_SIZE as usize..]).unwrap();
    assert_eq!(system.bundle_size, image.len() as u64);
    manifest::validate(&platform_qemu_virt::BOARD, &system, &mut |mistake| panic!("{mistake}"));
    for partition in &system.partitions {
        for payload in &partition.payloads {
            let bytes = &image[payload.offset as usize..][..payload.size as usize];
            let pa = partition.pa_of(payload.ipa).unwrap();
            assert_eq!(manifest::checksum::of(pa, bytes), payload.checksum, "{}", payload.kind);
        }
    }
    let kernel =
        |n: usize| system.partitions[n].payloads.iter().find(|p| p.kind == PayloadKind::Kernel).unwrap().offset;
    assert_eq!(kernel(0), kernel(1), "one kernel for two partitions is stored once");
}

/// A system file with a service partition, beside a kernel for it.
fn with_service(folder: &Path, linux: &str) {
    let mut elf = vec![0; 64 + 2 * 56];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (elf[16], elf[18], elf[32], elf[54], elf[56]) = (3, 183, 64, 56, 2);
    elf[24..32].copy_from_slice(&0x40u64.to_le_bytes());
    for (n, words) in [[0, 0, 0, 64, 64, 4096], [0, 0x1000, 0x1000, 64, 0x2000, 4096u64]].iter().enumerate() {
        elf[64 + 56 * n] = 1;
        let header = &mut elf[64 + 56 * n + 8..][..48];
        header.as_chunks_mut::<8>().0.iter_mut().zip(words).for_each(|(place, word)| *place = word.to_le_bytes());
    }
    fs::write(folder.join("service.elf"), elf).unwrap();
    let text = fs::read_to_string(folder.join("my system.toml")).unwrap();
    let text = text.replacen("[[partition]]", "[service]\ncores = [0]\nkernel = \"service.elf\"\n[[partition]]", 1);
    fs::write(folder.join("my system.toml"), text.replacen("initrd = \"initrd\"", linux, 1)).unwrap();
}

const DISKS: &str = "rng = true\ndisk = [{ from = \"gpt:rootfs-a\", at_least = \"64M\" }, \
                     { from = \"disk:backup\", mode = \"ro\", optional = true, serial = \"archive\" }]";

#[test]
fn the_service_partition_is_the_last_and_is_told_of_all() {
    let folder = folder("service");
    with_service(&folder, DISKS);
    let image = build(&folder, "service.img");
    let system = manifest::decode(&image[EL2_SIZE as usize..]).unwrap();
    manifest::validate(&platform_qemu_virt::BOARD, &system, &mut |mistake| panic!("{mistake}"));
    let (id, service) = system.service_partition().unwrap();
    assert_eq!((id.number(), service.name.as_str(), service.is_identity), (2, "service", true));
    let names = service.devices.iter().map(|id| platform_qemu_virt::BOARD.devices[usize::from(id.0)].name);
    assert_eq!(names.collect::<Vec<_>>(), ["rtc", "virtio"]);
    let (ram, kept) = (service.banks[0].pa, system.service.unwrap().kept);
    assert_eq!((ram.size(), kept.size(), kept.end()), (24 << 20, 8 << 20, ram.start()));
    assert!(kept.is_aligned(2 << 20) && ram.is_aligned(2 << 20), "{kept} {ram}");
    let kernel: Vec<_> = service.payloads.iter().filter(|p| p.kind == PayloadKind::Kernel).collect();
    let base = ram.start().as_u64();
    let places: Vec<_> = kernel.iter().map(|p| (p.ipa.as_u64(), p.size, p.zeroed)).collect();
    assert_eq!(places, [(base, 64, 0), (base + 0x1000, 64, 0x2000 - 64)]);
    assert_eq!(service.entry.as_u64(), base + 0x40);

    let payload = service.payloads.iter().find(|p| p.kind == PayloadKind::Plan).unwrap();
    assert!(payload.ipa == service.device_tree && payload.ipa.as_u64() % 4096 == 0, "{payload:?}");
    let bytes = &image[payload.offset as usize..][..payload.size as usize];
    let (header, body) = bytes.split_at(abi::plan::HEADER);
    assert_eq!(header[..8], abi::plan::MAGIC);
    assert_eq!(header[8..], [(body.len() as u32).to_le_bytes(), [0; 4]].concat());
    let plan: abi::plan::Plan = postcard::from_bytes(body).unwrap();
    assert_eq!((plan.own, plan.ram, plan.kept, plan.is_tagged, plan.watchdog_ms), (id, ram, kept, true, 10_000));
    assert_eq!((plan.uart.0.as_u64(), plan.rtc.map(|rtc| rtc.as_u64())), (0x0900_0000, Some(0x0901_0000)));
    assert_eq!(plan.transports, platform_qemu_virt::BOARD.transports);
    let served: Vec<_> = plan.partitions.iter().map(|p| (p.name.as_str(), p.ram.len())).collect();
    assert_eq!(served, [("one", 1), ("two", 0), ("service", 0)], "RAM only of whom it serves");
    assert_eq!(plan.partitions[0].ram[0].pa, system.partitions[0].banks[0].pa);
    let devices: Vec<_> = plan.devices.iter().map(|d| (d.partition.number(), d.slot, d.is_optional)).collect();
    assert_eq!(devices, [(0, 0, false), (0, 1, false), (0, 2, true)]);
    let abi::plan::Kind::Disk(root) = &plan.devices[1].kind else { panic!("{:?}", plan.devices) };
    assert_eq!(root.from, abi::plan::Origin::Gpt("rootfs-a".try_into().unwrap()));
    assert_eq!((root.is_read_only, root.at_least, root.serial.as_str()), (false, 64 << 20, "rootfs-a"));
    let abi::plan::Kind::Disk(archive) = &plan.devices[2].kind else { panic!("{:?}", plan.devices) };
    assert_eq!((archive.is_read_only, archive.serial.as_str()), (true, "archive"));
    let virtio: Vec<_> = system.partitions[0].virtio.iter().map(|v| (v.device_id, v.queues, v.queue_size)).collect();
    assert_eq!(virtio, [(4, 1, 64), (2, 1, 256), (2, 1, 256)]);
}

/// The first partition of [`folder`] with a disk, more keys, and Linux as its kernel.
fn with_window(folder: &Path, keys: &str) -> manifest::System {
    with_service(folder, &format!("disk = {{ from = \"gpt:a\" }}\n{keys}"));
    fs::write(folder.join("kernel.bin"), linux::image(4096, 4096)).unwrap();
    let image = build(folder, "window.img");
    let system = manifest::decode(&image[EL2_SIZE as usize..]).unwrap();
    manifest::validate(&platform_qemu_virt::BOARD, &system, &mut |mistake| panic!("{mistake}"));
    system
}

#[test]
fn a_window_is_the_lower_bank_and_all_that_the_service_is_told_of() {
    let folder = folder("window");
    let system = with_window(&folder, "io = \"window\"\nwindow = \"16M\"");
    let linux = &system.partitions[0];
    let banks: Vec<_> = linux.banks.iter().map(|bank| (bank.ipa.as_u64(), bank.pa.size() >> 20)).collect();
    assert_eq!(banks, [(0x4000_0000, 16), (0x8000_0000, 48)]);
    let (window, main) = (linux.banks[0].pa, linux.banks[1].pa);
    assert_eq!(main.end(), window.start(), "one range of the board's RAM");
    assert!(linux.payloads.iter().all(|payload| payload.ipa.as_u64() >= 0x8000_0000), "{:?}", linux.payloads);
    assert!(linux.entry.as_u64() >= 0x8000_0000);

    let image = fs::read(folder.join("window.img")).unwrap();
    let (_, service) = system.service_partition().unwrap();
    let payload = service.payloads.iter().find(|p| p.kind == PayloadKind::Plan).unwrap();
    let bytes = &image[payload.offset as usize..][..payload.size as usize];
    let plan: abi::plan::Plan = postcard::from_bytes(&bytes[abi::plan::HEADER..]).unwrap();
    let served: Vec<_> = plan.partitions.iter().map(|p| (p.io, p.ram.len())).collect();
    assert_eq!(served, [(abi::Io::Window, 1), (abi::Io::Open, 0), (abi::Io::Open, 0)]);
    assert_eq!(plan.partitions[0].ram[0].pa, window);
    let table = String::from_utf8(bulkhead(&folder, &["map", "my system.toml"]).stdout).unwrap();
    for part in ["48M  one\n", "16M  one: window, seen by the service\n", "16M  memory: window, seen by the service\n"]
    {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
}

#[test]
fn linux_is_told_how_large_its_bounce_buffer_is() {
    let bootargs = |name: &str, keys: &str| {
        let folder = folder(name);
        with_window(&folder, keys);
        let tree = tree_in(&folder);
        fdt::Fdt::new(&tree).unwrap().chosen().bootargs().map(str::to_owned)
    };
    let window = "io = \"window\"\nwindow = \"16M\"";
    assert_eq!(bootargs("swiotlb", window).unwrap(), "swiotlb=4096 cma=0");
    let said = format!("{window}\nbootargs = \"swiotlb=512 quiet\"");
    assert_eq!(bootargs("swiotlb-said", &said).unwrap(), "swiotlb=512 quiet cma=0");
    assert_eq!(bootargs("swiotlb-pool", &window.replace("\"window\"", "\"pool\"")), None);
    assert_eq!(bootargs("swiotlb-open", "io = \"open\""), None);
}

/// A network whose second partition has all that can be said, in a file that leaves the first partition's open.
fn with_network(folder: &Path) {
    with_service(folder, "rng = true\ndisk = { from = \"gpt:a\", iops = 2000 }\nnet = { forward = [\"tcp:2222:22\"] }");
    let path = folder.join("my system.toml");
    let text = fs::read_to_string(&path).unwrap();
    let net = "net = { ip = \"10.7.0.2\", mac = \"02:00:00:00:0A:0b\", bandwidth = \"100M\", \
               forward = [\"udp:5353:53\", \"tcp:80:8080\"] }";
    fs::write(path, format!("{text}{net}\n[network]\nsubnet = \"10.7.0.0/16\"\n")).unwrap();
}

#[test]
fn the_network_is_told_with_all_that_the_file_leaves_open() {
    let folder = folder("network");
    with_network(&folder);
    let image = build(&folder, "network.img");
    let system = manifest::decode(&image[EL2_SIZE as usize..]).unwrap();
    let virtio = |n: usize| system.partitions[n].virtio.iter().map(|v| (v.device_id, v.queues, v.queue_size));
    assert_eq!(virtio(0).collect::<Vec<_>>(), [(4, 1, 64), (2, 1, 256), (1, 2, 256)], "the network device is the last");
    assert_eq!(virtio(1).collect::<Vec<_>>(), [(1, 2, 256)]);

    let (_, service) = system.service_partition().unwrap();
    let payload = service.payloads.iter().find(|p| p.kind == PayloadKind::Plan).unwrap();
    let bytes = &image[payload.offset as usize..][..payload.size as usize];
    let plan: abi::plan::Plan = postcard::from_bytes(&bytes[abi::plan::HEADER..]).unwrap();
    use abi::plan::{Forward, Kind, Nic, Protocol};
    let network = plan.network.unwrap();
    assert_eq!((network.gateway, network.prefix, network.has_uplink), ([10, 7, 0, 1], 16, true));
    assert_eq!(network.mac, [0x02, 0x42, 0x48, 0, 0, 1]);
    let (first, second) = ([10, 7, 0, 3], [10, 7, 0, 2]);
    assert_eq!(
        network.forwards,
        [
            Forward { protocol: Protocol::Tcp, outside: 2222, to: first, inside: 22 },
            Forward { protocol: Protocol::Udp, outside: 5353, to: second, inside: 53 },
            Forward { protocol: Protocol::Tcp, outside: 80, to: second, inside: 8080 },
        ]
    );
    let devices: Vec<_> = plan.devices.iter().map(|d| (d.partition.number(), d.slot, &d.kind)).collect();
    let nic = |mac, ip, bandwidth| Kind::Nic(Nic { mac, ip, bandwidth });
    assert_eq!(devices[2], (0, 2, &nic([0x02, 0x42, 0x48, 0, 0, 2], first, 0)), "the next free address");
    assert_eq!(devices[3], (1, 0, &nic([0x02, 0, 0, 0, 0x0a, 0x0b], second, 100_000_000)));
    let Kind::Disk(disk) = devices[1].2 else { panic!("{devices:?}") };
    assert_eq!(disk.iops, 2000);
    let served: Vec<_> = plan.partitions.iter().map(|p| (p.name.as_str(), p.ram.len())).collect();
    assert_eq!(served, [("one", 1), ("two", 1), ("service", 0)]);
}

#[test]
fn map_shows_the_network_and_its_ports() {
    let folder = folder("map-network");
    with_network(&folder);
    let output = bulkhead(&folder, &["map", "my system.toml", "--svg", "map.svg"]);
    let table = String::from_utf8(output.stdout).unwrap();
    for part in [
        "one: 0x0a00_1000, SPI 17, serial number 'a', at most 2000 requests per second\n",
        "one: 0x0a00_2000, SPI 18, 10.7.0.3, 02:42:48:00:00:02\n",
        "two: 0x0a00_0000, SPI 16, 10.7.0.2, 02:00:00:00:0a:0b, at most 100M bit/s\n",
        "10.7.0.0/16                             gateway 10.7.0.1, 02:42:48:00:00:01, NAT to the uplink\n",
        "tcp port 2222 of the uplink             one: 10.7.0.3, port 22\n",
        "udp port 5353 of the uplink             two: 10.7.0.2, port 53\n",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let svg = fs::read_to_string(folder.join("map.svg")).unwrap();
    assert!(svg.contains(">Network<") && svg.contains(">two: 10.7.0.2, port 53<"), "{svg}");
}

/// The device tree for GICv3 of a system's first partition, as its guest gets it.
fn tree_of(name: &str, keys: &str) -> Vec<u8> {
    let folder = folder(name);
    let text = fs::read_to_string(folder.join("my system.toml")).unwrap();
    let first = "kernel = \"kernel.bin\"\ninitrd";
    fs::write(folder.join("my system.toml"), text.replace(first, &format!("{keys}\n{first}"))).unwrap();
    tree_in(&folder)
}

/// The same of the system in `folder`.
fn tree_in(folder: &Path) -> Vec<u8> {
    let image = build(folder, "tree.img");
    let system = manifest::decode(&image[EL2_SIZE as usize..]).unwrap();
    let is_tree = |payload: &&manifest::Payload| payload.kind == PayloadKind::DeviceTreeV3;
    let tree = *system.partitions[0].payloads.iter().find(is_tree).unwrap();
    image[tree.offset as usize..][..tree.size as usize].to_vec()
}

#[test]
fn every_guest_has_a_power_key_unless_it_is_assigned_a_device_there() {
    let has = |tree: &[u8], node| fdt::Fdt::new(tree).unwrap().find_node(node).is_some();
    let plain = tree_of("tree-plain", "");
    assert!(has(&plain, "/pl061@9030000") && has(&plain, "/gpio-keys/poweroff") && !has(&plain, "/watchdog@90d0000"));
    let assigned = tree_of("tree-assigned", "devices = [\"gpio\"]");
    assert!(has(&assigned, "/gpio@9030000") && !has(&assigned, "/pl061@9030000") && !has(&assigned, "/gpio-keys"));
}

#[test]
fn with_a_service_partition_guests_have_virtio_devices_and_a_clock() {
    let folder = folder("tree-service");
    with_service(&folder, DISKS);
    let tree = tree_in(&folder);
    let tree = fdt::Fdt::new(&tree).unwrap();
    let has = |node| tree.find_node(node).is_some();
    assert!(has("/pl031@9010000") && has("/virtio_mmio@a000000") && has("/virtio_mmio@a002000"));
    assert!(!has("/virtio_mmio@a003000"));
}

#[test]
fn a_watchdog_of_the_system_file_is_in_the_tree() {
    let tree = tree_of("tree-watchdog", "watchdog = \"1m\"");
    let tree = fdt::Fdt::new(&tree).unwrap();
    let watchdog = tree.find_node("/watchdog@90d0000").unwrap();
    assert_eq!(watchdog.property("timeout-sec").unwrap().as_usize(), Some(60));
    let frames: Vec<_> = watchdog.reg().unwrap().map(|frame| (frame.starting_address as usize, frame.size)).collect();
    assert_eq!(frames, [(0x090d_0000, Some(0x1000)), (0x090e_0000, Some(0x1000))]);
}

#[test]
fn the_same_input_gives_the_same_image() {
    let folder = folder("twice");
    assert!(build(&folder, "a.img") == build(&folder, "b.img"));
}

#[test]
fn a_foreign_el2_binary_is_refused_and_the_old_image_stays() {
    let folder = folder("foreign");
    fs::write(folder.join("old.img"), "old").unwrap();
    fs::write(folder.join("el2.elf"), "no ELF").unwrap();
    let output = bulkhead(&folder, &["build", "my system.toml", "-o", "old.img", "--hypervisor", "el2.elf"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: cannot use the EL2 binary el2.elf"));
    assert_eq!(fs::read(folder.join("old.img")).unwrap(), b"old");
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".bulkhead")), "{names:?}");
}

#[test]
fn an_el2_binary_of_another_format_is_refused() {
    let folder = folder("format");
    let mut binary = el2();
    binary[0x1000 + bundle::HEADER + 8] = 99;
    fs::write(folder.join("el2.elf"), binary).unwrap();
    let output = bulkhead(&folder, &["build", "my system.toml", "-o", "x.img", "--hypervisor", "el2.elf"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("wants bundle format 99"));
}

#[test]
fn map_names_every_owner_and_draws_a_picture() {
    let folder = folder("map");
    let output = bulkhead(&folder, &["map", "my system.toml", "--svg", "map.svg"]);
    let table = String::from_utf8(output.stdout).unwrap();
    for part in
        ["one vCPU 0", "two vCPU 0", "64M  one", "8M  two", "boot bundle", "frame pool", "SPI 1", "guest 'two' sees"]
    {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let svg = fs::read_to_string(folder.join("map.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains(">one<"));
}

#[test]
fn map_shows_the_service_partition_and_what_it_serves() {
    let folder = folder("map-service");
    with_service(&folder, DISKS);
    let output = bulkhead(&folder, &["map", "my system.toml", "--svg", "map.svg"]);
    let table = String::from_utf8(output.stdout).unwrap();
    for part in [
        "service vCPU 0",
        "24M  service\n",
        "8M  service: kept over its lives\n",
        "SPI 16 to SPI 47             service: virtio",
        "(hypervisor: console, lent to the service partition)",
        "one: 0x0a00_0000, SPI 16\n",
        "gpt:rootfs-a rw",
        "one: 0x0a00_1000, SPI 17, serial number 'rootfs-a', at least 64M\n",
        "disk:backup ro",
        "one: 0x0a00_2000, SPI 18, serial number 'archive', optional\n",
        "guest 'service' sees",
        "  plan\n",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let svg = fs::read_to_string(folder.join("map.svg")).unwrap();
    for part in [">Virtio devices<", ">service: kept over its lives<", ">gpt:rootfs-a rw<"] {
        assert!(svg.contains(part), "{part} is not in\n{svg}");
    }
}

#[test]
fn map_says_what_follows_the_end_of_each_life() {
    let folder = folder("map-lives");
    let text = fs::read_to_string(folder.join("my system.toml")).unwrap();
    let text = format!(
        "on_hypervisor_panic = \"reset\"\n{text}on_crash = \"stop\"\non_off = \"restart\"\nrestart_limit = \"none\"\n\
         restart_backoff = \"none\"\nwatchdog = \"10s\"\n"
    );
    fs::write(folder.join("lives.toml"), text).unwrap();
    let table = String::from_utf8(bulkhead(&folder, &["map", "lives.toml"]).stdout).unwrap();
    let lives: Vec<Vec<&str>> = table
        .lines()
        .skip_while(|line| !line.starts_with("life "))
        .take_while(|line| !line.is_empty())
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(
        lives,
        [
            &["life", "on_crash", "on_reset", "on_off", "restart_limit", "restart_backoff", "watchdog"][..],
            &["one", "restart", "restart", "stop", "5 in 60s", "100ms", "none"],
            &["two", "stop", "restart", "restart", "none", "none", "10s"],
            &["(hypervisor)", "reset (on_hypervisor_panic)"],
        ]
    );
}

#[test]
fn qemu_args_needs_no_kernels() {
    let folder = folder("qemu");
    fs::remove_file(folder.join("kernel.bin")).unwrap();
    let output = bulkhead(&folder, &["qemu-args", "my system.toml", "--gic", "2", "--image", "my image"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "-M virt,virtualization=on,gic-version=2 -cpu cortex-a72 -smp 4 -m 2G -nographic -kernel 'my image'\n"
    );
}

#[test]
fn qemu_args_refuses_a_machine_that_cannot_be() {
    let folder = folder("qemu-machine");
    fs::write(folder.join("bad.toml"), "board = \"qemu-virt\"\nmachine = { cores = 65 }\n").unwrap();
    let output = bulkhead(&folder, &["qemu-args", "bad.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a machine of 65 cores"));
}

#[test]
fn help_teaches_with_an_example() {
    for arguments in [
        &["--help"][..],
        &["check", "--help"],
        &["build", "--help"],
        &["map", "--help"],
        &["qemu-args", "--help"],
        &["symbolize", "--help"],
    ] {
        let output = bulkhead(Path::new("."), arguments);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("bulkhead "), "{arguments:?}");
    }
}

#[test]
fn the_shipped_systems_have_no_mistake_of_form() {
    let systems = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systems");
    for entry in fs::read_dir(systems).unwrap() {
        let path = entry.unwrap().path();
        let mut found = Vec::new();
        let text = fs::read_to_string(&path).unwrap();
        bulkhead::file::parse(&text, &mut found);
        assert_eq!(found, [], "{}", path.display());
        // Linux needs at most six lines, and one for each virtio device.
        for partition in text.split("[[partition]]").skip(1) {
            let is_device =
                |line: &str| ["disk = ", "rng = ", "net = ", "vsock = "].iter().any(|key| line.starts_with(key));
            let is_counted = |line: &&str| line.contains(" = ") && !is_device(line);
            assert!(partition.lines().filter(is_counted).count() <= 6, "{}", path.display());
        }
    }
}
