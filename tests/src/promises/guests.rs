//! B61, B62 and where an image may lie: kernels of every format, and the bare machine below EL2.

use crate::control::Report;
use crate::machine::{GicVersion, Machine, Recipe};
use crate::promises::boot_failures::{RAM_START, RPI4_TREE, TRAMPOLINE, trampoline};
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// H02, B61, B62.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "placement",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 90,
        promises: &[
            promise("H02", "image_boots_2_mib_into_ram"),
            promise("H02", "image_boots_at_an_odd_4_kib_place"),
            promise("H02", "image_that_would_lie_in_a_partition_is_refused"),
        ],
        body: placement,
    },
    Scenario {
        name: "raw_guest",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 60,
        promises: &[promise("B61", "raw_binary_is_entered_where_qemu_enters_it")],
        body: raw_guest,
    },
    Scenario {
        name: "elf_guest",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 240,
        promises: &[
            promise("B61", "elf_guest_runs_and_answers"),
            promise("H12", "a_guests_own_crash_restarts_that_partition_alone"),
        ],
        body: elf_guest,
    },
    Scenario {
        name: "raspi4b",
        kinds: &[Kind::Pi],
        when: When::Always,
        seconds: 240,
        promises: &[
            promise("B62", "control_keeps_its_beat_on_raspi4b"),
            promise("H02", "image_boots_at_0x80000_on_raspi4b"),
        ],
        body: raspi4b,
    },
];

fn placement(run: &mut Run) -> Result<()> {
    let image = run.project.image("bare")?;
    // QEMU puts its device tree at the start of RAM where it is given no kernel.
    let start_at = |run: &Run, address: u64| -> Result<Machine> {
        let entry = run.new_directory("entry")?.join("trampoline");
        std::fs::write(&entry, trampoline(RAM_START, address))?;
        let recipe = Recipe::virt(GicVersion::V3).loaded(&image, address).loaded(&entry, TRAMPOLINE);
        recipe.entered_at(TRAMPOLINE).start(run)
    };
    for (name, address) in
        [("image_boots_2_mib_into_ram", 0x4020_0000), ("image_boots_at_an_odd_4_kib_place", 0x4123_5000)]
    {
        run.promise(name, |run| Report::check_next(&mut start_at(run, address)?.console, 1).map(drop));
    }
    run.promise("image_that_would_lie_in_a_partition_is_refused", |run| {
        let bundle = crate::bundle::Bundle::read(&image)?;
        let owned = bundle.system().partitions.first().and_then(|partition| partition.banks.first());
        let address = owned.context("the image has no partition")?.pa.start().as_u64();
        let mut machine = start_at(run, address)?;
        machine.console.expect_line("EL2's refusal", 20, |line| {
            (line.starts_with("bulkhead") && line.contains("error: ") && line.contains("overlaps")).then_some(())
        })
    });
    Ok(())
}

/// `raw.s` of this comment, assembled: prints its text by byte stores and ends by PSCI, if it was entered at EL1 at
/// RAM base + 0x80000 with a device tree in x0; sleeps silently if not.
///
/// ```text
///     adr x4, .        mov x5, #0x40080000    cmp x4, x5      b.ne 3f
///     ldr w6, [x0]     ldr w7, magic          cmp w6, w7      b.ne 3f
///     mrs x6, CurrentEL   cmp x6, #4          b.ne 3f
///     adr x1, text     mov x2, #0x09000000
/// 1:  ldrb w3, [x1], #1   cbz w3, 2f          strb w3, [x2]   b 1b
/// 2:  ldr w0, off      hvc #0
/// 3:  wfi              b 3b
/// magic: .word 0xedfe0dd0      off: .word 0x84000008      text:
/// ```
const RAW: &[u32] = &[
    0x1000_0004,
    0xd2a8_0105,
    0xeb05_009f,
    0x5400_0201,
    0xb940_0006,
    0x1800_0207,
    0x6b07_00df,
    0x5400_0181,
    0xd538_4246,
    0xf100_10df,
    0x5400_0121,
    0x1000_0181,
    0xd2a1_2002,
    0x3840_1423,
    0x3400_0063,
    0x3900_0043,
    0x17ff_fffd,
    0x1800_00a0,
    0xd400_0002,
    0xd503_207f,
    0x17ff_ffff,
    0xedfe_0dd0,
    0x8400_0008,
];

fn raw_guest(run: &mut Run) -> Result<()> {
    run.promise("raw_binary_is_entered_where_qemu_enters_it", |run| {
        let mut binary: Vec<u8> = RAW.iter().flat_map(|word| word.to_le_bytes()).collect();
        binary.extend_from_slice(b"a raw binary at EL1\n\0");
        std::fs::write(run.directory().join("raw.bin"), binary)?;
        let system: PathBuf = run.directory().join("raw.toml");
        let text = "board = \"qemu-virt\"\nconsole = \"tagged\"\n\
            [[partition]]\nname = \"raw\"\ncores = [0]\nmemory = \"2M\"\nkernel = \"raw.bin\"\n";
        std::fs::write(&system, text)?;
        let image = run.project.image_of(&format!("raw-{}", run.kind), &system)?;
        let mut machine = Recipe::virt(gic(run.kind)).kernel(&image).start(run)?;
        machine.console.expect("raw| a raw binary at EL1", 20)?;
        machine.expect_power_off(20)
    });
    Ok(())
}

fn elf_guest(run: &mut Run) -> Result<()> {
    let image = run.project.image("bare")?;
    let mut machine = Recipe::virt(gic(run.kind)).kernel(&image).start(run)?;
    let console = &mut machine.console;
    run.promise("elf_guest_runs_and_answers", |run| {
        let banner = format!("hello: 1 vCPU(s), 8 MiB, GICv{}", gic(run.kind).number());
        console.expect(&format!("hello| {banner}"), 20)?;
        console.expect("hello| hello> ", 20)?;
        console.send("help\n")?;
        console.expect("hello| off    PSCI SYSTEM_OFF", 20).map(drop)
    });
    run.promise("a_guests_own_crash_restarts_that_partition_alone", |_| {
        console.send("stray\n")?;
        console.expect("nobody catches this", 20)?;
        let said = console.expect("'hello' restarts: life 2", 20).context("the guest's end was not noticed")?;
        ensure!(!said.contains("without a fault"), "the stray load read something");
        console.expect("hello| hello> ", 20)?;
        Report::check_next(console, 2).map(drop)
    });
    Ok(())
}

fn raspi4b(run: &mut Run) -> Result<()> {
    let image = run.project.image("pi")?;
    let tree = run.project.built(RPI4_TREE)?;
    run.promise("control_keeps_its_beat_on_raspi4b", |run| {
        let mut machine = Recipe::raspi4b(&tree).kernel(&image).start(run)?;
        Report::check_next(&mut machine.console, 2).map(drop)
    });
    run.promise("image_boots_at_0x80000_on_raspi4b", |run| {
        // QEMU's loader adds the header's text_offset to 0; without the header it takes 0x80000 as the firmware does.
        let mut bytes = std::fs::read(&image)?;
        let magic = bytes.get_mut(abi::bundle::IMAGE_MAGIC_OFFSET..).and_then(|rest| rest.get_mut(..4));
        magic.context("the image has no header")?.fill(0);
        let file = run.directory().join("headless.img");
        std::fs::write(&file, bytes)?;
        let mut machine = Recipe::raspi4b(&tree).kernel(&file).start(run)?;
        Report::check_next(&mut machine.console, 1).map(drop)
    });
    Ok(())
}
