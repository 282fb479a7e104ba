//! The model as each kind of guest drives it: polled code, Linux, U-Boot, and a hostile one.

use proptest::prelude::*;
use vuart::register::*;
use vuart::{Full, Pl011};

fn type_in(uart: &mut Pl011, text: &[u8]) {
    for &byte in text {
        uart.receive(byte).expect("room");
    }
}

/// What a driver reads from DR until FR says empty.
fn drain(uart: &mut Pl011) -> Vec<u32> {
    let mut bytes = Vec::new();
    while uart.read(FR, 4) & FR_RXFE == 0 {
        bytes.push(uart.read(DR, 4));
        assert!(bytes.len() <= 16, "FR never says empty");
    }
    bytes
}

/// Linux's pl011_startup and pl011_set_termios, in short.
fn started_by_linux() -> Pl011 {
    let mut uart = Pl011::new();
    uart.write(ICR, 4, 0x7f0);
    uart.write(IFLS, 4, 0x12);
    uart.write(LCR_H, 4, 0x70);
    uart.write(CR, 4, 0x301);
    uart.write(ICR, 4, INT_RT | INT_RX);
    drain(&mut uart);
    uart.write(IMSC, 4, INT_RT | INT_RX);
    uart
}

#[test]
fn a_byte_store_before_initialisation_is_transmitted() {
    let mut uart = Pl011::new();
    assert_eq!(uart.write(DR, 1, b'!'.into()), Some(b'!'));
    uart.write(CR, 4, 0);
    assert_eq!(uart.write(DR, 4, b'?'.into()), Some(b'?'), "UARTEN = 0 does not stop output");
    assert_eq!(uart.write(DR, 2, 0x1234), Some(0x34));
    assert_eq!(uart.read(FR, 1) & (FR_TXFF | FR_TXFE), FR_TXFE);
    assert!(!uart.irq_level());
}

#[test]
fn a_byte_is_received_before_initialisation_and_one_fits() {
    let mut uart = Pl011::new();
    assert_eq!((uart.room(), uart.read(FR, 4)), (1, FR_TXFE | FR_RXFE));
    type_in(&mut uart, b"a");
    assert_eq!((uart.room(), uart.read(FR, 4)), (0, FR_TXFE | FR_RXFF));
    assert_eq!((uart.read(DR, 1), uart.room()), (b'a'.into(), 1));
}

#[test]
fn the_fifo_holds_sixteen_bytes_in_order() {
    let mut uart = started_by_linux();
    for round in 0..3 {
        assert_eq!(uart.room(), 16);
        let text: Vec<u8> = (0..16).map(|n| round * 16 + n).collect();
        type_in(&mut uart, &text);
        assert_eq!((uart.room(), uart.read(FR, 4) & FR_RXFF), (0, FR_RXFF));
        assert_eq!(drain(&mut uart), text.iter().map(|&byte| byte.into()).collect::<Vec<u32>>());
    }
}

#[test]
fn linux_sees_a_single_key_below_the_fifo_level() {
    let mut uart = started_by_linux();
    assert!(!uart.irq_level());
    type_in(&mut uart, b"x");
    assert!(uart.irq_level());
    let status = uart.read(RIS, 4) & uart.read(IMSC, 4);
    assert_ne!(status & INT_RT, 0);
    uart.write(ICR, 4, status & !(INT_TX | INT_RT | INT_RX));
    assert_eq!(drain(&mut uart), [u32::from(b'x')]);
    assert!(!uart.irq_level(), "an empty FIFO ends the interrupt");
}

#[test]
fn a_guest_that_listens_to_the_receive_interrupt_alone_gets_each_key() {
    // On hardware RX waits for half a FIFO; guests made for QEMU rely on its not doing so.
    let mut uart = started_by_linux();
    uart.write(IMSC, 4, INT_RX);
    for key in b"hello" {
        type_in(&mut uart, &[*key]);
        assert!(uart.irq_level());
        assert_eq!(uart.read(DR, 4), (*key).into());
        assert!(!uart.irq_level());
    }
}

#[test]
fn linux_is_interrupted_to_send_more_until_it_masks() {
    let mut uart = started_by_linux();
    uart.write(DR, 4, b'a'.into());
    assert!(!uart.irq_level(), "masked");
    uart.write(IMSC, 4, INT_RT | INT_RX | INT_TX);
    assert!(uart.irq_level(), "the FIFO drained while the interrupt was masked");
    assert_eq!(uart.read(MIS, 4), INT_TX);
    uart.write(IMSC, 4, INT_RT | INT_RX);
    assert!(!uart.irq_level());
}

#[test]
fn a_cleared_transmit_interrupt_comes_back_with_the_next_byte() {
    let mut uart = started_by_linux();
    uart.write(IMSC, 4, INT_TX);
    assert!(!uart.irq_level(), "nothing was sent yet: no transition through the level");
    for _ in 0..3 {
        uart.write(DR, 4, b'a'.into());
        assert!(uart.irq_level());
        uart.write(ICR, 4, INT_TX);
        assert!(!uart.irq_level());
    }
}

#[test]
fn a_byte_that_arrives_while_the_handler_clears_is_not_lost() {
    let mut uart = started_by_linux();
    type_in(&mut uart, b"a");
    assert_eq!(drain(&mut uart).len(), 1);
    type_in(&mut uart, b"b"); // between the handler's last look at FR and its store to ICR
    uart.write(ICR, 4, INT_ALL);
    assert!(uart.irq_level());
    // Having looked, the guest may clear what it has seen.
    uart.read(FR, 4);
    uart.write(ICR, 4, INT_ALL);
    assert!(!uart.irq_level());
}

