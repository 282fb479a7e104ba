//! B63: the bench rows stay what they are, and below the peers.

use crate::bench::{Baseline, behind_peers, measure, measure_plain, qemu_version};
use crate::bundle::Bundle;
use crate::disk_figures;
use crate::figures;
use crate::net_figures;
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// EL2's text, read-only data, data and zeroed memory in bytes, without its frame pool.
const IMAGE_MAX: u64 = 1 << 20;
/// EL2's text, read-only data and data in bytes. 128 KiB until virtio devices came (docs/decisions/0011-virtio-at-el2.md),
/// 136 KiB until there were channels (0013-channels.md), 137.5 KiB until there was a Raspberry Pi (0018-shared-registers.md).
const LOADED_MAX: u64 = 140 << 10;

/// B63.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "bench",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Alone,
        seconds: 300,
        promises: &[
            promise("B63", "every_row_beats_bao_and_hvisor"),
            promise("B63", "medians_equal_the_baseline_and_maxima_are_near_it"),
        ],
        body: bench,
    },
    Scenario {
        name: "disk_cost",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Alone,
        seconds: 600,
        promises: &[
            promise("B63", "kicks_exits_and_bytes_of_a_disk_stay_below_their_bounds"),
            promise("B63", "a_read_costs_what_the_baseline_says"),
        ],
        body: disk,
    },
    Scenario {
        name: "net_cost",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Alone,
        seconds: 600,
        promises: &[
            promise("B63", "exits_of_packets_and_wakeups_of_an_idle_network_stay_below_their_bounds"),
            promise("B63", "a_packet_costs_what_the_baseline_says"),
        ],
        body: network,
    },
    Scenario {
        name: "size",
        kinds: &[Kind::Host],
        when: When::Always,
        seconds: 60,
        promises: &[
            promise("B63", "an_images_bytes_depend_on_no_folder_of_the_host"),
            promise("B63", "el2_in_memory_is_at_most_1_mib"),
            promise("B63", "el2_text_rodata_and_data_are_at_most_140_kib"),
        ],
        body: size,
    },
];

/// What `bulkhead-tests bench` prints runs as a scenario without promises.
pub static TABLE: Scenario =
    Scenario { name: "table", kinds: &[], when: When::Alone, seconds: 3600, promises: &[], body: |_| Ok(()) };

fn bench(run: &mut Run) -> Result<()> {
    let gic = gic(run.kind);
    let plain = measure_plain(run, gic)?;
    let rows = measure(run, gic)?;
    run.promise("every_row_beats_bao_and_hvisor", |run| {
        let behind = behind_peers(&rows, &plain, run.kind);
        ensure!(behind.is_empty(), "{}", behind.join("\n"));
        Ok(())
    });
    run.promise("medians_equal_the_baseline_and_maxima_are_near_it", |run| {
        let different = Baseline::read(run.project)?.differences(&rows, run.kind, &qemu_version()?);
        ensure!(different.is_empty(), "{}\n`bulkhead-tests bench --accept` if this is meant", different.join("\n"));
        Ok(())
    });
    Ok(())
}

fn disk(run: &mut Run) -> Result<()> {
    let rows = disk_figures::rows(run, gic(run.kind))?;
    for (name, row) in &rows {
        println!("B63   {}   {name}: {}", run.kind, row.median);
    }
    run.promise("kicks_exits_and_bytes_of_a_disk_stay_below_their_bounds", |_| {
        let above = figures::above_bounds(&rows);
        ensure!(above.is_empty(), "{}", above.join("\n"));
        Ok(())
    });
    run.promise("a_read_costs_what_the_baseline_says", |run| {
        let different = Baseline::read(run.project)?.far_from(&rows, run.kind);
        ensure!(different.is_empty(), "{}\n`bulkhead-tests bench --accept` if this is meant", different.join("\n"));
        Ok(())
    });
    Ok(())
}

fn network(run: &mut Run) -> Result<()> {
    let rows = net_figures::rows(run, gic(run.kind))?;
    for (name, row) in &rows {
        println!("B63   {}   {name}: {}", run.kind, row.median);
    }
    run.promise("exits_of_packets_and_wakeups_of_an_idle_network_stay_below_their_bounds", |_| {
        let above = figures::above_bounds(&rows);
        ensure!(above.is_empty(), "{}", above.join("\n"));
        Ok(())
    });
    run.promise("a_packet_costs_what_the_baseline_says", |run| {
        let different = Baseline::read(run.project)?.far_from(&rows, run.kind);
        ensure!(different.is_empty(), "{}\n`bulkhead-tests bench --accept` if this is meant", different.join("\n"));
        Ok(())
    });
    Ok(())
}

fn size(run: &mut Run) -> Result<()> {
    run.promise("an_images_bytes_depend_on_no_folder_of_the_host", |run| {
        let bytes = std::fs::read(run.project.image("bench-boot")?)?;
        for folder in host_folders(run)? {
            let name = folder.as_os_str().as_encoded_bytes();
            ensure!(
                !bytes.windows(name.len()).any(|window| window == name),
                "the image holds {}, so the boot row depends on where it was built: see scripts/rustc",
                folder.display()
            );
        }
        Ok(())
    });
    run.promise("el2_in_memory_is_at_most_1_mib", |run| {
        let bytes = Bundle::read(&run.project.image("bare")?)?.el2_bytes();
        ensure!(bytes <= IMAGE_MAX, "EL2 takes {bytes} bytes, at most {IMAGE_MAX} are promised");
        Ok(())
    });
    run.promise("el2_text_rodata_and_data_are_at_most_140_kib", |run| {
        // The image built it, or found it built.
        run.project.image("bare")?;
        let elf = run.project.target().join("aarch64-unknown-none-softfloat/release/bulkhead-qemu-virt");
        let bytes = loaded_bytes(&std::fs::read(&elf)?).with_context(|| format!("{} is no ELF64", elf.display()))?;
        println!("B63   EL2: {bytes} bytes of text, read-only data and data");
        ensure!(bytes <= LOADED_MAX, "EL2 has {bytes} bytes to load, at most {LOADED_MAX} are promised");
        Ok(())
    });
    Ok(())
}

/// Where this host has the checkout, what cargo fetched, and the compiler.
fn host_folders(run: &Run) -> Result<Vec<PathBuf>> {
    let home = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
    let place = |variable: &str, name: &str| std::env::var_os(variable).map_or_else(|| home.join(name), PathBuf::from);
    Ok(vec![run.project.root().canonicalize()?, place("CARGO_HOME", ".cargo"), place("RUSTUP_HOME", ".rustup")])
}

/// Bytes of an ELF64's sections that are loaded from the file: SHF_ALLOC and not SHT_NOBITS.
fn loaded_bytes(elf: &[u8]) -> Option<u64> {
    let number = |at: usize, bytes: usize| {
        let field = elf.get(at..at + bytes)?;
        Some(field.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    };
    let (table, entry, count) = (number(40, 8)? as usize, number(58, 2)? as usize, number(60, 2)? as usize);
    let mut total = 0;
    for header in (0..count).map(|n| table + n * entry) {
        let (kind, flags, size) = (number(header + 4, 4)?, number(header + 8, 8)?, number(header + 32, 8)?);
        if flags & 2 != 0 && kind != 8 {
            total += size;
        }
    }
    Some(total)
}
