//! `house unsafe`: where `unsafe` and assembly may stand, and that each unsafe block says why it is sound.
//!
//! clippy's `undocumented_unsafe_blocks` says more about the single block; this rule also sees code that the build at hand
//! has configured away, and knows the folders.

use crate::Findings;
use crate::source::{self, Line};
use std::path::Path;

/// Folders whose crates may use `unsafe` at all. The last one gives memory to somebody else's driver, whose trait for that
/// is unsafe.
const UNSAFE_FOLDERS: [&str; 3] = ["hypervisor/", "guests/", "crates/virtio/tests/peer/"];
/// Folders (and the module files beside them) with assembly.
const ASSEMBLY_FOLDERS: [&str; 3] = ["hypervisor/src/arch/", "hypervisor/src/arch.rs", "guests/"];
/// The macros of core::arch.
const ASSEMBLY: [&str; 3] = ["asm", "global_asm", "naked_asm"];
/// Never part of the house.
const FOREIGN: [&str; 4] = ["target", "build", ".git", "fuzz"];

/// All findings below `root`.
pub fn check(root: &Path) -> Findings {
    let mut files = Vec::new();
    collect(root, &mut files).map_err(|error| format!("{}: {error}", root.display()))?;
    files.sort();
    let mut findings = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(root.join(&path)).map_err(|error| format!("{path}: {error}"))?;
        findings.extend(check_file(&path, &text));
    }
    Ok(findings)
}

/// Rust files, as paths relative to the root with `/`.
fn collect(root: &Path, files: &mut Vec<String>) -> std::io::Result<()> {
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !FOREIGN.iter().any(|foreign| name == *foreign) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned());
            }
        }
    }
    Ok(())
}

fn check_file(path: &str, text: &str) -> Vec<String> {
    let lines = source::lines(text);
    let mut findings = Vec::new();
    if path.starts_with("crates/")
        && path.ends_with("/src/lib.rs")
        && !lines.iter().any(|line| line.code.contains("#![forbid(unsafe_code)]"))
    {
        findings.push(format!("{path}: a pure crate begins with #![forbid(unsafe_code)]"));
    }
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        if line.has_word("unsafe") && !UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
            findings.push(format!("{path}:{number}: unsafe stands outside {}", UNSAFE_FOLDERS.join(" and ")));
        }
        // Not the type `&'static mut T`.
        if line.code.replace("'static mut ", "").contains("static mut ") {
            findings.push(format!("{path}:{number}: static mut"));
        }
        let is_assembly = ASSEMBLY.iter().any(|name| line.has_word(name) && line.code.contains(&format!("{name}!")));
        if is_assembly && !ASSEMBLY_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
            findings.push(format!("{path}:{number}: assembly stands outside {}", ASSEMBLY_FOLDERS.join(", ")));
        }
        if opens_unsafe(&lines, index) && !is_justified(&lines, index) {
            findings.push(format!("{path}:{number}: no `SAFETY:` comment above"));
        }
    }
    findings
}

/// An unsafe block or impl. Functions and traits state duties instead (`# Safety`, clippy::missing_safety_doc), and
/// attributes like #[unsafe(no_mangle)] have no block.
fn opens_unsafe(lines: &[Line], index: usize) -> bool {
    let code = &lines[index].code;
    let mut rest = code.as_str();
    while let Some(at) = rest.find("unsafe") {
        let before = rest[..at].chars().next_back();
        rest = &rest[at + "unsafe".len()..];
        let next = match rest.trim_start() {
            // rustfmt may put the brace on the next line.
            "" => lines.get(index + 1).map_or("", |line| line.code.trim_start()),
            other => other,
        };
        let is_word = !before.is_some_and(|character| character.is_alphanumeric() || character == '_');
        if is_word && (next.starts_with('{') || next.starts_with("impl")) {
            return true;
        }
    }
    false
}

/// Looks upward from the line to the beginning of its statement and the comment right above that.
fn is_justified(lines: &[Line], index: usize) -> bool {
    if lines[index].comment.contains("SAFETY:") {
        return true;
    }
    let mut in_comment = false;
    for line in lines[..index].iter().rev() {
        let code = line.code.trim();
        if line.comment.contains("SAFETY:") {
            return true;
        }
        let ends_statement = code.is_empty() && line.comment.is_empty() || code.ends_with([';', '}']);
        // A comment belongs to what follows it: code above it is another statement.
        if ends_statement || (in_comment && !code.is_empty()) {
            return false;
        }
        in_comment |= code.is_empty();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_outside_its_folders_is_found() {
        assert_eq!(check_file("platform/a/src/lib.rs", "unsafe fn f() {}\n").len(), 1);
        assert!(check_file("hypervisor/src/a.rs", "unsafe fn f() {}\n").is_empty());
        assert_eq!(check_file("crates/a/src/lib.rs", "fn f() {}\n").len(), 1);
        assert!(check_file("crates/a/src/lib.rs", "#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn assembly_outside_its_folder_is_found() {
        let text = "core::arch::asm!(\"nop\");\n";
        assert_eq!(check_file("hypervisor/src/gic/v3.rs", text).len(), 1);
        assert!(check_file("hypervisor/src/arch/tlb.rs", text).is_empty());
    }

    #[test]
    fn a_block_without_its_reason_is_found() {
        let path = "hypervisor/src/a.rs";
        assert_eq!(check_file(path, "fn f() {\n    unsafe { g() }\n}\n").len(), 1);
        assert_eq!(check_file(path, "// SAFETY: of f.\nlet a = 1;\nunsafe { g() }\n").len(), 1);
        assert_eq!(check_file(path, "unsafe impl Sync for A {}\n").len(), 1);
        assert!(check_file(path, "// SAFETY: one core.\nlet a = f(\n    1,\n    unsafe { g() },\n);\n").is_empty());
        assert!(
            check_file(path, "    // SAFETY: the frame is ours,\n    // for life.\n    unsafe { g() };\n").is_empty()
        );
        assert!(check_file(path, "#[unsafe(no_mangle)]\nstatic A: u8 = 0;\n").is_empty());
    }
}
