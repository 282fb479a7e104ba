//! The model as Linux's drivers drive it (`arm,pl061` and `gpio-keys`), as the manual describes it, and as a hostile
//! guest does.

use abi::machine::POWER_KEY_PIN;
use proptest::prelude::*;
use vgpio::Pl061;
use vgpio::register::*;

const KEY: u32 = 1 << POWER_KEY_PIN;
/// Where the data register shows the power key alone.
const KEY_DATA: u64 = 1 << (POWER_KEY_PIN + 2);

/// What an interrupt chip's driver does: sets or clears one bit by load and store of a byte.
fn change(gpio: &mut Pl061, register: u64, bit: u32, is_set: bool) {
    let value = gpio.read(register, 1);
    gpio.write(register, 1, if is_set { value | bit } else { value & !bit });
}

/// Linux: the bus reads the identification, the GPIO driver masks all, the key's driver makes its pin an input that
/// interrupts on both edges and unmasks it.
fn started_by_linux() -> Pl061 {
    let mut gpio = Pl061::new();
    let byte = |first: u64, n: u64| gpio.read(first + 4 * n, 4) & 0xff;
    let word = |first| (0..4).fold(0, |id, n| id | byte(first, n) << (8 * n));
    assert_eq!(word(0xff0), 0xb105_f00d, "a PrimeCell");
    assert_eq!(word(0xfe0) & 0xf_ffff, 0x4_1061, "a PL061");
    gpio.write(GPIOIE, 1, 0);
    assert_eq!(gpio.read(GPIODIR, 1), 0, "each pin is an input");
    change(&mut gpio, GPIODIR, KEY, false);
    let [event, sense, both] = [GPIOIEV, GPIOIS, GPIOIBE].map(|register| gpio.read(register, 1));
    gpio.write(GPIOIS, 1, sense & !KEY);
    gpio.write(GPIOIBE, 1, both | KEY);
    gpio.write(GPIOIEV, 1, event);
    change(&mut gpio, GPIOIE, KEY, true);
    gpio
}

/// Linux's handler: the chip's interrupt, acknowledge, and later the key's level.
fn linux_handles(gpio: &mut Pl061) -> u32 {
    assert!(gpio.irq_level());
    assert_eq!(gpio.read(GPIOMIS, 1), KEY);
    gpio.write(GPIOIC, 1, KEY);
    assert!(!gpio.irq_level(), "acknowledged");
    gpio.read(KEY_DATA, 1)
}

#[test]
fn linux_sees_the_power_key_pressed_and_released() {
    let mut gpio = started_by_linux();
    assert!(!gpio.irq_level());
    for _ in 0..3 {
        gpio.set_pin(POWER_KEY_PIN, true);
        assert_eq!(linux_handles(&mut gpio), KEY, "pressed");
        gpio.set_pin(POWER_KEY_PIN, false);
        assert_eq!(linux_handles(&mut gpio), 0, "released");
    }
}

#[test]
fn a_press_that_linux_handles_late_is_one_interrupt() {
    let mut gpio = started_by_linux();
    gpio.set_pin(POWER_KEY_PIN, true);
    gpio.set_pin(POWER_KEY_PIN, false);
    assert_eq!(linux_handles(&mut gpio), 0);
}

#[test]
fn an_edge_while_masked_interrupts_when_unmasked() {
    let mut gpio = started_by_linux();
    change(&mut gpio, GPIOIE, KEY, false);
    gpio.set_pin(POWER_KEY_PIN, true);
    assert_eq!((gpio.irq_level(), gpio.read(GPIORIS, 1), gpio.read(GPIOMIS, 1)), (false, KEY, 0));
    change(&mut gpio, GPIOIE, KEY, true);
    assert_eq!(linux_handles(&mut gpio), KEY);
}

#[test]
fn a_key_pressed_before_anybody_listens_interrupts_nobody() {
    let mut gpio = Pl061::new();
    gpio.set_pin(POWER_KEY_PIN, true);
    assert!(!gpio.irq_level());
}

