//! Register offsets and bits (DDI 0183 chapter 3).

/// Data: a load pops a received byte, a store transmits one.
pub const DR: u64 = 0x000;
/// Receive status; any store clears it.
pub const RSR: u64 = 0x004;
/// Flags.
pub const FR: u64 = 0x018;
/// IrDA low-power counter.
pub const ILPR: u64 = 0x020;
/// Integer baud rate.
pub const IBRD: u64 = 0x024;
/// Fractional baud rate.
pub const FBRD: u64 = 0x028;
/// Line control.
pub const LCR_H: u64 = 0x02c;
/// Control.
pub const CR: u64 = 0x030;
/// FIFO levels that interrupt.
pub const IFLS: u64 = 0x034;
/// Interrupt mask: a 1 enables.
pub const IMSC: u64 = 0x038;
/// Raw interrupts.
pub const RIS: u64 = 0x03c;
/// Masked interrupts.
pub const MIS: u64 = 0x040;
/// Interrupt clear.
pub const ICR: u64 = 0x044;
/// DMA control.
pub const DMACR: u64 = 0x048;
/// First of eight identification registers.
pub const PERIPH_ID0: u64 = 0xfe0;

/// DR: bytes were lost before this one.
pub const DR_OE: u32 = 1 << 11;
/// RSR: bytes were lost.
pub const RSR_OE: u32 = 1 << 3;
/// FR: nothing received.
pub const FR_RXFE: u32 = 1 << 4;
/// FR: transmit FIFO full. Never set.
pub const FR_TXFF: u32 = 1 << 5;
/// FR: receive FIFO full.
pub const FR_RXFF: u32 = 1 << 6;
/// FR: transmit FIFO empty. Always set.
pub const FR_TXFE: u32 = 1 << 7;
/// LCR_H: FIFOs of 16 bytes instead of 1.
pub const LCR_H_FEN: u32 = 1 << 4;
/// CR: what is transmitted is received.
pub const CR_LBE: u32 = 1 << 7;

/// Receive interrupt.
pub const INT_RX: u32 = 1 << 4;
/// Transmit interrupt.
pub const INT_TX: u32 = 1 << 5;
/// Receive timeout interrupt.
pub const INT_RT: u32 = 1 << 6;
/// Overrun interrupt.
pub const INT_OE: u32 = 1 << 10;
/// All interrupts of the PL011.
pub const INT_ALL: u32 = 0x7ff;

/// UARTPeriphID0-3 and UARTPCellID0-3: PL011 revision 1, whose FIFOs hold 16 bytes.
pub const IDENTIFICATION: [u8; 8] = [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
