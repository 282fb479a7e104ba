//! S01, and what Linux sees of S02, S05, S09, S11 and S12: a stock Debian kernel on disks of the service partition.

use super::{El2, boot};
use crate::control::Report;
use crate::conversation::Conversation;
use crate::disk::{Content, Disk};
use crate::life::{History, press_yes};
use crate::machine::Machine;
use crate::monitor::Monitor;
use crate::promises::linux::BOOT;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::{Shell, View};
use anyhow::{Context, Result, ensure};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds for a short command.
const SHORT: u64 = 30;
/// Seconds for a piece of work on a disk.
const WORK: u64 = 120;
/// What a kernel says when a disk failed it.
const COMPLAINTS: &str = "I/O error|Buffer I/O|EXT4-fs error|EXT4-fs warning|blk_update|timed out|hung|virtio.*broken";
/// The service's digit for Ctrl-T: behind all others.
const SERVICE: u8 = 3;
/// Restarts of the service by key, and rounds of unbinding, with requests in flight.
const KEYS: u32 = 3;
const REBINDS: u32 = 10;
const REBINDS_LONG: u32 = 1000;

/// S01 and more.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "service_linux",
        kinds: &[Kind::V3, Kind::V2],
        when: When::LongOn(Kind::V2),
        seconds: 400,
        promises: &[
            promise("S12", "date_is_right_right_after_boot"),
            promise("S01", "mkfs_and_verified_requests_and_sync"),
            promise("S02", "linux_sees_a_disk_that_it_cannot_write"),
            promise("S11", "hwrng_flows"),
            promise("S05", "linux_sees_no_error_when_a_key_restarts_the_service"),
            promise("S09", "driver_is_unbound_and_bound_again_with_requests_in_flight"),
            promise("S01", "after_a_reset_of_the_board_the_data_is_there_and_e2fsck_is_clean"),
        ],
        body: linux,
    },
    Scenario {
        name: "service_linux_long",
        kinds: &[Kind::V3],
        when: When::Long,
        seconds: 3600,
        promises: &[promise("S09", "driver_is_unbound_and_bound_again_1000_times_with_requests_in_flight")],
        body: |run| {
            let mut disks = Disks::new(run)?;
            let (mut machine, _) = disks.boot(run, El2::Ordinary)?;
            let mut shell = attach(&mut machine.console)?;
            rebind(&mut shell, REBINDS_LONG)?;
            run.promises_kept();
            Ok(())
        },
    },
];

/// The board's disks.
pub struct Disks {
    main: Disk,
    scratch: Disk,
    /// What the checker said of the scratch disk in the end.
    sum: String,
}

impl Disks {
    /// As the demo's, and two more.
    pub fn new(run: &Run) -> Result<Self> {
        let (root, tools) =
            (run.project.built("build/guests/rootfs.ext4")?, run.project.built("build/guests/iocheck.elf")?);
        let parts =
            [("rootfs-a", Content::Copy(&root)), ("data", Content::Empty(24)), ("tools", Content::Copy(&tools))];
        Ok(Self {
            main: Disk::gpt(run, "main", &parts)?,
            scratch: Disk::blank(run, "scratch", 16 << 20)?,
            sum: String::new(),
        })
    }

    /// Boots a Linux that has them.
    pub fn boot(&mut self, run: &Run, el2: El2) -> Result<(Machine, Monitor)> {
        boot(run, el2, "linux-served", &[&self.main, &self.scratch])
    }

    /// S01 in short: writes, a reset of the board, and looks.
    pub fn survive(&mut self, run: &Run, el2: El2) -> Result<()> {
        let (mut machine, mut monitor) = self.boot(run, el2)?;
        self.write(&mut attach(&mut machine.console)?, &mut monitor)?;
        self.reset_board(run, el2, machine)
    }

