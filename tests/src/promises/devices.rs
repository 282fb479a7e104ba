//! P07: devices of the board in the hands of one partition.
//!
//! The conflicts are refused on the host (`tools/bulkhead/tests/bad/p07_*`). Here a device works for its owner and is
//! not there for another, on what QEMU's raspi4b has of the chip: an I2C master, and the auxiliary block, whose mini
//! UART has an interrupt at the GIC. QEMU connects none of I2C and SPI.

mod lines;

use crate::conversation::Conversation;
use crate::machine::Recipe;
use crate::monitor::{Monitor, Socket};
use crate::probe::{Probe, field};
use crate::promises::boot_failures::RPI4_TREE;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::said_by;
use crate::transcript::whole_lines;
use anyhow::{Result, ensure};

const OWNER: Probe = Probe { name: "owner", digit: 1 };
const OTHER: Probe = Probe { name: "other", digit: 2 };

/// GPFSEL0 to 2, from which the pins' functions are read.
const FUNCTIONS: u64 = 0xfe20_0000;
/// Pin, code of its function: ALT0 of I2C1 and SPI0, ALT5 of PWM0, ALT4 of SPI1.
const PINS: [(u32, u32); 5] = [(2, 4), (3, 4), (11, 4), (18, 2), (21, 3)];
/// CM_PWMCTL and CM_PWMDIV.
const PWM_CLOCK: u64 = 0xfe10_10a0;

/// I2C1's clock divider: read and written without any effect on a bus.
const I2C_DIVIDER: u64 = 0xfe80_4014;
/// Its value after reset.
const DIVIDER_AT_RESET: u64 = 0x5dc;
/// I2C1's status.
const I2C_STATUS: u64 = 0xfe80_4004;
/// Both FIFO can take data, and the one for sending is empty: what an idle master says.
const IDLE: u64 = 0x50;
/// The mini UART's interrupt enables, in the same page as spi1.
const MINI_UART_ENABLES: u64 = 0xfe21_5044;
/// Receiving and sending: an empty FIFO asks for data at once.
const BOTH: u64 = 3;
/// SPI 93, the auxiliary block's.
const AUXILIARY: u64 = 125;

/// Registers of the board that were given to nobody: pins, the console's page, the other I2C masters, PWM, the card,
/// the firmware's mailbox, the watchdog, Ethernet, the GIC's hypervisor interface.
const NOBODYS: [u64; 9] = [
    0xfe20_0000,
    0xfe20_1018,
    0xfe20_5004,
    0xfe20_c000,
    0xfe30_0000,
    0xfe00_b880,
    0xfe10_001c,
    0xfd58_0000,
    0xff84_4000,
];

/// P07.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "devices_of_raspi4b",
    kinds: &[Kind::Pi],
    when: When::Always,
    seconds: 180,
    promises: &[
        promise("P07", "service_partition_sets_pins_and_the_clock_of_pwm"),
        promise("P07", "assigned_i2c_master_works_for_its_owner"),
        promise("P07", "interrupt_of_an_assigned_device_comes_once"),
        promise("P07", "assigned_devices_abort_for_another_partition"),
        promise("P07", "devices_of_nobody_abort_for_everybody"),
        promise("P07", "plain_pins_are_what_their_guest_drives"),
        promise("P07", "plain_pins_of_others_stay_whatever_a_guest_stores"),
        promise("P07", "level_of_a_plain_pin_reaches_its_guest_with_an_interrupt"),
        promise("P07", "plain_pins_keep_their_level_when_the_service_restarts"),
        promise("P07", "plain_pins_are_inputs_when_a_life_ends"),
    ],
    body: devices,
}];

