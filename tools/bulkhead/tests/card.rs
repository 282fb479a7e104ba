//! Cards for the Raspberry Pi 4: what `sd-image` writes, and what `sd-check` says of good and of broken ones (P04, P08).
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "card/parts.rs"]
mod parts;

use bulkhead::card::check::check;
use bulkhead::card::{Card, Finding};
use parts::{Parts, Sparse, boot_partition};
use platform_rpi4::BOARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fs;
use std::process::Command;

/// What is wrong with a card, as (place, problem).
fn wrong(card: Sparse) -> Vec<(String, String)> {
    let findings = check(&mut Card::new(card).unwrap(), &BOARD).findings;
    for Finding { place, help, .. } in &findings {
        assert!(!place.is_empty() && help.len() > 10, "{findings:?}");
    }
    findings.into_iter().map(|finding| (finding.place, finding.problem)).collect()
}

/// The card made of `parts` has this and only this wrong with it.
fn refused(parts: &Parts, place: &str, problem: &str) {
    assert_eq!(wrong(parts.card()), [(place.to_owned(), problem.to_owned())]);
}

/// The good card with `change` made to its bytes has this and only this wrong with it.
fn damaged(change: impl FnOnce(&mut Sparse), place: &str, problem: &str) {
    let mut card = Parts::good().card();
    change(&mut card);
    assert_eq!(wrong(card), [(place.to_owned(), problem.to_owned())]);
}

#[test]
fn p04_a_card_holds_what_it_was_given_and_nothing_is_wrong_with_it() {
    let parts = Parts::good();
    let (image, folder) = parts.write();
    let out = folder.join("out");
    let _ = fs::remove_dir_all(&out);
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .arg("sd-check")
        .args([&image, std::path::Path::new("--extract"), &out])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        ": a card for rpi4\n",
        "  partition 1              68M, what the firmware reads\n",
        "  partition 2              8K, type 0x83\n",
        "  partition 3              1M, type 0x83\n",
        "  bcm2711-rpi-4-b.dtb      Raspberry Pi 4 Model B\n",
        "  kernel8.img              ",
        ", partitions control\n",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let wanted = ["LICENCE.firmware", "bcm2711-rpi-4-b.dtb", "config.txt", "fixup4.dat", "kernel8.img", "start4.elf"];
    assert_eq!(names, wanted);
    assert!(fs::read(out.join("kernel8.img")).unwrap() == parts.kernel);
    for (name, content) in &parts.files {
        assert!(fs::read(out.join(name)).unwrap() == *content, "{name}");
    }
    let config = fs::read_to_string(out.join("config.txt")).unwrap();
    for line in ["arm_64bit=1", "kernel=kernel8.img", "enable_gic=1", "enable_uart=1", "kernel_address=0x200000"] {
        assert!(config.lines().any(|have| have == line), "{line} is not in\n{config}");
    }
    assert!(config.lines().all(|line| line.len() <= 98), "the firmware reads 98 characters of a line");

    let bytes = fs::read(&image).unwrap();
    assert!(bytes.len().is_power_of_two(), "QEMU takes no other");
    let disk = (4 + 68) << 20;
    assert!(bytes[disk..disk + 8192].iter().all(|byte| *byte == 0x5a), "partition 2 holds the disk");
    assert!(fs::read(parts.write().0).unwrap() == bytes, "the same twice");
}

#[test]
fn p04_the_default_config_says_what_the_board_facts_say() {
    let config = bulkhead::card::config::Config::read(bulkhead::card::config::DEFAULT.as_bytes());
    assert_eq!(config.number("kernel_address", 0), BOARD.load_address.as_u64());
    let tree = BOARD.reserved.iter().find(|range| range.name.contains("device tree")).unwrap();
    assert_eq!(config.number("device_tree_address", 0), tree.start.as_u64());
    assert_eq!(config.number("device_tree_end", 0), tree.start.as_u64() + tree.size);
    let (start, size) = BOARD.ram[0];
    assert_eq!((1 << 30) - (config.number("gpu_mem", 0) << 20), start.as_u64() + size);
}