#[test]
fn each_kind_of_trigger() {
    // Sense, both edges, event; then the raw interrupt after: high, clear, high again, low, clear.
    let table = [
        ("rising edge", (0, 0, 1), [1, 0, 0, 0, 0]),
        ("falling edge", (0, 0, 0), [0, 0, 0, 1, 0]),
        ("both edges", (0, 1, 0), [1, 0, 0, 1, 0]),
        ("high level", (1, 0, 1), [1, 1, 1, 0, 0]),
        ("low level", (1, 0, 0), [0, 0, 0, 1, 1]),
        ("level, whatever GPIOIBE says", (1, 1, 1), [1, 1, 1, 0, 0]),
    ];
    for (name, (sense, both, event), expected) in table {
        let mut gpio = Pl061::new();
        for (register, value) in [(GPIOIS, sense), (GPIOIBE, both), (GPIOIEV, event), (GPIOIE, 1)] {
            gpio.write(register, 1, value);
        }
        let mut raw = |step: &dyn Fn(&mut Pl061)| {
            step(&mut gpio);
            assert_eq!(gpio.irq_level(), gpio.read(GPIORIS, 1) & 1 != 0);
            gpio.read(GPIORIS, 1) & 1
        };
        let clear = |gpio: &mut Pl061| gpio.write(GPIOIC, 1, 1);
        let found = [
            raw(&|gpio| gpio.set_pin(0, true)),
            raw(&clear),
            raw(&|gpio| gpio.set_pin(0, true)),
            raw(&|gpio| gpio.set_pin(0, false)),
            raw(&clear),
        ];
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_pin_that_interrupts_on_a_level_remembers_no_edge() {
    let mut gpio = Pl061::new();
    gpio.write(GPIOIBE, 1, 1);
    gpio.set_pin(0, true);
    gpio.write(GPIOIS, 1, 1);
    assert_eq!(gpio.read(GPIORIS, 1) & 1, 0, "an edge before it was told to");
    gpio.set_pin(0, false);
    gpio.set_pin(0, true);
    gpio.write(GPIOIS, 1, 0);
    assert_eq!(gpio.read(GPIORIS, 1), 0, "edges meanwhile");
}

#[test]
fn only_the_chosen_edges_are_cleared() {
    let mut gpio = Pl061::new();
    gpio.write(GPIOIBE, 1, 0xff);
    (0..8).for_each(|pin| gpio.set_pin(pin, true));
    gpio.write(GPIOIC, 1, 0x5a);
    assert_eq!(gpio.read(GPIORIS, 1), 0xa5);
}

#[test]
fn the_bytes_above_a_register_are_zero_and_cannot_be_written() {
    let mut gpio = Pl061::new();
    gpio.write(GPIODIR, 1, 0x0f);
    gpio.write(GPIODATA_ALL, 1, 0x0f);
    for register in [GPIODATA + 0x0f * 4, GPIODIR, PERIPH_ID0] {
        for byte in 1..4 {
            gpio.write(register + byte, 1, 0);
            assert_eq!(gpio.read(register + byte, 1), 0);
        }
        assert_ne!(gpio.read(register, 1), 0, "{register:#x}");
    }
}

#[test]
fn the_offset_chooses_the_pins_of_a_data_access() {
    let mut gpio = Pl061::new();
    gpio.write(GPIODATA_ALL, 1, 0xff);
    assert_eq!(gpio.read(GPIODATA_ALL, 1), 0, "inputs cannot be written");
    gpio.write(GPIODIR, 1, 0x0f);
    gpio.write(GPIODATA + 0x5a * 4, 1, 0xff);
    assert_eq!(gpio.read(GPIODATA_ALL, 1), 0x0a, "outputs among the chosen pins");
    gpio.set_pin(7, true);
    gpio.set_pin(0, true);
    assert_eq!(gpio.read(GPIODATA_ALL, 1), 0x8a, "an output shows what was written, an input its pin");
    assert_eq!(gpio.read(GPIODATA + 0x82 * 4, 1), 0x82);
    assert_eq!(gpio.read(GPIODATA, 1), 0);
}

#[test]
fn outputs_interrupt_nobody() {
    let mut gpio = Pl061::new();
    for (register, value) in [(GPIODIR, 0xff), (GPIOIBE, 0xff), (GPIOIEV, 0x0f), (GPIOIS, 0x0f), (GPIOIE, 0xff)] {
        gpio.write(register, 1, value);
    }
    (0..8).for_each(|pin| gpio.set_pin(pin, true));
    gpio.write(GPIODATA_ALL, 1, 0xff);
    assert_eq!((gpio.read(GPIORIS, 1), gpio.irq_level()), (0, false));
}

#[test]
fn settings_read_back_in_every_width_and_read_only_registers_stay() {
    let mut gpio = Pl061::new();
    let settings = [GPIODIR, GPIOIS, GPIOIBE, GPIOIEV, GPIOIE, GPIOAFSEL];
    for register in settings {
        assert_eq!(gpio.read(register, 4), 0, "{register:#x} after reset");
        gpio.write(register, 4, u32::MAX);
        assert_eq!([1, 2, 4, 8].map(|bytes| gpio.read(register, bytes)), [0xff; 4], "{register:#x}");
        gpio.write(register, 1, 0);
    }
    for register in [GPIORIS, GPIOMIS, 0x424, PERIPH_ID0] {
        let before = gpio.read(register, 4);
        gpio.write(register, 4, !before);
        assert_eq!(gpio.read(register, 4), before, "{register:#x}");
    }
}

#[test]
fn a_pin_that_does_not_exist_changes_nothing() {
    let mut gpio = started_by_linux();
    for pin in 8..=255 {
        gpio.set_pin(pin, true);
    }
    assert_eq!((gpio.read(GPIODATA_ALL, 1), gpio.irq_level()), (0, false));
}

fn any_offset() -> impl Strategy<Value = u64> {
    prop_oneof![0..0x1000u64, GPIODIR..=GPIOAFSEL, any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any access, any pin: no panic, registers have 8 bits, and the line is what the registers say.
    #[test]
    fn a_hostile_guest_only_reaches_its_own_line(
        steps in prop::collection::vec((any_offset(), any::<(u32, u32, u8, bool, u8)>()), 0..80),
    ) {
        let mut gpio = Pl061::new();
        for (offset, (bytes, value, pin, high, step)) in steps {
            match step % 3 {
                0 => gpio.set_pin(pin, high),
                1 => gpio.write(offset, bytes, value),
                _ => prop_assert!(gpio.read(offset, bytes) <= 0xff),
            }
            let [raw, mask, masked] = [GPIORIS, GPIOIE, GPIOMIS].map(|register| gpio.read(register, 4));
            prop_assert_eq!(masked, raw & mask);
            prop_assert_eq!(gpio.irq_level(), masked != 0);
        }
    }
}
