//! N10: a console of its own device beside the PL011, on a Linux whose service partition crashes in the end.

use super::{El2, boot};
use crate::counters::CTRL_T;
use crate::disk::Disk;
use crate::life::History;
use crate::probe::field;
use crate::promises::console::paste;
use crate::promises::linux::BOOT;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::{Shell, View};
use anyhow::{Context, Result, ensure};

/// Seconds for a short command.
const SHORT: u64 = 20;
/// Seconds for a piece of work in which the service crashes.
const WORK: u64 = 60;
/// What is typed to move the keyboard to the first partition, to the second, and to the virtio console of whoever has it.
const FIRST: u8 = b'1';
const SECOND: u8 = b'2';
const VIRTIO: u8 = b'h';
/// Lines of a flood, and bytes of each without its end.
const LINES: usize = 600;
const LINE: usize = 99;
/// Lives of the service in which something is typed.
const CRASHES: usize = 5;

/// N10.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "hvc",
    kinds: &[Kind::V3, Kind::V2],
    when: When::Always,
    seconds: 240,
    promises: &[
        promise("N10", "hvc0_asks_for_a_login_and_gives_a_shell"),
        promise("N10", "typed_bytes_reach_only_the_console_with_the_keyboard"),
        promise("N10", "what_hvc0_prints_is_tagged_while_another_has_the_keyboard"),
        promise("N10", "pasted_4_kib_arrive_with_their_checksum"),
        promise("N10", "a_flood_loses_no_line_and_silences_nobody"),
        promise("N10", "a_driver_that_tells_nonsense_breaks_its_own_console_only"),
        promise("N10", "what_is_typed_while_the_service_crashes_arrives_and_the_keyboard_stays"),
    ],
    body: hvc,
}];

fn hvc(run: &mut Run) -> Result<()> {
    run.project.built("build/guests/service-hooks.elf")?;
    let disk = Disk::blank(run, "first", 2 << 20)?;
    let (mut machine, _) = boot(run, El2::Ordinary, "hvc", &[&disk])?;
    let mut shell = Shell::attach(&mut machine.console, View::Raw, BOOT)?;
    run.promise("hvc0_asks_for_a_login_and_gives_a_shell", |_| login(&mut shell));
    run.promise("typed_bytes_reach_only_the_console_with_the_keyboard", |_| focus(&mut shell));
    run.promise("what_hvc0_prints_is_tagged_while_another_has_the_keyboard", |_| tagged(&mut shell));
    run.promise("pasted_4_kib_arrive_with_their_checksum", |_| {
        shell.console().focus(VIRTIO, "linux/hvc0")?;
        paste(&mut shell)
    });
    run.promise("a_flood_loses_no_line_and_silences_nobody", |_| flood(&mut shell));
    run.promise("a_driver_that_tells_nonsense_breaks_its_own_console_only", |_| hostile(&mut shell));
    run.promise("what_is_typed_while_the_service_crashes_arrives_and_the_keyboard_stays", |_| crash(&mut shell));
    Ok(())
}

/// The terminal behind the shell's input.
fn expect_tty(shell: &mut Shell, wanted: &str) -> Result<()> {
    let tty = shell.run("tty", SHORT)?;
    ensure!(tty == wanted, "the shell is on {tty:?} instead of {wanted}");
    Ok(())
}

fn login(shell: &mut Shell) -> Result<()> {
    let console = shell.console();
    console.focus(VIRTIO, "linux/hvc0")?;
    // It may have been there before the keyboard was: then it is shown first.
    let deadline = console.deadline(SHORT);
    console.transcript().wait(0, deadline, "hvc0's prompt", |bytes| {
        String::from_utf8_lossy(bytes).contains("linux login: ").then_some(())
    })?;
    console.send("root\n")?;
    console.expect("# ", SHORT).context("no shell on hvc0")?;
    expect_tty(shell, "/dev/hvc0")
}

/// Each shell writes down where it is; a byte that reached both would be a line too many.
fn focus(shell: &mut Shell) -> Result<()> {
    const NOTE: &str = "tty >>/tmp/ttys";
    shell.run(NOTE, SHORT)?;
    shell.console().focus(FIRST, "linux")?;
    shell.run(NOTE, SHORT)?;
    shell.console().focus(SECOND, "alice")?;
    shell.console().send("uptime\n")?;
    shell.console().expect("ok ", SHORT)?;
    shell.console().focus(VIRTIO, "alice/hvc0")?;
    // Nobody listens there.
    shell.console().send("tty >>/tmp/ttys\n")?;
    shell.console().focus(FIRST, "linux")?;
    shell.console().focus(VIRTIO, "linux/hvc0")?;
    shell.run(NOTE, SHORT)?;
    let said = shell.run("cat /tmp/ttys", SHORT)?;
    ensure!(said == "/dev/hvc0\n/dev/ttyAMA0\n/dev/hvc0", "what was typed came to {said:?}");
    Ok(())
}

