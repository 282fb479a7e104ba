//! The register file (host controller specification, section 2.1) as words of 32 bits, and who reaches it.

/// One controller's registers. Offsets are in bytes and multiples of four.
pub trait Registers {
    /// Loads a word.
    fn read(&mut self, offset: u32) -> u32;
    /// Stores a word.
    fn write(&mut self, offset: u32, value: u32);
    /// Does nothing for so many microseconds, some tens at most.
    fn pause(&mut self, microseconds: u32);
}

/// Block size, and block count from bit 16.
pub(crate) const BLOCKS: u32 = 0x04;
pub(crate) const ARGUMENT: u32 = 0x08;
/// Transfer mode, and command from bit 16: storing that sends it.
pub(crate) const COMMAND: u32 = 0x0c;
/// Four words: the answer's bits 8 to 127.
pub(crate) const RESPONSE: u32 = 0x10;
/// Buffer data port.
pub(crate) const BUFFER: u32 = 0x20;
/// Present state.
pub(crate) const PRESENT: u32 = 0x24;
/// Host control 1, power control from bit 8.
pub(crate) const CONTROL: u32 = 0x28;
/// Clock control, timeout control from bit 16, software reset from bit 24.
pub(crate) const CLOCK: u32 = 0x2c;
/// Interrupt status, errors from bit 16. Storing a 1 clears.
pub(crate) const STATUS: u32 = 0x30;
/// What shows in [`STATUS`].
pub(crate) const ENABLE: u32 = 0x34;
/// What of that interrupts.
pub(crate) const SIGNAL: u32 = 0x38;
/// What the controller can do.
pub(crate) const CAPABILITIES: u32 = 0x40;

/// [`PRESENT`]: no command can be sent, none that uses the data lines can, what the buffer is ready for, and DAT0's level.
pub(crate) mod present {
    pub(crate) const COMMAND_INHIBIT: u32 = 1;
    pub(crate) const DATA_INHIBIT: u32 = 1 << 1;
    pub(crate) const WRITE_ENABLE: u32 = 1 << 10;
    pub(crate) const READ_ENABLE: u32 = 1 << 11;
    pub(crate) const DAT0: u32 = 1 << 20;
}

/// [`CONTROL`].
pub(crate) mod control {
    pub(crate) const FOUR_BITS: u32 = 1 << 1;
    pub(crate) const HIGH_SPEED: u32 = 1 << 2;
    /// The card has 3.3 V.
    pub(crate) const POWER: u32 = 0xf << 8;
}

/// [`CLOCK`].
pub(crate) mod clock {
    pub(crate) const INTERNAL: u32 = 1;
    pub(crate) const STABLE: u32 = 1 << 1;
    pub(crate) const CARD: u32 = 1 << 2;
    /// The longest data timeout there is: 2^27 cycles of its clock.
    pub(crate) const TIMEOUT: u32 = 0xe << 16;
    pub(crate) const RESET_ALL: u32 = 1 << 24;
    pub(crate) const RESET_LINES: u32 = 0b110 << 24;
}

/// [`STATUS`].
pub(crate) mod status {
    pub(crate) const COMMAND_COMPLETE: u32 = 1;
    pub(crate) const TRANSFER_COMPLETE: u32 = 1 << 1;
    pub(crate) const WRITE_READY: u32 = 1 << 4;
    pub(crate) const READ_READY: u32 = 1 << 5;
    pub(crate) const ERROR: u32 = 1 << 15;
    /// No answer came in time, among a fault's errors.
    pub(crate) const SILENT: u16 = 1;
    /// Errors of commands: timeout, CRC, end bit, index.
    pub(crate) const COMMAND_ERRORS: u32 = 0xf << 16;
    /// All that this driver looks at: not whether a card comes or goes.
    pub(crate) const ALL: u32 = 0xffff_0000 | COMMAND_COMPLETE | TRANSFER_COMPLETE | WRITE_READY | READ_READY;
}
