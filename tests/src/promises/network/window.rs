//! N08: partitions that show the service partition a window of their RAM. What Linux sends and gets is copied through
//! it, what lies elsewhere breaks the device, and the service itself is stopped by stage 2.

use super::{SHORT, WORK, attach, boot};
use crate::bundle::Bundle;
use crate::conversation::Conversation;
use crate::disk::Disk;
use crate::host::{self, Web};
use crate::life::{History, is_el2};
use crate::probe::{Answer, Probe, field};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::Shell;
use crate::uplink::{HOST, Uplink};
use anyhow::{Context, Result, ensure};

/// Has a window of 4 MiB, and 12 MiB besides.
const ALICE: Probe = Probe { name: "alice", digit: 2 };
/// Her disk's words.
const WORD: u64 = 0x4142_4344_4546_4748;
/// Her window as she sees it.
const WINDOW: (u64, u64) = (0x4000_0000, 0x4040_0000);
/// Free RAM of hers that is no window.
const MAIN: u64 = 0x8090_0000;
/// Status register of her device; the bit that says that it is broken.
const STATUS: u64 = 0x0a00_0070;
const NEEDS_RESET: u64 = 64;
/// Linux's key behind Ctrl-T.
const LINUX: u8 = b'1';
/// The service's digit for Ctrl-T: behind all others.
const SERVICE: u8 = 3;
/// Bytes of Linux's disk, and of what is written and fetched: no multiple of anything but a sector.
const DISK: usize = 4 << 20;
const BYTES: usize = (1 << 20) + 512;
/// Has Linux show what it copies.
const DEBUG: &str = "mkdir -p /debug && mount -t debugfs debug /debug";
/// Linux's devices by their addresses: the first, here the disk, and the network.
const DISK_AT: &str = "a000000";
const NET_AT: &str = "a001000";

/// N08.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "network_window",
    kinds: &[Kind::V3, Kind::V2],
    when: When::LongOn(Kind::V2),
    seconds: 300,
    promises: &[
        promise("N08", "a_disk_is_right_when_all_of_it_is_copied_through_the_window"),
        promise("N08", "a_download_is_right_when_all_of_it_is_copied_through_the_window"),
        promise("N08", "a_buffer_outside_the_window_breaks_its_own_device_only"),
        promise("N08", "stage_2_ends_the_service_where_it_loads_from_outside_a_window"),
        promise("N08", "the_next_life_finds_both_banks_empty"),
    ],
    body: window,
}];

fn window(run: &mut Run) -> Result<()> {
    run.project.built("build/guests/service-hooks.elf")?;
    let (plain, alice) = (Disk::blank(run, "plain", DISK as u64)?, Disk::blank(run, "alice", 1 << 20)?);
    let content = host::random(DISK)?;
    plain.write(0, &content)?;
    alice.write(0, &WORD.to_le_bytes().repeat((1 << 20) / 8))?;
    let uplink = Uplink::new(run, &[])?;
    let (mut machine, _) = boot(run, "window", |recipe| recipe.uplink(&uplink).disk(&plain).disk(&alice))?;
    let mut shell = attach(&mut machine.console)?;
    calm(shell.console())?;
    shell.console().focus(LINUX, "linux")?;
    shell.run(DEBUG, SHORT)?;
    run.promise("a_disk_is_right_when_all_of_it_is_copied_through_the_window", |_| disk(&mut shell, &plain, &content));
    run.promise("a_download_is_right_when_all_of_it_is_copied_through_the_window", |_| download(&mut shell));
    run.promise("a_buffer_outside_the_window_breaks_its_own_device_only", |_| outside(&mut shell));
    run.promise("stage_2_ends_the_service_where_it_loads_from_outside_a_window", |run| reach(run, &mut shell));
    run.promise("the_next_life_finds_both_banks_empty", |_| next_life(shell.console()));
    Ok(())
}

/// The life of the service at hand does not end by itself from now on.
fn calm(console: &mut Conversation) -> Result<()> {
    console.focus(b'0' + SERVICE, "service")?;
    console.send("calm\n")?;
    console.expect("service| crash hook: calm", SHORT).map(drop)
}

