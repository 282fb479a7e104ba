//! [`Command`]: the commands of an SD memory card that are used here (physical layer specification, section 4.7.4), and
//! how the host controller takes them (host controller specification, sections 2.2.5 and 2.2.6).

/// What answers a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// Nothing.
    None,
    /// R1, R6, R7: checked by index and CRC.
    Short,
    /// R1b: DAT0 is low behind it while the card is busy.
    Busy,
    /// R3, which has neither index nor CRC.
    Condition,
    /// R2: 128 bits.
    Long,
}

/// Which way data goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// From the card.
    Read,
    /// To the card.
    Write,
}

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Command {
    pub(crate) index: u8,
    pub(crate) argument: u32,
    answer: Answer,
    /// Where data goes, bytes of a block, and how many of them.
    data: Option<(Direction, u16, u16)>,
}

const fn of(index: u8, argument: u32, answer: Answer) -> Command {
    Command { index, argument, answer, data: None }
}

impl Command {
    /// CMD0: all cards become idle.
    pub(crate) const IDLE: Self = of(0, 0, Answer::None);
    /// CMD8: 2.7 to 3.6 V, and a pattern that the card gives back.
    pub(crate) const CONDITION: Self = of(8, 0x1aa, Answer::Short);
    /// CMD2: every card names itself (CID).
    pub(crate) const NAME: Self = of(2, 0, Answer::Long);
    /// CMD3: the card chooses an address.
    pub(crate) const ADDRESS: Self = of(3, 0, Answer::Short);
    /// ACMD6: four data lines.
    pub(crate) const FOUR_BITS: Self = of(6, 2, Answer::Short);
    /// CMD16: blocks of 512 bytes, on cards that have others.
    pub(crate) const BLOCK_LENGTH: Self = of(16, 512, Answer::Short);
    /// CMD12: end of a transfer.
    pub(crate) const STOP: Self = of(12, 0, Answer::Busy);
    /// CMD6: high speed. Its data says whether the card has changed.
    pub(crate) const HIGH_SPEED: Self =
        Self { data: Some((Direction::Read, 64, 1)), ..of(6, 0x80ff_fff1, Answer::Short) };

    /// CMD55: an application command follows. Addresses are as [`Command::ADDRESS`] answers them: from bit 16.
    pub(crate) const fn application(address: u32) -> Self {
        of(55, address, Answer::Short)
    }
    /// ACMD41: what the host has: 2.7 to 3.6 V, and whether it knows cards that count in blocks.
    pub(crate) const fn operate(knows_blocks: bool) -> Self {
        of(41, 0x00ff_8000 | (knows_blocks as u32) << 30, Answer::Condition)
    }
    /// CMD9: the card describes itself (CSD).
    pub(crate) const fn describe(address: u32) -> Self {
        of(9, address, Answer::Long)
    }
    /// CMD7: the card takes commands for transfers.
    pub(crate) const fn select(address: u32) -> Self {
        of(7, address, Answer::Busy)
    }
    /// CMD13: the card's state.
    pub(crate) const fn status(address: u32) -> Self {
        of(13, address, Answer::Short)
    }
    /// CMD17, CMD18, CMD24, CMD25: blocks from `at` on, in the card's own unit.
    pub(crate) const fn transfer(direction: Direction, at: u32, blocks: u16) -> Self {
        let index = match direction {
            Direction::Read => 17,
            Direction::Write => 24,
        };
        let index = if blocks > 1 { index + 1 } else { index };
        Self { data: Some((direction, 512, blocks)), ..of(index, at, Answer::Short) }
    }

    /// The word for block size and count.
    pub(crate) fn blocks(&self) -> u32 {
        self.data.map_or(0, |(_, bytes, count)| u32::from(bytes) | u32::from(count) << 16)
    }

    /// The word for transfer mode and command. Several blocks end by a CMD12 that the controller sends: the BCM2711's can
    /// read them in no other way.
    pub(crate) fn word(&self) -> u32 {
        const COUNTED: u32 = 1 << 1;
        const AUTO_STOP: u32 = 1 << 2;
        const READ: u32 = 1 << 4;
        const SEVERAL: u32 = 1 << 5;
        const CRC: u32 = 1 << 19;
        const INDEX: u32 = 1 << 20;
        const DATA: u32 = 1 << 21;
        /// Command type "abort".
        const ABORT: u32 = 0b11 << 22;
        let answer = match self.answer {
            Answer::None => 0,
            Answer::Long => 1 << 16 | CRC,
            Answer::Condition => 2 << 16,
            Answer::Short => 2 << 16 | CRC | INDEX,
            Answer::Busy => 3 << 16 | CRC | INDEX,
        };
        let data = match self.data {
            None => 0,
            Some((direction, _, count)) => {
                let read = if direction == Direction::Read { READ } else { 0 };
                let several = if count > 1 { COUNTED | AUTO_STOP | SEVERAL } else { 0 };
                DATA | read | several
            }
        };
        let kind = if *self == Self::STOP { ABORT } else { 0 };
        u32::from(self.index) << 24 | kind | answer | data
    }

    /// Whether it waits for the data lines.
    pub(crate) fn uses_data_lines(&self) -> bool {
        self.data.is_some() || (self.answer == Answer::Busy && *self != Self::STOP)
    }
}
