//! Leaf attributes: the bits of a block or page descriptor that are neither address nor type.
//!
//! Arm ARM D8.3.1.2 "VMSAv8-64 descriptor formats, Block and Page" and D8.6 "Memory region attributes". The field is
//! private, so that every value in a table is one of the constants below: none maps device memory executable.

/// MAIR_EL2 as [`Attributes::TEXT`] and its sisters expect it: index 0 is Normal Write-Back, read and write allocate;
/// index 1 Device-nGnRE; index 2 Normal Non-cacheable.
pub const MAIR_EL2: u64 = 0x44_04_ff;

/// AttrIndx, bits 4:2, of each type in [`MAIR_EL2`].
const S1_WRITE_BACK: u64 = 0 << 2;
const S1_DEVICE: u64 = 1 << 2;
const S1_NON_CACHEABLE: u64 = 2 << 2;
/// AP[1], RES1 in a translation regime with one privilege level.
const S1_AP1: u64 = 1 << 6;
/// AP[2]: read-only.
const S1_READ_ONLY: u64 = 1 << 7;

/// MemAttr, bits 5:2, without FEAT_S2FWB: the weaker of this and the guest's own attribute holds.
const S2_WRITE_BACK: u64 = 0b1111 << 2;
const S2_NON_CACHEABLE: u64 = 0b0101 << 2;
const S2_DEVICE_NGNRE: u64 = 0b0001 << 2;
/// S2AP, bits 7:6.
const S2_READ: u64 = 0b01 << 6;
const S2_READ_WRITE: u64 = 0b11 << 6;

/// SH, bits 9:8.
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// Access flag: set at once, so that no access-flag fault occurs.
const ACCESSED: u64 = 1 << 10;
/// XN of both stages. At stage 2 with FEAT_XNX, bits 54:53 = 0b10 means neither EL1 nor EL0 may execute.
const EXECUTE_NEVER: u64 = 1 << 54;

/// Everything in a leaf except the output address (bits 47:12) and the type (bits 1:0).
const MASK: u64 = 0xfff0_0000_0000_0ffc;

/// What a mapping allows and how it is cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes(u64);

impl Attributes {
    /// Stage 2: guest RAM. The guest's own stage 1 decides about execution.
    pub const NORMAL_RWX: Self = Self(S2_WRITE_BACK | S2_READ_WRITE | INNER_SHAREABLE | ACCESSED);
    /// Stage 2: memory that the guest reads and writes and never executes: what it shares or keeps.
    pub const NORMAL_RW: Self = Self(S2_WRITE_BACK | S2_READ_WRITE | INNER_SHAREABLE | ACCESSED | EXECUTE_NEVER);
    /// Stage 2: memory that the guest reads and neither writes nor executes.
    pub const NORMAL_RO: Self = Self(S2_WRITE_BACK | S2_READ | INNER_SHAREABLE | ACCESSED | EXECUTE_NEVER);
    /// Stage 2: registers that the guest reads from memory: non-cacheable whatever its own attributes.
    pub const TRANSPORT_RO: Self = Self(S2_NON_CACHEABLE | S2_READ | INNER_SHAREABLE | ACCESSED | EXECUTE_NEVER);
    /// Stage 2: registers of an assigned device, Device-nGnRE.
    pub const DEVICE_RW: Self = Self(S2_DEVICE_NGNRE | S2_READ_WRITE | ACCESSED | EXECUTE_NEVER);

    /// EL2 stage 1: code.
    pub const TEXT: Self = Self(S1_WRITE_BACK | S1_AP1 | S1_READ_ONLY | INNER_SHAREABLE | ACCESSED);
    /// EL2 stage 1: constants.
    pub const RODATA: Self = Self(Self::TEXT.0 | EXECUTE_NEVER);
    /// EL2 stage 1: data, stacks, and windows onto guest RAM.
    pub const DATA: Self = Self(S1_WRITE_BACK | S1_AP1 | INNER_SHAREABLE | ACCESSED | EXECUTE_NEVER);
    /// EL2 stage 1: device registers, Device-nGnRE.
    pub const DEVICE: Self = Self(S1_DEVICE | S1_AP1 | ACCESSED | EXECUTE_NEVER);
    /// EL2 stage 1: memory shared with an observer that does not snoop, Normal Non-cacheable.
    pub const NORMAL_NC: Self = Self(S1_NON_CACHEABLE | S1_AP1 | INNER_SHAREABLE | ACCESSED | EXECUTE_NEVER);

    /// The attributes found in a leaf `descriptor`.
    pub(crate) const fn of(descriptor: u64) -> Self {
        Self(descriptor & MASK)
    }
    /// The bits to combine with output address and type: for tables built in assembly or by a linker.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_memory_is_never_executable() {
        for device in [Attributes::DEVICE_RW, Attributes::DEVICE] {
            assert_eq!(device.bits() & EXECUTE_NEVER, EXECUTE_NEVER);
            assert_eq!(device.bits() >> 53 & 1, 0, "0b11 would let EL1 execute with FEAT_XNX");
        }
    }

    #[test]
    fn nothing_of_el2_is_both_writable_and_executable() {
        use Attributes as A;
        for a in [A::TEXT, A::RODATA, A::DATA, A::DEVICE, A::NORMAL_NC] {
            let writable = a.bits() & S1_READ_ONLY == 0;
            assert!(!writable || a.bits() & EXECUTE_NEVER != 0, "{a:?}");
            assert_ne!(a.bits() & S1_AP1, 0, "AP[1] is RES1 at EL2");
        }
    }

    #[test]
    fn mair_holds_the_three_types_at_their_indexes() {
        let entry = |attributes: Attributes| (MAIR_EL2 >> (8 * (attributes.bits() >> 2 & 7))) & 0xff;
        assert_eq!(entry(Attributes::DATA), 0xff);
        assert_eq!(entry(Attributes::TEXT), 0xff);
        assert_eq!(entry(Attributes::DEVICE), 0x04);
        assert_eq!(entry(Attributes::NORMAL_NC), 0x44);
    }

    #[test]
    fn descriptors_have_the_bits_the_manual_draws() {
        assert_eq!(Attributes::NORMAL_RWX.bits(), 0x7fc);
        assert_eq!(Attributes::NORMAL_RO.bits(), 0x0040_0000_0000_077c);
        assert_eq!(Attributes::TRANSPORT_RO.bits(), 0x0040_0000_0000_0754);
        assert_eq!(Attributes::DEVICE_RW.bits(), 0x0040_0000_0000_04c4);
        assert_eq!(Attributes::TEXT.bits(), 0x7c0);
        assert_eq!(Attributes::DATA.bits(), 0x0040_0000_0000_0740);
    }
}
