//! Whatever sizes and cores are asked for: what the tool places, the validator accepts; what it refuses, it explains.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "linux/image.rs"]
mod linux;

use bulkhead::file::Source;
use bulkhead::plan::plan;
use proptest::prelude::*;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// Kernels of each format, made once.
fn folder() -> PathBuf {
    static MADE: Once = Once::new();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("random");
    MADE.call_once(|| {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("Image"), linux::image(8192, 3 << 20)).unwrap();
        std::fs::write(folder.join("raw"), vec![0x14; 70_000]).unwrap();
        std::fs::write(folder.join("service.elf"), pie()).unwrap();
    });
    folder
}

/// A position-independent ELF file with one segment of a page.
fn pie() -> Vec<u8> {
    let mut elf = vec![0; 64 + 56 + 4096];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (elf[16], elf[18], elf[32], elf[54], elf[56], elf[64]) = (3, 183, 64, 56, 1, 1);
    for (place, word) in [(72, 120u64), (96, 4096), (104, 8192)] {
        elf[place..place + 8].copy_from_slice(&word.to_le_bytes());
    }
    elf
}

#[derive(Debug, Clone)]
struct Asked {
    cores: u16,
    pages: u64,
    kernel: bool,
    initrd: bool,
    identity: bool,
    pin: Option<u64>,
    disks: usize,
    net: bool,
    window: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let pages =
        prop_oneof![1 => 1u64..600, 4 => (1u64..300).prop_map(|n| n * 1024), 1 => (1u64..4).prop_map(|n| n << 18)];
    let pin = prop_oneof![9 => Just(None), 1 => (0u64..2048).prop_map(|n| Some(n << 21))];
    (1u16..4, pages, any::<bool>(), any::<bool>(), any::<bool>(), pin, 0usize..4, any::<bool>(), any::<bool>())
        .prop_map(|(cores, pages, kernel, initrd, identity, pin, disks, net, window)| Asked {
            cores,
            pages,
            kernel,
            initrd,
            identity,
            pin,
            disks,
            net,
            window,
        })
}

/// `service`: pages of the service partition, if there is to be one.
fn system_file(board: &str, asked: &[Asked], service: Option<u64>) -> String {
    let mut text = format!("board = \"{board}\"\n");
    if board == "qemu-virt" {
        text += "machine = { cores = 16, memory = \"3G\" }\n";
    }
    if let Some(pages) = service {
        let (core, memory) = (if board == "qemu-virt" { 15 } else { 3 }, pages * 4);
        writeln!(text, "[service]\ncores = [{core}]\nmemory = \"{memory}K\"\nkernel = \"service.elf\"").unwrap();
    }
    let mut next = 0;
    for (n, a) in asked.iter().enumerate() {
        let cores: Vec<u16> = (next..next + a.cores).collect();
        next += a.cores;
        let kernel = if a.kernel { "Image" } else { "raw" };
        write!(text, "[[partition]]\nname = \"p{n}\"\ncores = {cores:?}\nmemory = \"{}K\"\n", a.pages * 4).unwrap();
        write!(text, "kernel = \"{kernel}\"\nidentity = {}\n", a.identity).unwrap();
        if a.initrd {
            text += "initrd = \"raw\"\n";
        }
        if service.is_some() && a.disks != 0 {
            let disks = (0..a.disks).map(|d| format!("{{ from = \"gpt:{n}-{d}\" }}")).collect::<Vec<_>>().join(", ");
            writeln!(text, "rng = true\ndisk = [{disks}]").unwrap();
        }
        if service.is_some() && a.net {
            text += "net = true\n";
        }
        if service.is_some() && a.window {
            text += "io = \"window\"\nwindow = \"4M\"\n";
        }
        if let Some(pin) = a.pin {
            writeln!(text, "memory_at = \"{pin:#x}\"").unwrap();
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_placed_is_valid(
        board in prop_oneof![Just("qemu-virt"), Just("rpi4")],
        asked in proptest::collection::vec(asked(), 1..5),
        service in proptest::option::of(2048u64..9000),
    ) {
        let text = system_file(board, &asked, service);
        let source = Source { shown: "random.toml".into(), folder: folder(), text: text.clone() };
        match plan(&source) {
            Ok(plan) => {
                let mut mistakes = Vec::new();
                manifest::validate(plan.platform.board, &plan.system, &mut |mistake| mistakes.push(mistake));
                prop_assert!(mistakes.is_empty(), "{mistakes:?}\n{text}");
                for (partition, asked) in plan.system.partitions.iter().zip(&asked) {
                    prop_assert_eq!(partition.banks.len(), if service.is_some() && asked.window { 2 } else { 1 });
                    let size: u64 = partition.banks.iter().map(|bank| bank.pa.size()).sum();
                    prop_assert_eq!(size, asked.pages * 4096);
                    let bank = partition.banks[partition.banks.len() - 1];
                    prop_assert!(asked.pin.is_none_or(|pin| bank.pa.start().as_u64() == pin));
                    let seen = match (asked.identity, partition.banks.len()) {
                        (true, _) => bank.pa.start().as_u64(),
                        (false, 1) => 0x4000_0000,
                        (false, _) => 0x8000_0000,
                    };
                    prop_assert_eq!(bank.ipa.as_u64(), seen);
                    let disks = if asked.disks != 0 { 1 + asked.disks } else { 0 };
                    let wanted = if service.is_some() { disks + usize::from(asked.net) } else { 0 };
                    prop_assert_eq!(partition.virtio.len(), wanted);
                }
                if let (Some(pages), Some((_, partition))) = (service, plan.system.service_partition()) {
                    let (ram, kept) = (partition.banks[0].pa, plan.system.service.unwrap().kept);
                    prop_assert_eq!(ram.size() + kept.size(), pages * 4096);
                    prop_assert!(ram.start().as_u64() % (2 << 20) == 0 && kept.is_aligned(2 << 20), "{ram} {kept}");
                }
            }
            Err(found) => prop_assert!(!found.is_empty(), "refused without a reason\n{text}"),
        }
    }
}
