//! Register offsets (DDI 0190 chapter 3). All registers have 8 bits, one for each pin.

/// First of 256 places of the data register: bits 9:2 of the offset say which pins an access concerns.
pub const GPIODATA: u64 = 0x000;
/// Last place of the data register: all pins.
pub const GPIODATA_ALL: u64 = 0x3fc;
/// Direction: a 1 is an output.
pub const GPIODIR: u64 = 0x400;
/// Sense: a 1 interrupts on a level, a 0 on an edge.
pub const GPIOIS: u64 = 0x404;
/// A 1 interrupts on both edges, a 0 on the one that GPIOIEV chooses.
pub const GPIOIBE: u64 = 0x408;
/// Event: a 1 interrupts on a rising edge or high level, a 0 on a falling edge or low level.
pub const GPIOIEV: u64 = 0x40c;
/// Interrupt mask: a 1 enables.
pub const GPIOIE: u64 = 0x410;
/// Raw interrupts. Read-only.
pub const GPIORIS: u64 = 0x414;
/// Masked interrupts. Read-only.
pub const GPIOMIS: u64 = 0x418;
/// Interrupt clear: a 1 forgets an edge. Write-only.
pub const GPIOIC: u64 = 0x41c;
/// Mode control: a 1 gives the pin to hardware. Stored, without effect.
pub const GPIOAFSEL: u64 = 0x420;
/// First of eight identification registers.
pub const PERIPH_ID0: u64 = 0xfe0;

/// GPIOPeriphID0-3 and GPIOPCellID0-3.
pub const IDENTIFICATION: [u8; 8] = [0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
