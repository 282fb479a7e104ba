//! Sizes as people write them: `"512M"`, `"0x20_0000"`.

/// Why a size cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSize {
    /// What the writer probably meant, in the right form.
    pub suggestion: Option<String>,
}

impl BadSize {
    /// What to do.
    pub fn mend(&self) -> String {
        let rule = "a size is a number with K, M or G behind it, such as \"512M\"";
        match &self.suggestion {
            Some(suggestion) => format!("write \"{suggestion}\": {rule}"),
            None => rule.to_owned(),
        }
    }
}

/// Bytes of `text`: decimal or `0x` hexadecimal, `_` between digits, then nothing, `K`, `M` or `G` (powers of 1024).
pub fn parse(text: &str) -> Result<u64, BadSize> {
    let (number, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let digits = number.replace('_', "");
    let value = match digits.strip_prefix("0x") {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        None if !digits.starts_with('+') => digits.parse().ok(),
        _ => None,
    };
    value.and_then(|value: u64| value.checked_mul(1 << shift)).ok_or_else(|| BadSize { suggestion: suggestion(text) })
}

/// `512MB`, `512 MiB`, `512m` and `1.5G` as this tool wants them.
fn suggestion(text: &str) -> Option<String> {
    let text = text.trim().to_uppercase();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (&text[..split], text[split..].trim());
    let unit = match unit {
        "K" | "KB" | "KIB" => 'K',
        "M" | "MB" | "MIB" => 'M',
        "G" | "GB" | "GIB" => 'G',
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u32>() {
        return Some(format!("{whole}{unit}"));
    }
    let smaller = match unit {
        _ if !number.contains('.') => return None,
        'G' => 'M',
        'M' => 'K',
        _ => return None,
    };
    let scaled = number.parse::<f64>().ok()? * 1024.0;
    (scaled.fract() == 0.0).then(|| format!("{scaled}{smaller}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        assert_eq!(parse("512M"), Ok(512 << 20));
        assert_eq!(parse("8K"), Ok(8192));
        assert_eq!(parse("3G"), Ok(3 << 30));
        assert_eq!(parse("0x20_0000"), Ok(0x20_0000));
        assert_eq!(parse("0"), Ok(0));
    }

    #[test]
    fn other_spellings_are_refused_with_the_right_one() {
        for (wrong, right) in [("512MB", "512M"), ("64 MiB", "64M"), ("8k", "8K"), ("1.5G", "1536M"), ("0.5M", "512K")]
        {
            assert_eq!(parse(wrong), Err(BadSize { suggestion: Some(right.into()) }), "{wrong}");
        }
    }

    #[test]
    fn nonsense_and_overflow_are_refused() {
        for wrong in ["", "M", "-1M", "+5", "0x", "0x+5", "much", "99999999999G", "1.3K"] {
            assert_eq!(parse(wrong), Err(BadSize { suggestion: None }), "{wrong}");
        }
    }
}
