//! [`Fault`]: why a card or its controller did not do what it was told.

use core::fmt;

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The controller does not become reset.
    Reset,
    /// The controller's clock does not become stable.
    Clock,
    /// No memory card answers.
    NoCard,
    /// The card does not work at 3.3 V, or not with this driver.
    Unfit,
    /// The card stays busy with its own start.
    NotReady,
    /// The card says that it has no blocks, or more than can be addressed.
    Capacity,
    /// The controller reports errors of this command: the upper half of its interrupt status.
    Command(u8, u16),
    /// This command has no end.
    Silent(u8),
    /// The controller reports errors of a transfer: the upper half of its interrupt status.
    Data(u16),
    /// A transfer does not go on.
    Stuck,
    /// The card answers with errors in its status.
    Card(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("the controller does not become reset"),
            Self::Clock => f.write_str("the controller's clock does not become stable"),
            Self::NoCard => f.write_str("no memory card answers"),
            Self::Unfit => f.write_str("the card does not work with 3.3 V"),
            Self::NotReady => f.write_str("the card does not become ready"),
            Self::Capacity => f.write_str("the card tells no capacity that can be used"),
            Self::Command(index, errors) => write!(f, "command {index} ended with errors 0x{errors:04x}"),
            Self::Silent(index) => write!(f, "command {index} does not end"),
            Self::Data(errors) => write!(f, "a transfer ended with errors 0x{errors:04x}"),
            Self::Stuck => f.write_str("a transfer does not go on"),
            Self::Card(status) => write!(f, "the card's status is 0x{status:08x}"),
        }
    }
}