fn tagged(shell: &mut Shell) -> Result<()> {
    shell.console().focus(FIRST, "linux")?;
    expect_tty(shell, "/dev/ttyAMA0")?;
    // Behind the prompt that the shell there has left open; the second line moves no cursor and asks the terminal nothing.
    shell.console().send("printf 'seen %d\\n\\033[2J\\033[cplain\\n' 42 >/dev/hvc0\n")?;
    shell.console().expect_line("a tagged line", SHORT, |line| {
        (line.starts_with("linux/hvc0| ") && line.ends_with("seen 42")).then_some(())
    })?;
    shell.console().expect_line("one without control", SHORT, |line| (line == "linux/hvc0| plain").then_some(()))
}

/// The flood goes on while EL2 and the shell on the PL011 answer.
fn flood(shell: &mut Shell) -> Result<()> {
    shell.console().focus(FIRST, "linux")?;
    let from = shell.console().seen();
    let flood = format!("dd if=/dev/zero bs={LINE} count={LINES} 2>/dev/null | tr '\\0' f | fold -w {LINE} >/dev/hvc0");
    shell.run(&format!("(sh -c \"{flood}; echo; echo end of it >/dev/hvc0\" &)"), SHORT)?;
    History::ask(shell.console(), "linux")?;
    shell.run("true", SHORT)?;
    let deadline = shell.console().deadline(WORK);
    let count = shell.console().transcript().wait(from, deadline, "the end of the flood", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let own = text.lines().filter_map(|line| line.strip_prefix("linux/hvc0| "));
        let is_over = own.clone().any(|line| line.contains("end of it"));
        // None of them is torn, although the first stands behind a prompt, and the last has no end of its own.
        is_over.then(|| own.filter(|line| line.contains(&"f".repeat(LINE))).count())
    })?;
    ensure!(count == LINES, "{count} of {LINES} lines were shown whole");
    shell.console().skip();
    Ok(())
}

/// The probe's console is told nonsense while bytes are typed for it.
fn hostile(shell: &mut Shell) -> Result<()> {
    let console = shell.console();
    console.focus(SECOND, "alice")?;
    console.send("vattack 1 10 1200\n")?;
    console.expect("vattack 1 10 1200\r\n", SHORT)?;
    console.send([CTRL_T, VIRTIO])?;
    console.send("what is typed meanwhile\n".repeat(20))?;
    let said =
        console.expect_line("alice's answer", WORK, |line| line.strip_prefix("alice| ok ").map(str::to_owned))?;
    // How many of its rounds the service gets to see is the host's matter.
    ensure!(field(&said, "broken").is_some_and(|broken| broken > 0), "it was no attack: alice said {said:?}");
    shell.console().focus(FIRST, "linux")?;
    shell.console().focus(VIRTIO, "linux/hvc0")?;
    expect_tty(shell, "/dev/hvc0")
}

/// The probe's requests let hooks end lives of the service; each time something is typed.
fn crash(shell: &mut Shell) -> Result<()> {
    let before = History::ask(shell.console(), "service")?.restarts;
    ensure!(before == 0, "the service has restarted {before} times before anything was to crash it");
    let console = shell.console();
    console.focus(SECOND, "alice")?;
    for order in ["open 0", "scan"] {
        console.send(format!("{order}\n"))?;
        console.expect(&format!("{order}\r\n"), SHORT)?;
        console.expect("ok ", WORK)?;
    }
    console.send("io 1 3500 64 4096 50\n")?;
    console.send([CTRL_T, FIRST])?;
    console.send([CTRL_T, VIRTIO])?;
    let pad = "p".repeat(200);
    for n in 0..CRASHES {
        console.expect("partition 'service' restarts: life ", WORK)?;
        console.send(format!("echo {n} {pad} >>/tmp/typed\n"))?;
    }
    console.expect_line("alice's answer", WORK, |line| line.starts_with("alice| ok ").then_some(()))?;
    // Whatever the lives between had taken and not shown is not seen again, so the shell's own words begin here.
    console.send("\n")?;
    console.expect("# ", SHORT)?;
    expect_tty(shell, "/dev/hvc0")?;
    let said = shell.run("cat /tmp/typed", SHORT)?;
    let wanted = (0..CRASHES).map(|n| format!("{n} {pad}")).collect::<Vec<_>>().join("\n");
    ensure!(said == wanted, "what was typed while the service crashed arrived as {said:?}");
    let after = History::ask(shell.console(), "service")?.restarts;
    ensure!(after as usize >= CRASHES, "the service has restarted {after} times");
    Ok(())
}