/// The other side, in a Linux whose RAM the service sees: nothing is copied.
pub fn without(shell: &mut Shell) -> Result<()> {
    shell.run(DEBUG, SHORT)?;
    let (_, bytes) = copied(shell, DISK_AT, "ping -c 3 -W 10 10.0.0.1")?;
    let slots = slots(shell)?;
    ensure!(bytes == 0 && slots == 0, "{bytes} bytes were copied, {slots} slots of a bounce buffer in use");
    Ok(())
}

/// Runs `work` in Linux; what it said, and the bytes that were copied through the window meanwhile for the device at
/// `device`.
fn copied(shell: &mut Shell, device: &str, work: &str) -> Result<(String, u64)> {
    const TRACE: &str = "/debug/tracing/trace";
    const EVENT: &str = "/debug/tracing/events/swiotlb/swiotlb_bounced/enable";
    shell.run(&format!("echo >{TRACE}; echo 1 >{EVENT}"), SHORT)?;
    let said = shell.run(work, WORK)?;
    shell.run(&format!("echo 0 >{EVENT}"), SHORT)?;
    let sum =
        format!("/swiotlb_bounced: dev_name: {device}/ {{ sub(/.*size=/, \"\"); sum += $1 }} END {{ print sum + 0 }}");
    let bytes = shell.run(&format!("awk '{sum}' {TRACE}"), SHORT)?;
    Ok((said, bytes.parse().with_context(|| format!("awk said {bytes:?}"))?))
}

/// Slots of Linux's bounce buffer: the most that were in use at once, or where the kernel does not keep that (before
/// 6.3), those that are; 0 where it has none.
fn slots(shell: &mut Shell) -> Result<u64> {
    let said = shell.run("cd /debug/swiotlb; cat io_tlb_used_hiwater || cat io_tlb_used || echo 0; cd /", SHORT)?;
    let said = said.lines().last().unwrap_or_default();
    said.parse().with_context(|| format!("slots in use: {said:?}"))
}

fn disk(shell: &mut Shell, plain: &Disk, content: &[u8]) -> Result<()> {
    ensure!(slots(shell)? > 0, "nothing is copied through the window");
    let (said, bytes) = copied(shell, DISK_AT, "dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | sha256sum")?;
    let expected = host::sha256(content);
    ensure!(said.starts_with(&expected), "the disk is {expected}, Linux read {said}");
    ensure!(bytes >= DISK as u64, "of {DISK} bytes that were read {bytes} went through the window");

    let make = format!("head -c {BYTES} /dev/urandom >/tmp/own && sha256sum </tmp/own");
    let expected = shell.run(&make, SHORT)?;
    let write = "dd if=/tmp/own of=/dev/vda bs=512 seek=1 conv=fsync,notrunc 2>/dev/null";
    let (_, bytes) = copied(shell, DISK_AT, write)?;
    ensure!(bytes >= BYTES as u64, "of {BYTES} bytes that were written {bytes} went through the window");
    let image = host::sha256(&plain.read(512..512 + BYTES as u64)?);
    ensure!(expected.starts_with(&image), "Linux wrote {expected}, the image has {image}");
    ensure!(plain.read(0..512)? == content[..512], "the sector before was changed");
    Ok(())
}

fn download(shell: &mut Shell) -> Result<()> {
    let content = host::random(BYTES)?;
    let web = Web::start(content.clone())?;
    let fetch = format!("wget -q -O /tmp/file http://{HOST}:{}/ && sha256sum </tmp/file", web.port);
    let (said, bytes) = copied(shell, NET_AT, &fetch)?;
    let expected = host::sha256(&content);
    ensure!(said.starts_with(&expected), "the host sent {expected}, Linux got {said}");
    // What came is copied for Linux; a packet's size here is what the device may write, not less than what it did.
    ensure!(bytes >= BYTES as u64, "of {BYTES} bytes that came {bytes} went through the window");
    let said = shell.run("ping -c 3 -W 10 10.0.0.1", SHORT)?;
    ensure!(said.contains("3 packets transmitted, 3 packets received"), "{said}");
    Ok(())
}