    /// A new file system with a file, verified requests, and all of it on the medium.
    fn write(&mut self, shell: &mut Shell, monitor: &mut Monitor) -> Result<()> {
        shell.run("mke2fs /dev/vdb >/dev/null 2>&1 && mount -t ext4 /dev/vdb /mnt", SHORT)?;
        shell.run("dd if=/dev/urandom of=/mnt/file bs=1M count=8 2>/dev/null && cp /mnt/file /root/file", WORK)?;
        shell.run("sha256sum /mnt/file >/root/sum && cp /root/sum /mnt/sum", SHORT)?;
        for order in ["1 3000 32 4096 60", "2 200 16 131072 60"] {
            self.sum = checked(shell, &format!("io /dev/vdc {order}"))?;
        }
        let before = monitor.disk_traffic("main")?.flushes;
        shell.run("sync", SHORT)?;
        let after = monitor.disk_traffic("main")?.flushes;
        ensure!(after > before, "`sync` flushed nothing to the medium");
        Ok(())
    }

    /// Ends the machine as a power failure does, looks at the images, and boots again.
    fn reset_board(&mut self, run: &Run, el2: El2, machine: Machine) -> Result<()> {
        machine.power_failure()?;
        let Self { main, scratch, .. } = self;
        let (written, sum) = scratch.blocks(scratch.whole()?)?;
        let image = format!("ok blocks=4096 written={written} sum={sum:#x}");
        ensure!(image == self.sum, "Linux said {:?} of the scratch disk, the image says {image:?}", self.sum);
        main.check_file_system(run, main.partition("rootfs-a")?).context("the root disk after the reset")?;
        main.check_file_system(run, main.partition("data")?).context("the data disk after the reset")?;
        let (mut machine, _) = self.boot(run, el2)?;
        let mut shell = attach(&mut machine.console)?;
        shell.run("mount -t ext4 /dev/vdb /mnt && sha256sum -c /root/sum && sha256sum -c /mnt/sum", SHORT)?;
        shell.run("cmp /mnt/file /root/file", SHORT)?;
        let said = checked(&mut shell, "scan /dev/vdc")?;
        ensure!(said == self.sum, "before the reset the checker said {:?}, behind it {said:?}", self.sum);
        no_complaint(&mut shell)?;
        // In order this time.
        shell.console().send("poweroff\n")?;
        shell.console().expect("'linux' stopped", WORK)?;
        machine.power_failure()?;
        for label in ["rootfs-a", "data"] {
            let part = self.main.partition(label)?;
            self.main.check_file_system(run, part).with_context(|| format!("{label} after a power-off"))?;
        }
        Ok(())
    }
}

/// The shell, with iocheck where it can be run.
fn attach(console: &mut Conversation) -> Result<Shell<'_>> {
    let mut shell = Shell::attach(console, View::Tagged, BOOT)?;
    shell.run("cat /dev/vdd >/tmp/iocheck && chmod +x /tmp/iocheck", SHORT)?;
    Ok(shell)
}

/// Runs iocheck; its last line.
fn checked(shell: &mut Shell, order: &str) -> Result<String> {
    let said = shell.run(&format!("/tmp/iocheck {order}"), WORK)?;
    ensure!(said.starts_with("ok "), "`iocheck {order}` said {said:?}");
    Ok(said)
}

fn no_complaint(shell: &mut Shell) -> Result<()> {
    let (status, said) = shell.status(&format!("dmesg -r | grep -iE '{COMPLAINTS}'"), SHORT)?;
    ensure!(status == 1, "the kernel complained:\n{said}");
    Ok(())
}

fn linux(run: &mut Run) -> Result<()> {
    let mut disks = Disks::new(run)?;
    let (mut machine, mut monitor) = disks.boot(run, El2::Ordinary)?;
    let mut shell = attach(&mut machine.console)?;
    run.promise("date_is_right_right_after_boot", |_| date(&mut shell));
    run.promise("mkfs_and_verified_requests_and_sync", |_| disks.write(&mut shell, &mut monitor));
    run.promise("linux_sees_a_disk_that_it_cannot_write", |_| read_only(&mut shell));
    run.promise("hwrng_flows", |_| hwrng(&mut shell));
    run.promise("linux_sees_no_error_when_a_key_restarts_the_service", |_| {
        disks.sum = by_key(&mut shell)?;
        Ok(())
    });
    run.promise("driver_is_unbound_and_bound_again_with_requests_in_flight", |_| {
        rebind(&mut shell, REBINDS)?;
        disks.sum = checked(&mut shell, "scan /dev/vdc")?;
        Ok(())
    });
    Report::check_next(&mut machine.console, 1)?;
    run.promise("after_a_reset_of_the_board_the_data_is_there_and_e2fsck_is_clean", |run| {
        disks.reset_board(run, El2::Ordinary, machine)
    });
    Ok(())
}

