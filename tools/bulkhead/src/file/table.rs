//! One TOML table: unknown keys reported on entry, then values fetched by type.

use super::keys::Keys;
use super::{Given, bandwidth, duration, size};
use crate::diagnostic::{Diagnostic, Span};
use crate::near;
use abi::RestartLimit;
use toml::de::{DeTable, DeValue};

/// A table whose keys were checked.
pub struct Table<'a, 'i> {
    entries: &'a DeTable<'i>,
    span: Span,
    /// Keys that an unknown key nearly was: their absence was reported as a misspelling.
    misspelt: Vec<&'static str>,
}

impl<'a, 'i> Table<'a, 'i> {
    /// The table `entries`, called `what` in messages.
    pub fn new(what: &str, entries: &'a DeTable<'i>, span: Span, keys: Keys, found: &mut Vec<Diagnostic>) -> Self {
        let mut misspelt = Vec::new();
        for key in entries.keys() {
            let name: &str = key.get_ref();
            if keys.contains(&name) {
                continue;
            }
            let near = near::nearest(name, keys.iter().copied().filter(|known| !entries.contains_key(*known)));
            misspelt.extend(near.and_then(|near| keys.iter().copied().find(|known| *known == near)));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys of {what} are {}", near::list(keys.iter().copied())),
            };
            found.push(Diagnostic::new(key.span(), format!("unknown key `{name}` in {what}"), help));
        }
        Self { entries, span, misspelt }
    }

    /// Where the table's header stands.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Whether an unknown key was taken for a slip of `key`.
    pub fn was_misspelt(&self, key: &str) -> bool {
        self.misspelt.contains(&key)
    }

    /// The raw value of `key`.
    pub fn get(&self, key: &str) -> Option<(&'a DeValue<'i>, Span)> {
        self.entries.get(key).map(|value| (value.get_ref(), value.span()))
    }

    /// A value that `turn` accepts; otherwise "`key` is `form`".
    fn typed<T>(
        &self,
        key: &str,
        found: &mut Vec<Diagnostic>,
        form: &str,
        example: &str,
        turn: impl FnOnce(&DeValue<'i>) -> Option<T>,
    ) -> Given<T> {
        let Some((value, span)) = self.get(key) else { return Given::Absent };
        match turn(value) {
            Some(turned) => Given::Is(turned, span),
            None => {
                let title = format!("`{key}` is {form}, not {}", describe(value));
                found.push(Diagnostic::new(span.clone(), title, format!("write it as `{key} = {example}`")));
                Given::Wrong(span)
            }
        }
    }

    /// Text.
    pub fn string(&self, key: &str, found: &mut Vec<Diagnostic>) -> Given<String> {
        self.typed(key, found, "text", "\"...\"", |value| value.as_str().map(str::to_owned))
    }

    /// True or false.
    pub fn boolean(&self, key: &str, found: &mut Vec<Diagnostic>) -> Given<bool> {
        self.typed(key, found, "true or false", "true", DeValue::as_bool)
    }

    /// A whole number.
    pub fn integer(&self, key: &str, found: &mut Vec<Diagnostic>) -> Given<i64> {
        self.typed(key, found, "a whole number", "4", integer)
    }

    /// A size in bytes.
    pub fn size(&self, key: &str, found: &mut Vec<Diagnostic>, example: &str) -> Given<u64> {
        let text = self.typed(key, found, "a size in quotes", example, |value| value.as_str().map(str::to_owned));
        text.then(|text, span| match size::parse(&text) {
            Ok(bytes) => Some(bytes),
            Err(bad) => {
                found.push(Diagnostic::new(span.clone(), format!("bad size \"{text}\" for `{key}`"), bad.mend()));
                None
            }
        })
    }

    /// A bandwidth in bits per second.
    pub fn bandwidth(&self, key: &str, found: &mut Vec<Diagnostic>) -> Given<u64> {
        let text = |value: &DeValue<'i>| value.as_str().map(str::to_owned);
        self.typed(key, found, "a bandwidth in quotes", "\"100M\"", text).then(|text, span| {
            let bits = bandwidth::parse(&text);
            if let Err(bad) = &bits {
                let title = format!("bad bandwidth \"{text}\" for `{key}`");
                found.push(Diagnostic::new(span.clone(), title, bad.mend()));
            }
            bits.ok()
        })
    }

    /// A duration in milliseconds; 0 for `"none"`.
    pub fn duration(&self, key: &str, found: &mut Vec<Diagnostic>, example: &str) -> Given<u32> {
        self.written(key, found, "duration", example, duration::or_none)
    }

    /// How many restarts are too many; `None` for `"none"`.
    pub fn restart_limit(&self, key: &str, found: &mut Vec<Diagnostic>) -> Given<Option<RestartLimit>> {
        self.written(key, found, "limit", "\"5 in 60s\"", duration::limit)
    }

    /// Text that `turn` reads.
    fn written<T>(
        &self,
        key: &str,
        found: &mut Vec<Diagnostic>,
        what: &str,
        example: &str,
        turn: impl FnOnce(&str) -> Result<T, duration::Bad>,
    ) -> Given<T> {
        let form = format!("a {what} in quotes");
        let text = self.typed(key, found, &form, example, |value| value.as_str().map(str::to_owned));
        text.then(|text, span| match turn(&text) {
            Ok(value) => Some(value),
            Err(bad) => {
                found.push(Diagnostic::new(span.clone(), format!("bad {what} \"{text}\" for `{key}`"), bad.mend()));
                None
            }
        })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &str, found: &mut Vec<Diagnostic>, choices: &[(&str, T)]) -> Given<T> {
        let example = format!("\"{}\"", choices.first().map_or("", |(word, _)| word));
        let text = self.typed(key, found, "text", &example, |value| value.as_str().map(str::to_owned));
        text.then(|text, span| {
            let choice = choices.iter().find(|(word, _)| *word == text);
            if choice.is_none() {
                let help = match near::nearest(&text, choices.iter().map(|(word, _)| *word)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("write {}", near::list(choices.iter().map(|(word, _)| *word))),
                };
                found.push(Diagnostic::new(span.clone(), format!("`{key}` cannot be \"{text}\""), help));
            }
            choice.map(|(_, value)| *value)
        })
    }

    /// A list whose elements `turn` accepts, each with its place.
    pub fn list<T>(
        &self,
        key: &str,
        found: &mut Vec<Diagnostic>,
        form: &str,
        example: &str,
        turn: impl Fn(&DeValue<'i>) -> Option<T>,
    ) -> Given<Vec<(T, Span)>> {
        let Some((value, span)) = self.get(key) else { return Given::Absent };
        let DeValue::Array(elements) = value else {
            let title = format!("`{key}` is a list of {form}, not {}", describe(value));
            found.push(Diagnostic::new(span.clone(), title, format!("write it as `{key} = {example}`")));
            return Given::Wrong(span);
        };
        let mut turned = Vec::new();
        let mut is_wrong = false;
        for element in elements.iter() {
            match turn(element.get_ref()) {
                Some(value) => turned.push((value, element.span())),
                None => {
                    is_wrong = true;
                    let title = format!("`{key}` is a list of {form}, not of {}", describe(element.get_ref()));
                    found.push(Diagnostic::new(element.span(), title, format!("write it as `{key} = {example}`")));
                }
            }
        }
        if is_wrong { Given::Wrong(span) } else { Given::Is(turned, span) }
    }
}

/// A whole number that fits.
pub fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// What a value is, in a message.
pub fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
