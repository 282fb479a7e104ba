//! `house licences`: every dependency's licence expression can be met from the list (SPDX specification, annex D).
//!
//! The old `MIT/Apache-2.0` counts as OR. `WITH exception` is part of the identifier, so the list must name the pair.

use crate::metadata::Package;

/// All packages whose licence the list does not allow. A line of the list is an identifier; `#` begins a comment.
pub fn check(packages: &[Package], list: &str) -> Vec<String> {
    let allowed: Vec<&str> = list.lines().map(|line| line.split('#').next().unwrap_or("").trim()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let Some(licence) = &package.licence else {
            findings.push(format!("{} names no licence", package.name));
            continue;
        };
        if !allows(licence, &allowed) {
            findings.push(format!("{} is under '{licence}', which scripts/licences.txt does not allow", package.name));
        }
    }
    findings
}

fn allows(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    // What cannot be read is not allowed.
    either(&mut rest, allowed) == Some(true) && rest.is_empty()
}

/// AND binds tighter than OR.
fn either(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = both(words, allowed)?;
    while take(words, "OR") {
        met |= both(words, allowed)?;
    }
    Some(met)
}

fn both(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while take(words, "AND") {
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    if take(words, "(") {
        let met = either(words, allowed)?;
        return take(words, ")").then_some(met);
    }
    let mut identifier = next(words)?.to_string();
    if take(words, "WITH") {
        identifier = format!("{identifier} WITH {}", next(words)?);
    }
    Some(allowed.contains(&identifier.as_str()))
}

fn next<'a>(words: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    Some(first)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let found = words.first() == Some(&word);
    if found {
        *words = &words[1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_as_spdx_says() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"];
        for good in ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR GPL-2.0) AND Unicode-3.0", "GPL-2.0 OR (MIT)"]
        {
            assert!(allows(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "MIT OR", "(MIT", "Apache-2.0 WITH LLVM-exception", "MIT MIT"] {
            assert!(!allows(bad, &allowed), "{bad}");
        }
        assert!(allows("Apache-2.0 WITH LLVM-exception", &["Apache-2.0 WITH LLVM-exception"]));
    }
}
