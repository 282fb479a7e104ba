//! The board's PL011 (Arm DDI 0183) as EL2 drives it: bytes out, bytes in, its interrupt. No lock, no line, no policy.

use crate::memory;
use crate::timer;
use abi::IntId;
use addr::Pa;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};

register_structs! {
    /// PL011 (Arm DDI 0183): the registers that EL2 uses.
    Uart {
        (0x000 => dr: ReadWrite<u32>),
        (0x004 => _reserved0),
        (0x018 => fr: ReadOnly<u32>),
        (0x01c => _reserved1),
        (0x030 => cr: ReadWrite<u32>),
        (0x034 => _reserved2),
        (0x038 => imsc: ReadWrite<u32>),
        (0x03c => _reserved3),
        (0x040 => mis: ReadOnly<u32>),
        (0x044 => icr: WriteOnly<u32>),
        (0x048 => @END),
    }
}
const FR_TXFF: u32 = 1 << 5;
const FR_RXFE: u32 = 1 << 4;
/// UARTEN, TXE, RXE.
const CR_ON: u32 = 0x301;
/// RX, TX and receive timeout interrupts.
const INT_RX: u32 = 1 << 4 | 1 << 6;
const INT_TX: u32 = 1 << 5;

/// Milliseconds for a byte; at 115,200 baud one takes a tenth.
const STUCK_MS: u32 = 100;

static IS_STUCK: AtomicBool = AtomicBool::new(false);
static UART: AtomicUsize = AtomicUsize::new(0);
static UART_INTID: AtomicU32 = AtomicU32::new(u32::MAX);

fn uart() -> Option<&'static Uart> {
    let address = UART.load(Ordering::Relaxed);
    // SAFETY: `open` mapped a PL011's registers there as device memory.
    (address != 0).then(|| unsafe { &*(address as *const Uart) })
}

/// Opens the UART at `pa`: the first thing that can say anything.
pub fn open(pa: Pa, intid: IntId) {
    UART.store(memory::map_device(pa, 0x1000), Ordering::Relaxed);
    UART_INTID.store(intid.number(), Ordering::Relaxed);
    if let Some(uart) = uart() {
        uart.imsc.set(0);
        uart.cr.set(CR_ON);
    }
}

/// The UART's interrupt.
pub fn intid() -> u32 {
    UART_INTID.load(Ordering::Relaxed)
}

/// Sends one byte, waiting for room. A UART that has sent nothing for so long is not waited for until it does.
pub fn put(byte: u8) {
    let end = timer::now() + timer::ticks(STUCK_MS);
    let mut is_stuck = IS_STUCK.load(Ordering::Relaxed);
    while !try_put(byte) {
        is_stuck |= timer::now() > end;
        if is_stuck || uart().is_none() {
            return IS_STUCK.store(is_stuck, Ordering::Relaxed);
        }
    }
    if is_stuck {
        IS_STUCK.store(false, Ordering::Relaxed);
    }
}

/// Sends one byte if there is room; whether there was.
pub fn try_put(byte: u8) -> bool {
    let Some(uart) = uart().filter(|uart| uart.fr.get() & FR_TXFF == 0) else { return false };
    uart.dr.set(u32::from(byte));
    true
}

/// The next received byte.
pub fn receive() -> Option<u8> {
    let uart = uart().filter(|uart| uart.fr.get() & FR_RXFE == 0)?;
    Some(uart.dr.get() as u8)
}

/// Whether a received byte waits.
pub fn has_input() -> bool {
    uart().is_some_and(|uart| uart.fr.get() & FR_RXFE == 0)
}

/// Forgets all interrupts, and from here on raises one for input.
pub fn start_interrupts() {
    if let Some(uart) = uart() {
        uart.icr.set(0x7ff);
        uart.imsc.set(INT_RX);
    }
}

/// As after [`open`] and [`start_interrupts`], whatever somebody else did to it meanwhile.
pub fn restart() {
    if let Some(uart) = uart() {
        uart.cr.set(CR_ON);
    }
    start_interrupts();
}

/// Raises none any more.
pub fn stop_interrupts() {
    if let Some(uart) = uart() {
        uart.imsc.set(0);
    }
}

/// Acknowledges what raised the interrupt.
pub fn acknowledge() {
    if let Some(uart) = uart() {
        uart.icr.set(uart.mis.get());
    }
}

fn enable(interrupts: u32, enabled: bool) {
    if let Some(uart) = uart() {
        let others = uart.imsc.get() & !interrupts;
        uart.imsc.set(if enabled { others | interrupts } else { others });
    }
}

/// Whether room for output raises the interrupt.
pub fn enable_transmit(enabled: bool) {
    enable(INT_TX, enabled);
}

/// Whether input raises the interrupt.
pub fn enable_receive(enabled: bool) {
    enable(INT_RX, enabled);
}

/// Writes past every lock: for refusals at boot and for panics.
pub fn emergency(text: fmt::Arguments<'_>) {
    struct Raw;
    impl Write for Raw {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().for_each(put);
            Ok(())
        }
    }
    // Writing to the UART cannot fail.
    let _ = Raw.write_fmt(text);
}
