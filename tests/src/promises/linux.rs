//! B30 to B36: a stock Debian kernel in a partition, unmodified, beside the 1 kHz loop.
//!
//! One boot per GIC carries the whole set; other kernels and other CPUs get one short boot each.

use crate::control::{Report, check_beat};
use crate::machine::{GicVersion, Machine, Recipe};
use crate::project;
use crate::run::Run;
use crate::scenario::{Kind, Promise, Scenario, When, promise};
use crate::shell::{Shell, View};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Seconds from reset to a shell on a busy host.
pub const BOOT: u64 = 120;
/// Seconds for a short command.
pub const SHORT: u64 = 20;
/// Seconds of load that must leave no trace in the kernel's log.
const LOAD: u64 = 30;
/// What a kernel says when time, interrupts or a CPU failed it.
const STALLS: &str = "stall|lockup|hung|BUG:|Oops|WARNING:|unstable|skew|timed out|irq [0-9]*: nobody cared";

/// B30 to B36, B53.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "linux",
        kinds: &[Kind::V3, Kind::V2],
        when: When::LongOn(Kind::V2),
        seconds: 400,
        promises: &[
            promise("B30", "linux_shell_answers"),
            promise("B31", "linux_sees_its_two_cpus_and_its_memory"),
            promise("B31", "arch_timer_counts_on_both_cpus"),
            promise("B35b", "aarch32_busybox_runs"),
            promise("B35b", "stray_access_from_aarch32_gets_its_abort"),
            promise("B50", "linux_root_reaches_nothing_outside_its_ram"),
            promise("B32", "no_stall_in_30_s_of_load"),
            promise("B53", "beat_is_exact_while_linux_loads_both_cpus_and_floods_its_console"),
            promise("B35", "poweroff_stops_linux_and_control_goes_on"),
        ],
        body: linux,
    },
    Scenario {
        name: "linux_debug",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 300,
        promises: &[
            promise("B36", "gdb_in_the_guest_hits_its_hardware_breakpoint"),
            promise("B36", "perf_in_the_guest_counts_cycles"),
        ],
        body: debug,
    },
    flavour("linux_generic", &[promise("B33", "generic_kernel_reaches_its_shell")], generic),
    flavour("linux_rt", &[promise("B33", "preempt_rt_kernel_reaches_its_shell")], rt),
    cpu("linux_on_max", &[promise("B34", "linux_boots_on_cpu_max")], |run| on_cpu(run, "max")),
    further_cpu("linux_on_a53", &[promise("B34", "linux_boots_on_cortex_a53")], |run| on_cpu(run, "cortex-a53")),
    further_cpu("linux_on_a57", &[promise("B34", "linux_boots_on_cortex_a57")], |run| on_cpu(run, "cortex-a57")),
    further_cpu("linux_on_a76", &[promise("B34", "linux_boots_on_cortex_a76")], |run| on_cpu(run, "cortex-a76")),
    further_cpu("linux_on_n1", &[promise("B34", "linux_boots_on_neoverse_n1")], |run| on_cpu(run, "neoverse-n1")),
];

const fn flavour(name: &'static str, promises: &'static [Promise], body: fn(&mut Run) -> Result<()>) -> Scenario {
    // What a GICv2 shows to a Linux, the cloud kernel meets with every test.
    Scenario { name, kinds: &[Kind::V3, Kind::V2], when: When::LongOn(Kind::V2), seconds: 200, promises, body }
}

/// A core that lies between others: with `make test-long` only.
const fn further_cpu(name: &'static str, promises: &'static [Promise], body: fn(&mut Run) -> Result<()>) -> Scenario {
    Scenario { when: When::Long, ..cpu(name, promises, body) }
}

const fn cpu(name: &'static str, promises: &'static [Promise], body: fn(&mut Run) -> Result<()>) -> Scenario {
    Scenario { name, kinds: &[Kind::V3], when: When::Always, seconds: 200, promises, body }
}

/// The GIC of a run's machine.
pub fn gic(kind: Kind) -> GicVersion {
    if kind == Kind::V3 { GicVersion::V3 } else { GicVersion::V2 }
}

/// Boots `system` on `cpu`; or its Linux alone on the bare machine, to tell a guest's fault from the hypervisor's.
fn boot(run: &Run, system: &str, cpu: &str) -> Result<(Machine, View)> {
    let gic = gic(run.kind);
    if run.project.is_plain() {
        let guest = format!("build/guests/{system}");
        let recipe = Recipe::virt_with(gic, cpu, "").cores(2).memory("512M");
        let kernel = if system == "linux-debug" { "build/guests/linux" } else { &guest };
        let recipe = recipe.kernel(&run.project.built(&format!("{kernel}/Image"))?);
        let recipe = recipe.arg("-initrd").arg(run.project.built(&format!("{guest}/initramfs.cpio.gz"))?);
        return Ok((recipe.arg("-append").arg("console=ttyAMA0").start(run)?, View::Raw));
    }
    let image = run.project.image(system)?;
    Ok((Recipe::virt_with(gic, cpu, ",virtualization=on").kernel(&image).start(run)?, View::Tagged))
}