/// Alice aims a request's data at places inside and outside. Linux's disk goes on all the while.
fn outside(shell: &mut Shell) -> Result<()> {
    let console = shell.console();
    ALICE.ok(console, "open 0")?;
    let inside = WINDOW.1 - 4096;
    let said = ALICE.ok(console, &format!("aim 0 0 {inside:#x}"))?;
    ensure!(field(&said, "status") == Some(0), "a read into the window's last page: {said}");
    let word = ALICE.value(console, &format!("read64 {inside:#x}"))?;
    ensure!(word == WORD, "a read into the window's last page brought {word:#x}");
    ALICE.ok(console, &format!("canary fill {MAIN:#x} 8192"))?;
    for (kind, at) in [(0, MAIN), (1, MAIN), (0, WINDOW.1 - 2048), (0, WINDOW.0 - 2048), (0, WINDOW.1)] {
        let order = format!("aim {kind} 0 {at:#x}");
        let answer = ALICE.ask(console, &order)?;
        let is_broken = matches!(&answer, Answer::Error(why) if why.contains("needs a reset"));
        ensure!(is_broken, "`{order}` ended in {answer:x?}");
        let status = ALICE.value(console, &format!("read32 {STATUS:#x}"))?;
        ensure!(status & NEEDS_RESET != 0, "after `{order}` the device's status is {status:#x}");
        ALICE.ok(console, "open 0")?;
    }
    ALICE.ok(console, &format!("canary check {MAIN:#x} 8192"))?;
    let said = ALICE.ok(console, &format!("aim 0 0 {inside:#x}"))?;
    ensure!(field(&said, "status") == Some(0), "after all that a read into the window: {said}");
    shell.console().focus(LINUX, "linux")?;
    shell.run("dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null", SHORT).map(drop)
}

/// The service loads from both windows, and goes on; from what lies beside them, and EL2 ends its life there.
fn reach(run: &Run, shell: &mut Shell) -> Result<()> {
    let sum = "dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | sha256sum";
    let before = shell.run(sum, WORK)?;
    let bundle = Bundle::read(&run.project.image("window")?)?;
    let partitions = &bundle.system().partitions;
    let banks = partitions.iter().take(2).map(|partition| partition.banks.as_slice());
    let banks = banks.map(|banks| banks.try_into().context("not two banks")).collect::<Result<Vec<_>>>()?;
    let console = shell.console();
    for [window, main] in banks.into_iter().map(|banks: [manifest::Bank; 2]| banks.map(|bank| bank.pa)) {
        for address in [window.start().as_u64(), window.end().as_u64() - 8] {
            order(console, address)?;
            console.expect(&format!("reach hook: {address:#x} holds "), SHORT)?;
        }
        for address in [main.start().as_u64(), main.end().as_u64() - 8] {
            let before = History::ask(console, "service")?;
            order(console, address)?;
            let page = address & !0xfff;
            let record = console.expect_line("EL2's record of the service's load", SHORT, |line| {
                is_el2(line, "service/v0: pc ").then(|| line.to_owned())
            })?;
            for part in ["(data abort, ", "translation fault", &format!("far {address:#x} ipa page {page:#x}")] {
                ensure!(record.contains(part), "no {part:?} in {record:?}");
            }
            console.expect(&format!("service| life {}", before.restarts + 2), SHORT)?;
            let after = History::ask(console, "service")?;
            ensure!(after.faults == before.faults + 1, "{before:?} became {after:?}");
            calm(console)?;
        }
    }
    console.focus(LINUX, "linux")?;
    let after = shell.run(sum, WORK)?;
    ensure!(before == after, "Linux's disk was {before}, and after the service's ends {after}");
    Ok(())
}

/// Alice's next life, with her image and tree in the second bank.
fn next_life(console: &mut Conversation) -> Result<()> {
    let inside = WINDOW.1 - 4096;
    ALICE.ok(console, "open 0")?;
    ALICE.ok(console, &format!("aim 0 0 {inside:#x}"))?;
    ALICE.ok(console, &format!("canary fill {MAIN:#x} 8192"))?;
    ALICE.order(console, "reset")?;
    console.expect_line("a new life of Alice", SHORT, |line| ALICE.begins(line).then_some(()))?;
    for at in [inside, MAIN] {
        let word = ALICE.value(console, &format!("read64 {at:#x}"))?;
        ensure!(word == 0, "{at:#x} holds {word:#x} of the life before");
    }
    ALICE.ok(console, "open 0")?;
    ALICE.ok(console, &format!("aim 0 0 {inside:#x}")).map(drop)
}

/// Has the service load from there.
fn order(console: &mut Conversation, address: u64) -> Result<()> {
    console.focus(b'0' + SERVICE, "service")?;
    console.send(format!("{address:x}\n"))
}
