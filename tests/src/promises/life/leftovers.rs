//! L03 to L05: whatever state a life ends in, and whatever it left, the next one begins as the first did.

use super::{AGAIN, STAYS, comes_back, comes_back_after, is_whole, restart, start};
use crate::conversation::Conversation;
use crate::counters::CTRL_T;
use crate::life::{el2_says, press_yes};
use crate::monitor::Monitor;
use crate::probe::{Probe, field};
use crate::run::Run;
use anyhow::{Context, Result, ensure};

/// Fills RAM: no instruction, address or text of ours.
const PATTERN: u64 = 0xb17d_1e55_0dd5_eed5;

/// L03: all that a guest can write was written, and nothing of it is found.
pub fn nothing_is_left(console: &mut Conversation) -> Result<()> {
    let first = registers_are_clean(console, &AGAIN)?;
    let filled = AGAIN.ok(console, &format!("ram fill {PATTERN:#x}"))?;
    ensure!(field(&filled, "words") == field(&filled, "found"), "the pattern does not hold: {filled}");
    let seen = AGAIN.ok(console, "poison")?;
    let dirty = AGAIN.long_answer(console, "regs")?;
    ensure!(dirty.split_whitespace().count() > 64, "after `poison` ({seen}) `regs` shows only {dirty}");
    AGAIN.order(console, "poisoncrash")?;
    let (_, place) = comes_back_after(console, &AGAIN, &["again/v0: pc "])?;
    ensure!(place.concat().contains(" sp 0x5a5a5a5a5a5a5a5a "), "the registers were not filled: {place:?}");
    let second = registers_are_clean(console, &AGAIN)?;
    ensure!(first == second, "the first life found {first}, this one {second}");
    let found = AGAIN.ok(console, &format!("ram find {PATTERN:#x}"))?;
    ensure!(field(&found, "found") == Some(0), "RAM of the last life is left: {found}");
    ensure!(field(&found, "words") == field(&filled, "words"), "filled {filled}, searched {found}");
    Ok(())
}

/// L03: vCPU 1 fills all its registers before CPU_OFF, and before an end of its life; neither CPU_ON behind it finds any.
pub fn nothing_is_left_on_vcpu_1(console: &mut Conversation, probe: &Probe) -> Result<()> {
    let first = registers_of_vcpu_1_are_clean(console, probe)?;
    let dirty = probe.long_answer(console, "second poison")?;
    ensure!(dirty.split_whitespace().count() > 64, "vCPU 1 filled its registers, but shows only {dirty}");
    let second = registers_of_vcpu_1_are_clean(console, probe).context("behind CPU_OFF")?;
    probe.order(console, "second crash")?;
    let (_, place) = comes_back_after(console, probe, &[&format!("{}/v1: pc ", probe.name)])?;
    ensure!(place.concat().contains(" sp 0x5a5a5a5a5a5a5a5a "), "the registers were not filled: {place:?}");
    let third = registers_of_vcpu_1_are_clean(console, probe).context("behind a restart")?;
    ensure!(first == second && second == third, "vCPU 1 found {first}, then {second}, then {third}");
    Ok(())
}

fn registers_of_vcpu_1_are_clean(console: &mut Conversation, probe: &Probe) -> Result<String> {
    are_clean(console, probe, "second regs")
}

/// Every register has its first value, but x0, the device tree's address; returns what the guest says.
pub fn registers_are_clean(console: &mut Conversation, probe: &Probe) -> Result<String> {
    are_clean(console, probe, "regs")
}

fn are_clean(console: &mut Conversation, probe: &Probe, order: &str) -> Result<String> {
    let said = probe.long_answer(console, order)?;
    let others: Vec<&str> = said.split_whitespace().filter(|word| !word.starts_with("x0=")).collect();
    ensure!(others.is_empty(), "{}: `{order}` shows {}", probe.name, others.join(" "));
    Ok(said)
}

/// L03: as QEMU sees it, the RAM of a partition that has stopped is zero.
pub fn stopped_ram(console: &mut Conversation, monitor: &mut Monitor, run: &Run) -> Result<()> {
    let bundle = crate::bundle::Bundle::read(&run.project.image("lives")?)?;
    let partition = bundle.system().partitions.iter().find(|partition| partition.name == STAYS.name);
    let bank = partition.and_then(|partition| partition.banks.first()).context("no RAM of `stays`")?.pa;
    let (start_at, bytes) = (bank.start().as_u64(), usize::try_from(bank.size())?);
    let file = run.directory().join("stopped-ram");
    STAYS.ok(console, &format!("ram fill {PATTERN:#x}"))?;
    let words = |memory: &[u8]| memory.chunks_exact(8).filter(|word| **word == PATTERN.to_le_bytes()).count();
    let before = words(&monitor.memory(start_at, bytes, &file)?);
    ensure!(before > bytes / 16, "only {before} words of the pattern are in the {bytes} bytes at {start_at:#x}");
    press_yes(console, STAYS.digit, b'k')?;
    el2_says(console, "partition 'stays' stopped")?;
    let left = monitor.memory(start_at, bytes, &file)?.iter().position(|byte| *byte != 0);
    ensure!(left.is_none(), "the RAM of a stopped partition is not zero at {start_at:#x} + {:#x}", left.unwrap_or(0));
    start(console, &STAYS)
}

