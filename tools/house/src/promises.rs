//! `house promises`: every promise has a test that carries its id.
//!
//! An id stands in a test's name as a word of its own: `b03_core_absent_is_refused`, `B03 core absent`. Whether the test
//! would fail if the promise broke is for its reader to judge.

use crate::Findings;

/// All ids of the list (first word of a line; `#` begins a comment) that no name among `names` carries.
pub fn check(list: &str, names: &str) -> Findings {
    let mut seen: Vec<String> = Vec::new();
    for word in names.split(|character: char| !character.is_ascii_alphanumeric()) {
        seen.push(word.to_ascii_lowercase());
    }
    let lines = list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let mut ids: Vec<&str> = Vec::new();
    let mut findings = Vec::new();
    for line in lines {
        let id = line.split_whitespace().next().unwrap_or("");
        if ids.contains(&id) {
            findings.push(format!("{id} is promised twice"));
        }
        ids.push(id);
        if !seen.contains(&id.to_ascii_lowercase()) {
            findings.push(format!("no test carries the id of: {line}"));
        }
    }
    if ids.is_empty() { Err("the list of promises is empty".into()) } else { Ok(findings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_without_a_test_is_found() {
        let names = "place::tests::b01_unknown_key: test\nB35 V3 poweroff\n";
        assert!(check("# x\nB01 unknown key\nB35 poweroff\n", names).unwrap().is_empty());
        assert_eq!(check("B35b AArch32\n", names).unwrap(), ["no test carries the id of: B35b AArch32"]);
        assert_eq!(check("B3 short\n", names).unwrap().len(), 1);
        assert!(check("", names).is_err());
    }
}
