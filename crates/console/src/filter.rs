//! Reduces a guest's bytes to printable UTF-8, tabs and line ends.
//!
//! Control sequences (ECMA-48: ESC, CSI, and the strings OSC, DCS, SOS, PM, APC) disappear whole: so no guest out of
//! focus can move the cursor, forge another's tag, or make the terminal type an answer (ENQ, ESC Z, CSI n, CSI c).
//! What is not UTF-8, C1 controls and invisible format characters (among them direction overrides) disappear too.

/// What a byte completes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// Nothing to show (yet).
    Nothing,
    /// One character.
    Text(Character),
    /// Line feed.
    LineEnd,
    /// Carriage return.
    Return,
}

/// One printable character or tab, 1 to 4 bytes of UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Character {
    bytes: [u8; 4],
    len: usize,
}

impl Character {
    const NONE: Self = Self { bytes: [0; 4], len: 0 };

    const fn ascii(byte: u8) -> Self {
        Self { bytes: [byte, 0, 0, 0], len: 1 }
    }
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ground,
    /// After ESC and any intermediate bytes.
    Escape,
    /// After CSI.
    Csi,
    /// In an OSC, DCS, SOS, PM or APC string.
    ControlString,
    /// ESC in a string: its end, if a backslash follows.
    StringEscape,
    /// In a character of this many bytes.
    Utf8(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Filter {
    state: State,
    partial: Character,
}

const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

impl Filter {
    pub(crate) const fn new() -> Self {
        Self { state: State::Ground, partial: Character::NONE }
    }
    /// Whether no control sequence and no character is under way: another's text would not break one.
    pub(crate) fn is_between_characters(&self) -> bool {
        self.state == State::Ground
    }

    /// Takes the next byte. A line feed ends whatever was under way, so that a stray ESC hides at most one line.
    pub(crate) fn push(&mut self, byte: u8) -> Piece {
        let is_continuation = byte & 0xc0 == 0x80;
        match (self.state, byte) {
            (_, b'\n') => self.finish(Piece::LineEnd),
            (_, CAN | SUB) => self.finish(Piece::Nothing),
            (State::Utf8(len), _) if is_continuation => self.continue_character(byte, len),
            (State::Ground | State::Utf8(_), _) => self.start(byte),
            (State::ControlString, ESC) => self.become_state(State::StringEscape),
            (State::ControlString, BEL) => self.finish(Piece::Nothing),
            (State::ControlString, _) => Piece::Nothing,
            (State::StringEscape, b'\\') => self.finish(Piece::Nothing),
            (_, ESC) => self.become_state(State::Escape),
            (State::Escape | State::StringEscape, _) => self.escape(byte),
            (State::Csi, 0x40..=0x7e) => self.finish(Piece::Nothing),
            (State::Csi, _) => Piece::Nothing,
        }
    }

    fn become_state(&mut self, state: State) -> Piece {
        self.state = state;
        Piece::Nothing
    }
    fn finish(&mut self, piece: Piece) -> Piece {
        self.state = State::Ground;
        piece
    }

    fn start(&mut self, byte: u8) -> Piece {
        let character_len = match byte {
            b'\r' => return self.finish(Piece::Return),
            b'\t' | b' '..=b'~' => return self.finish(Piece::Text(Character::ascii(byte))),
            ESC => return self.become_state(State::Escape),
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return self.finish(Piece::Nothing),
        };
        self.partial = Character::ascii(byte);
        self.become_state(State::Utf8(character_len))
    }

    fn continue_character(&mut self, byte: u8, len: usize) -> Piece {
        let Some(place) = self.partial.bytes.get_mut(self.partial.len) else { return self.finish(Piece::Nothing) };
        *place = byte;
        self.partial.len += 1;
        if self.partial.len < len {
            return Piece::Nothing;
        }
        let character = core::str::from_utf8(self.partial.as_bytes()).ok().and_then(|text| text.chars().next());
        let is_shown = character.is_some_and(|character| !character.is_control() && !is_invisible(character));
        self.finish(if is_shown { Piece::Text(self.partial) } else { Piece::Nothing })
    }

    /// The byte after ESC: intermediate bytes, a longer sequence, or the end of a short one.
    fn escape(&mut self, byte: u8) -> Piece {
        match byte {
            b' '..=b'/' => self.become_state(State::Escape),
            b'[' => self.become_state(State::Csi),
            b'P' | b'X' | b']' | b'^' | b'_' => self.become_state(State::ControlString),
            _ => self.finish(Piece::Nothing),
        }
    }
}

/// Format characters that change what others look like: zero width, direction, line separators, tags.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn shown(bytes: &[u8]) -> String {
        let mut filter = Filter::new();
        let mut text = Vec::new();
        for &byte in bytes {
            match filter.push(byte) {
                Piece::Nothing => {}
                Piece::Text(character) => text.extend_from_slice(character.as_bytes()),
                Piece::LineEnd => text.push(b'\n'),
                Piece::Return => text.push(b'\r'),
            }
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn text_tabs_and_line_ends_stay() {
        assert_eq!(shown("grün\t→ 😀\r\n".as_bytes()), "grün\t→ 😀\r\n");
    }

    #[test]
    fn terminal_queries_disappear() {
        for query in
            ["\x05", "\x1bZ", "\x1b[c", "\x1b[0c", "\x1b[>c", "\x1b[6n", "\x1b[?6n", "\x1b[5n", "\x1bP$qm\x1b\\"]
        {
            assert_eq!(shown(std::format!("a{query}b").as_bytes()), "ab", "{query:?}");
        }
    }

    #[test]
    fn colours_titles_and_cursor_moves_disappear() {
        for sequence in
            ["\x1b[1;31m", "\x1b[2J", "\x1b[H", "\x1b(B", "\x1b7", "\x1b]0;title\x07", "\x1b]0;t\x1b\\", "\x08"]
        {
            assert_eq!(shown(std::format!("a{sequence}b").as_bytes()), "ab", "{sequence:?}");
        }
    }

    #[test]
    fn a_stray_escape_hides_at_most_one_line() {
        for start in ["\x1b", "\x1b[", "\x1b]0;", "\x1bP", "\x1b]\x1b"] {
            assert_eq!(shown(std::format!("{start}\nnext").as_bytes()), "\nnext", "{start:?}");
        }
    }

    #[test]
    fn cancel_ends_a_sequence() {
        assert_eq!(shown(b"\x1b]0;\x18a\x1b[1\x1ab"), "ab");
    }

    #[test]
    fn what_is_not_utf8_disappears() {
        assert_eq!(shown(b"a\xffb\xc3(c\xe2\x82d\xed\xa0\x80e\x80f\xf0\x80\x80\x80g"), "ab(cdefg");
    }

    #[test]
    fn c1_controls_and_invisible_characters_disappear() {
        assert_eq!(shown("a\u{9b}b\u{85}c\u{202e}d\u{200b}e\u{feff}f".as_bytes()), "abcdef");
        assert_eq!(shown(b"a\x9bb"), "ab");
    }
}