/// L04: vCPU 1 in every state, ended by a key and by its sibling; vCPU 0 in every state, ended by a key.
pub fn wherever(console: &mut Conversation) -> Result<()> {
    for state in ["off", "wfi", "spin", "loop", "hold"] {
        for is_key in [true, false] {
            if state != "off" {
                AGAIN.ok(console, &format!("park {state}"))?;
            }
            let by = if is_key { "key" } else { "its sibling" };
            let ended = if is_key {
                restart(console, &AGAIN)
            } else {
                AGAIN.order(console, "reset")?;
                comes_back(console, &AGAIN).map(drop)
            };
            ended.with_context(|| format!("vCPU 1 is in `{state}`, ended by {by}"))?;
        }
        is_whole(console, &AGAIN, 2).with_context(|| format!("the life after one with vCPU 1 in `{state}`"))?;
    }
    for state in ["wfi", "spin", "loop", "hold"] {
        AGAIN.ok(console, "park spin")?;
        AGAIN.ok(console, &format!("here {state}"))?;
        restart(console, &AGAIN).with_context(|| format!("vCPU 0 is in `{state}`"))?;
        is_whole(console, &AGAIN, 2).with_context(|| format!("the life after one with vCPU 0 in `{state}`"))?;
    }
    // vCPU 1 asks while vCPU 0 waits for its console.
    for order in ["park reset", "park off"] {
        AGAIN.order(console, order)?;
        comes_back(console, &AGAIN).with_context(|| format!("after `{order}`"))?;
    }
    is_whole(console, &AGAIN, 2)
}

/// L04: the reset comes 0 to 200 us after CPU_ON of the sibling.
pub fn races(console: &mut Conversation) -> Result<()> {
    for round in 0..20_u32 {
        let ticks = round * 650;
        AGAIN.order(console, &format!("race {ticks}"))?;
        comes_back(console, &AGAIN).with_context(|| format!("reset {ticks} ticks after CPU_ON"))?;
    }
    is_whole(console, &AGAIN, 2)
}

/// L05: timers, an urgent SPI, all SGIs and the console's interrupt, active or pending when the life ends.
pub fn interrupts_held(console: &mut Conversation) -> Result<()> {
    AGAIN.ok(console, "park hold")?;
    AGAIN.ok(console, "here hold")?;
    // Input that nobody reads: the console's interrupt is pending.
    console.send("unread")?;
    restart(console, &AGAIN)?;
    is_whole(console, &AGAIN, 2)?;
    for test in ["order", "storm", "state", "disabled", "spurious", "split", "mask"] {
        AGAIN.ok(console, &format!("gic {test}"))?;
    }
    console.send([CTRL_T, b'0' + AGAIN.digit])?;
    console.send("rx\n")?;
    console.expect("again| rx: a byte, please", 20)?;
    console.send("z")?;
    let answer = console.expect_line("again's word about its receive interrupt", 20, |line| {
        let (_, text) = crate::shell::tag(line).filter(|(name, _)| *name == AGAIN.name)?;
        (text.starts_with("ok ") || text.starts_with("error ")).then(|| text.to_owned())
    })?;
    ensure!(answer == "ok byte=0x7a interrupts=1", "the console's interrupt: {answer}");
    Ok(())
}

/// L04: vCPU 1 spins with everything masked, on a core that does not hear EL2's doorbell any more.
pub fn silent_core(console: &mut Conversation, monitor: &mut Monitor) -> Result<()> {
    /// SGI frame of the redistributor of core 2, `again`'s vCPU 1: GICR_ICENABLER0, and GICR_IPRIORITYR0, whose first byte
    /// is that of SGI 0, the doorbell.
    const SGI_FRAME: u64 = 0x080a_0000 + 2 * 0x2_0000 + 0x1_0000;
    const ICENABLER0: u64 = SGI_FRAME + 0x180;
    const IPRIORITYR0: u64 = SGI_FRAME + 0x400;
    let cut = "partition 'again': a core does not answer, its stage 2 is taken away";
    AGAIN.ok(console, "park spin")?;
    monitor.write(ICENABLER0, &1_u32.to_le_bytes())?;
    press_yes(console, AGAIN.digit, b'r')?;
    comes_back_after(console, &AGAIN, &[cut])?;
    is_whole(console, &AGAIN, 2)?;
    // The doorbell rings again: no stage 2 has to be taken away, unless the host lets a core stand still for those 20 ms.
    let answers = |console: &mut Conversation| -> Result<bool> {
        AGAIN.ok(console, "park spin")?;
        let from = console.seen();
        restart(console, &AGAIN)?;
        Ok(!console.transcript().text_from(from).contains("does not answer"))
    };
    let mut is_heard = false;
    for _ in 0..5 {
        is_heard = is_heard || answers(console)?;
    }
    ensure!(is_heard, "the doorbell of core 2 stays silent");
    // Enabling it does not help where its priority is below the mask: only the abort takes the core out of the guest.
    AGAIN.ok(console, "park spin")?;
    let priority = monitor.byte(IPRIORITYR0)?;
    monitor.write(IPRIORITYR0, &[0xff])?;
    press_yes(console, AGAIN.digit, b'r')?;
    let (_, lines) = comes_back_after(console, &AGAIN, &[cut, " again/v1: pc "])?;
    ensure!(lines.concat().contains(" (instruction abort"), "vCPU 1 was not taken out by an abort: {lines:?}");
    monitor.write(IPRIORITYR0, &[priority])?;
    is_whole(console, &AGAIN, 2)
}
