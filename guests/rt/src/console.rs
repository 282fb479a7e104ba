//! The PL011 console, polled (Arm DDI 0183).
//!
//! Before each run of up to 16 bytes the transmit FIFO is awaited empty, so a byte costs one access: under a
//! hypervisor every access is a trap, and [`accesses`] lets a test account for each. Nothing is allocated.

use crate::arch::mmio::Registers;
use crate::{IntId, cpu};
use abi::machine;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};
use spin::mutex::SpinMutex;

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const LCR_H: u64 = 0x2c;
const CR: u64 = 0x30;
const IMSC: u64 = 0x38;
const ICR: u64 = 0x44;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFE: u32 = 1 << 7;
/// RXIM and RTIM: a byte is there.
const INTERRUPTS: u32 = 1 << 4 | 1 << 6;
/// Bytes that an empty transmit FIFO takes.
const FIFO: usize = 16;
/// Reads of FR to wait for an empty FIFO: longer than 16 bytes take at 9600 baud; then bytes go out regardless.
const PATIENCE: u32 = 1 << 20;

// SAFETY: the guest machine's console (MANUAL, "Guest machine"), mapped Device; a PL011 without DMA.
const UART: Registers = unsafe { Registers::new(machine::UART.as_u64()) };

/// The console's interrupt.
pub const INTID: IntId = machine::UART_INTID;

static ACCESSES: AtomicU64 = AtomicU64::new(0);
static OUTPUT: SpinMutex<Output> = SpinMutex::new(Output { free: 0 });

/// The transmit side: how many bytes the FIFO takes before FR must be read again.
struct Output {
    free: usize,
}

impl Output {
    fn byte(&mut self, byte: u8) {
        if self.free == 0 {
            for _ in 0..PATIENCE {
                if read(FR) & FR_TXFE != 0 {
                    break;
                }
            }
            self.free = FIFO;
        }
        self.free -= 1;
        write(DR, byte.into());
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.byte(b'\r');
            }
            self.byte(byte);
        }
        Ok(())
    }
}

fn read(offset: u64) -> u32 {
    ACCESSES.fetch_add(1, Ordering::Relaxed);
    UART.read32(offset)
}

fn write(offset: u64, value: u32) {
    ACCESSES.fetch_add(1, Ordering::Relaxed);
    UART.write32(offset, value);
}

/// 8 bits, FIFOs on, transmit and receive, no interrupts.
pub fn init() {
    write(IMSC, 0);
    write(LCR_H, 0x70);
    write(CR, 0x301);
}

/// Loads and stores of the PL011 so far, by all vCPUs.
pub fn accesses() -> u64 {
    ACCESSES.load(Ordering::Relaxed)
}

/// A received byte, if there is one.
pub fn receive() -> Option<u8> {
    (read(FR) & FR_RXFE == 0).then(|| read(DR) as u8)
}

/// Interrupts ([`INTID`]) when a byte arrives.
pub fn enable_receive_interrupt() {
    write(IMSC, INTERRUPTS);
}

/// Takes the receive interrupt away; call it after the FIFO was emptied, so that a later byte interrupts again.
pub fn clear_interrupt() {
    write(ICR, INTERRUPTS);
}

/// Prints without a line end. One call is not interleaved with another vCPU's; handlers must not print.
pub fn print(arguments: fmt::Arguments) {
    // An interrupted writer on this vCPU would never release the lock to a handler, hence the rule above.
    let result = OUTPUT.lock().write_fmt(arguments);
    debug_assert!(result.is_ok(), "Output::write_str never fails");
}

/// Prints although another writer may be in the middle of a line: for panics.
pub(crate) fn print_anyway(arguments: fmt::Arguments) {
    let mut output = Output { free: 0 };
    let result = output.write_fmt(format_args!("\nvCPU {}: {arguments}\n", cpu::index()));
    debug_assert!(result.is_ok(), "Output::write_str never fails");
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::print(format_args!($($argument)*)) };
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::console::print(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($argument)*))) };
}