fn date(shell: &mut Shell) -> Result<()> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    let before = now()?;
    let said = shell.run("date +%s", SHORT)?;
    let (seen, after): (u64, u64) = (said.parse().with_context(|| format!("`date` said {said:?}"))?, now()?);
    // Linux sets its clock once, in whole seconds, and a busy host's guest may be late to ask.
    ensure!((before - 5..=after + 2).contains(&seen), "Linux has {seen}, the host {before} to {after}");
    Ok(())
}

fn read_only(shell: &mut Shell) -> Result<()> {
    let said = shell.run("cat /sys/block/vdd/ro /sys/block/vda/ro", SHORT)?;
    ensure!(said == "1\n0", "`ro` of vdd and vda: {said:?}");
    let (status, said) = shell.status("dd if=/dev/zero of=/dev/vdd bs=512 count=1", SHORT)?;
    ensure!(status != 0, "a write to a read-only disk: {said}");
    shell.run("cmp /dev/vdd /tmp/iocheck", SHORT).map(drop)
}

fn hwrng(shell: &mut Shell) -> Result<()> {
    let name = shell.run("cat /sys/class/misc/hw_random/rng_current", SHORT)?;
    ensure!(name.starts_with("virtio_rng"), "the kernel's source of entropy is {name:?}");
    let mut take =
        || shell.run("dd if=/dev/hwrng of=/tmp/taken bs=1024 count=64 2>/dev/null; sha256sum /tmp/taken", WORK);
    ensure!(take()? != take()?, "64 KiB of entropy are the same twice");
    let size = shell.run("wc -c </tmp/taken", SHORT)?;
    ensure!(size == "65536", "`dd` took {size} bytes of 64 KiB");
    Ok(())
}

/// Verified requests go on while keys restart the service; what the checker says in the end.
fn by_key(shell: &mut Shell) -> Result<String> {
    let work = "/tmp/iocheck io /dev/vdc 3 15000 32 4096 50; echo $?";
    // A subshell forgets the job: no word about it later.
    shell.run(&format!("(sh -c '{work}' >/tmp/said 2>&1 &); sleep 1"), SHORT)?;
    let console = shell.console();
    for _ in 0..KEYS {
        let before = History::ask(console, "service")?.restarts;
        press_yes(console, SERVICE, b'r')?;
        console.expect(&format!("partition 'service' restarts: life {}\r\n", before + 2), SHORT)?;
        console.expect("service| life ", SHORT)?;
    }
    console.focus(b'1', "linux")?;
    let said = shell.run("while [ $(wc -l </tmp/said) != 2 ]; do sleep 0.1; done; cat /tmp/said", WORK)?;
    let said = said.strip_suffix("\n0").with_context(|| format!("iocheck said {said:?}"))?.to_owned();
    no_complaint(shell)?;
    Ok(said)
}

/// Unbinds the scratch disk's driver while somebody reads it, and binds it again.
fn rebind(shell: &mut Shell, rounds: u32) -> Result<()> {
    /// Reads in flight, then the device goes: dd ends when it has.
    const ROUND: &str = "for _ in 1 2 3 4; do dd if=/dev/vdc of=/dev/null bs=64k iflag=direct & done; usleep 20000; \
        echo $d >unbind || exit; wait; echo $d >bind || exit; echo $n >/tmp/rounds";
    let all = format!(
        "d=$(basename $(readlink -f /sys/block/vdc/device)); cd /sys/bus/virtio/drivers/virtio_blk; \
        n=0; while [ $n -lt {rounds} ]; do n=$((n + 1)); {ROUND}; done"
    );
    shell.run(&format!("sh -c '{all}' >/dev/null 2>&1; cat /tmp/rounds"), WORK + 2 * u64::from(rounds))?;
    let said = shell.run("cat /tmp/rounds; ls /dev/vdc", SHORT)?;
    ensure!(said == format!("{rounds}\n/dev/vdc"), "of {rounds} rounds were made, and there is: {said:?}");
    Ok(())
}
