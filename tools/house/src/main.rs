//! The house rules that no compiler knows, one subcommand each. `make check` runs them.
//!
//! The standard library only: what judges the dependencies should not add any. Every rule reports all its findings, one
//! a line, and ends with status 1 if there are any.

mod boards;
mod deps;
mod json;
mod licences;
mod metadata;
mod promises;
mod source;
mod unsafety;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str =
    "usage: house boards | deps | unsafe | licences LIST | promises LIST TEST-NAMES   (in the workspace's root)";

/// What one rule found, or why it could not look.
type Findings = Result<Vec<String>, String>;

fn run(arguments: &[&str]) -> Findings {
    let root = Path::new(".");
    match arguments {
        ["boards"] => boards::check(root),
        ["deps"] => Ok(deps::check(&metadata::read()?)),
        ["unsafe"] => unsafety::check(root),
        ["licences", list] => Ok(licences::check(&metadata::read()?, &text(list)?)),
        ["promises", list, names] => promises::check(&text(list)?, &text(names)?),
        _ => Err(USAGE.into()),
    }
}

fn text(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            for finding in &findings {
                eprintln!("{}: {finding}", arguments[0]);
            }
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("house: {error}");
            ExitCode::from(2)
        }
    }
}
