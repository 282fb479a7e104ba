//! L13: the image in memory changes between two lives. And L09's number, which only two boots can show.

use super::{AGAIN, LIMITED, STAYS, boot, comes_back, ends, is_whole};
use crate::bundle::Bundle;
use crate::control::Report;
use crate::conversation::Conversation;
use crate::life::{History, el2_says, expect_record, press_yes};
use crate::run::Run;
use crate::scenario::Kind;
use anyhow::{Result, ensure};
use manifest::PayloadKind;

/// Where QEMU's loader puts the image on `virt`; EL2 runs it, and reads it, in place (decision 2).
const LOAD_ADDRESS: u64 = 0x4020_0000;

/// Boots twice: once for everything but the second number.
pub fn changed_image(run: &mut Run) -> Result<()> {
    let bundle = Bundle::read(&run.project.image("lives")?)?;
    let tree = if run.kind == Kind::V2 { PayloadKind::DeviceTreeV2 } else { PayloadKind::DeviceTreeV3 };
    let payloads = [(PayloadKind::Kernel, "kernel"), (PayloadKind::Initrd, "initrd"), (tree, "device tree")];
    let (mut machine, mut monitor) = boot(run, "cortex-a72")?;
    let console = &mut machine.console;
    run.promise("flipped_byte_in_the_bundle_is_named_and_others_go_on", |_| {
        let before = [STAYS, LIMITED].map(|probe| probe.name).map(|name| History::ask(console, name));
        for (kind, word) in payloads {
            let (offset, byte) = bundle.middle_of(AGAIN.name, kind)?;
            monitor.write(LOAD_ADDRESS + offset, &[byte ^ 0x10])?;
            AGAIN.order(console, "reset")?;
            refuses(console, word)?;
            press_yes(console, AGAIN.digit, b'g')?;
            refuses(console, word)?;
            // As it was: it starts, for the next payload's turn.
            monitor.write(LOAD_ADDRESS + offset, &[byte])?;
            press_yes(console, AGAIN.digit, b'g')?;
            comes_back(console, &AGAIN)?;
        }
        let after = [STAYS, LIMITED].map(|probe| probe.name).map(|name| History::ask(console, name));
        for (before, after) in before.into_iter().zip(after) {
            let (before, after) = (before?, after?);
            ensure!(before == after, "another partition was {before:?} and is {after:?}");
        }
        Report::check_next(console, 1).map(drop)
    });
    run.promise("restored_byte_lets_it_start_again", |_| is_whole(console, &AGAIN, 2));
    run.promise("number_of_the_questions_differs_between_two_boots", |run| {
        let number = |console: &Conversation| ends::boot_number(&console.transcript().text_from(0));
        let (second, _) = boot(run, "cortex-a72")?;
        let numbers = [number(console)?, number(&second.console)?];
        ensure!(numbers[0] != numbers[1], "both boots ask with {numbers:?}");
        Ok(())
    });
    Ok(())
}

/// EL2 names what is damaged and keeps a record of it; nothing of the partition runs.
fn refuses(console: &mut Conversation, word: &str) -> Result<()> {
    let from = console.seen();
    el2_says(console, &format!("error: partition 'again' does not start: its {word} is damaged in the image"))?;
    el2_says(console, "partition 'again' stopped: its image is damaged")?;
    expect_record(console, AGAIN.name, "its image is damaged")?;
    for probe in [STAYS, LIMITED] {
        probe.ok(console, "timer")?;
    }
    let state = History::ask(console, AGAIN.name)?.state;
    let said = console.transcript().text_from(from);
    ensure!(state == "stopped" && !said.contains("again| probe: ready"), "it is {state}:\n{said}");
    Ok(())
}
