//! Rust source as the house rules read it: code with comments and literals blanked, line by line, beside the comments.
//!
//! A lexer, not a parser: enough to tell the word `unsafe` in code from the same word in a comment or a string.

/// One line of a file.
#[derive(Default)]
pub struct Line {
    /// The code, comments and the content of literals left out.
    pub code: String,
    /// The comments.
    pub comment: String,
}

impl Line {
    /// Whether `word` stands in the code as a whole word.
    pub fn has_word(&self, word: &str) -> bool {
        self.words().any(|candidate| candidate == word)
    }

    /// The identifiers and keywords of the code.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|character: char| !character.is_alphanumeric() && character != '_')
    }
}

/// Splits a file into lines.
pub fn lines(text: &str) -> Vec<Line> {
    let characters: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { characters: &characters, at: 0, lines: vec![Line::default()] };
    while lexer.at < characters.len() {
        lexer.step();
    }
    lexer.lines
}

struct Lexer<'a> {
    characters: &'a [char],
    at: usize,
    lines: Vec<Line>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.characters.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn line(&mut self) -> &mut Line {
        self.lines.last_mut().expect("starts with one line and only grows")
    }

    /// Moves on by `count` characters that are neither code nor comment.
    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            if self.peek(0) == '\n' {
                self.lines.push(Line::default());
            }
            self.at += 1;
        }
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('r', '"' | '#') if !self.follows_a_word() && self.raw_hashes(1).is_some() => self.raw_string(1),
            ('b', 'r') if !self.follows_a_word() && self.raw_hashes(2).is_some() => self.raw_string(2),
            ('\'', '\\') => self.escaped_character(),
            ('\'', _) if self.peek(2) == '\'' => self.skip(3),
            ('\n', _) => self.skip(1),
            (character, _) => {
                self.line().code.push(character);
                self.at += 1;
            }
        }
    }

    /// Inside `for"` an r begins no raw string.
    fn follows_a_word(&self) -> bool {
        self.at > 0 && (self.characters[self.at - 1].is_alphanumeric() || self.characters[self.at - 1] == '_')
    }

    fn line_comment(&mut self) {
        while self.at < self.characters.len() && self.peek(0) != '\n' {
            let character = self.peek(0);
            self.line().comment.push(character);
            self.at += 1;
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.characters.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                (character, _) => {
                    if character != '\n' {
                        self.line().comment.push(character);
                    }
                    self.skip(1);
                    continue;
                }
            }
            self.skip(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.skip(1);
        while self.at < self.characters.len() {
            match self.peek(0) {
                '\\' => self.skip(2),
                '"' => return self.skip(1),
                _ => self.skip(1),
            }
        }
    }

    /// How many `#` stand between the prefix and the quote, if this is a raw string at all.
    fn raw_hashes(&self, prefix: usize) -> Option<usize> {
        let hashes = self.characters[self.at + prefix..].iter().take_while(|character| **character == '#').count();
        (self.peek(prefix + hashes) == '"').then_some(hashes)
    }

    fn raw_string(&mut self, prefix: usize) {
        let hashes = self.raw_hashes(prefix).unwrap_or(0);
        self.skip(prefix + hashes + 1);
        while self.at < self.characters.len() {
            if self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#') {
                return self.skip(hashes + 1);
            }
            self.skip(1);
        }
    }

    /// `'\n'`, `'\''`, `'\u{1f}'`.
    fn escaped_character(&mut self) {
        self.skip(3);
        while self.at < self.characters.len() && self.peek(0) != '\'' {
            self.skip(1);
        }
        self.skip(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_holds_words() {
        let text = "let a = \"unsafe\"; // unsafe\n/* unsafe\n/* x */ unsafe */ r#\"unsafe \" unsafe\"# '\\'' b'u'\n\
                    fn f<'a>(x: &'a str) { unsafe { g('\"') } } unsafe_code";
        let lines = lines(text);
        let found: Vec<bool> = lines.iter().map(|line| line.has_word("unsafe")).collect();
        assert_eq!(found, [false, false, false, true]);
        assert!(lines[0].comment.contains("unsafe"));
        assert!(lines[3].has_word("unsafe_code"));
    }
}
