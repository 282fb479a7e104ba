//! Why a device tree is refused.

use core::fmt;

/// Why a tree is refused. `at` counts bytes from the tree's start, at the token that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than a header has.
    Short(usize),
    /// The first word is not the magic number.
    Magic(u32),
    /// Not a version that this follows: 17, or a later one that says it reads as 17.
    Version {
        /// `version` of the header.
        version: u32,
        /// `last_comp_version` of the header.
        last_compatible: u32,
    },
    /// `totalsize` is less than a header or more than there is.
    Size(usize),
    /// A block lies outside the tree or on the header, or is not aligned.
    Block {
        /// Which block.
        block: &'static str,
        /// Its offset.
        offset: u32,
        /// Its size; 0 for the memory reservation block, whose size no header field tells.
        size: u32,
    },
    /// Two blocks overlap.
    Overlap(&'static str, &'static str),
    /// The memory reservation block has no end.
    Reservations,
    /// The strings block is not ASCII, or does not end with NUL.
    Strings,
    /// No token has this value.
    Token {
        /// Where.
        at: usize,
        /// The value.
        token: u32,
    },
    /// A node's name does not end, is not ASCII, or is empty; or the root's is not empty.
    NodeName {
        /// Where.
        at: usize,
    },
    /// A property's value reaches beyond the block.
    PropertyLength {
        /// Where.
        at: usize,
        /// Its length.
        len: u32,
    },
    /// A property's name lies outside the strings block.
    PropertyName {
        /// Where.
        at: usize,
        /// Its offset in the strings block.
        offset: u32,
    },
    /// A property outside any node or behind a subnode.
    PropertyPlace {
        /// Where.
        at: usize,
    },
    /// A value is too short for its name.
    PropertyValue {
        /// Where.
        at: usize,
        /// Its length.
        len: u32,
        /// Whose.
        name: &'static str,
    },
    /// An alias that is no path, or is named like one.
    Alias {
        /// Where.
        at: usize,
    },
    /// More nodes inside each other than [`MAX_DEPTH`](crate::MAX_DEPTH).
    Depth {
        /// Where.
        at: usize,
    },
    /// A second root, a node's end without beginning, or the tree's end inside a node or before any.
    Balance {
        /// Where.
        at: usize,
    },
    /// FDT_END is absent or not last in the block.
    End {
        /// Where.
        at: usize,
    },
}

impl Malformed {
    /// The same error, found in a block that starts at `start`.
    pub(crate) fn behind(mut self, start: usize) -> Self {
        match &mut self {
            Self::Token { at, .. }
            | Self::NodeName { at }
            | Self::PropertyLength { at, .. }
            | Self::PropertyName { at, .. }
            | Self::PropertyPlace { at }
            | Self::PropertyValue { at, .. }
            | Self::Alias { at }
            | Self::Depth { at }
            | Self::Balance { at }
            | Self::End { at } => *at += start,
            _ => {}
        }
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(len) => write!(f, "{len} bytes are no device tree"),
            Self::Magic(found) => write!(f, "the magic number is {found:#x}, not 0xd00dfeed"),
            Self::Version { version, last_compatible } => {
                write!(f, "version {version}, readable as {last_compatible}, is not version 17")
            }
            Self::Size(total) => write!(f, "the header's total size {total:#x} does not fit"),
            Self::Block { block, offset, size } => {
                write!(f, "the {block} block at {offset:#x}, size {size:#x}, lies outside the tree or is not aligned")
            }
            Self::Overlap(one, other) => write!(f, "the {one} block overlaps the {other} block"),
            Self::Reservations => f.write_str("the memory reservation block has no end"),
            Self::Strings => f.write_str("the strings block is not ASCII ending with NUL"),
            Self::Token { at, token } => write!(f, "{token:#x} at {at:#x} is no token"),
            Self::NodeName { at } => write!(f, "the node at {at:#x} has no valid name"),
            Self::PropertyLength { at, len } => {
                write!(f, "the property at {at:#x}, length {len:#x}, reaches beyond the structure block")
            }
            Self::PropertyName { at, offset } => {
                write!(f, "the name of the property at {at:#x} lies at {offset:#x}, beyond the strings block")
            }
            Self::PropertyPlace { at } => write!(f, "the property at {at:#x} is not at the start of a node"),
            Self::PropertyValue { at, len, name } => {
                write!(f, "the property '{name}' at {at:#x} is too short with {len} bytes")
            }
            Self::Alias { at } => write!(f, "the alias at {at:#x} is no path"),
            Self::Depth { at } => write!(f, "the node at {at:#x} is nested deeper than {}", crate::MAX_DEPTH),
            Self::Balance { at } => write!(f, "nodes begin and end unevenly at {at:#x}"),
            Self::End { at } => write!(f, "the structure block does not end with its end token: {at:#x}"),
        }
    }
}

impl core::error::Error for Malformed {}
