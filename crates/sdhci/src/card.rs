//! [`Card`]: what a card says about itself (physical layer specification, section 5).

use crate::Fault;

/// CSD: the command classes, of which class 10 switches functions.
const CLASS_SWITCH: u32 = 1 << 10;
/// Sectors that a command's argument can name.
const MOST: u64 = 1 << 32;

/// A card that has started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Card {
    /// Sectors of 512 bytes.
    pub capacity: u64,
    /// Its serial number (CID, PSN).
    pub serial: u32,
    /// Its product name, five printable characters as a rule (CID, PNM).
    pub name: [u8; 5],
    /// It says that it must not be written.
    pub is_read_only: bool,
    /// The bus has 50 MHz and not 25.
    pub is_fast: bool,
    /// Its address, from bit 16.
    pub(crate) address: u32,
    /// Commands count in sectors, not in bytes.
    pub(crate) counts_sectors: bool,
}

/// A register of 128 bits as the controller keeps it: without its lowest byte.
#[derive(Clone, Copy)]
pub(crate) struct Long(pub(crate) [u32; 4]);

impl Long {
    /// Up to 32 bits from `low` on, as the specification numbers them.
    pub(crate) fn bits(self, low: u32, count: u32) -> u32 {
        let [a, b, c, d] = self.0.map(u128::from);
        let all = (d << 96 | c << 64 | b << 32 | a) << 8;
        (all >> low) as u32 & (u64::MAX >> (64 - count)) as u32
    }
}

/// The card's description.
#[derive(Clone, Copy)]
pub(crate) struct Description(pub(crate) Long);

impl Description {
    /// Sectors of 512 bytes.
    pub(crate) fn capacity(self) -> Result<u64, Fault> {
        let csd = self.0;
        let sectors = match csd.bits(126, 2) {
            0 => {
                let (size, multiplier, length) = (csd.bits(62, 12), csd.bits(47, 3), csd.bits(80, 4));
                (u64::from(size) + 1) << (multiplier + 2 + length) >> 9
            }
            1 => (u64::from(csd.bits(48, 22)) + 1) << 10,
            _ => 0,
        };
        if sectors == 0 || sectors > MOST { Err(Fault::Capacity) } else { Ok(sectors) }
    }

    /// Whether it knows CMD6.
    pub(crate) fn can_switch(self) -> bool {
        self.0.bits(84, 12) & CLASS_SWITCH != 0
    }

    /// Whether it is write-protected, for good or for now.
    pub(crate) fn is_read_only(self) -> bool {
        self.0.bits(12, 2) != 0
    }
}

/// What a card's status says (section 4.10.1).
#[derive(Clone, Copy)]
pub(crate) struct Status(pub(crate) u32);

impl Status {
    /// Out of range, address, block length, write protection, ECC, controller, error. Not what is said about the command
    /// before, which may have been one that the card had to refuse.
    const ERRORS: u32 = 0xe438_0000;
    const READY: u32 = 1 << 8;
    const TRANSFER: u32 = 4;

    pub(crate) fn check(self) -> Result<(), Fault> {
        if self.0 & Self::ERRORS == 0 { Ok(()) } else { Err(Fault::Card(self.0)) }
    }

    /// Whether it is not busy with what was written.
    pub(crate) fn is_ready(self) -> bool {
        self.0 & Self::READY != 0 && self.0 >> 9 & 0xf == Self::TRANSFER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The register with these fields, as the controller keeps it.
    fn long(fields: &[(u32, u128)]) -> Long {
        let all = fields.iter().fold(0u128, |all, (low, value)| all | value << low) >> 8;
        Long([0, 32, 64, 96].map(|at| (all >> at) as u32))
    }

    #[test]
    fn capacity_of_both_versions() {
        // 3751 * 2^(7 + 2) blocks of 2^9 bytes, and 7620 * 512 KiB.
        let old = long(&[(80, 9), (62, 3750), (47, 7)]);
        assert_eq!(Description(old).capacity(), Ok(3751 << 9));
        let new = long(&[(126, 1), (48, 7619)]);
        assert_eq!(Description(new).capacity(), Ok(7620 << 10));
        let largest = long(&[(126, 1), (48, 0x3f_ffff)]);
        assert_eq!(Description(largest).capacity(), Ok(MOST));
    }

    #[test]
    fn a_capacity_that_cannot_be_is_refused() {
        assert_eq!(Description(long(&[(126, 3)])).capacity(), Err(Fault::Capacity));
        assert_eq!(Description(long(&[(126, 2), (48, 9)])).capacity(), Err(Fault::Capacity));
        // One block of a quarter of a sector.
        assert_eq!(Description(long(&[])).capacity(), Err(Fault::Capacity));
    }

    #[test]
    fn a_field_is_where_the_specification_puts_it() {
        assert!(Description(long(&[(84, 0x400)])).can_switch());
        assert!(!Description(long(&[(84, 0xbff)])).can_switch());
        assert!(Description(long(&[(12, 1)])).is_read_only() && Description(long(&[(13, 1)])).is_read_only());
        assert!(!Description(long(&[(14, 3)])).is_read_only());
        assert_eq!(long(&[(24, 0xcafe_babe)]).bits(24, 32), 0xcafe_babe);
    }

    #[test]
    fn a_card_is_ready_in_its_transfer_state_only() {
        assert!(Status(4 << 9 | 1 << 8).is_ready());
        assert!(!Status(7 << 9 | 1 << 8).is_ready() && !Status(4 << 9).is_ready());
        assert!(Status(1 << 22).check().is_ok(), "a refused command before is no error of this one");
        assert_eq!(Status(1 << 31).check(), Err(Fault::Card(1 << 31)));
    }
}
