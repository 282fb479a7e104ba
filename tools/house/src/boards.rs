//! `house boards`: the EL2 library names no board, and a board is a table, not a program.

use crate::Findings;
use crate::source;
use std::path::{Path, PathBuf};

/// Where no board may be named, in code, comments and texts alike.
const NAMELESS: &str = "hypervisor/src";
/// What boards, and what is on them, are called.
const NAMES: [&str; 5] = ["qemu-virt", "raspberry", "rpi4", "raspi", "bcm2"];
/// Where each board has a folder.
const PLATFORMS: &str = "platform";
/// Most lines of a board that are not blank, comments included.
const BOARD_MAX: usize = 200;
/// Most lines of code of a board that are no table and no binary: its hooks, in files beside `lib.rs` and `main.rs`.
const HOOKS_MAX: usize = 40;
/// Files of a board that hold facts, and the binary.
const TABLES: [&str; 4] = ["lib.rs", "main.rs", "devices.rs", "service.rs"];

/// All findings below `root`.
pub fn check(root: &Path) -> Findings {
    let mut findings = Vec::new();
    for file in files(&root.join(NAMELESS))? {
        for (index, line) in text(&file)?.lines().enumerate() {
            let line = line.to_lowercase();
            if let Some(name) = NAMES.iter().find(|name| line.contains(*name)) {
                let path = file.strip_prefix(root).unwrap_or(&file).display().to_string();
                findings.push(format!("{path}:{}: the library names a board: {name}", index + 1));
            }
        }
    }
    for board in entries(&root.join(PLATFORMS))? {
        let name = board.strip_prefix(root).unwrap_or(&board).display().to_string();
        let (mut lines, mut hooks) = (0, 0);
        for file in files(&board.join("src"))? {
            let text = text(&file)?;
            lines += text.lines().filter(|line| !line.trim().is_empty()).count();
            if !TABLES.iter().any(|table| file.ends_with(table)) {
                hooks += source::lines(&text).iter().filter(|line| !line.code.trim().is_empty()).count();
            }
        }
        findings.extend(above(&name, lines, BOARD_MAX, "lines"));
        findings.extend(above(&name, hooks, HOOKS_MAX, "lines of hooks"));
    }
    Ok(findings)
}

fn above(name: &str, count: usize, most: usize, what: &str) -> Option<String> {
    (count > most).then(|| format!("{name} has {count} {what}, at most {most} are allowed"))
}

fn text(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::read_dir(folder).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

/// Every file below `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() { files.extend(self::files(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with this one file in the library, and a board with so many lines of table and of hooks.
    fn checked(library: &str, table: usize, hooks: usize) -> Vec<String> {
        let root = std::env::temp_dir().join(format!("house-boards-{}-{table}-{hooks}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write("hypervisor/src/arch/entry.s", library);
        write("platform/one/src/lib.rs", &"// a fact\n\n".repeat(table));
        write("platform/one/src/pins.rs", &"// a reason\nlet x = 1;\n".repeat(hooks));
        let findings = check(&root).expect("readable");
        std::fs::remove_dir_all(&root).expect("ours");
        findings
    }

    #[test]
    fn a_board_named_in_the_library_is_found() {
        assert_eq!(checked("// QEMU's virt\n", 1, 1), [""; 0]);
        let found = checked("nop\n// as on a Raspberry Pi\n", 1, 2);
        assert_eq!(found, ["hypervisor/src/arch/entry.s:2: the library names a board: raspberry"]);
    }

    #[test]
    fn a_board_that_is_a_program_is_found() {
        assert_eq!(checked("", 120, 40), [""; 0]);
        assert_eq!(checked("", 121, 40), ["platform/one has 201 lines, at most 200 are allowed"]);
        assert_eq!(checked("", 1, 41), ["platform/one has 41 lines of hooks, at most 40 are allowed"]);
    }
}