#[test]
fn p08_no_partition_table() {
    damaged(|card| card.bytes[510] = 0, "partition table", "the card has no partition table (MBR)");
    let formatted = |card: &mut Sparse| {
        let boot = card.bytes[4 << 20..][..512].to_vec();
        card.bytes[..512].copy_from_slice(&boot);
    };
    let said = "the card has a file system and no partitions: guests' disks are partitions";
    damaged(formatted, "partition table", said);
    let said = "the card has a GUID partition table: guests' disks are partitions of an MBR";
    damaged(|card| card.bytes[446 + 4] = 0xee, "partition table", said);
}

#[test]
fn p08_no_boot_partition() {
    let said = "the card has no FAT partition: the firmware has nowhere to start from";
    damaged(|card| card.bytes[446 + 4] = 0x83, "partition table", said);
}

#[test]
fn p08_partitions_that_share_sectors_or_leave_the_card() {
    // Partition 2 then begins with the last sector of partition 1.
    let said = "partition 1 (sectors 8192 to 147456) and partition 2 (sectors 147455 to 147471) share sectors";
    damaged(|card| card.bytes[446 + 16 + 8..][..4].copy_from_slice(&147_455_u32.to_le_bytes()), "partition 2", said);
    let said = "partition 3 has sectors 155648 to 157696, the card 157695 sectors";
    damaged(|card| card.size = 157_695 * 512, "partition 3", said);
}

#[test]
fn p08_missing_files() {
    for name in ["start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb"] {
        let mut parts = Parts::good();
        parts.files.remove(name);
        refused(&parts, name, &format!("{name} is missing"));
    }
    let rename = |name: &'static str| {
        move |card: &mut Sparse| {
            let root = boot_partition(card, 0);
            let at = card.bytes[root..].windows(11).position(|short| short == name.as_bytes()).unwrap();
            card.bytes[root + at..][..3].copy_from_slice(b"OLD");
        }
    };
    damaged(rename("CONFIG  TXT"), "config.txt", "config.txt is missing");
    damaged(rename("KERNEL8 IMG"), "kernel8.img", "kernel8.img is missing");
}

#[test]
fn p08_settings_that_start_something_else() {
    let set = |line: &str, place: &str, problem: &str| {
        let mut parts = Parts::good();
        parts.set(line);
        refused(&parts, place, problem);
    };
    set(
        "enable_gic=0",
        "config.txt:21",
        "`enable_gic=0`: interrupts then go past the GIC-400, by which Bulkhead takes them",
    );
    set(
        "arm_64bit=0",
        "config.txt:21",
        "`arm_64bit=0`: the firmware starts a 32-bit kernel, and Bulkhead is a 64-bit one",
    );
    let elsewhere = "`arm_peri_high=1`: the board's devices are then not where Bulkhead looks for them";
    set("arm_peri_high=1", "config.txt:21", elsewhere);
    let stub = "it takes the place of the firmware's own stub, by whose spin table Bulkhead starts cores";
    set("armstub=bl31.bin", "config.txt:21", &format!("`armstub=bl31.bin`: {stub}"));
    set("kernel=/vmlinuz", "config.txt:21", "`kernel=/vmlinuz` names a file that the card does not have");
    set("kernel=START4.ELF", "config.txt:21", "`kernel=START4.ELF` names a file that is no Bulkhead image");
    set("device_tree=bcm2711-rpi-400.dtb", "bcm2711-rpi-400.dtb", "bcm2711-rpi-400.dtb is missing");
    set("start_file=start_x.elf", "start_x.elf", "start_x.elf is missing");
    set("fixup_file=other.dat", "other.dat", "other.dat is missing");
    set(
        "device_tree_address=0x200000\ndevice_tree_end=0x400000",
        "config.txt:21",
        "the device tree [0x0020_0000..0x0040_0000) is loaded over kernel8.img [0x0020_0000..0x0020_d000)",
    );
    // Its memory begins where the partition's ends, without the line.
    set(
        "gpu_mem=77",
        "config.txt:21",
        "the GPU's memory [0x3b30_0000..0x4000_0000) is loaded over RAM of partition 'control' [0x3ac0_0000..0x3b40_0000)",
    );
    let over = "is loaded over the firmware's spin table [0x0000_0000..0x0008_0000)";
    set("kernel_address=0", "config.txt:21", &format!("kernel8.img [0x0000_0000..0x0000_d000) {over}"));
    set(
        "kernel_address=0x80800",
        "config.txt:21",
        "kernel8.img is loaded to 0x0008_0800, which begins no page of 4 KiB",
    );
    for line in ["[pi3]\nenable_gic=0", "#enable_gic=0", "[none]\narm_64bit=0\n[all]"] {
        let mut parts = Parts::good();
        parts.set(line);
        assert_eq!(wrong(parts.card()), [], "{line}");
    }
}

