//! P01, P02 and P05: QEMU's raspi4b runs Linux beside the 1 kHz loop, holds a hostile guest, and says what a smaller board
//! lacks.

use crate::bundle::Bundle;
use crate::machine::{Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::pi_figures::{self, START_MAX};
use crate::project;
use crate::promises::boot_failures::{RPI4_TREE, expect_complaint, trampoline};
use crate::promises::isolation::isolation;
use crate::promises::linux::{BOOT, SHORT, flood, timer_counts, two_cpus_and_memory};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::{Shell, View};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// P01, P02, P05.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "pi_linux",
        kinds: &[Kind::Pi],
        when: When::Always,
        seconds: 240,
        promises: &[
            promise("P01", "linux_shell_answers_on_raspi4b"),
            promise("P01", "linux_sees_its_two_cpus_and_its_memory_on_raspi4b"),
            promise("P01", "arch_timer_counts_on_both_cpus_of_raspi4b"),
            promise("P01", "beat_is_exact_beside_a_flooding_linux_on_raspi4b"),
        ],
        body: linux,
    },
    Scenario {
        name: "pi_isolation",
        kinds: &[Kind::Pi],
        when: When::Always,
        seconds: 300,
        promises: &[
            promise("P02", "interrupt_controller_passes_the_probes_self_tests"),
            promise("P02", "both_timers_interrupt_once_and_never_early"),
            promise("P02", "psci_answers_as_specified_by_hvc_and_smc"),
            promise("P02", "first_vcpu_starts_with_clean_registers"),
            promise("P02", "implementation_defined_registers_read_as_zero_and_ignore_writes"),
            promise("P02", "set_way_maintenance_leaves_memory_alone"),
            promise("P02", "pl011_takes_accesses_of_every_size"),
            promise("P02", "registers_take_loads_and_stores_with_write_back"),
            promise("P02", "breakpoint_hits_and_cycle_counter_counts_in_a_bare_metal_guest"),
            promise("P02", "foreign_memory_and_devices_abort_on_read_write_and_execute"),
            promise("P02", "empty_flash_reads_as_zero_and_ignores_writes"),
            promise("P02", "sgi_to_foreign_cores_goes_nowhere"),
            promise("P02", "cpu_on_of_foreign_cores_is_refused"),
            promise("P02", "stage_1_walk_through_a_device_page_aborts"),
            promise("P02", "sgi_names_its_sender_where_the_gic_does"),
            promise("P02", "random_attack_leaks_nothing_and_canaries_are_unchanged"),
            promise("P02", "beat_is_exact_during_the_attack"),
        ],
        body: isolation,
    },
    Scenario {
        name: "pi_boards",
        kinds: &[Kind::Pi],
        when: When::Always,
        seconds: 90,
        promises: &[
            promise("P05", "system_for_every_board_runs_on_one_of_1_gb"),
            promise("P01", "pins_and_baud_rate_of_the_console_are_set"),
            promise("P01", "steps_of_a_boot_are_printed_and_the_lamp_is_lit_when_guests_start"),
            promise("P05", "system_for_2_gb_runs_above_the_first_gib"),
            promise("P05", "system_for_2_gb_is_refused_on_1_gb"),
            promise("P01", "the_lamp_blinks_where_a_boot_ends_early"),
            promise("P05", "system_for_8_gb_is_refused_on_2_gb_before_any_guest"),
            promise("P05", "memory_that_the_firmware_keeps_is_not_given_away"),
        ],
        body: boards,
    },
    Scenario {
        name: "pi_cost",
        kinds: &[Kind::Pi],
        when: When::Alone,
        seconds: 300,
        promises: &[promise("P01", "control_starts_within_a_million_instructions_and_before_linux_is_copied")],
        body: cost,
    },
];

