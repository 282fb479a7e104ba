//! The board's PL011 (Arm DDI 0183): bytes out, bytes in, its interrupt. No lock, no line, no policy.

use crate::arch::mmio::Registers;
use abi::IntId;
use addr::Pa;

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const CR: u64 = 0x30;
const IMSC: u64 = 0x38;
const MIS: u64 = 0x40;
const ICR: u64 = 0x44;
const FR_TXFF: u32 = 1 << 5;
const FR_RXFE: u32 = 1 << 4;
/// UARTEN, TXE, RXE.
const CR_ON: u32 = 0x301;
/// RX, TX and receive timeout interrupts.
const INT_RX: u32 = 1 << 4 | 1 << 6;
const INT_TX: u32 = 1 << 5;

/// The UART.
#[derive(Clone, Copy, Debug)]
pub struct Uart {
    registers: Registers,
    intid: IntId,
}

impl Uart {
    /// The plan's UART. Nothing is touched: EL2 may still be writing to it.
    pub fn new((at, intid): (Pa, IntId)) -> Self {
        // SAFETY: the plan says that the board's PL011 is there, and map.rs maps it; nothing here starts DMA.
        Self { registers: unsafe { Registers::new(at.as_u64()) }, intid }
    }

    /// Its interrupt.
    pub fn intid(&self) -> IntId {
        self.intid
    }

    /// Takes it over: forgets all interrupts, and from here on raises one for input.
    pub fn open(&self) {
        self.registers.write32(CR, CR_ON);
        self.registers.write32(ICR, 0x7ff);
        self.registers.write32(IMSC, INT_RX);
    }

    /// Gives it back: no more interrupts.
    pub fn close(&self) {
        self.registers.write32(IMSC, 0);
    }

    /// Sends one byte if there is room; whether there was.
    pub fn try_put(&self, byte: u8) -> bool {
        let has_room = self.registers.read32(FR) & FR_TXFF == 0;
        if has_room {
            self.registers.write32(DR, byte.into());
        }
        has_room
    }

    /// Whether a byte was received.
    pub fn has_input(&self) -> bool {
        self.registers.read32(FR) & FR_RXFE == 0
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        self.has_input().then(|| self.registers.read32(DR) as u8)
    }

    /// Acknowledges what raised the interrupt.
    pub fn acknowledge(&self) {
        self.registers.write32(ICR, self.registers.read32(MIS));
    }

    /// Whether room for output raises the interrupt.
    pub fn enable_transmit(&self, is_enabled: bool) {
        self.enable(INT_TX, is_enabled);
    }

    /// Whether input raises the interrupt.
    pub fn enable_receive(&self, is_enabled: bool) {
        self.enable(INT_RX, is_enabled);
    }

    fn enable(&self, interrupts: u32, is_enabled: bool) {
        let now = self.registers.read32(IMSC);
        let wanted = if is_enabled { now | interrupts } else { now & !interrupts };
        if wanted != now {
            self.registers.write32(IMSC, wanted);
        }
    }
}
