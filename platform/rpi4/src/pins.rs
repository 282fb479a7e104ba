//! The hook before the first byte: pins 14 and 15 of the header to the PL011, whatever the firmware made of them (BCM2711
//! ARM peripherals, 5.2 and 11.5). Its own tree routes them to the mini UART and the PL011 to Bluetooth.

use addr::Pa;
use hypervisor::Change;

/// TXD0 and RXD0 are function ALT0 (0b100) of GPIO 14 and 15.
const CHANGES: &[Change] = &[
    // GPFSEL1: three bits for each pin from 10 on.
    Change { register: Pa::new(0xfe20_0004), mask: 0x3f << 12, value: 0x24 << 12 },
    // GPIO_PUP_PDN_CNTRL_REG0: no pull at what sends, up at what receives, so that an open pin is an idle line.
    Change { register: Pa::new(0xfe20_00e4), mask: 0xf << 28, value: 0x4 << 28 },
    // UART_CR: off while the rate changes.
    Change { register: Pa::new(0xfe20_1030), mask: u32::MAX, value: 0 },
    // UART_IBRD, UART_FBRD: 48 MHz / (16 * 115 200) = 26 3/64. The firmware's `init_uart_clock` is 48 MHz.
    Change { register: Pa::new(0xfe20_1024), mask: u32::MAX, value: 26 },
    Change { register: Pa::new(0xfe20_1028), mask: u32::MAX, value: 3 },
    // UART_LCRH: eight bits, no parity, one stop bit, with FIFOs. It also takes the rate over.
    Change { register: Pa::new(0xfe20_102c), mask: u32::MAX, value: 0x70 },
];

/// Makes the PL011 speak on pins 8 and 10 of the header, at 115 200 baud.
pub fn to_console() {
    hypervisor::change(CHANGES);
}
