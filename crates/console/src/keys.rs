//! What the user types: bytes for the focused partition, and commands to the console after Ctrl-T.

use abi::PartitionId;

/// Ctrl-T.
const PREFIX: u8 = 0x14;

/// What a typed byte means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A byte for the focused partition.
    Input(u8),
    /// The keyboard goes to this partition, which may not exist. `1` is the first, `0` the tenth.
    Focus(PartitionId),
    /// `?`: explain the keys.
    Help,
    /// `s`: print states and counters.
    Status,
    /// Ctrl-T and something else.
    Unknown(u8),
}

/// Tells commands from input.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    after_prefix: bool,
}

impl Keys {
    /// Nothing typed yet.
    pub const fn new() -> Self {
        Self { after_prefix: false }
    }

    /// Takes one typed byte. `None`: the next one decides.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        if !core::mem::take(&mut self.after_prefix) {
            self.after_prefix = byte == PREFIX;
            return (byte != PREFIX).then_some(Key::Input(byte));
        }
        Some(match byte {
            PREFIX => Key::Input(PREFIX),
            b'1'..=b'9' => Key::Focus(PartitionId::new(byte - b'1')),
            b'0' => Key::Focus(PartitionId::new(9)),
            b'?' => Key::Help,
            b's' | b'S' => Key::Status,
            other => Key::Unknown(other),
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn typed(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::new();
        bytes.iter().filter_map(|&byte| keys.push(byte)).collect()
    }

    #[test]
    fn ordinary_bytes_are_input() {
        let all: Vec<u8> = (0..=255).filter(|&byte| byte != PREFIX).collect();
        assert_eq!(typed(&all), all.iter().map(|&byte| Key::Input(byte)).collect::<Vec<_>>());
    }

    #[test]
    fn ctrl_t_starts_a_command() {
        assert_eq!(typed(b"\x141"), [Key::Focus(PartitionId::new(0))]);
        assert_eq!(typed(b"\x149\x140"), [Key::Focus(PartitionId::new(8)), Key::Focus(PartitionId::new(9))]);
        assert_eq!(typed(b"\x14?\x14s\x14x"), [Key::Help, Key::Status, Key::Unknown(b'x')]);
    }

    #[test]
    fn ctrl_t_twice_sends_one() {
        assert_eq!(typed(b"a\x14\x14b"), [Key::Input(b'a'), Key::Input(PREFIX), Key::Input(b'b')]);
        assert_eq!(typed(b"\x14\x142"), [Key::Input(PREFIX), Key::Input(b'2')]);
    }

    #[test]
    fn a_command_is_one_key_long() {
        assert_eq!(typed(b"\x14ss"), [Key::Status, Key::Input(b's')]);
    }
}
