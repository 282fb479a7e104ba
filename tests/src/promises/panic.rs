//! L10: EL2's own bugs say what and where, and then the machine stops or resets.
//!
//! EL2 has no bug on order, so a debugger makes one: it stops `control`'s core at the beginning of an exit and sends it
//! astray. What follows is EL2's own.

use crate::control::Report;
use crate::gdb::{Gdb, Register};
use crate::machine::{Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::promises::boot_failures::RPI4_TREE;
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::said_by;
use crate::symbols::Symbols;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Seconds for a boot or an answer.
const SHORT: u64 = 30;
/// The core of `control` in tests/systems/bare.toml and panic-reset.toml.
const CORE: u8 = 3;
/// Bytes of a core's stack, which begins at a multiple of as many (hypervisor/src/memory.rs).
const STACK: u64 = 16 << 10;
/// An address that EL2 maps nothing at.
const NOWHERE: u64 = 0x1000;
/// How long the other cores may take to halt.
const SETTLES: Duration = Duration::from_millis(500);
/// How long the machine must be silent to have stopped: `hello` prints a line each second.
const SILENCE: Duration = Duration::from_millis(2500);

/// The service's digit for Ctrl-T in tests/systems/pi-panic.toml.
const SERVICE: u8 = 3;
/// An order to its hooks: a load from where it has nothing, which ends its life.
const REACH_NOWHERE: &str = "ff00000000\n";

/// L10, P09.
pub const SCENARIOS: &[Scenario] = &[L10, P09];

const L10: Scenario = Scenario {
    name: "panic",
    kinds: &[Kind::V3, Kind::V2],
    when: When::LongOn(Kind::V2),
    seconds: 180,
    promises: &[
        promise("L10", "a_panic_of_el2_is_named_and_symbolized_and_the_machine_stops"),
        promise("L10", "a_stack_overflow_of_el2_is_named_and_symbolized"),
        promise("L10", "an_exception_from_el2_is_named"),
        promise("L10", "after_a_panic_the_board_resets_if_the_system_file_says_so"),
        promise("L10", "a_panic_whose_telling_fails_stops_the_machine_or_resets_the_board_all_the_same"),
    ],
    body: panics,
};

const P09: Scenario = Scenario {
    name: "panic_on_raspi4b",
    kinds: &[Kind::Pi],
    when: When::Always,
    seconds: 300,
    promises: &[
        promise("P09", "a_crash_of_the_service_does_not_reset_the_board_on_raspi4b"),
        promise("P09", "a_panic_of_el2_resets_the_board_on_raspi4b"),
    ],
    body: panics_on_the_pi,
};

fn panics(run: &mut Run) -> Result<()> {
    run.promise("a_panic_of_el2_is_named_and_symbolized_and_the_machine_stops", panic_stops);
    run.promise("a_stack_overflow_of_el2_is_named_and_symbolized", overflow);
    run.promise("an_exception_from_el2_is_named", exception);
    run.promise("after_a_panic_the_board_resets_if_the_system_file_says_so", panic_resets);
    run.promise("a_panic_whose_telling_fails_stops_the_machine_or_resets_the_board_all_the_same", telling_fails);
    Ok(())
}

/// The name of EL2's Rust function for an exit of this `kind`.
fn exit(run: &Run, kind: &str) -> String {
    let version = if run.kind == Kind::Pi { Kind::V2 } else { run.kind };
    format!("exit_{kind}_{}", version.to_string().to_lowercase())
}

/// EL2's symbols on this machine.
fn symbols(run: &Run) -> Result<Symbols> {
    Symbols::of_board(run.project, if run.kind == Kind::Pi { "rpi4" } else { "qemu-virt" })
}

/// Boots `image` and stops `control`'s core, which has a guest, at the first instruction of the function for an exit.
fn stop_at_exit(run: &Run, image: &Path, exit: &str) -> Result<(Machine, Monitor, Gdb)> {
    let socket = Socket::new()?;
    let recipe = Recipe::virt(gic(run.kind)).kernel(image);
    let mut machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    let mut monitor = socket.accept(run)?;
    expect_guests(&mut machine)?;
    let mut gdb = monitor.debug()?;
    gdb.run_to(CORE, symbols(run)?.address_of(exit)?)?;
    Ok((machine, monitor, gdb))
}

/// Both guests run.
fn expect_guests(machine: &mut Machine) -> Result<()> {
    let console = &mut machine.console;
    // The service may take the console in the middle of any line.
    console.transcript().wait(console.seen(), console.deadline(SHORT), "both guests", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let has_begun = said_by(&text, "control").contains("control: beat 1000 Hz");
        // The whole of it: until the next one nobody has anything to print.
        (has_begun && said_by(&text, "hello").split_once("hello: tick")?.1.contains("hello> ")).then_some(())
    })?;
    console.skip();
    Ok(())
}

