//! B20 to B26: whatever is wrong at boot, EL2 says what and why on the console. "Banner, then silence" must not exist.

use crate::bundle::Bundle;
use crate::machine::{GicVersion, Machine, Recipe};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, bail, ensure};
use manifest::PayloadKind;
use std::time::{Duration, Instant};

/// Seconds within which EL2 must have spoken.
const SPEAKS_WITHIN: u64 = 20;
/// How long a guest that must not run is listened for.
const AWAY: Duration = Duration::from_secs(1);

/// Where QEMU's loader puts a kernel on `virt`, and its device tree when there is no kernel.
const LOAD_ADDRESS: u64 = 0x4020_0000;

const fn scenario(
    name: &'static str,
    promises: &'static [crate::scenario::Promise],
    body: fn(&mut Run) -> Result<()>,
) -> Scenario {
    Scenario { name, kinds: &[Kind::V3], when: When::Always, seconds: 60, promises, body }
}

/// B20 to B26.
pub const SCENARIOS: &[Scenario] = &[
    scenario("boot_at_el1", &[promise("B20", "started_at_el1_says_how_to_start_at_el2")], started_at_el1),
    scenario(
        "boot_without_tree",
        &[promise("B21", "missing_device_tree_is_named"), promise("B21", "garbage_instead_of_device_tree_is_named")],
        no_device_tree,
    ),
    scenario(
        "boot_on_wrong_board",
        &[
            promise("B22", "virt_image_on_raspi4b_names_both_boards"),
            promise("B22", "rpi4_image_on_virt_names_both_boards"),
        ],
        wrong_board,
    ),
    scenario(
        "boot_on_smaller_machine",
        &[
            promise("B23", "missing_ram_is_named_with_its_partition"),
            promise("B23", "missing_cores_are_named_with_their_count"),
        ],
        smaller_machine,
    ),
    scenario(
        "boot_damaged_image",
        &[
            promise("B24", "flipped_manifest_byte_is_refused"),
            promise("B25", "flipped_kernel_byte_names_partition_and_kernel"),
            promise("B25", "flipped_initrd_byte_names_partition_and_initrd"),
            promise("B25", "flipped_tree_byte_names_partition_and_device_tree"),
        ],
        damaged_image,
    ),
    scenario(
        "boot_too_many_partitions",
        &[
            promise("B26", "seventeen_partitions_are_refused_at_boot"),
            promise("B26", "two_partitions_on_one_core_are_refused_with_core_and_both_owners"),
            promise("B26", "overlapping_ram_is_refused_at_boot"),
        ],
        too_many_partitions,
    ),
];

/// Waits for one line of EL2's that has all of `words`, in any case; no guest has run before it.
pub fn expect_complaint(machine: &mut Machine, words: &[&str]) -> Result<()> {
    expect_error(machine, words)?;
    stays_away(machine, &["hello|", "control|"])
}

/// None of these guests has said anything, or does in the next second: both speak as soon as they run.
fn stays_away(machine: &Machine, guests: &[&str]) -> Result<()> {
    let transcript = machine.console.transcript();
    let speaks = transcript.wait(0, Instant::now() + AWAY, "a guest", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        guests.iter().any(|guest| text.contains(guest)).then_some(())
    });
    ensure!(speaks.is_err(), "a guest ran all the same:\n{}", transcript.text_from(0));
    Ok(())
}

/// Waits for one line of EL2's that has all of `words`, in any case.
fn expect_error(machine: &mut Machine, words: &[&str]) -> Result<()> {
    let wanted = format!("EL2's error about {}", words.join(", "));
    machine.console.expect_line(&wanted, SPEAKS_WITHIN, |line| {
        let line = line.to_lowercase();
        let has = |word: &&str| line.contains(&word.to_lowercase());
        (line.starts_with("bulkhead") && line.contains("error: ") && words.iter().all(has)).then_some(())
    })
}

fn virt() -> Recipe {
    Recipe::virt(GicVersion::V3)
}

fn started_at_el1(run: &mut Run) -> Result<()> {
    let image = run.project.image("bare")?;
    run.promise("started_at_el1_says_how_to_start_at_el2", |run| {
        let mut machine = Recipe::virt_with(GicVersion::V3, "cortex-a72", "").kernel(&image).start(run)?;
        expect_complaint(&mut machine, &["EL1", "EL2"])
    });
    Ok(())
}

fn no_device_tree(run: &mut Run) -> Result<()> {
    let image = run.project.image("bare")?;
    run.promise("missing_device_tree_is_named", |run| {
        // The loader device enters with all registers zero: x0 is no device tree.
        let mut machine = virt().loaded(&image, LOAD_ADDRESS).entered_at(LOAD_ADDRESS).start(run)?;
        expect_complaint(&mut machine, &["device tree"])
    });
    run.promise("garbage_instead_of_device_tree_is_named", |run| {
        let entry = trampoline(LOAD_ADDRESS + 0x1000, LOAD_ADDRESS);
        let file = run.directory().join("trampoline");
        std::fs::write(&file, entry)?;
        let machine = virt().loaded(&image, LOAD_ADDRESS).loaded(&file, TRAMPOLINE).entered_at(TRAMPOLINE);
        expect_complaint(&mut machine.start(run)?, &["device tree"])
    });
    Ok(())
}

fn wrong_board(run: &mut Run) -> Result<()> {
    let for_virt = run.project.image("bare")?;
    let for_pi = run.project.image("pi")?;
    run.promise("virt_image_on_raspi4b_names_both_boards", |run| {
        let tree = run.project.built(RPI4_TREE)?;
        let mut machine = Recipe::raspi4b(&tree).kernel(&for_virt).start(run)?;
        expect_complaint(&mut machine, &["qemu-virt", "raspberrypi,4-model-b"])
    });
    run.promise("rpi4_image_on_virt_names_both_boards", |run| {
        let mut machine = virt().kernel(&for_pi).start(run)?;
        expect_complaint(&mut machine, &["rpi4", "linux,dummy-virt"])
    });
    Ok(())
}

