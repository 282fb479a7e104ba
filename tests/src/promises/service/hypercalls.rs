//! S07: the service's hypercalls are for the service only, and for it only with arguments that make sense.

use super::{ALICE, SHORT};
use crate::conversation::Conversation;
use crate::counters::Counters;
use crate::life::History;
use crate::machine::Recipe;
use crate::probe::field;
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::tag;
use abi::machine;
use abi::service::{Call, FIRST_FUNCTION, VERSION};
use anyhow::{Result, ensure};

/// PSCI and SMCCC: NOT_SUPPORTED.
const NOT_SUPPORTED: i32 = -1;

/// S07 of the service itself.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "badservice",
    kinds: &[Kind::V3, Kind::V2],
    when: When::Always,
    seconds: 90,
    promises: &[
        promise("S07", "senseless_calls_of_the_service_are_refused_and_counted"),
        promise("S07", "a_senseless_service_changes_nothing_for_others"),
    ],
    body: bad_service,
}];

/// `guests/badservice` in the service's place. Its device's driver is Alice, register by register.
fn bad_service(run: &mut Run) -> Result<()> {
    /// VIRTIO_CONFIG_S_* up to DRIVER_OK: acknowledged, driver, features agreed, ready.
    const STATUS: u64 = machine::VIRTIO.as_u64() + 0x70;
    const DRIVER_FEATURES: u64 = machine::VIRTIO.as_u64() + 0x20;
    const DRIVER_FEATURES_SEL: u64 = machine::VIRTIO.as_u64() + 0x24;
    const READY: u64 = 15;
    const BROKEN: u64 = READY | 64;
    /// GPIODATA of all pins.
    const LINES: u64 = machine::GPIO.as_u64() + 0x3fc;
    let image = run.project.image("badservice")?;
    let mut machine = Recipe::virt(gic(run.kind)).kernel(&image).start(run)?;
    let console = &mut machine.console;
    let started = |line: &str| ALICE.begins(line);
    let first = |line: &str| tag(line).is_some_and(|(_, text)| text.starts_with("badservice: idle done"));
    console.expect_lines("Alice and the first answers", SHORT, &[&started, &first])?;
    run.promise("senseless_calls_of_the_service_are_refused_and_counted", |_| {
        let registers =
            [(STATUS, 3), (DRIVER_FEATURES_SEL, 1), (DRIVER_FEATURES, 1), (STATUS, READY & !4), (STATUS, READY)];
        let from = console.seen();
        for (register, value) in registers {
            ALICE.ok(console, &format!("write32 {register:#x} {value}"))?;
        }
        // It may have said so before Alice answered.
        let deadline = console.deadline(SHORT);
        console.transcript().wait(from, deadline, "badservice: active done", |bytes| {
            String::from_utf8_lossy(bytes).contains("badservice: active done").then_some(())
        })?;
        let status = ALICE.value(console, &format!("read32 {STATUS:#x}"))?;
        ensure!(status == BROKEN, "Status is {status:#x} although the service broke the device");
        let from = ALICE.order(console, &format!("write32 {STATUS:#x} 0"))?;
        let done = console.expect_line("the last answers", SHORT, |line| {
            Some(line.split_once("badservice: console done, ")?.1.to_owned())
        })?;
        ALICE.answer_behind(console, from, &format!("write32 {STATUS:#x} 0"), SHORT)?;
        let status = ALICE.value(console, &format!("read32 {STATUS:#x}"))?;
        ensure!(status == 0, "Status is {status:#x} after a reset");
        let text = console.transcript().text_from(0);
        ensure!(field(&done, "wrong") == Some(0), "the service got answers that it must not get:\n{text}");
        let refused = Counters::ask(console, "service/v0")?.of("refused")?;
        ensure!(field(&done, "refused") == Some(refused), "EL2 counted {refused} refusals, the service says {done}");
        let lines = ALICE.value(console, &format!("read32 {LINES:#x}"))?;
        ensure!(lines == 0xff & !(1 << machine::POWER_KEY_PIN), "GPIODATA is {lines:#x}: is the power key pressed?");
        Ok(())
    });
    run.promise("a_senseless_service_changes_nothing_for_others", |_| {
        for partition in ["alice", "hello", "service"] {
            let history = History::ask(console, partition)?;
            let is_first = history.state == "running" && (history.restarts, history.faults) == (0, 0);
            ensure!(is_first, "{partition} is {history:?}");
        }
        ALICE.ok(console, "irqs").map(drop)
    });
    Ok(())
}

/// To an ordinary guest no such function exists, by either instruction, and EL2 counts that it tried.
pub fn of_a_guest(console: &mut Conversation) -> Result<()> {
    let before = Counters::ask(console, "alice/v0")?.of("refused")?;
    for function in FIRST_FUNCTION..FIRST_FUNCTION + Call::COUNT {
        for instruction in ["hvc", "smc"] {
            let order = format!("{instruction} {function:#x} {VERSION} 0 0");
            let code = ALICE.call(console, &order)?;
            ensure!(code == NOT_SUPPORTED, "`{order}` answered {code}");
        }
    }
    let refused = Counters::ask(console, "alice/v0")?.of("refused")? - before;
    ensure!(refused == u64::from(2 * Call::COUNT), "EL2 counted {refused} refusals of {}", 2 * Call::COUNT);
    Ok(())
}
