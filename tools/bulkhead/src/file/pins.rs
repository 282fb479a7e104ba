//! `pins = { 2 = "i2c1.sda" }` of a partition as written: pins of the board, and what each does.
//!
//! Form only. Whether the board has the pin and the function, and who else wants it, is judged by [`crate::pins`].

use super::table::{Table, describe};
use crate::diagnostic::{Diagnostic, Span};
use toml::de::DeValue;

/// A pin as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinFile {
    /// Its number, and where that stands.
    pub pin: (u16, Span),
    /// What it does, and where that stands.
    pub function: (String, Span),
}

const EXAMPLE: &str = "write it as `pins = { 2 = \"i2c1.sda\", 3 = \"i2c1.scl\" }`";

/// Reads `pins`; mistakes go to `found`.
pub fn parse(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Vec<PinFile> {
    let Some((value, span)) = table.get("pins") else { return Vec::new() };
    let DeValue::Table(entries) = value else {
        let title = format!("`pins` is a table of pin numbers, not {}", describe(value));
        found.push(Diagnostic::new(span, title, EXAMPLE));
        return Vec::new();
    };
    let mut pins = Vec::new();
    for (key, value) in entries.iter() {
        let (name, at): (&str, Span) = (key.get_ref(), key.span());
        let number = name.parse().ok().filter(|number: &u16| number.to_string() == name);
        let Some(number) = number else {
            found.push(Diagnostic::new(at, format!("`{name}` is no number of a pin"), EXAMPLE));
            continue;
        };
        match value.get_ref().as_str() {
            Some(function) => {
                pins.push(PinFile { pin: (number, at), function: (function.to_owned(), value.span()) });
            }
            None => {
                let title = format!("pin {number} has a function in quotes, not {}", describe(value.get_ref()));
                found.push(Diagnostic::new(value.span(), title, EXAMPLE));
            }
        }
    }
    pins.sort_by_key(|pin| pin.pin.0);
    pins
}