fn linux(run: &mut Run) -> Result<()> {
    let image = run.project.image("pi-linux")?;
    let mut machine = Recipe::raspi4b(&run.project.built(RPI4_TREE)?).kernel(&image).start(run)?;
    let mut shell = Shell::attach(&mut machine.console, View::Tagged, BOOT)?;
    run.promise("linux_shell_answers_on_raspi4b", |_| {
        let answer = shell.run("echo $((6*7)); uname -m", SHORT)?;
        ensure!(answer == "42\naarch64", "the shell said {answer:?}");
        Ok(())
    });
    run.promise("linux_sees_its_two_cpus_and_its_memory_on_raspi4b", |_| two_cpus_and_memory(&mut shell));
    run.promise("arch_timer_counts_on_both_cpus_of_raspi4b", |_| timer_counts(&mut shell));
    run.promise("beat_is_exact_beside_a_flooding_linux_on_raspi4b", |_| flood(&mut shell, 2));
    Ok(())
}

/// What start4.elf tells of boards of 1 and 2 GB: cells of `reg`, two of address and one of size for each bank.
const ONE_GB: &[&str] = &["0", "0", "3b400000"];
const TWO_GB: &[&str] = &["0", "0", "3b400000", "0", "40000000", "40000000"];

/// Control's first word.
const CONTROL_RUNS: &str = "control| control: beat 1000 Hz";
/// Where a tree of our own lies: QEMU's own is below.
const TREE: u64 = 0x0a00_0000;
/// Where QEMU puts an image with a header.
const LOAD_ADDRESS: u64 = 0x0020_0000;

/// The firmware's tree with these banks. QEMU rewrites the memory of a tree that it is given, so this one it is not.
fn tree_with(run: &Run, banks: &[&str]) -> Result<PathBuf> {
    let tree = run.new_directory("tree")?.join("board.dtb");
    std::fs::copy(run.project.built(RPI4_TREE)?, &tree).context("cannot copy the board's tree")?;
    edit(&tree, &[], "/memory@0", "reg", banks)?;
    Ok(tree)
}

fn edit(tree: &Path, options: &[&str], node: &str, property: &str, cells: &[&str]) -> Result<()> {
    fdtput(tree, &[options, &["-t", "x"]].concat(), node, property, cells)
}

fn fdtput(tree: &Path, options: &[&str], node: &str, property: &str, values: &[&str]) -> Result<()> {
    let mut fdtput = Command::new("fdtput");
    fdtput.args(options).arg(tree).args([node, property]).args(values);
    project::run(&mut fdtput).map(drop)
}

/// A machine that starts `image` with `tree` in x0, from where QEMU puts what has no header: with its spin table, at EL2.
fn recipe_with(run: &Run, image: &Path, tree: &Path) -> Result<Recipe> {
    let entry = run.new_directory("entry")?.join("trampoline");
    std::fs::write(&entry, trampoline(TREE, LOAD_ADDRESS))?;
    let recipe = Recipe::raspi4b(&run.project.built(RPI4_TREE)?).kernel(&entry);
    Ok(recipe.loaded(image, LOAD_ADDRESS).loaded(tree, TREE))
}

fn start_with(run: &Run, image: &Path, tree: &Path) -> Result<Machine> {
    recipe_with(run, image, tree)?.start(run)
}

