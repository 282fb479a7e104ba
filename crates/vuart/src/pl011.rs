//! [`Pl011`]: the register file.

use crate::fifo::{Fifo, Full};
use crate::register::*;

/// One PL011 as a guest sees it.
#[derive(Clone, Debug)]
pub struct Pl011 {
    received: Fifo,
    /// A byte came since the guest last looked: it cannot mean this one when it clears interrupts.
    has_unseen: bool,
    /// RSR: at most RSR_OE, until the guest clears it.
    receive_status: u32,
    /// DR.OE of the next byte.
    overrun_mark: bool,
    raw_interrupts: u32,
    interrupt_mask: u32,
    control: u32,
    line_control: u32,
    fifo_levels: u32,
    integer_baud: u32,
    fractional_baud: u32,
    low_power: u32,
    dma_control: u32,
}

impl Default for Pl011 {
    fn default() -> Self {
        Self::new()
    }
}

impl Pl011 {
    /// The state after reset: FIFOs off, all interrupts masked.
    pub const fn new() -> Self {
        Self {
            received: Fifo::new(),
            has_unseen: false,
            receive_status: 0,
            overrun_mark: false,
            raw_interrupts: 0,
            interrupt_mask: 0,
            control: 0x300,
            line_control: 0,
            fifo_levels: 0x12,
            integer_baud: 0,
            fractional_baud: 0,
            low_power: 0,
            dma_control: 0,
        }
    }

    /// The level of the interrupt line.
    pub const fn irq_level(&self) -> bool {
        self.raw_interrupts & self.interrupt_mask != 0
    }
    /// How many bytes can be received now. It grows when the guest reads DR or writes LCR_H.
    pub fn room(&self) -> usize {
        self.received.room()
    }

    /// A byte arrives for the guest.
    ///
    /// # Errors
    /// [`Full`] when there was no [`Pl011::room`]: the byte is lost and the guest sees an overrun, as on hardware. Who
    /// can wait asks for room first.
    pub fn receive(&mut self, byte: u8) -> Result<(), Full> {
        if let Err(full) = self.received.push(byte) {
            self.receive_status = RSR_OE;
            self.overrun_mark = true;
            self.raw_interrupts |= INT_OE;
            return Err(full);
        }
        // Both, whatever IFLS says: QEMU raises RX for the first byte, and a driver written for hardware listens to RT.
        self.raw_interrupts |= INT_RX | INT_RT;
        self.has_unseen = true;
        Ok(())
    }

    /// A load of `bytes` (1, 2, 4; 8 reads as 4) at `offset` in the UART's page. What is not there reads as zero.
    pub fn read(&mut self, offset: u64, bytes: u32) -> u32 {
        let shift = 8 * (offset & 3) as u32;
        (self.read_register(offset & !3) >> shift) & width_mask(bytes)
    }

    /// A store of `bytes` (1, 2, 4; 8 writes 4) at `offset`; the byte to transmit, if it sends one. A store that does
    /// not begin at a register's first byte is ignored.
    pub fn write(&mut self, offset: u64, bytes: u32, value: u32) -> Option<u8> {
        let value = value & width_mask(bytes);
        match offset {
            DR => return self.transmit(value as u8),
            RSR => self.receive_status = 0,
            ILPR => self.low_power = value & 0xff,
            IBRD => self.integer_baud = value & 0xffff,
            FBRD => self.fractional_baud = value & 0x3f,
            LCR_H => self.write_line_control(value & 0xff),
            // Bits 6:3 are reserved.
            CR => self.control = value & 0xff87,
            IFLS => self.fifo_levels = value & 0x3f,
            IMSC => self.interrupt_mask = value & INT_ALL,
            ICR => self.clear_interrupts(value),
            DMACR => self.dma_control = value & 7,
            _ => {}
        }
        None
    }

    fn read_register(&mut self, offset: u64) -> u32 {
        if matches!(offset, DR | FR | RIS | MIS) {
            self.has_unseen = false;
        }
        match offset {
            DR => self.read_byte(),
            RSR => self.receive_status,
            FR => self.flags(),
            ILPR => self.low_power,
            IBRD => self.integer_baud,
            FBRD => self.fractional_baud,
            LCR_H => self.line_control,
            CR => self.control,
            IFLS => self.fifo_levels,
            IMSC => self.interrupt_mask,
            RIS => self.raw_interrupts,
            MIS => self.raw_interrupts & self.interrupt_mask,
            DMACR => self.dma_control,
            PERIPH_ID0..=0xffc => IDENTIFICATION.get((offset - PERIPH_ID0) as usize / 4).map_or(0, |&id| id.into()),
            _ => 0,
        }
    }

    fn flags(&self) -> u32 {
        let empty = if self.received.is_empty() { FR_RXFE } else { 0 };
        let full = if self.received.room() == 0 { FR_RXFF } else { 0 };
        FR_TXFE | empty | full
    }

    fn read_byte(&mut self) -> u32 {
        let Some(byte) = self.received.pop() else { return 0 };
        self.settle_receive();
        let mark = if core::mem::take(&mut self.overrun_mark) { DR_OE } else { 0 };
        mark | u32::from(byte)
    }

    /// Receive interrupts fall when the FIFO is empty.
    fn settle_receive(&mut self) {
        if self.received.is_empty() {
            self.raw_interrupts &= !(INT_RX | INT_RT);
        }
    }

    /// The byte has left at once: the FIFO drained past its level, which is what the transmit interrupt reports.
    fn transmit(&mut self, byte: u8) -> Option<u8> {
        self.raw_interrupts |= INT_TX;
        if self.control & CR_LBE == 0 {
            return Some(byte);
        }
        // Loopback: an overrun is recorded in the registers, where the guest that caused it looks.
        let _ = self.receive(byte);
        None
    }

    /// Switching the FIFOs on or off empties them.
    fn write_line_control(&mut self, value: u32) {
        if (self.line_control ^ value) & LCR_H_FEN != 0 {
            self.received.reset(value & LCR_H_FEN != 0);
            self.settle_receive();
        }
        self.line_control = value;
    }

    /// On hardware the timeout of a byte that arrives just before the store elapses after it, and interrupts again. Here
    /// it would be lost, and with it the byte until the next one comes: so it stays.
    fn clear_interrupts(&mut self, value: u32) {
        let kept = if self.has_unseen { INT_RX | INT_RT } else { 0 };
        self.raw_interrupts &= !(value & !kept);
    }
}

/// The bits that an access of `bytes` moves.
const fn width_mask(bytes: u32) -> u32 {
    match bytes {
        1 => 0xff,
        2 => 0xffff,
        _ => u32::MAX,
    }
}
