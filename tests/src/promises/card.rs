//! P04: the card that a user flashes, made of the firmware and the guests as they are, and booted on QEMU's raspi4b.
//!
//! What `sd-check` says of broken cards, and of good ones in detail, is tested with the tool. No board ever read this card.

use crate::control::Report;
use crate::machine::Recipe;
use crate::project;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that the firmware starts from, as the Makefile fetches them.
const FIRMWARE: &str = "build/firmware/rpi4";
/// Bytes of a sector.
const SECTOR: u64 = 512;

/// P04.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "card",
    kinds: &[Kind::Pi],
    when: When::Always,
    seconds: 180,
    promises: &[
        promise("P04", "card_holds_firmware_settings_and_kernel_in_a_sound_file_system"),
        promise("P04", "control_starts_from_the_card_on_raspi4b"),
    ],
    body: card,
}];

fn card(run: &mut Run) -> Result<()> {
    let image = run.project.image_of("rpi4", &run.project.root().join("systems/rpi4.toml"))?;
    let firmware = run.project.built(&format!("{FIRMWARE}/start4.elf"))?;
    let firmware = firmware.parent().context("the firmware has no folder")?.to_owned();
    let root = run.project.built("build/guests/rootfs.ext4")?;
    let (card, boot) = (run.directory().join("card.img"), run.directory().join("boot"));
    let mut tool = run.project.tool();
    tool.arg("sd-image").arg(&image).arg("-o").arg(&card).arg("--boot").arg(&firmware).arg("--disk").arg(&root);
    project::run(&mut tool)?;
    project::run(run.project.tool().arg("sd-check").arg(&card).arg("--extract").arg(&boot))?;
    run.promise("card_holds_firmware_settings_and_kernel_in_a_sound_file_system", |run| {
        same(&boot.join("kernel8.img"), &image)?;
        for name in ["start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb", "LICENCE.firmware", "LICENCE.device-tree"] {
            same(&boot.join(name), &firmware.join(name))?;
        }
        let config = std::fs::read_to_string(boot.join("config.txt"))?;
        for line in ["arm_64bit=1", "kernel=kernel8.img", "enable_gic=1", "enable_uart=1"] {
            ensure!(config.lines().any(|has| has == line), "config.txt has no line {line}:\n{config}");
        }
        let volume = partition(run, &card, 0, 0x0c)?;
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let said = project::run(Command::new("fsck.vfat").env("PATH", path).arg("-n").arg(&volume))?;
        // Not everything that it finds makes it fail: its version and a count are all that it may say.
        ensure!(said.lines().count() == 2, "fsck.vfat has found something:\n{said}");
        same(&partition(run, &card, 1, 0x83)?, &root)
    });
    run.promise("control_starts_from_the_card_on_raspi4b", |run| {
        // QEMU splits options at commas and reads a doubled comma as one.
        let file = card.to_string_lossy().replace(',', ",,");
        let recipe = Recipe::raspi4b(&boot.join("bcm2711-rpi-4-b.dtb")).kernel(&boot.join("kernel8.img"));
        let mut machine = recipe.arg("-drive").arg(format!("if=sd,format=raw,file={file}")).start(run)?;
        Report::check_next(&mut machine.console, 1).map(drop)
    });
    Ok(())
}

/// Two files have the same bytes.
fn same(one: &Path, other: &Path) -> Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    ensure!(read(one)? == read(other)?, "{} differs from {}", one.display(), other.display());
    Ok(())
}

/// A copy of a card's partition, which must have this type (UEFI, "Legacy MBR").
fn partition(run: &Run, card: &Path, index: usize, kind: u8) -> Result<PathBuf> {
    let card = File::open(card)?;
    let mut entry = [0; 16];
    card.read_exact_at(&mut entry, 446 + 16 * index as u64)?;
    ensure!(entry[4] == kind, "partition {} has type {:#04x}", index + 1, entry[4]);
    let word = |at: usize| entry.iter().skip(at).take(4).rev().fold(0_u64, |word, &byte| word << 8 | u64::from(byte));
    let mut bytes = vec![0; usize::try_from(word(12) * SECTOR)?];
    card.read_exact_at(&mut bytes, word(8) * SECTOR)?;
    let copy = run.new_directory("partition")?.join("image");
    std::fs::write(&copy, bytes)?;
    Ok(copy)
}
