//! Bandwidths as people write them: bits per second, `"100M"`, in powers of 1000 as network hardware counts.

/// Least bandwidth: a full frame takes a fifth of a second.
const MIN: u64 = 64_000;
/// The right form.
const RULE: &str = "a bandwidth is bits per second, a number with K, M or G behind it, such as \"100M\"";

/// Why a bandwidth cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is none; what the writer probably meant, in the right form.
    Form(Option<String>),
    /// It is too little to be of use.
    Small,
}

impl Bad {
    /// What to do.
    pub fn mend(&self) -> String {
        match self {
            Self::Form(Some(suggestion)) => format!("write \"{suggestion}\": {RULE}"),
            Self::Form(None) => RULE.to_owned(),
            Self::Small => "give it at least \"64K\", or leave `bandwidth` out: then there is no limit".to_owned(),
        }
    }
}

/// Bits per second of `text`: decimal digits, then nothing, `K`, `M` or `G` (powers of 1000).
pub fn parse(text: &str) -> Result<u64, Bad> {
    match bits(text) {
        Some(bits) if bits < MIN => Err(Bad::Small),
        Some(bits) => Ok(bits),
        None => Err(Bad::Form(suggestion(text))),
    }
}

fn bits(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "" => 1,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// `100Mbit`, `100 Mbit/s`, `100mbps` and `1.5G` as this tool wants them.
fn suggestion(text: &str) -> Option<String> {
    let text = text.trim().to_uppercase();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let letter = unit.chars().next()?;
    let (smaller, is_unit) = match (letter, &unit[letter.len_utf8()..]) {
        (_, "" | "BIT" | "BIT/S" | "BITS" | "BITS/S" | "BPS" | "B/S") => ("KMG".find(letter)?.checked_sub(1), true),
        _ => (None, false),
    };
    let written = match number.parse::<u32>() {
        Ok(whole) if is_unit => format!("{whole}{letter}"),
        _ => {
            let scaled = number.parse::<f64>().ok()? * 1000.0;
            let smaller = "KMG".chars().nth(smaller?)?;
            (scaled.fract() == 0.0).then(|| format!("{scaled}{smaller}"))?
        }
    };
    // Never one that would be refused in turn.
    parse(&written).map(|_| written).ok()
}

/// A bandwidth in a message, in the largest unit that leaves a whole number.
pub fn shown(bits: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "K")];
    let unit = units.iter().find(|(unit, _)| bits.is_multiple_of(*unit));
    unit.map_or(bits.to_string(), |(unit, letter)| format!("{}{letter}", bits / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_are_read_in_powers_of_1000() {
        for (text, bits) in [("100M", 100_000_000), ("64K", 64_000), ("10G", 10_000_000_000), ("64001", 64_001)] {
            assert_eq!(parse(text), Ok(bits));
            assert_eq!(shown(bits), text);
        }
    }

    #[test]
    fn other_spellings_are_refused_with_the_right_one() {
        for (wrong, right) in [
            ("100m", "100M"),
            ("100 M", "100M"),
            ("100Mbit", "100M"),
            ("100 Mbit/s", "100M"),
            ("100Mbps", "100M"),
            ("1.5G", "1500M"),
            ("0.5 Mbit/s", "500K"),
        ] {
            assert_eq!(parse(wrong), Err(Bad::Form(Some(right.into()))), "{wrong}");
        }
    }

    #[test]
    fn nonsense_and_too_little_are_refused() {
        // Bytes are no bits: nobody knows which was meant.
        for wrong in ["", "M", "-1M", "+5M", "0x10M", "much", "99999999999G", "100MB", "100MiB", "1T", "1k", "größe"]
        {
            assert_eq!(parse(wrong), Err(Bad::Form(None)), "{wrong}");
        }
        for wrong in ["0", "0M", "63999", "63K"] {
            assert_eq!(parse(wrong), Err(Bad::Small), "{wrong}");
        }
    }
}
