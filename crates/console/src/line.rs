//! What the console remembers of each source: its filter, and the line that waits for its end.

use crate::filter::{Character, Filter, Piece};

/// Longest line of a source out of focus in bytes; longer ones are broken.
pub(crate) const LINE: usize = 240;

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) filter: Filter,
    /// A carriage return came and no character since: a line feed makes them one line end.
    pub(crate) returned: bool,
    line: [u8; LINE],
    len: usize,
    /// The line waits to be shown; nothing is added.
    complete: bool,
    /// The line was broken for its length: an end right after it adds no empty line.
    broken: bool,
    /// The first character of the next line, which came before this one was shown.
    left_over: Option<Character>,
}

impl Stream {
    pub(crate) const fn new() -> Self {
        Self {
            filter: Filter::new(),
            returned: false,
            line: [0; LINE],
            len: 0,
            complete: false,
            broken: false,
            left_over: None,
        }
    }
    pub(crate) fn text(&self) -> &[u8] {
        self.line.get(..self.len).unwrap_or(&[])
    }
    pub(crate) fn has_text(&self) -> bool {
        self.len > 0
    }
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }
    /// The source's bytes are cut here: nothing is under way any more.
    pub(crate) fn cut(&mut self) {
        self.filter = Filter::new();
        self.returned = false;
        self.broken = false;
    }
    /// Forgets the line, shown by now.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.complete = false;
        if let Some(character) = self.left_over.take() {
            self.append(character);
        }
    }

    /// Adds a byte to the line, which is not complete. A carriage return with text after it ends the line, too.
    pub(crate) fn buffer(&mut self, byte: u8) {
        match self.filter.push(byte) {
            Piece::Nothing => {}
            Piece::Return => self.returned = true,
            Piece::LineEnd => {
                self.returned = false;
                let is_rest_of_broken = core::mem::take(&mut self.broken) && self.len == 0;
                self.complete = !is_rest_of_broken;
            }
            Piece::Text(character) if core::mem::take(&mut self.returned) && self.has_text() => {
                self.complete = true;
                self.left_over = Some(character);
            }
            Piece::Text(character) => self.append(character),
        }
    }

    /// Adds a character; completes the line where the next one might not fit.
    fn append(&mut self, character: Character) {
        self.broken = false;
        for &byte in character.as_bytes() {
            if let Some(place) = self.line.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
        if self.len + 4 > LINE {
            self.complete = true;
            self.broken = true;
        }
    }
}
