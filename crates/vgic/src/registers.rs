//! The register maps: which offsets exist, in which sizes, and what they are (IHI 0048 table 4-1, IHI 0069 tables 12-25,
//! 12-27 and 12-29). What is in no row is RAZ/WI: reserved offsets, and what an absent feature would have there.

/// What a register does; the accessors are in `access`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Control,
    Type,
    Implementer,
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
    Priority,
    Target,
    Config,
    SoftwareInterrupt,
    ClearSgiPending,
    SetSgiPending,
    Route,
    RedistributorType,
    Waker,
    DistributorId,
    RedistributorId,
}

/// One range of offsets.
pub(crate) struct Row {
    first: u32,
    end: u32,
    /// The allowed access sizes in bytes, or'ed.
    sizes: u8,
    kind: Kind,
}

const WORD: u8 = 4;
const BYTE_OR_WORD: u8 = 1 | 4;
const WORD_OR_DOUBLE: u8 = 4 | 8;

const fn row(first: u32, end: u32, sizes: u8, kind: Kind) -> Row {
    Row { first, end, sizes, kind }
}

/// GICD_* of GICv2; the most frequent first.
pub(crate) static V2_DISTRIBUTOR: [Row; 17] = [
    row(0xf00, 0xf04, WORD, Kind::SoftwareInterrupt),
    row(0x004, 0x008, WORD, Kind::Type),
    row(0x100, 0x180, WORD, Kind::SetEnable),
    row(0x180, 0x200, WORD, Kind::ClearEnable),
    row(0x200, 0x280, WORD, Kind::SetPending),
    row(0x280, 0x300, WORD, Kind::ClearPending),
    row(0x300, 0x380, WORD, Kind::SetActive),
    row(0x380, 0x400, WORD, Kind::ClearActive),
    row(0x800, 0xc00, BYTE_OR_WORD, Kind::Target),
    row(0x400, 0x800, BYTE_OR_WORD, Kind::Priority),
    row(0x000, 0x004, WORD, Kind::Control),
    row(0x008, 0x00c, WORD, Kind::Implementer),
    row(0x080, 0x100, WORD, Kind::Group),
    row(0xc00, 0xd00, WORD, Kind::Config),
    row(0xf10, 0xf20, BYTE_OR_WORD, Kind::ClearSgiPending),
    row(0xf20, 0xf30, BYTE_OR_WORD, Kind::SetSgiPending),
    row(0xfd0, 0x1000, WORD, Kind::DistributorId),
];

/// GICD_* of GICv3 with affinity routing: no GICD_ITARGETSR, GICD_SGIR, GICD_CPENDSGIR, GICD_SPENDSGIR.
pub(crate) static V3_DISTRIBUTOR: [Row; 14] = [
    row(0x0004, 0x0008, WORD, Kind::Type),
    row(0x0100, 0x0180, WORD, Kind::SetEnable),
    row(0x0180, 0x0200, WORD, Kind::ClearEnable),
    row(0x0200, 0x0280, WORD, Kind::SetPending),
    row(0x0280, 0x0300, WORD, Kind::ClearPending),
    row(0x0300, 0x0380, WORD, Kind::SetActive),
    row(0x0380, 0x0400, WORD, Kind::ClearActive),
    row(0x0400, 0x0800, BYTE_OR_WORD, Kind::Priority),
    row(0x6000, 0x8000, WORD_OR_DOUBLE, Kind::Route),
    row(0x0000, 0x0004, WORD, Kind::Control),
    row(0x0008, 0x000c, WORD, Kind::Implementer),
    row(0x0080, 0x0100, WORD, Kind::Group),
    row(0x0c00, 0x0d00, WORD, Kind::Config),
    row(0xffd0, 0x1_0000, WORD, Kind::DistributorId),
];

/// GICR_*: RD frame, then SGI frame from 0x1_0000. GICR_CTLR, GICR_STATUSR and all of LPIs read as zero.
pub(crate) static REDISTRIBUTOR: [Row; 13] = [
    row(0x0_0008, 0x0_0010, WORD_OR_DOUBLE, Kind::RedistributorType),
    row(0x1_0100, 0x1_0104, WORD, Kind::SetEnable),
    row(0x1_0180, 0x1_0184, WORD, Kind::ClearEnable),
    row(0x1_0200, 0x1_0204, WORD, Kind::SetPending),
    row(0x1_0280, 0x1_0284, WORD, Kind::ClearPending),
    row(0x1_0300, 0x1_0304, WORD, Kind::SetActive),
    row(0x1_0380, 0x1_0384, WORD, Kind::ClearActive),
    row(0x1_0400, 0x1_0420, BYTE_OR_WORD, Kind::Priority),
    row(0x0_0004, 0x0_0008, WORD, Kind::Implementer),
    row(0x0_0014, 0x0_0018, WORD, Kind::Waker),
    row(0x1_0080, 0x1_0084, WORD, Kind::Group),
    row(0x1_0c00, 0x1_0c08, WORD, Kind::Config),
    row(0x0_ffd0, 0x1_0000, WORD, Kind::RedistributorId),
];

/// The register at `offset` and the offset within its range, if an aligned access of `bytes` may reach it.
#[inline]
pub(crate) fn find(rows: &[Row], offset: u64, bytes: u8) -> Option<(Kind, usize)> {
    if !bytes.is_power_of_two() || offset & (u64::from(bytes) - 1) != 0 {
        return None;
    }
    let row = rows.iter().find(|row| (u64::from(row.first)..u64::from(row.end)).contains(&offset))?;
    (row.sizes & bytes != 0).then(|| (row.kind, (offset - u64::from(row.first)) as usize))
}

/// GICD_PIDR4 to GICD_CIDR3 and their GICR twins: Arm's, as on QEMU `virt`. PIDR2 7:4 is the architecture revision.
pub(crate) fn identification(offset: usize, first: u32, pidr0: u32, pidr2: u32) -> u32 {
    match offset / 4 {
        0 => first,
        4 => pidr0,
        5 => 0xb4,
        6 => pidr2,
        8 => 0x0d,
        9 => 0xf0,
        10 => 0x05,
        11 => 0xb1,
        _ => 0,
    }
}
