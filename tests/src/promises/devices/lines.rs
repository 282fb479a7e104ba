//! P07: plain pins. A guest drives and reads its own at its PL061, and no others.
//!
//! QEMU's pins are connected to nothing and see no edges: its level register has what was set last, for inputs too. So a
//! test sets an input's level by that register, from outside the machine.

use super::{FUNCTIONS, OTHER, OWNER};
use crate::conversation::Conversation;
use crate::life::{History, is_el2, press_yes};
use crate::monitor::Monitor;
use crate::probe::{Probe, field, number};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Instant;

/// The digit of the service partition.
const SERVICE: u8 = 3;
/// GPSET0, and GPLEV0.
const SET: u64 = 0xfe20_001c;
const LEVELS: u64 = 0xfe20_0034;
/// The PL061's registers (Arm DDI 0190): data of all pins, direction, both edges, interrupt mask, raw interrupts.
const DATA: u64 = 0x0903_03fc;
const DIR: u64 = 0x0903_0400;
const IBE: u64 = 0x0903_0408;
const IE: u64 = 0x0903_0410;
const RIS: u64 = 0x0903_0414;
/// Its interrupt.
const INTID: u64 = 39;
/// The pins of `owner` in `tests/systems/pi-devices.toml`, at pins 0, 1, 2 and 4 of its PL061: 3 is the power key.
const PINS: [u32; 4] = [5, 6, 17, 27];
/// The pin of `other`, at pin 0 of its.
const OTHERS: u32 = 22;
/// The header's pins.
const HEADER: u32 = 28;

/// What a pin of the header does: the code of its function, and its level.
type Pin = (u32, bool);
const INPUT: u32 = 0;
const OUTPUT: u32 = 1;

/// Every pin of the header.
fn pins(monitor: &mut Monitor) -> Result<Vec<Pin>> {
    let functions = monitor.words(FUNCTIONS, 3)?;
    let levels = monitor.words(LEVELS, 1)?.first().copied().context("no levels")?;
    let function = |pin: u32| functions.get(pin as usize / 10).map(|register| register >> (pin % 10 * 3) & 7);
    (0..HEADER).map(|pin| Some((function(pin)?, levels >> pin & 1 != 0))).collect::<Option<_>>().context("no functions")
}

/// Waits until the pins are what `change` makes of `before`: nothing else has changed then.
fn become_(console: &Conversation, monitor: &mut Monitor, before: &[Pin], change: &[(u32, Pin)]) -> Result<Vec<Pin>> {
    let mut wanted = before.to_vec();
    for (pin, state) in change {
        *wanted.get_mut(*pin as usize).context("no such pin")? = *state;
    }
    let deadline = console.deadline(10);
    loop {
        let now = pins(monitor)?;
        if now == wanted {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "the pins are {now:?}, expected {wanted:?}");
    }
}

fn store(console: &mut Conversation, probe: &Probe, register: u64, value: u64) -> Result<()> {
    probe.ok(console, &format!("write32 {register:#x} {value:#x}")).map(drop)
}

fn load(console: &mut Conversation, probe: &Probe, register: u64) -> Result<u64> {
    probe.value(console, &format!("read32 {register:#x}"))
}

/// What a guest makes an output is one, with the level that it says.
pub fn outputs(console: &mut Conversation, monitor: &mut Monitor) -> Result<()> {
    let start = pins(monitor)?;
    for pin in PINS.into_iter().chain([OTHERS]) {
        ensure!(
            start.get(pin as usize) == Some(&(INPUT, false)),
            "pin {pin} is {:?} at first",
            start.get(pin as usize)
        );
    }
    store(console, &OWNER, DIR, 0x14)?;
    let low = become_(console, monitor, &start, &[(17, (OUTPUT, false)), (27, (OUTPUT, false))])?;
    store(console, &OWNER, DATA, 0xff)?;
    let high = become_(console, monitor, &low, &[(17, (OUTPUT, true)), (27, (OUTPUT, true))])?;
    // The place of the data register that is pin 4's alone.
    store(console, &OWNER, 0x0903_0040, 0)?;
    become_(console, monitor, &high, &[(27, (OUTPUT, false))]).map(drop)
}

/// Whatever a guest stores, only its own pins change.
pub fn others(console: &mut Conversation, monitor: &mut Monitor) -> Result<()> {
    let before = pins(monitor)?;
    store(console, &OTHER, DIR, 0xff)?;
    store(console, &OTHER, DATA, 0xff)?;
    let now = become_(console, monitor, &before, &[(OTHERS, (OUTPUT, true))])?;
    store(console, &OTHER, DATA, 0xfe)?;
    become_(console, monitor, &now, &[(OTHERS, (OUTPUT, false))])?;
    store(console, &OTHER, DATA, 0xff)?;
    become_(console, monitor, &now, &[]).map(drop)
}

