//! Data and instruction aborts from a lower exception level (Arm ARM, "ISS encoding for an exception from a Data Abort").

use addr::Ipa;
use core::fmt;

/// The syndrome of a data or instruction abort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abort(u32);

/// What the fault status code says. `level` is that of the stage that faulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The output of a table entry is too wide.
    AddressSize {
        /// Level of the entry.
        level: u8,
    },
    /// Not mapped.
    Translation {
        /// Level of the invalid entry.
        level: u8,
    },
    /// The access flag is clear: never set up so here.
    AccessFlag {
        /// Level of the leaf.
        level: u8,
    },
    /// Mapped, not for this kind of access.
    Permission {
        /// Level of the leaf.
        level: u8,
    },
    /// The bus refused the access.
    External,
    /// The bus refused a read of a table.
    ExternalOnWalk,
    /// A parity or ECC error, on the access or on a table walk.
    Ecc,
    /// The address is not aligned as the memory type demands.
    Alignment,
    /// Two TLB entries match one address.
    TlbConflict,
    /// An exclusive or atomic access to memory that does not support it.
    UnsupportedExclusive,
    /// Any other fault status code.
    Other(u8),
}

impl Abort {
    /// From ESR_EL2.ISS.
    pub const fn new(iss: u32) -> Self {
        Self(iss)
    }
    /// Whether ESR_EL2 describes a store of four bytes from a general register that stage 2 does not allow, at an address
    /// that FAR_EL2 holds: ISV, SAS, WnR and the fault status code, and neither FnV, CM nor S1PTW.
    #[inline(always)]
    pub const fn is_refused_store_of_word(esr: u64) -> bool {
        const FIELDS: u32 = 0x3f << 26 | 1 << 24 | 3 << 22 | 1 << 10 | 1 << 8 | 1 << 7 | 1 << 6 | 0x3c;
        const WANTED: u32 = 0x24 << 26 | 1 << 24 | 2 << 22 | 1 << 6 | 0x0c;
        esr as u32 & FIELDS == WANTED
    }
    const fn bit(self, n: u32) -> bool {
        self.0 >> n & 1 != 0
    }
    /// The instruction specific syndrome, for fault records.
    pub const fn iss(self) -> u32 {
        self.0
    }

    /// Why the access was refused.
    pub const fn fault(self) -> Fault {
        let code = (self.0 & 0x3f) as u8;
        let level = code & 3;
        match code {
            0x00..=0x03 => Fault::AddressSize { level },
            0x04..=0x07 => Fault::Translation { level },
            0x08..=0x0b => Fault::AccessFlag { level },
            0x0c..=0x0f => Fault::Permission { level },
            0x10 => Fault::External,
            0x13..=0x17 => Fault::ExternalOnWalk,
            0x18 | 0x1b..=0x1f => Fault::Ecc,
            0x21 => Fault::Alignment,
            0x30 => Fault::TlbConflict,
            0x35 => Fault::UnsupportedExclusive,
            code => Fault::Other(code),
        }
    }

    /// Whether stage 2 refused a read of the guest's own translation tables (S1PTW), not the access itself.
    #[inline(always)]
    pub const fn is_on_table_walk(self) -> bool {
        self.bit(7)
    }
    /// Whether a cache maintenance or address translation instruction caused it (CM). Data aborts only.
    #[inline(always)]
    pub const fn is_cache_maintenance(self) -> bool {
        self.bit(8)
    }
    /// Whether the access was a write (WnR). Data aborts only; cache maintenance counts as a write.
    #[inline(always)]
    pub const fn is_write(self) -> bool {
        self.bit(6)
    }
    /// Whether FAR_EL2 holds the address (FnV clear).
    pub const fn far_is_valid(self) -> bool {
        !self.bit(10)
    }
    /// Whether the access was translated and is not allowed.
    #[inline(always)]
    pub const fn is_permission_fault(self) -> bool {
        self.0 & 0x3c == 0x0c
    }
    /// Whether HPFAR_EL2 holds the page. Never so for a permission fault of the access itself: then the IPA must come
    /// from an address translation instruction.
    #[inline(always)]
    pub const fn hpfar_is_valid(self) -> bool {
        // Address size, translation and access flag faults are the codes below 0x0c, permission faults follow.
        let code = self.0 & 0x3f;
        code < 0x0c || (code < 0x10 && self.is_on_table_walk())
    }
    /// The guest-physical address from HPFAR_EL2 (bits 43:4 are IPA\[51:12\]) and FAR_EL2. For an access on a table
    /// walk the offset in the page is not known: FAR_EL2 is the address that was being translated.
    #[inline(always)]
    pub const fn ipa(self, hpfar: u64, far: u64) -> Ipa {
        let page = (hpfar & 0x0fff_ffff_fff0) << 8;
        Ipa::new(if self.is_on_table_walk() { page } else { page | far & 0xfff })
    }

