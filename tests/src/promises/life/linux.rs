//! L02, L03, L08 and L09 with Linux: stock Debian comes back from everything, and its own drivers use the watchdog and
//! the power key.

use crate::control::Report;
use crate::conversation::Conversation;
use crate::life::{History, el2_says, press_yes};
use crate::machine::Recipe;
use crate::promises::linux::{BOOT, gic};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::{Shell, View};
use anyhow::{Context, Result, ensure};

/// Seconds for a short command.
const SHORT: u64 = 20;
/// Linux's digit for Ctrl-T.
const DIGIT: u8 = 1;

/// L02, L03, L08, L09.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "lives_of_linux",
    kinds: &[Kind::V3, Kind::V2],
    when: When::LongOn(Kind::V2),
    seconds: 400,
    promises: &[
        promise("L08", "linux_feeds_its_watchdog"),
        promise("L02", "reboot_comes_back_to_the_shell"),
        promise("L03", "file_in_the_initramfs_is_gone_after_reboot"),
        promise("L02", "panic_comes_back_to_the_shell"),
        promise("L08", "linux_that_hangs_in_a_panic_starves_its_watchdog_and_comes_back"),
        promise("L09", "power_key_shuts_linux_down"),
        promise("L02", "control_kept_its_beat_beside_linux"),
    ],
    body: lives_of_linux,
}];

/// The shell of the next life.
fn shell(console: &mut Conversation) -> Result<Shell<'_>> {
    el2_says(console, "partition 'linux' restarts: life ")?;
    Shell::attach(console, View::Tagged, BOOT)
}

fn lives_of_linux(run: &mut Run) -> Result<()> {
    let image = run.project.image("lives-of-linux")?;
    let mut machine = Recipe::virt(gic(run.kind)).kernel(&image).start(run)?;
    let console = &mut machine.console;
    let mut first = Shell::attach(console, View::Tagged, BOOT)?;
    run.promise("linux_feeds_its_watchdog", |_| {
        feed(&mut first)?;
        // Longer than its time.
        first.run("sleep 10", SHORT)?;
        let history = History::ask(first.console(), "linux")?;
        ensure!((history.restarts, history.faults) == (0, 0), "fed, but {history:?}");
        // `V` before it closes: asleep again (drivers/watchdog, "magic close").
        first.run("killall watchdog; while pidof watchdog; do sleep 0.1; done", SHORT)?;
        Ok(())
    });
    let marked = first.run("echo secret >/etc/left-behind; sync; cat /etc/left-behind", SHORT)?;
    ensure!(marked == "secret", "the first life cannot write to its initramfs: {marked:?}");
    run.promise("reboot_comes_back_to_the_shell", |_| {
        console.send("reboot\n")?;
        el2_says(console, "the guest asked for a reset").context("`reboot` is no SYSTEM_RESET")?;
        shell(console)?.run("true", SHORT).map(drop)
    });
    let mut next = Shell::at_prompt(console, View::Tagged);
    run.promise("file_in_the_initramfs_is_gone_after_reboot", |_| {
        let (status, said) = next.status("ls /etc/left-behind", SHORT)?;
        ensure!(status == 1 && said.contains("No such file"), "the last life's file: status {status}, {said:?}");
        Ok(())
    });
    run.promise("panic_comes_back_to_the_shell", |_| {
        // `panic=1` is on its command line: the kernel resets a second after it panicked.
        console.send("echo c >/proc/sysrq-trigger\n")?;
        console.expect("Kernel panic - not syncing: sysrq triggered crash", SHORT)?;
        shell(console)?.run("true", SHORT).map(drop)
    });
    run.promise("linux_that_hangs_in_a_panic_starves_its_watchdog_and_comes_back", |_| {
        let mut shell = Shell::at_prompt(console, View::Tagged);
        feed(&mut shell)?;
        shell.run("echo 0 >/proc/sys/kernel/panic", SHORT)?;
        console.send("echo c >/proc/sysrq-trigger\n")?;
        console.expect("end Kernel panic - not syncing: sysrq triggered crash", SHORT)?;
        el2_says(console, "error: linux/v0: its watchdog starved")?;
        self::shell(console)?.run("true", SHORT).map(drop)
    });
    run.promise("power_key_shuts_linux_down", |_| power_key(console));
    run.promise("control_kept_its_beat_beside_linux", |_| Report::check_next(console, 1).map(drop));
    Ok(())
}

/// The driver came with its device; BusyBox feeds it each second, eight seconds are its time.
fn feed(shell: &mut Shell) -> Result<()> {
    let driver = shell.run("cat /sys/class/watchdog/watchdog0/identity", SHORT)?;
    ensure!(driver == "SBSA Generic Watchdog", "the watchdog's driver is {driver:?}");
    shell.run("watchdog -T 8 -t 1 /dev/watchdog", SHORT)?;
    shell.run("grep -q 8 /sys/class/watchdog/watchdog0/timeout", SHORT).map(drop)
}

/// BusyBox's acpid acts on KEY_POWER of gpio-keys; `poweroff` asks init, which ends everything in order.
fn power_key(console: &mut Conversation) -> Result<()> {
    let mut shell = Shell::at_prompt(console, View::Tagged);
    let keys = shell.run("grep -l gpio-keys /sys/class/input/event*/device/name", SHORT)?;
    ensure!(keys.contains("event"), "no input device of gpio-keys: {keys:?}");
    shell.run("mkdir -p /etc/acpi/PWRF", SHORT)?;
    shell.run("printf '#!/bin/sh\\npoweroff\\n' >/etc/acpi/PWRF/00000080; chmod +x /etc/acpi/PWRF/00000080", SHORT)?;
    // It listens some time after it has gone to the background.
    shell.run("acpid -l /dev/null; until ls -l /proc/$(pidof acpid)/fd | grep -q event; do sleep 0.1; done", SHORT)?;
    // The kernel debounces: where the host stands still for as long as the key is down, it sees nothing.
    let mut acts = Ok(String::new());
    for _ in 0..3 {
        press_yes(console, DIGIT, b'p')?;
        acts = console.expect("The system is going down NOW!", 7);
        if acts.is_ok() {
            break;
        }
    }
    acts.context("nobody acted on KEY_POWER")?;
    console.expect("reboot: Power down", SHORT)?;
    el2_says(console, "partition 'linux' stopped: switched off").map(drop)
}