fn linux(run: &mut Run) -> Result<()> {
    let (mut machine, view) = boot(run, "linux", "cortex-a72")?;
    let mut shell = Shell::attach(&mut machine.console, view, BOOT)?;
    run.promise("linux_shell_answers", |_| {
        let answer = shell.run("echo $((6*7)); uname -m", SHORT)?;
        ensure!(answer == "42\naarch64", "the shell said {answer:?}");
        Ok(())
    });
    run.promise("linux_sees_its_two_cpus_and_its_memory", |_| two_cpus_and_memory(&mut shell));
    run.promise("arch_timer_counts_on_both_cpus", |_| timer_counts(&mut shell));
    run.promise("aarch32_busybox_runs", |_| {
        let answer = shell.run("busybox-armhf echo thirty-two; busybox-armhf uname -m", SHORT)?;
        ensure!(answer.starts_with("thirty-two\n"), "busybox-armhf said {answer:?}");
        Ok(())
    });
    run.promise("stray_access_from_aarch32_gets_its_abort", |_| stray_access(&mut shell, "busybox-armhf devmem"));
    run.promise("linux_root_reaches_nothing_outside_its_ram", |_| stray_access(&mut shell, "busybox devmem"));
    run.promise("no_stall_in_30_s_of_load", |_| load(&mut shell));
    run.promise("beat_is_exact_while_linux_loads_both_cpus_and_floods_its_console", |_| flood(&mut shell, 4));
    run.promise("poweroff_stops_linux_and_control_goes_on", |_| power_off(shell.console()));
    Ok(())
}

/// Linux sees what its partition has.
pub fn two_cpus_and_memory(shell: &mut Shell) -> Result<()> {
    let cpus = shell.run("nproc; cat /sys/devices/system/cpu/online", SHORT)?;
    ensure!(cpus == "2\n0-1", "nproc and the CPUs online: {cpus:?}");
    let memory = shell.run("grep MemTotal /proc/meminfo", SHORT)?;
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|n| n.parse().ok()).context("no MemTotal")?;
    // A kernel keeps some of its 512 MiB for itself.
    ensure!((400 << 10..512 << 10).contains(&kib), "{memory}");
    Ok(())
}

/// Interrupts of the architected timer, per CPU.
pub fn timer_counts(shell: &mut Shell) -> Result<()> {
    let mut counts = || -> Result<Vec<u64>> {
        let line = shell.run("sleep 0.3; grep arch_timer /proc/interrupts", SHORT)?;
        Ok(line.split_whitespace().skip(1).take(2).filter_map(|word| word.parse().ok()).collect())
    };
    let before = counts()?;
    let after = counts()?;
    let grew = before.len() == 2 && before.iter().zip(&after).all(|(before, after)| after > before);
    ensure!(grew, "arch_timer interrupts per CPU: {before:?}, later {after:?}");
    Ok(())
}

/// Addresses that belong to EL2, to the other partition or to nobody are nothing at all to this guest.
fn stray_access(shell: &mut Shell, devmem: &str) -> Result<()> {
    for access in ["0x80000000", "0x80000000 32 1", "0x0b000000", "0x0900f000 8 1"] {
        let (status, said) = shell.status(&format!("{devmem} {access}"), SHORT)?;
        // 128 + SIGBUS: the abort arrived, in this process alone.
        ensure!(status == 135, "`{devmem} {access}` ended with status {status}, expected SIGBUS: {said}");
    }
    shell.run("true", SHORT)?;
    Ok(())
}

/// CPUs, forks, memory and timers at once.
const LOADS: &[&str] = &[
    SPIN,
    SPIN,
    SPIN,
    "while :; do busybox true; done",
    "while :; do sleep 0.01; done",
    "while :; do dd if=/dev/urandom of=/tmp/load bs=1M count=16; md5sum /tmp/load; done",
];
/// A CPU that never rests.
pub const SPIN: &str = "while :; do :; done";

/// Starts shell loops in the background; `stop_loads` ends them.
pub fn start_loads(shell: &mut Shell, loops: &[&str]) -> Result<()> {
    for one in loops {
        // A subshell forgets the job: no word about it later.
        shell.run(&format!("(sh -c '{one}' >/dev/null 2>&1 & echo $! >>/tmp/loads)"), SHORT)?;
    }
    Ok(())
}

fn stop_loads(shell: &mut Shell) -> Result<()> {
    shell.run("kill -9 $(cat /tmp/loads); rm /tmp/loads", SHORT * 3).map(drop)
}