    /// How the instruction moves data, where the hardware tells (ISV): a load or store of one general register without
    /// write-back. `None` for pairs, exclusives, atomics, SIMD, and write-back forms ([`crate::WriteBack`]). Data aborts
    /// only.
    #[inline(always)]
    pub const fn access(self) -> Option<Access> {
        if self.bit(24) { Some(Access(self.0)) } else { None }
    }
}

/// One load or store of a general register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access(u32);

impl Access {
    /// Bytes that the instruction moves: 1, 2, 4 or 8 (SAS).
    #[inline(always)]
    pub const fn bytes(self) -> u32 {
        1 << (self.0 >> 22 & 3)
    }
    /// The general register, 0 to 31; 31 is the zero register (SRT).
    #[inline(always)]
    pub const fn register(self) -> usize {
        (self.0 >> 16 & 31) as usize
    }
    /// Whether it is a store.
    #[inline(always)]
    pub const fn is_write(self) -> bool {
        self.0 >> 6 & 1 != 0
    }
    /// Whether a load extends the sign (SSE).
    #[inline(always)]
    pub const fn is_sign_extended(self) -> bool {
        self.0 >> 21 & 1 != 0
    }
    /// Whether a load writes all 64 bits of the register (SF); otherwise 32, and the upper half becomes zero.
    #[inline(always)]
    pub const fn is_64_bit(self) -> bool {
        self.0 >> 15 & 1 != 0
    }

    /// The bits of `value` that a store moves.
    #[inline(always)]
    pub const fn truncate(self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - 8 * self.bytes()))
    }
    /// What a load puts into its register when the device answers `value`.
    #[inline(always)]
    pub const fn extend(self, value: u64) -> u64 {
        let unused = 64 - 8 * self.bytes();
        let extended = if self.is_sign_extended() {
            ((value << unused) as i64 >> unused) as u64
        } else {
            value << unused >> unused
        };
        if self.is_64_bit() { extended } else { extended & 0xffff_ffff }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.access() {
            _ if self.is_on_table_walk() => f.write_str("table walk")?,
            _ if self.is_cache_maintenance() => f.write_str("cache maintenance")?,
            Some(access) if access.is_write() => write!(f, "store of {} bytes", access.bytes())?,
            Some(access) => write!(f, "load of {} bytes", access.bytes())?,
            None if self.is_write() => f.write_str("write")?,
            None => f.write_str("read")?,
        }
        write!(f, ", {}", self.fault())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressSize { level } => write!(f, "address size fault at level {level}"),
            Self::Translation { level } => write!(f, "translation fault at level {level}"),
            Self::AccessFlag { level } => write!(f, "access flag fault at level {level}"),
            Self::Permission { level } => write!(f, "permission fault at level {level}"),
            Self::External => f.write_str("external abort"),
            Self::ExternalOnWalk => f.write_str("external abort on a table walk"),
            Self::Ecc => f.write_str("parity or ECC error"),
            Self::Alignment => f.write_str("alignment fault"),
            Self::TlbConflict => f.write_str("TLB conflict"),
            Self::UnsupportedExclusive => f.write_str("unsupported exclusive or atomic access"),
            Self::Other(code) => write!(f, "fault status {code:#04x}"),
        }
    }
}
