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
    /// `h`: the keyboard goes to the virtio console of the partition that has it.
    VirtioConsole,
    /// `?`: explain the keys.
    Help,
    /// `s`: print states and counters.
    Status,
    /// `r`: restart the focused partition.
    Restart,
    /// `k`: stop it.
    Stop,
    /// `g`: start it.
    Start,
    /// `p`: press its power key.
    Power,
    /// `f`: print the fault records.
    Faults,
    /// The byte after [`Keys::ask`]: whether it was `y`.
    Answer(bool),
    /// Ctrl-T and something else.
    Unknown(u8),
}

/// Tells commands and answers from input.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    next: Next,
}

/// What the next byte is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Next {
    #[default]
    Input,
    Command,
    Answer,
}

impl Keys {
    /// Nothing typed yet.
    pub const fn new() -> Self {
        Self { next: Next::Input }
    }

    /// The user was asked: the next byte, whatever it is, becomes [`Key::Answer`] and nothing else.
    pub const fn ask(&mut self) {
        self.next = Next::Answer;
    }

    /// Takes one typed byte. `None`: the next one decides.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        match core::mem::take(&mut self.next) {
            Next::Input if byte == PREFIX => {
                self.next = Next::Command;
                return None;
            }
            Next::Input => return Some(Key::Input(byte)),
            Next::Answer => return Some(Key::Answer(matches!(byte, b'y' | b'Y'))),
            Next::Command => {}
        }
        Some(match byte {
            PREFIX => Key::Input(PREFIX),
            b'1'..=b'9' => Key::Focus(PartitionId::new(byte - b'1')),
            b'0' => Key::Focus(PartitionId::new(9)),
            b'h' | b'H' => Key::VirtioConsole,
            b'?' => Key::Help,
            b's' | b'S' => Key::Status,
            b'r' | b'R' => Key::Restart,
            b'k' | b'K' => Key::Stop,
            b'g' | b'G' => Key::Start,
            b'p' | b'P' => Key::Power,
            b'f' | b'F' => Key::Faults,
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
        assert_eq!(typed(b"\x14h\x14H"), [Key::VirtioConsole, Key::VirtioConsole]);
        let commands = [Key::Restart, Key::Stop, Key::Start, Key::Power, Key::Faults];
        assert_eq!(typed(b"\x14r\x14k\x14g\x14p\x14f"), commands);
        assert_eq!(typed(b"\x14R\x14K\x14G\x14P\x14F"), commands, "with Caps Lock");
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
    #[test]
    fn only_y_says_yes_and_the_answer_reaches_no_guest() {
        for byte in 0..=255 {
            let mut keys = Keys::new();
            assert_eq!([b'\x14', b'r'].map(|byte| keys.push(byte)), [None, Some(Key::Restart)]);
            keys.ask();
            assert_eq!(keys.push(byte), Some(Key::Answer(byte == b'y' || byte == b'Y')), "{byte:#x}");
            assert_eq!(
                [b'y', b'\x14', b's'].map(|byte| keys.push(byte)),
                [Some(Key::Input(b'y')), None, Some(Key::Status)]
            );
        }
    }

    #[test]
    fn without_a_question_y_is_input() {
        assert_eq!(typed(b"\x14ry"), [Key::Restart, Key::Input(b'y')]);
    }

    #[test]
    fn a_question_in_the_middle_of_a_command_ends_the_command() {
        let mut keys = Keys::new();
        assert_eq!(keys.push(PREFIX), None);
        keys.ask();
        assert_eq!([b'k', b'k'].map(|byte| keys.push(byte)), [Some(Key::Answer(false)), Some(Key::Input(b'k'))]);
    }
}
