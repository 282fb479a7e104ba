//! P03: disks on the SD card of a Raspberry Pi 4, which QEMU has behind the older of the board's two controllers.

use crate::conversation::Conversation;
use crate::counters::CTRL_T;
use crate::life::{History, press_yes};
use crate::machine::{Machine, Recipe};
use crate::probe::{Answer, Probe, field};
use crate::promises::boot_failures::RPI4_TREE;
use crate::promises::linux::BOOT;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::sd::Card;
use crate::shell::{Shell, View, tag};
use anyhow::{Context, Result, ensure};

/// Seconds for a piece of work on the card.
const WORK: u64 = 90;
/// Has partition 3.
const ALICE: Probe = Probe { name: "alice", digit: 2 };
/// The service's digit for Ctrl-T: behind all others.
const SERVICE: u8 = 4;
/// Restarts of the service with requests in flight.
const KEYS: u32 = 2;

/// P03.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "sd_on_raspi4b",
    kinds: &[Kind::Pi],
    when: When::Always,
    seconds: 400,
    promises: &[
        promise("P03", "the_service_says_what_it_found_and_what_it_refuses_on_raspi4b"),
        promise("P03", "no_request_fails_when_a_key_restarts_the_service_on_raspi4b"),
        promise("P03", "linux_writes_to_its_partition_of_the_card_on_raspi4b"),
        promise("P03", "after_a_reset_of_the_board_the_card_is_what_was_written_and_both_file_systems_are_clean"),
    ],
    body: card,
}];

fn boot(run: &Run, card: &Card) -> Result<Machine> {
    let (image, tree) = (run.project.image("pi-card")?, run.project.built(RPI4_TREE)?);
    let recipe = Recipe::raspi4b(&tree).kernel(&image);
    card.arguments().into_iter().fold(recipe, Recipe::arg).start(run)
}

fn card(run: &mut Run) -> Result<()> {
    let card = Card::new(run, &run.project.built("build/guests/rootfs.ext4")?)?;
    let mut machine = boot(run, &card)?;
    let console = &mut machine.console;
    run.promise("the_service_says_what_it_found_and_what_it_refuses_on_raspi4b", |_| words(console));
    let mut shell = attach(console)?;
    let mut said = String::new();
    run.promise("no_request_fails_when_a_key_restarts_the_service_on_raspi4b", |_| {
        said = by_key(shell.console())?;
        Ok(())
    });
    run.promise("linux_writes_to_its_partition_of_the_card_on_raspi4b", |_| {
        shell.console().send([CTRL_T, b'1'])?;
        shell.console().expect("keyboard: linux", WORK)?;
        shell.run("dd if=/dev/urandom of=/root/file bs=64k count=16 2>/dev/null", WORK)?;
        shell.run("sha256sum /root/file >/root/sum && sync", WORK)?;
        let (status, said) = shell.status("dmesg -r | grep -E 'I/O error|EXT4-fs error|virtio.*broken'", WORK)?;
        ensure!(status == 1, "the kernel complained:\n{said}");
        Ok(())
    });
    machine.power_failure()?;
    run.promise("after_a_reset_of_the_board_the_card_is_what_was_written_and_both_file_systems_are_clean", |run| {
        let (written, sum) = card.disk().blocks(card.partition(3)?)?;
        let image = format!("ok blocks=512 written={written} sum={sum:#x}");
        ensure!(image == format!("ok {said}"), "the probe said {said:?} of its partition, the image says {image:?}");
        let mut machine = boot(run, &card)?;
        // It plays the journal first, as every mount does.
        let mut shell = attach(&mut machine.console)?;
        let sum = shell.run("sha256sum -c /root/sum", WORK)?;
        ensure!(sum == "/root/file: OK", "the sum is {sum:?}");
        shell.run("mount -o remount,ro / && sync", WORK)?;
        machine.power_failure()?;
        card.disk().check_file_system(run, card.partition(2)?).context("Linux's partition")?;
        card.check_boot(run).context("the boot partition")
    });
    Ok(())
}

/// The board, the card, and what somebody cannot have: a generator that QEMU's board lacks, and the boot partition to write.
fn words(console: &mut Conversation) -> Result<()> {
    const WANTED: [&str; 4] = [
        "board: serial number ",
        "disk 'sd-deadbeef' at the SD host 0xfe30_0000: 256M",
        "error: 'needy' cannot start without rng: the board's random number generator does not answer",
        "warn: 'needy' starts without disk mbr:1: it has a FAT file system, which firmware boots from",
    ];
    for wanted in WANTED {
        console.transcript().wait(0, console.deadline(WORK), wanted, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let mut own = text.lines().filter_map(tag).filter(|(name, _)| *name == "service");
            own.any(|(_, line)| line.starts_with(wanted)).then_some(())
        })?;
    }
    let text = console.transcript().text_from(0);
    ensure!(!text.contains("disk mbr:4:"), "the empty partition 4 is missing");
    Ok(())
}

/// A probe's requests go on while keys restart the service; what it says of all blocks in the end.
fn by_key(console: &mut Conversation) -> Result<String> {
    ALICE.ready(console)?;
    ALICE.ok(console, "open 0")?;
    ALICE.ok_within(console, "scan", WORK)?;
    for n in 0..KEYS {
        let before = History::ask(console, "service")?.restarts;
        let work = format!("io {n} 250 32 4096 60");
        let from = ALICE.order(console, &work)?;
        press_yes(console, SERVICE, b'r')?;
        let answer = ALICE.work_behind(console, from, &work)?;
        let is_done = matches!(&answer, Answer::Ok(said) if said.contains("lost=0"));
        ensure!(is_done, "`{work}` ended in {answer:x?}");
        console.skip();
        let after = History::ask(console, "service")?.restarts;
        ensure!(after > before, "the key did not restart the service");
    }
    let said = ALICE.ok_within(console, "scan", WORK)?;
    ensure!(field(&said, "written").is_some_and(|written| written > 100), "too little was written: {said}");
    Ok(said)
}

fn attach(console: &mut Conversation) -> Result<Shell<'_>> {
    Shell::attach(console, View::Tagged, BOOT)
}