/// Makes an assertion fail: EL2's allocator is called with a guest running.
fn send_to_allocate(run: &Run, gdb: &mut Gdb) -> Result<()> {
    gdb.set_register(CORE, Register::X(0), 4096)?;
    gdb.set_register(CORE, Register::X(1), 4096)?;
    gdb.set_register(CORE, Register::Pc, symbols(run)?.address_of("10hypervisor6memory8allocate17h")?)
}

/// The line that names what happened, on `control`'s core.
fn expect_panic(machine: &mut Machine, what: &str) -> Result<()> {
    let begin = format!("bulkhead: PANIC on core{CORE} (partition: control): ");
    let said =
        machine.console.expect_line("a panic of EL2", SHORT, |line| Some(line.strip_prefix(&begin)?.to_owned()))?;
    ensure!(said.starts_with(what), "EL2 named {said:?}, expected {what:?}");
    Ok(())
}

/// Version and end.
fn expect_stop(machine: &mut Machine) -> Result<()> {
    let console = &mut machine.console;
    console.expect(&format!("this is a bug in Bulkhead {}, not in a guest\r\n", env!("CARGO_PKG_VERSION")), SHORT)?;
    expect_silence(machine)
}

/// EL2 says that the machine stops, and nothing says anything more.
fn expect_silence(machine: &mut Machine) -> Result<()> {
    let console = &mut machine.console;
    console.expect("bulkhead: the machine stops\r\n", SHORT)?;
    // What the console's core had in hand when the doorbell to halt rang comes first.
    let settles = Instant::now() + SETTLES;
    loop {
        let end = console.transcript().len();
        let silence = Instant::now() + SILENCE;
        let speaks = console.transcript().wait(end, silence, "silence", |bytes| (!bytes.is_empty()).then_some(()));
        if speaks.is_err() {
            return Ok(());
        }
        ensure!(Instant::now() < settles, "the machine goes on: {:?}", console.transcript().text_from(end));
    }
}

/// What `bulkhead symbolize IMAGE` makes of the console: the lines below the backtrace.
fn symbolized(run: &Run, image: &Path, machine: &Machine) -> Result<Vec<String>> {
    let log = run.new_directory("symbolize")?.join("console");
    std::fs::write(&log, machine.console.transcript().bytes_from(0))?;
    let output = run.project.tool().arg("symbolize").arg(image).stdin(Stdio::from(File::open(log)?)).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "symbolize failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    let lines = text.lines().skip_while(|line| !line.starts_with("bulkhead: backtrace:")).skip(1);
    Ok(lines.take_while(|line| line.starts_with("    ")).map(ToOwned::to_owned).collect())
}

fn panic_stops(run: &Run) -> Result<()> {
    panic_stops_in(run, "bare")
}

/// A panic in `tests/systems/SYSTEM.toml`, which has the guests of bare.toml.
pub fn panic_stops_in(run: &Run, system: &str) -> Result<()> {
    let image = run.project.image(system)?;
    let (mut machine, _monitor, mut gdb) = stop_at_exit(run, &image, &exit(run, "irq"))?;
    send_to_allocate(run, &mut gdb)?;
    gdb.detach()?;
    expect_panic(&mut machine, "EL2 allocates at boot only")?;
    let place = machine
        .console
        .expect_line("the place of the panic", SHORT, |line| Some(line.strip_prefix("bulkhead: at ")?.to_owned()))?;
    ensure!(place.starts_with("hypervisor/src/memory.rs:"), "the panic was at {place}");
    expect_stop(&mut machine)?;
    let lines = symbolized(run, &image, &machine)?;
    let wanted = format!("hypervisor::memory::allocate at {place}");
    ensure!(lines.iter().any(|line| line.contains(&wanted)), "no {wanted} among\n{}", lines.join("\n"));
    Ok(())
}

fn overflow(run: &Run) -> Result<()> {
    let image = run.project.image("bare")?;
    // `control` writes to its console: a data abort, whose function needs more of the stack than is left here.
    let (mut machine, _monitor, mut gdb) = stop_at_exit(run, &image, &exit(run, "sync"))?;
    let stack = gdb.register(CORE, Register::Sp)?;
    gdb.set_register(CORE, Register::Sp, (stack & !(STACK - 1)) + 16)?;
    gdb.detach()?;
    expect_panic(&mut machine, "stack overflow")?;
    expect_stop(&mut machine)?;
    let lines = symbolized(run, &image, &machine)?;
    let first = lines.first().context("no backtrace")?;
    let wanted = "hypervisor::exit::data_abort at hypervisor/src/exit.rs:";
    ensure!(first.contains(wanted), "the first line is {first:?}, expected {wanted}");
    Ok(())
}