#[test]
fn p08_a_config_without_what_must_be_there() {
    let mut parts = Parts::good();
    parts.files.insert("config.txt".to_owned(), b"kernel=kernel8.img\n".to_vec());
    let said = "no `arm_64bit`: the firmware starts a 32-bit kernel, and Bulkhead is a 64-bit one";
    refused(&parts, "config.txt", said);
}

#[test]
fn p08_a_kernel_that_is_cut_short_damaged_or_foreign() {
    let kernel = |change: &dyn Fn(&mut Vec<u8>), problem: &str| {
        let mut parts = Parts::good();
        change(&mut parts.kernel);
        refused(&parts, "kernel8.img", problem);
    };
    let size = Parts::good().kernel.len();
    let half = size / 2;
    kernel(&|bytes| bytes.truncate(half), &format!("kernel8.img is cut short: it has {half} bytes of {size}"));
    kernel(&|bytes| bytes.truncate(0), "kernel8.img is no Bulkhead image");
    kernel(&|bytes| bytes.push(0), &format!("kernel8.img has {} bytes, and {size} by its own header", size + 1));
    kernel(&|bytes| bytes[abi::bundle::HEADER + 8] = 99, "kernel8.img has bundle format 99, this tool knows 5");
    kernel(
        &|bytes| bytes[parts::EL2_SIZE as usize + 100] ^= 1,
        "kernel8.img: manifest is damaged (SHA-256 differs): write the image again",
    );
    kernel(
        &|bytes| {
            let at = bytes.windows(64).position(|run| run == [0x14; 64]).unwrap();
            bytes[at + 7] = 0;
        },
        "kernel8.img: kernel of partition 'control' is damaged (its checksum differs)",
    );
    let mut parts = Parts::good();
    parts.kernel = parts::bundle("qemu-virt");
    refused(&parts, "kernel8.img", "kernel8.img is for board 'qemu-virt', the card for 'rpi4'");
}

#[test]
fn p08_a_guests_disk_that_is_not_there() {
    let disk = |keys: &str| {
        let mut parts = Parts::good();
        parts.kernel = parts::served(keys);
        parts
    };
    assert_eq!(wrong(disk("disk = [{ from = \"mbr:2\" }, { from = \"mbr:1\", mode = \"ro\" }]").card()), []);
    assert_eq!(wrong(disk("disk = { from = \"mbr:4\", optional = true }").card()), []);
    let said = "partition 'control' wants the disk mbr:4, and the card has no partition 4";
    refused(&disk("disk = { from = \"mbr:4\" }"), "partition 4", said);
    let said = "partition 'control' wants to write the disk mbr:1, which the firmware starts from";
    refused(&disk("disk = { from = \"mbr:1\" }"), "partition 1", said);
    let said = "partition 3 has 1M, and partition 'control' wants at least 2M";
    refused(&disk("disk = { from = \"mbr:3\", at_least = \"2M\" }"), "partition 3", said);
    let said = "partition 'control' wants the disk gpt:data, and the card has no GPT";
    refused(&disk("disk = { from = \"gpt:data\" }"), "partition table", said);
}