/// An input's level reaches its guest, with an interrupt, and nobody else.
pub fn inputs(console: &mut Conversation, monitor: &mut Monitor) -> Result<()> {
    store(console, &OWNER, IBE, 1)?;
    let before = load(console, &OWNER, DATA)?;
    ensure!(before & 3 == 0 && load(console, &OWNER, RIS)? == 0, "GPIODATA is {before:#x} at first");
    let others = load(console, &OTHER, DATA)?;
    monitor.write(SET, &(1u32 << PINS[0]).to_le_bytes())?;
    // Nothing tells the service of an edge on QEMU. It looks when it wakes: with each character that the probe says.
    let deadline = console.deadline(10);
    while load(console, &OWNER, RIS)? != 1 {
        ensure!(Instant::now() < deadline, "no edge came");
    }
    let now = load(console, &OWNER, DATA)?;
    ensure!(now == before | 1, "GPIODATA is {now:#x} behind {before:#x}");
    let said = OWNER.ok(console, &format!("irq {INTID} {IE:#x} 1"))?;
    ensure!(field(&said, "taken") == Some(1), "{said}");
    let others_now = load(console, &OTHER, DATA)?;
    ensure!(others_now == others, "the other guest's GPIODATA is {others_now:#x} behind {others:#x}");
    Ok(())
}

/// The service restarts: outputs keep their level all the time, and guests drive them as before.
pub fn service_restarts(console: &mut Conversation, monitor: &mut Monitor, log: &Path) -> Result<()> {
    let before = pins(monitor)?;
    monitor.command(&format!("logfile {}", log.display()))?;
    monitor.command("trace-event memory_region_ops_write on")?;
    press_yes(console, SERVICE, b'r')?;
    let comes_back = |line: &str| line.ends_with("plain pins have their guests: 5 6 17 27 22");
    console.expect_line("the next service", 30, |line| comes_back(line).then_some(()))?;
    let restarts = History::ask(console, "service")?.restarts;
    ensure!(restarts == 1, "the service has restarted {restarts} times");
    monitor.command("trace-event memory_region_ops_write off")?;
    let stores = stores(&std::fs::read_to_string(log)?);
    // Edges are looked for anew, so the log has the service's stores.
    ensure!(stores.iter().any(|(offset, _)| *offset == 0x4c), "QEMU logged {stores:x?}");
    let moves = |(offset, value): &&(u64, u64)| match offset {
        // Levels again, as they were.
        0x1c => before.iter().enumerate().any(|(pin, (_, high))| value >> pin & 1 != 0 && !high),
        0x28 => before.iter().enumerate().any(|(pin, (_, high))| value >> pin & 1 != 0 && *high),
        _ => *offset < 0x18,
    };
    let moved = stores.iter().find(moves);
    ensure!(moved.is_none(), "a pin changed meanwhile: {moved:x?} of {stores:x?}");
    become_(console, monitor, &before, &[])?;
    store(console, &OWNER, DATA, 0x10)?;
    become_(console, monitor, &before, &[(17, (OUTPUT, false)), (27, (OUTPUT, true))])?;
    Ok(())
}

/// The stores to the registers of pins in QEMU's log: offset and value.
fn stores(log: &str) -> Vec<(u64, u64)> {
    let word = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name} "))?;
        number(rest.split(' ').next()?)
    };
    let own = log.lines().filter(|line| line.contains("name 'bcm2838_gpio'"));
    own.filter_map(|line| Some((word(line, "addr")? & 0xfff, word(line, "value")?))).collect()
}

/// A life ends: its pins are inputs, the others' stay; the next life reads the level that an input has had all along.
pub fn life_ends(console: &mut Conversation, monitor: &mut Monitor) -> Result<()> {
    let before = pins(monitor)?;
    press_yes(console, OWNER.digit, b'r')?;
    let lines: [&dyn Fn(&str) -> bool; 2] =
        [&|line| is_el2(line, "partition 'owner' restarts: life 2"), &|line| OWNER.begins(line)];
    console.expect_lines("the next life", 30, &lines)?;
    become_(console, monitor, &before, &[(17, (INPUT, false)), (27, (INPUT, true))])?;
    let data = load(console, &OWNER, DATA)?;
    ensure!(data & 1 == 1 && load(console, &OWNER, DIR)? == 0, "GPIODATA is {data:#x} in the next life");
    press_yes(console, OTHER.digit, b'k')?;
    console.expect_line("the end", 20, |line| is_el2(line, "partition 'other' stopped: ").then_some(()))?;
    let now = pins(monitor)?;
    become_(console, monitor, &now, &[(OTHERS, (INPUT, true))]).map(drop)
}
