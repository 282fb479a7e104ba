//! Just enough of JSON (RFC 8259) to read what `cargo metadata` prints. Numbers are recognised and dropped; the text comes
//! from cargo, so an error says where, not what was expected.

/// A JSON value.
#[derive(Debug, PartialEq)]
pub enum Value {
    /// `null`, a boolean or a number: nothing here asks for their values.
    Other,
    /// A string, escapes resolved.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object, in the order of the text.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member `name`, if this is an object that has it.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The string member `name`.
    pub fn string(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Value::String(string) => Some(string),
            _ => None,
        }
    }

    /// The elements of the array member `name`; none if there is no such array.
    pub fn elements(&self, name: &str) -> &[Value] {
        match self.member(name) {
            Some(Value::Array(elements)) => elements,
            _ => &[],
        }
    }
}

/// Parses a whole text.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { bytes: text.as_bytes(), at: 0 };
    let value = parser.value(0).and_then(|value| if parser.peek().is_none() { Some(value) } else { None });
    value.ok_or_else(|| format!("bad JSON at byte {}", parser.at))
}

/// Deeper nesting than cargo ever prints.
const MAX_DEPTH: u32 = 64;

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(Value::String),
            b'[' => {
                let mut elements = Vec::new();
                self.list(b'[', b']', |parser| {
                    elements.push(parser.value(depth + 1)?);
                    Some(())
                })?;
                Some(Value::Array(elements))
            }
            b'{' => {
                let mut members = Vec::new();
                self.list(b'{', b'}', |parser| {
                    parser.peek()?;
                    let key = parser.string()?;
                    parser.take(b':')?;
                    members.push((key, parser.value(depth + 1)?));
                    Some(())
                })?;
                Some(Value::Object(members))
            }
            _ => self.word(),
        }
    }

    fn list(&mut self, open: u8, close: u8, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            element(self)?;
            if self.take(b',').is_none() {
                return self.take(close);
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut string = Vec::new();
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(string).ok(),
                b'\\' => self.escape(&mut string)?,
                _ => string.push(byte),
            }
        }
    }

    fn escape(&mut self, string: &mut Vec<u8>) -> Option<()> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        string.push(match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let digits = std::str::from_utf8(self.bytes.get(self.at..self.at + 4)?).ok()?;
                self.at += 4;
                // Half of a surrogate pair stands for a character that no name or licence needs.
                let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?).unwrap_or('\u{fffd}');
                string.extend(character.to_string().bytes());
                return Some(());
            }
            other => other,
        });
        Some(())
    }

    /// `true`, `null`, a number: up to the next delimiter.
    fn word(&mut self) -> Option<Value> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
            self.at += 1;
        }
        (self.at > start).then_some(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_found() {
        let value = parse(r#" { "a" : [ "x\n\u0041", 1.5e-3, null, {} ], "b": "c", "d": [] } "#).unwrap();
        assert_eq!(value.string("b"), Some("c"));
        assert_eq!(value.elements("a")[0], Value::String("x\nA".into()));
        assert_eq!(value.elements("a").len(), 4);
        assert!(value.elements("d").is_empty());
    }

    #[test]
    fn broken_text_is_refused() {
        for text in ["", "{", "[1,]", "\"a", "{\"a\" 1}", "[] []", &"[".repeat(1000)] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