fn load(shell: &mut Shell) -> Result<()> {
    shell.run("dmesg -c >/dev/null", SHORT)?;
    start_loads(shell, LOADS)?;
    shell.run(&format!("sleep {LOAD}"), LOAD * 3)?;
    stop_loads(shell)?;
    let (status, said) = shell.status(&format!("dmesg -r | grep -iE '{STALLS}'"), SHORT)?;
    ensure!(status == 1, "the kernel complained:\n{said}");
    Ok(())
}

/// Control's beat over so many intervals, while both CPUs compute and the console has no rest.
pub fn flood(shell: &mut Shell, intervals: u32) -> Result<()> {
    start_loads(shell, &[SPIN, SPIN])?;
    // `yes` in the foreground: its lines come between everything else until Ctrl-C.
    shell.console().send("yes flood\n")?;
    shell.console().expect("flood\r\n", SHORT)?;
    check_beat(shell.console(), intervals)?;
    shell.console().send([3])?;
    stop_loads(shell)
}

fn power_off(console: &mut crate::conversation::Conversation) -> Result<()> {
    console.send("poweroff -f\n")?;
    console.expect_line("EL2's word that linux has stopped", 60, |line| {
        (line.contains("'linux'") && line.contains("stopped")).then_some(())
    })?;
    Report::check_next(console, 2).map(drop)
}

fn reaches_shell(run: &Run, system: &str, words: &[&str]) -> Result<()> {
    let (mut machine, view) = boot(run, system, "cortex-a72")?;
    let mut shell = Shell::attach(&mut machine.console, view, BOOT)?;
    let version = shell.run("uname -rv; nproc", SHORT)?;
    ensure!(words.iter().all(|word| version.contains(word)), "{version:?} has not {words:?}");
    Ok(())
}

fn generic(run: &mut Run) -> Result<()> {
    run.promise("generic_kernel_reaches_its_shell", |run| reaches_shell(run, "linux-generic", &["-arm64", "\n2"]));
    Ok(())
}

fn rt(run: &mut Run) -> Result<()> {
    run.promise("preempt_rt_kernel_reaches_its_shell", |run| reaches_shell(run, "linux-rt", &["PREEMPT_RT", "\n2"]));
    Ok(())
}

/// Debian's own gdb and perf, unmodified: the debug registers and the PMU are the guest's.
fn debug(run: &mut Run) -> Result<()> {
    let base = run.project.built("build/guests/linux/initramfs.cpio.gz")?;
    let tools = run.project.root().join("build/guests/linux-debug/initramfs.cpio.gz");
    if !is_newer(&tools, &base) {
        project::run(Command::new(run.project.root().join("tests/debug-tools")).arg(&base).arg(&tools))?;
    }
    let (mut machine, view) = boot(run, "linux-debug", "cortex-a72")?;
    let mut shell = Shell::attach(&mut machine.console, view, BOOT)?;
    run.promise("gdb_in_the_guest_hits_its_hardware_breakpoint", |_| {
        // Three instructions into busybox; the file, since a terminal would page.
        shell.run(
            "cd /tmp; echo starti >g; echo 'hbreak *($pc+8)' >>g; echo continue >>g; echo 'info breakpoints' >>g",
            SHORT,
        )?;
        let said = shell.run("gdb -batch -nx -x g --args /bin/busybox true </dev/null 2>&1", 60)?;
        let is_hit = said.contains("Hardware assisted breakpoint 1") && said.contains("breakpoint already hit 1 time");
        ensure!(is_hit, "gdb said:\n{said}");
        Ok(())
    });
    run.promise("perf_in_the_guest_counts_cycles", |_| {
        let said = shell.run("perf stat -e cycles busybox sha256sum /bin/busybox 2>&1", 60)?;
        let line = said.lines().find(|line| line.contains(" cycles")).with_context(|| format!("perf said:\n{said}"))?;
        let cycles: u64 = line.split_whitespace().next().and_then(|n| n.replace(',', "").parse().ok()).unwrap_or(0);
        ensure!(cycles > 1_000_000, "hashing 1 MB took {line:?}");
        Ok(())
    });
    Ok(())
}

/// Whether `file` is there and was made after `source`.
fn is_newer(file: &Path, source: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    matches!((changed(file), changed(source)), (Ok(file), Ok(source)) if file >= source)
}

fn on_cpu(run: &mut Run, cpu: &str) -> Result<()> {
    let (mut machine, view) = boot(run, "linux", cpu)?;
    let mut shell = Shell::attach(&mut machine.console, view, BOOT)?;
    two_cpus_and_memory(&mut shell)?;
    let (status, said) = shell.status(&format!("dmesg -r | grep -iE '{STALLS}'"), SHORT)?;
    ensure!(status == 1, "the kernel complained on {cpu}:\n{said}");
    run.promises_kept();
    Ok(())
}
