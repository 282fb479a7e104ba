//! config.txt as the firmware of a Raspberry Pi 4 reads it (raspberrypi.com/documentation, "config.txt").
//!
//! One `name=value` a line; the last one counts. Filters such as `[pi3]` take lines away from other boards. A filter
//! that depends on what is plugged in is taken as not met. `include` and `os_prefix` are not followed.

/// What a card is given unless it brings its own.
pub const DEFAULT: &str = include_str!("config.txt");

/// A setting that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its line, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Its value, as it is written.
    pub value: String,
}

impl Setting {
    /// Its value as a number, decimal or with `0x`.
    pub fn number(&self) -> Option<u64> {
        match self.value.strip_prefix("0x").or_else(|| self.value.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => self.value.parse().ok(),
        }
    }
}

/// All settings in force on a Raspberry Pi 4, in the file's order.
pub struct Config(Vec<Setting>);

impl Config {
    /// Reads a file. What is no setting says nothing, as to the firmware.
    pub fn read(text: &[u8]) -> Self {
        // Values go to a terminal.
        let is_plain = |c: &char| *c == '\n' || !c.is_control();
        let text: String = String::from_utf8_lossy(text).chars().filter(is_plain).collect();
        let mut filter = Filter::default();
        let mut settings = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                filter.set(name);
            } else if let Some((name, value)) =
                text.split_once('=').filter(|_| filter.is_met() && !text.starts_with('#'))
            {
                settings.push(Setting { line, name: name.trim().to_owned(), value: value.trim().to_owned() });
            }
        }
        Self(settings)
    }

    /// The setting `name`.
    pub fn find(&self, name: &str) -> Option<&Setting> {
        self.0.iter().rev().find(|setting| setting.name == name)
    }

    /// The number that `name` is set to, or `default` where it is not set. What is no number counts as 0.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.find(name).map_or(default, |setting| setting.number().unwrap_or(0))
    }
}

/// The filters above a line. Those of one kind replace one another, `[all]` takes them all away.
#[derive(Default)]
struct Filter {
    is_other_model: bool,
    is_condition: bool,
}

impl Filter {
    fn set(&mut self, name: &str) {
        match name.to_ascii_lowercase().as_str() {
            "all" => *self = Self::default(),
            "pi4" | "board-type=0x11" => self.is_other_model = false,
            "none" => self.is_other_model = true,
            model if ["pi", "cm", "board-type="].iter().any(|prefix| model.starts_with(prefix)) => {
                self.is_other_model = true;
            }
            _ => self.is_condition = true,
        }
    }

    fn is_met(&self) -> bool {
        !self.is_other_model && !self.is_condition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> Option<String> {
        Config::read(text.as_bytes()).find(name).map(|setting| setting.value.clone())
    }

    #[test]
    fn the_last_line_counts_and_comments_do_not() {
        let text = "a=1\r\n# a=2\n a = 3 \nb\n=c\nkernel=/x=y\n";
        assert_eq!(value(text, "a").as_deref(), Some("3"));
        assert_eq!(value(text, "kernel").as_deref(), Some("/x=y"));
        assert_eq!(value(text, "b"), None);
        assert_eq!(Config::read(text.as_bytes()).find("a").map(|setting| setting.line), Some(3));
    }

    #[test]
    fn filters_for_other_boards_take_lines_away() {
        let text = "[pi3]\na=3\n[pi4]\nb=4\n[cm4]\na=5\n[EDID=x]\na=6\n[pi4]\na=7\n[all]\nc=8\n[none]\nc=9\n";
        assert_eq!(value(text, "a"), None, "a monitor's name stays above a model");
        assert_eq!(value(text, "b").as_deref(), Some("4"));
        assert_eq!(value(text, "c").as_deref(), Some("8"));
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        let config = Config::read(b"a=0x8000000\nb=12\nc=on\nd=-1\n\xff=1\n");
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| config.number(name, 7)), [0x800_0000, 12, 0, 0, 7]);
    }
}