fn smaller_machine(run: &mut Run) -> Result<()> {
    let large = run.project.image("large")?;
    let image = run.project.image("bare")?;
    run.promise("missing_ram_is_named_with_its_partition", |run| {
        let mut machine = virt().memory("1G").kernel(&large).start(run)?;
        expect_complaint(&mut machine, &["no RAM", "hello", "-m"])
    });
    run.promise("missing_cores_are_named_with_their_count", |run| {
        let mut machine = virt().cores(2).kernel(&image).start(run)?;
        expect_complaint(&mut machine, &["4 cores", "has 2", "-smp"])
    });
    Ok(())
}

fn damaged_image(run: &mut Run) -> Result<()> {
    let image = run.project.image("bare")?;
    let boots_with = |run: &Run, bundle: &Bundle, words: &[&str]| {
        let damaged = bundle.write(&run.new_directory("image")?, "damaged.img")?;
        let mut machine = virt().kernel(&damaged).start(run)?;
        expect_error(&mut machine, words)?;
        // The damaged partition must not run; the other one may.
        stays_away(&machine, &["hello|"])
    };
    run.promise("flipped_manifest_byte_is_refused", |run| {
        let mut bundle = Bundle::read(&image)?;
        bundle.damage_manifest()?;
        boots_with(run, &bundle, &["manifest is damaged"])
    });
    let payloads = [
        ("flipped_kernel_byte_names_partition_and_kernel", PayloadKind::Kernel, "kernel"),
        ("flipped_initrd_byte_names_partition_and_initrd", PayloadKind::Initrd, "initrd"),
        ("flipped_tree_byte_names_partition_and_device_tree", PayloadKind::DeviceTreeV3, "device tree"),
    ];
    for (name, kind, word) in payloads {
        run.promise(name, |run| {
            let mut bundle = Bundle::read(&image)?;
            bundle.damage_payload(0, |payload| payload.kind == kind)?;
            boots_with(run, &bundle, &["hello", word, "damaged"])
        });
    }
    Ok(())
}

fn too_many_partitions(run: &mut Run) -> Result<()> {
    let image = run.project.image("bare")?;
    run.promise("seventeen_partitions_are_refused_at_boot", |run| {
        let mut bundle = Bundle::read(&image)?;
        bundle.put_partitions(abi::MAX_PARTITIONS as u8 + 1)?;
        let crowded = bundle.write(run.directory(), "crowded.img")?;
        expect_complaint(&mut virt().kernel(&crowded).start(run)?, &["manifest"])
    });
    run.promise("two_partitions_on_one_core_are_refused_with_core_and_both_owners", |run| {
        let mut bundle = Bundle::read(&image)?;
        let mut core = None;
        bundle.put_system(|system| {
            core = system.partitions.first().and_then(|first| first.cores.first().copied());
            if let (Some(core), Some(other)) = (core, system.partitions.last_mut()) {
                other.cores.clear();
                // A vector of 64 that was just emptied has room for one.
                let _ = other.cores.push(core);
            }
        })?;
        let shared = bundle.write(run.directory(), "shared.img")?;
        let names: Vec<&str> = bundle.system().partitions.iter().map(|partition| partition.name.as_str()).collect();
        let [first, .., last] = names.as_slice() else { bail!("the bare system has fewer than two partitions") };
        let core = core.context("the first partition has no core")?.to_string();
        let mut machine = virt().kernel(&shared).start(run)?;
        expect_complaint(&mut machine, &[&core, &format!("'{first}'"), &format!("'{last}'")])?;
        expect_complaint(&mut machine, &["manifest breaks a rule about cores"])
    });
    run.promise("overlapping_ram_is_refused_at_boot", |run| {
        let mut bundle = Bundle::read(&image)?;
        bundle.put_system(|system| {
            let bank = system.partitions.first().and_then(|first| first.banks.first().copied());
            let other = system.partitions.last_mut().and_then(|last| last.banks.first_mut());
            if let (Some(bank), Some(other)) = (bank, other) {
                other.pa = bank.pa;
            }
        })?;
        let shared = bundle.write(run.directory(), "overlap.img")?;
        expect_complaint(&mut virt().kernel(&shared).start(run)?, &["manifest breaks a rule about memory"])
    });
    Ok(())
}

/// Where the board's device tree is, built from Debian's kernel package.
pub const RPI4_TREE: &str = "build/guests/linux-generic/bcm2711-rpi-4-b.dtb";

/// Where a trampoline is put: RAM that nothing else uses before EL2 runs.
pub const TRAMPOLINE: u64 = 0x4010_0000;

/// Code that enters `entry` as a boot loader would, with `device_tree` in x0.
pub fn trampoline(device_tree: u64, entry: u64) -> Vec<u8> {
    let mut code = Vec::new();
    for instruction in [
        0x5800_0080_u32, // ldr x0, [pc, #16]
        0x5800_00a1,     // ldr x1, [pc, #20]
        0xd61f_0020,     // br x1
        0xd503_201f,     // nop
    ] {
        code.extend_from_slice(&instruction.to_le_bytes());
    }
    code.extend_from_slice(&device_tree.to_le_bytes());
    code.extend_from_slice(&entry.to_le_bytes());
    code
}

/// Where the RAM of `virt` starts: QEMU puts its device tree there when it boots no kernel.
pub const RAM_START: u64 = 0x4000_0000;