#[test]
fn an_overflow_is_an_overrun_that_the_guest_can_see_and_clear() {
    let mut uart = started_by_linux();
    uart.write(IMSC, 4, INT_OE);
    type_in(&mut uart, &[b'.'; 16]);
    assert_eq!(uart.receive(b'!'), Err(Full));
    assert!(uart.irq_level());
    assert_eq!(uart.read(RSR, 4), RSR_OE);
    let bytes = drain(&mut uart);
    assert_eq!(bytes[0], DR_OE | u32::from(b'.'));
    assert!(bytes[1..].iter().all(|&byte| byte == b'.'.into()), "the FIFO's content stays valid");
    uart.write(RSR, 4, 0);
    uart.write(ICR, 4, INT_OE);
    assert_eq!((uart.read(RSR, 4), uart.irq_level()), (0, false));
}

#[test]
fn switching_the_fifos_empties_them() {
    let mut uart = started_by_linux();
    type_in(&mut uart, b"abc");
    uart.write(LCR_H, 4, 0x60);
    assert_eq!((uart.room(), uart.irq_level(), drain(&mut uart)), (1, false, vec![]));
    type_in(&mut uart, b"d");
    uart.write(LCR_H, 4, 0x62); // another bit
    assert_eq!(drain(&mut uart), [u32::from(b'd')]);
}

#[test]
fn reading_an_empty_fifo_gives_zero() {
    let mut uart = Pl011::new();
    assert_eq!(uart.read(DR, 4), 0);
    assert_eq!(uart.room(), 1);
}

#[test]
fn a_driver_finds_a_pl011_by_its_identification() {
    let mut uart = Pl011::new();
    let words: Vec<u32> = (0..8).map(|n| uart.read(0xfe0 + 4 * n, 4)).collect();
    let bytes: Vec<u32> = (0..8).map(|n| uart.read(0xfe0 + 4 * n, 1)).collect();
    assert_eq!(words, [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1]);
    assert_eq!(words, bytes);
}

#[test]
fn settings_read_back_in_every_width() {
    let mut uart = Pl011::new();
    assert_eq!([CR, IFLS, IMSC, LCR_H].map(|register| uart.read(register, 4)), [0x300, 0x12, 0, 0]);
    for (register, mask) in [
        (ILPR, 0xff),
        (IBRD, 0xffff),
        (FBRD, 0x3f),
        (LCR_H, 0xff),
        (CR, 0xff87),
        (IFLS, 0x3f),
        (IMSC, 0x7ff),
        (DMACR, 7),
    ] {
        assert_eq!(uart.write(register, 4, u32::MAX), None);
        let widths = [1, 2, 4, 8].map(|bytes| uart.read(register, bytes));
        assert_eq!(widths, [mask & 0xff, mask, mask, mask], "register {register:#x}");
    }
    assert_eq!(uart.read(IMSC + 1, 1), 0x07, "the second byte of a register");
}

#[test]
fn loopback_receives_what_is_sent() {
    let mut uart = started_by_linux();
    uart.write(CR, 4, 0x301 | CR_LBE);
    assert_eq!(uart.write(DR, 4, b'z'.into()), None);
    assert_eq!(drain(&mut uart), [u32::from(b'z')]);
}

#[test]
fn stores_beside_a_register_do_nothing() {
    let mut uart = Pl011::new();
    assert_eq!(uart.write(DR + 1, 1, b'x'.into()), None);
    assert_eq!(uart.write(0x1000, 4, b'x'.into()), None);
    assert_eq!(uart.read(0x1000, 4), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Receive(u8),
    Read(u64, u32),
    Write(u64, u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![4 => (0u64..0x50).prop_map(|n| n & !3), 1 => 0u64..0x2000, 1 => any::<u64>()];
    let bytes = prop_oneof![Just(1u32), Just(2), Just(4), Just(8), any::<u32>()];
    prop_oneof![
        any::<u8>().prop_map(Step::Receive),
        (offset.clone(), bytes.clone()).prop_map(|(offset, bytes)| Step::Read(offset, bytes)),
        (offset, bytes, any::<u32>()).prop_map(|(offset, bytes, value)| Step::Write(offset, bytes, value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing that a guest does panics, and flags, room and interrupts tell one story.
    #[test]
    fn no_access_breaks_the_model(steps in prop::collection::vec(step(), 0..200)) {
        let mut uart = Pl011::new();
        for step in steps {
            match step {
                Step::Receive(byte) => {
                    let had_room = uart.room() > 0;
                    prop_assert_eq!(uart.receive(byte).is_ok(), had_room);
                }
                Step::Read(offset, bytes) => { uart.read(offset, bytes); }
                Step::Write(offset, bytes, value) => {
                    let loops_back = uart.read(CR, 4) & CR_LBE != 0;
                    let sent = uart.write(offset, bytes, value);
                    prop_assert_eq!(sent, (offset == DR && !loops_back).then_some(value as u8));
                }
            }
            let depth = if uart.read(LCR_H, 4) & LCR_H_FEN != 0 { 16 } else { 1 };
            let mut seen = uart.clone();
            let flags = seen.read(FR, 4);
            prop_assert_eq!(flags & FR_RXFF != 0, uart.room() == 0);
            prop_assert_eq!(flags & FR_RXFE != 0, uart.room() == depth);
            prop_assert_eq!(flags & (FR_TXFF | FR_TXFE), FR_TXFE);
            prop_assert_eq!(uart.irq_level(), seen.read(MIS, 4) != 0);
            if flags & FR_RXFE != 0 {
                prop_assert_eq!(seen.read(RIS, 4) & (INT_RX | INT_RT), 0);
            }
        }
    }
}