fn boards(run: &mut Run) -> Result<()> {
    let any = run.project.image("pi")?;
    let for_2 = run.project.image("pi-2g")?;
    let for_8 = run.project.image("pi-8g")?;
    let socket = Socket::new()?;
    let tree = tree_with(run, ONE_GB)?;
    fdtput(&tree, &["-p", "-t", "s"], "/chosen", "bootargs", &["quiet bulkhead.debug=1"])?;
    let recipe = recipe_with(run, &any, &tree)?;
    let mut machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    let mut monitor = socket.accept(run)?;
    run.promise("system_for_every_board_runs_on_one_of_1_gb", |_| {
        machine.console.expect(CONTROL_RUNS, SHORT).map(drop)
    });
    run.promise("pins_and_baud_rate_of_the_console_are_set", |_| {
        // GPFSEL1: ALT0 at 14 and 15. GPIO_PUP_PDN_CNTRL_REG0: pin 15 is pulled up. IBRD, FBRD, LCRH: 115 200 of 48 MHz.
        for (register, mask, expected) in [
            (0xfe20_0004, 0x3f << 12, 0x24 << 12),
            (0xfe20_00e4, 0xf << 28, 0x4 << 28),
            (0xfe20_1024, u32::MAX, 26),
            (0xfe20_1028, u32::MAX, 3),
            (0xfe20_102c, u32::MAX, 0x70),
        ] {
            let value = monitor.words(register, 1)?.first().copied().unwrap_or_default();
            ensure!(value & mask == expected, "the register at {register:#x} holds {value:#x}");
        }
        Ok(())
    });
    run.promise("steps_of_a_boot_are_printed_and_the_lamp_is_lit_when_guests_start", |_| {
        let said = machine.console.transcript().text_from(0);
        let steps = said.lines().filter_map(|line| line.strip_prefix("bulkhead: boot step "));
        let numbers: Vec<&str> = steps.filter_map(|step| step.split(" of 8, ").next()).collect();
        ensure!(numbers == ["3", "4", "5", "6", "7", "8"], "the steps are {numbers:?}");
        ensure!(is_lit(&mut monitor)?, "the lamp is dark");
        Ok(())
    });
    drop(machine);
    run.promise("system_for_2_gb_runs_above_the_first_gib", |run| {
        let bank = control_at(&for_2)?;
        ensure!(bank >= 0x4000_0000, "control lies at {bank:#x}");
        start_with(run, &for_2, &tree_with(run, TWO_GB)?)?.console.expect(CONTROL_RUNS, SHORT).map(drop)
    });
    let socket = Socket::new()?;
    let recipe = recipe_with(run, &for_2, &tree_with(run, ONE_GB)?)?;
    let mut machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    let mut monitor = socket.accept(run)?;
    run.promise("system_for_2_gb_is_refused_on_1_gb", |_| {
        expect_complaint(&mut machine, &["no RAM at [0x7", "machine = "])
    });
    run.promise("the_lamp_blinks_where_a_boot_ends_early", |run| {
        // How long each flash takes is wall time; that it flashes is not.
        for wanted in [true, false, true, false, true] {
            while is_lit(&mut monitor)? != wanted {
                ensure!(Instant::now() < run.deadline(), "the lamp does not blink");
            }
        }
        Ok(())
    });
    drop(machine);
    run.promise("system_for_8_gb_is_refused_on_2_gb_before_any_guest", |run| {
        let mut machine = start_with(run, &for_8, &tree_with(run, TWO_GB)?)?;
        expect_complaint(&mut machine, &["no RAM at [0x0001_", "machine = "])
    });
    run.promise("memory_that_the_firmware_keeps_is_not_given_away", |run| {
        let tree = tree_with(run, ONE_GB)?;
        let kept = format!("{:x}", control_at(&any)? + 0x10_0000);
        edit(&tree, &["-p"], "/reserved-memory/nvram@1", "reg", &["0", &kept, "1000"])?;
        expect_complaint(&mut start_with(run, &any, &tree)?, &["what it keeps", "of control"])
    });
    Ok(())
}

/// Whether QEMU has GPIO 42, the green lamp, as an output (GPFSEL4) that is high (GPLEV1).
fn is_lit(monitor: &mut Monitor) -> Result<bool> {
    let functions = monitor.words(0xfe20_0010, 1)?;
    let levels = monitor.words(0xfe20_0038, 1)?;
    ensure!(functions.first().is_some_and(|word| word >> 6 & 7 == 1), "the lamp's pin is no output: {functions:x?}");
    Ok(levels.first().is_some_and(|word| word >> 10 & 1 == 1))
}

/// Where control's memory is.
fn control_at(image: &Path) -> Result<u64> {
    let bundle = Bundle::read(image)?;
    let bank = bundle.system().partitions.iter().find_map(|partition| partition.banks.first());
    Ok(bank.context("control has no memory")?.pa.start().as_u64())
}

fn cost(run: &mut Run) -> Result<()> {
    run.promise("control_starts_within_a_million_instructions_and_before_linux_is_copied", |run| {
        let start = pi_figures::start_of_control(run)?;
        let (own, loaders, copy) = (start.own, start.loaders, start.copy);
        println!("P01   PI   control's first instruction: {own} at EL2 on its core; on Linux's {loaders} of {copy}");
        ensure!(own <= START_MAX, "control starts after {own} instructions, at most {START_MAX} are promised");
        ensure!(loaders < copy, "Linux's cores had executed {loaders} instructions: its kernel may be copied by then");
        Ok(())
    });
    Ok(())
}