fn devices(run: &mut Run) -> Result<()> {
    let image = run.project.image("pi-devices")?;
    let tree = run.project.built(RPI4_TREE)?;
    let socket = Socket::new()?;
    let recipe = Recipe::raspi4b(&tree).kernel(&image);
    let mut machine = socket.arguments().into_iter().fold(recipe, Recipe::arg).start(run)?;
    let mut monitor = socket.accept(run)?;
    let console = &mut machine.console;
    // The service takes the console meanwhile, and does not know that EL2 had a line open there.
    let first = [("service", "pins are set: 2 3 11 18 21"), (OWNER.name, "probe> "), (OTHER.name, "probe> ")];
    console.transcript().wait(0, console.deadline(30), "the first lives", |bytes| {
        let text = whole_lines(bytes);
        first.iter().all(|(name, words)| said_by(&text, name).contains(words)).then_some(())
    })?;
    console.skip_lines();
    run.promise("service_partition_sets_pins_and_the_clock_of_pwm", |_| pins(&mut monitor));
    run.promise("assigned_i2c_master_works_for_its_owner", |_| i2c(console));
    run.promise("interrupt_of_an_assigned_device_comes_once", |_| {
        let said = OWNER.ok(console, &format!("irq {AUXILIARY} {MINI_UART_ENABLES:#x} {BOTH}"))?;
        ensure!(field(&said, "taken") == Some(1), "{said}");
        Ok(())
    });
    run.promise("assigned_devices_abort_for_another_partition", |_| {
        for register in [I2C_STATUS, I2C_DIVIDER, MINI_UART_ENABLES, 0xfe20_4000] {
            OTHER.must_abort(console, &format!("read32 {register:#x}"), register)?;
            OTHER.must_abort(console, &format!("write32 {register:#x} 0x123"), register)?;
        }
        // Nothing of that arrived.
        let divider = OWNER.value(console, &format!("read32 {I2C_DIVIDER:#x}"))?;
        ensure!(divider == DIVIDER_AT_RESET, "the divider is {divider:#x}");
        Ok(())
    });
    run.promise("devices_of_nobody_abort_for_everybody", |_| {
        for register in NOBODYS {
            OWNER.must_abort(console, &format!("read32 {register:#x}"), register)?;
            OWNER.must_abort(console, &format!("write32 {register:#x} 0"), register)?;
        }
        Ok(())
    });
    run.promise("plain_pins_are_what_their_guest_drives", |_| lines::outputs(console, &mut monitor));
    run.promise("plain_pins_of_others_stay_whatever_a_guest_stores", |_| lines::others(console, &mut monitor));
    run.promise("level_of_a_plain_pin_reaches_its_guest_with_an_interrupt", |_| lines::inputs(console, &mut monitor));
    run.promise("plain_pins_keep_their_level_when_the_service_restarts", |run| {
        lines::service_restarts(console, &mut monitor, &run.directory().join("stores"))
    });
    run.promise("plain_pins_are_inputs_when_a_life_ends", |_| lines::life_ends(console, &mut monitor));
    Ok(())
}

/// The registers as QEMU has them: functions, and a PWM clock of the crystal's 54 MHz divided by 6.
fn pins(monitor: &mut Monitor) -> Result<()> {
    let registers = monitor.words(FUNCTIONS, 3)?;
    for (pin, code) in PINS {
        let register = registers.get(pin as usize / 10).copied().unwrap_or_default();
        let found = register >> (pin % 10 * 3) & 7;
        ensure!(found == code, "pin {pin} has function {found:#05b}, not {code:#05b}");
    }
    let clock = monitor.words(PWM_CLOCK, 2)?;
    let is_on = clock.first().is_some_and(|control| control & 0x1f == 0x11);
    ensure!(is_on && clock.get(1) == Some(&0x6000), "the clock of PWM is {clock:x?}");
    Ok(())
}

fn i2c(console: &mut Conversation) -> Result<()> {
    for (register, expected) in [(I2C_STATUS, IDLE), (I2C_DIVIDER, DIVIDER_AT_RESET)] {
        let value = OWNER.value(console, &format!("read32 {register:#x}"))?;
        ensure!(value == expected, "{register:#x} holds {value:#x} after reset, not {expected:#x}");
    }
    for value in [0x1234, DIVIDER_AT_RESET] {
        OWNER.ok(console, &format!("write32 {I2C_DIVIDER:#x} {value:#x}"))?;
        let found = OWNER.value(console, &format!("read32 {I2C_DIVIDER:#x}"))?;
        ensure!(found == value, "the divider holds {found:#x} after {value:#x} was written");
    }
    Ok(())
}
