//! Register offsets and bits. All registers are 32 bits wide; the two of 64 bits are two of them, low one first.

/// Refresh frame: any store refreshes; reads as 0.
pub const WRR: u64 = 0x000;
/// Control frame: control and status.
pub const WCS: u64 = 0x000;
/// Control frame: offset, which is the length of a period in counter ticks; bits 31:0.
pub const WOR: u64 = 0x008;
/// Offset, bits 47:32.
pub const WOR_HIGH: u64 = 0x00c;
/// Control frame: the counter value after which the period is over; bits 31:0.
pub const WCV: u64 = 0x010;
/// Compare value, bits 63:32.
pub const WCV_HIGH: u64 = 0x014;
/// Both frames: identification.
pub const W_IIDR: u64 = 0xfcc;

/// WCS: enabled.
pub const WCS_EN: u32 = 1 << 0;
/// WCS: the first signal is asserted. Read-only.
pub const WCS_WS0: u32 = 1 << 1;
/// WCS: the second signal is asserted. Read-only.
pub const WCS_WS1: u32 = 1 << 2;

/// Largest offset: 48 bits.
pub const WOR_MAX: u64 = (1 << 48) - 1;
/// W_IIDR: architecture version 1 (bits 19:16), implementer Arm (bits 11:0), as QEMU's model has it.
pub const IDENTIFICATION: u32 = 0x1_043b;