fn exception(run: &Run) -> Result<()> {
    let image = run.project.image("bare")?;
    let (mut machine, _monitor, mut gdb) = stop_at_exit(run, &image, &exit(run, "irq"))?;
    gdb.set_register(CORE, Register::Pc, NOWHERE)?;
    gdb.detach()?;
    expect_panic(&mut machine, "synchronous: an exception of EL2's own, esr 0x860000")?;
    expect_stop(&mut machine)?;
    let text = machine.console.transcript().text_from(0);
    ensure!(text.contains(&format!("elr {NOWHERE:#x} far {NOWHERE:#x}")), "the address is not named:\n{text}");
    let lines = symbolized(run, &image, &machine)?;
    let first = lines.first().context("no backtrace")?;
    ensure!(first.contains(&format!("{NOWHERE:#x} is not in EL2's code")), "the first line is {first:?}");
    Ok(())
}

fn panic_resets(run: &Run) -> Result<()> {
    let (mut machine, _monitor, mut gdb) = stop_at_exit(run, &run.project.image("panic-reset")?, &exit(run, "irq"))?;
    send_to_allocate(run, &mut gdb)?;
    gdb.detach()?;
    expect_panic(&mut machine, "EL2 allocates at boot only")?;
    expect_reset(&mut machine, "qemu-virt")
}

/// A panic that panics at its backtrace: once where the machine stops then, once where the board resets.
fn telling_fails(run: &Run) -> Result<()> {
    for (system, resets) in [("bare", false), ("panic-reset", true)] {
        let (mut machine, _monitor, mut gdb) = stop_at_exit(run, &run.project.image(system)?, &exit(run, "irq"))?;
        send_to_allocate(run, &mut gdb)?;
        gdb.run_to(CORE, symbols(run)?.address_of("hypervisor..panic..Backtrace$u20$as")?)?;
        gdb.set_register(CORE, Register::Pc, NOWHERE)?;
        gdb.detach()?;
        expect_panic(&mut machine, "EL2 allocates at boot only")?;
        if resets {
            expect_boot(&mut machine, "qemu-virt")?;
        } else {
            expect_silence(&mut machine)?;
        }
    }
    Ok(())
}

/// EL2 says that it resets the board, and the board begins anew.
fn expect_reset(machine: &mut Machine, board: &str) -> Result<()> {
    machine.console.expect("bulkhead: the machine resets (on_hypervisor_panic)\r\n", SHORT)?;
    expect_boot(machine, board)
}

fn expect_boot(machine: &mut Machine, board: &str) -> Result<()> {
    machine.console.expect(&format!("Bulkhead {} on {board}", env!("CARGO_PKG_VERSION")), SHORT)?;
    expect_guests(machine)
}

fn panics_on_the_pi(run: &mut Run) -> Result<()> {
    let (image, tree) = (run.project.image("pi-panic")?, run.project.built(RPI4_TREE)?);
    let socket = Socket::new()?;
    let recipe = Recipe::raspi4b(&tree).kernel(&image);
    let mut machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    let mut monitor = socket.accept(run)?;
    machine.console.expect("the board's watchdog resets at once", SHORT)?;
    expect_guests(&mut machine)?;
    run.promise("a_crash_of_the_service_does_not_reset_the_board_on_raspi4b", |_| {
        let console = &mut machine.console;
        console.focus(b'0' + SERVICE, "service")?;
        console.send(REACH_NOWHERE)?;
        console.expect("partition 'service' restarts: life 2", SHORT)?;
        // Beats from before it go on being counted: control's life is the same, and so is EL2's.
        Report::check_next(console, 1)?;
        let boots = console.transcript().text_from(0).matches("core0 Bulkhead ").count();
        ensure!(boots == 1, "the board has booted {boots} times");
        Ok(())
    });
    run.promise("a_panic_of_el2_resets_the_board_on_raspi4b", |run| {
        let mut gdb = monitor.debug()?;
        gdb.run_to(CORE, symbols(run)?.address_of(&exit(run, "irq"))?)?;
        send_to_allocate(run, &mut gdb)?;
        gdb.detach()?;
        expect_panic(&mut machine, "EL2 allocates at boot only")?;
        expect_reset(&mut machine, "rpi4")
    });
    Ok(())
}