#[test]
fn p08_a_device_tree_of_another_board_or_cut_short() {
    let tree = "bcm2711-rpi-4-b.dtb";
    let mut parts = Parts::good();
    parts.files.insert(tree.to_owned(), parts::tree("Raspberry Pi 3", "raspberrypi,3-model-b"));
    refused(&parts, tree, &format!("{tree} is for 'raspberrypi,3-model-b', the board is a 'raspberrypi,4-model-b'"));
    let whole = Parts::good().files[tree].clone();
    parts.files.insert(tree.to_owned(), whole[..100].to_vec());
    refused(&parts, tree, &format!("{tree} is cut short: it has 100 bytes of {}", whole.len()));
    parts.files.insert(tree.to_owned(), b"nonsense".to_vec());
    refused(&parts, tree, &format!("{tree} is no device tree"));
}

#[test]
fn p08_firmware_that_is_cut_short() {
    let mut parts = Parts::good();
    parts.files.get_mut("start4.elf").unwrap().truncate(100);
    refused(&parts, "start4.elf", "start4.elf is no firmware, or cut short: it has 100 bytes");
    let mut parts = Parts::good();
    parts.files.get_mut("fixup4.dat").unwrap().clear();
    refused(&parts, "fixup4.dat", "fixup4.dat is empty");
}

#[test]
fn p08_a_damaged_file_system() {
    let entry = |card: &mut Sparse, copy: usize, cluster: usize, value: u32| {
        let at = boot_partition(card, 1 + copy) + cluster * 4;
        card.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    };
    // The first cluster of fixup4.dat, by the order of names.
    let both = |value: u32| {
        move |card: &mut Sparse| {
            entry(card, 0, 7, value);
            entry(card, 1, 7, value);
        }
    };
    damaged(both(0), "partition 1", "'fixup4.dat' goes on in cluster 7, which is marked as free");
    damaged(|card| entry(card, 1, 7, 0), "partition 1", "the two allocation tables differ in their sector 0");
    damaged(|card| card.bytes[(4 << 20) + 13] = 3, "partition 1", "the file system has clusters of 3 sectors");
    let said = "the file system has 139265 sectors, its partition 139264";
    damaged(|card| card.bytes[(4 << 20) + 32..][..4].copy_from_slice(&139_265_u32.to_le_bytes()), "partition 1", said);
}

#[test]
fn p08_no_length_of_a_card_brings_the_tool_down() {
    let good = Parts::good().card();
    // Partition 3 ends at 77 MiB; what the boot partition holds, before 6 MiB.
    let lengths = (0..1025).chain((4 << 20..6 << 20).step_by((32 << 10) + 100)).chain([72 << 20, (77 << 20) - 1]);
    for size in lengths {
        let mut card = good.clone();
        card.size = size;
        assert!(!wrong(card).is_empty(), "a card of {size} bytes is no good one");
    }
}

#[test]
fn p08_no_bytes_of_a_card_bring_the_tool_down() {
    let good = Parts::good().card();
    let places = [0, 4 << 20, boot_partition(&good, 0), boot_partition(&good, 1), boot_partition(&good, 2)];
    let changes = prop::collection::vec((prop::sample::select(places.to_vec()), 0..512_usize, any::<u8>()), 1..6);
    let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 100, ..Config::default() });
    let outcome = runner.run(&changes, |changes| {
        let mut card = good.clone();
        for (place, at, value) in changes {
            card.bytes[place + at] = value;
        }
        // Whatever it is then, the tool says so and goes on.
        wrong(card);
        Ok(())
    });
    outcome.unwrap();
}
