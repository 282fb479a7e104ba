//! Durations as people write them, `"100ms"`, `"10s"`, `"1m"`, and the restart limit that holds one.

use abi::RestartLimit;

/// What stands for "not at all".
pub const NONE: &str = "none";

/// Why a duration or a limit cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// What the writer probably meant, in the right form.
    pub suggestion: Option<String>,
    /// The right form.
    pub rule: &'static str,
}

impl Bad {
    /// What to do.
    pub fn mend(&self) -> String {
        match &self.suggestion {
            Some(suggestion) => format!("write \"{suggestion}\": {}", self.rule),
            None => self.rule.to_owned(),
        }
    }
}

/// The units, in milliseconds.
const UNITS: [(&str, u32); 3] = [("ms", 1), ("s", 1000), ("m", 60_000)];

/// Milliseconds of `text`: decimal digits, then `ms`, `s` or `m`.
pub fn parse(text: &str) -> Result<u32, Bad> {
    milliseconds(text).ok_or_else(|| Bad {
        suggestion: suggestion(text),
        rule: "a duration is a number with ms, s or m behind it, such as \"10s\"",
    })
}

fn milliseconds(text: &str) -> Option<u32> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u32>().ok()?.checked_mul(*ms)
}

/// Milliseconds of `text`, or 0 for `"none"`, which is the only way to say so.
pub fn or_none(text: &str) -> Result<u32, Bad> {
    if text == NONE {
        return Ok(0);
    }
    let bad = |suggestion| Bad {
        suggestion,
        rule: "a duration is a number with ms, s or m behind it, such as \"10s\"; \"none\" stands for none",
    };
    match parse(text) {
        Ok(0) => Err(bad(Some(NONE.to_owned()))),
        Ok(ms) => Ok(ms),
        Err(Bad { suggestion: None, .. }) if crate::near::nearest(text, [NONE]).is_some() => {
            Err(bad(Some(NONE.to_owned())))
        }
        Err(Bad { suggestion, .. }) => Err(bad(suggestion)),
    }
}

/// The limit `text`: restarts, `in`, a duration; or `"none"`.
pub fn limit(text: &str) -> Result<Option<RestartLimit>, Bad> {
    if text == NONE {
        return Ok(None);
    }
    let limit = text.split_once(" in ").and_then(|(restarts, window)| {
        let is_plain = restarts.bytes().all(|b| b.is_ascii_digit());
        let restarts = restarts.parse().ok().filter(|_| is_plain)?;
        Some(RestartLimit { restarts, window_ms: parse(window).ok()? })
    });
    limit.map(Some).ok_or_else(|| Bad {
        suggestion: limit_suggestion(text),
        rule: "a limit is 1 to 16 restarts, `in` and a duration, such as \"5 in 60s\"; \"none\" stands for none",
    })
}

/// `10`, `10 s`, `10sec`, `1h` and `1.5s` as this tool wants them.
fn suggestion(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let (unit, part) = match unit {
        "" => ("s", None),
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => ("ms", None),
        "s" | "sec" | "secs" | "second" | "seconds" => ("s", Some((1000.0, "ms"))),
        "m" | "min" | "mins" | "minute" | "minutes" => ("m", Some((60.0, "s"))),
        "h" | "hr" | "hour" | "hours" => ("h", Some((60.0, "m"))),
        _ => return None,
    };
    let whole = number.parse::<u32>().ok().filter(|_| unit != "h");
    let written = match (whole, part) {
        (Some(whole), _) => format!("{whole}{unit}"),
        (None, Some((parts, unit))) => {
            let scaled = number.parse::<f64>().ok()? * parts;
            (scaled.fract() == 0.0).then(|| format!("{scaled}{unit}"))?
        }
        _ => return None,
    };
    // Never one that would be refused in turn.
    milliseconds(&written).map(|_| written)
}

/// `5/60s`, `5 per 1 min` and `5 in 60` as this tool wants them.
fn limit_suggestion(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    if crate::near::nearest(&text, [NONE]).is_some() {
        return Some(NONE.to_owned());
    }
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let restarts = text[..split].parse::<u8>().ok()?;
    let rest = text[split..].trim().trim_start_matches("restarts").trim();
    let window = ["in", "per", "within", "/", ","].iter().find_map(|word| rest.strip_prefix(word))?.trim();
    let window = match parse(window) {
        Ok(_) => window.to_owned(),
        Err(Bad { suggestion, .. }) => suggestion?,
    };
    Some(format!("{restarts} in {window}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse("100ms"), Ok(100));
        assert_eq!(parse("10s"), Ok(10_000));
        assert_eq!(parse("2m"), Ok(120_000));
        assert_eq!(parse("0s"), Ok(0));
        for wrong in ["", "10", "s", "-1s", "+1s", "much", "1s ", "1 fortnight", "99999999m", "4294967296ms"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_spellings_are_refused_with_the_right_one() {
        for (wrong, right) in [
            ("10", "10s"),
            ("10 s", "10s"),
            ("10S", "10s"),
            ("10sec", "10s"),
            ("5 minutes", "5m"),
            ("1h", "60m"),
            ("0.5h", "30m"),
            ("1.5s", "1500ms"),
            ("100 MS", "100ms"),
        ] {
            assert_eq!(parse(wrong).map_err(|bad| bad.suggestion), Err(Some(right.into())), "{wrong}");
        }
        for wrong in ["0.3ms", "1.0001s", "99999999h", "1..5s"] {
            assert_eq!(parse(wrong).map_err(|bad| bad.suggestion), Err(None), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_said_by_none_and_not_by_zero() {
        assert_eq!(or_none("none"), Ok(0));
        assert_eq!(or_none("1ms"), Ok(1));
        for wrong in ["0ms", "0s", "None", "nome"] {
            assert_eq!(or_none(wrong).map_err(|bad| bad.suggestion), Err(Some(NONE.into())), "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_a_count_within_a_duration() {
        assert_eq!(limit("5 in 60s"), Ok(Some(RestartLimit { restarts: 5, window_ms: 60_000 })));
        assert_eq!(limit("none"), Ok(None));
        for (wrong, right) in [
            ("5/60s", Some("5 in 60s")),
            ("5 per 1 min", Some("5 in 1m")),
            ("3 restarts in 10s", Some("3 in 10s")),
            ("5 in 60", Some("5 in 60s")),
            ("5in60s", Some("5 in 60s")),
            ("None", Some("none")),
            ("often", None),
            ("5", None),
            ("+5 in 60s", None),
            ("", None),
        ] {
            assert_eq!(limit(wrong).map_err(|bad| bad.suggestion), Err(right.map(str::to_owned)), "{wrong}");
        }
    }
}
