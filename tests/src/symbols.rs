//! Where EL2's functions are: the symbols of the ELF file that images are built from.

use crate::project::Project;
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSymbol, SymbolKind};

/// EL2's functions, by address.
pub struct Symbols(Vec<(u64, String)>);

impl Symbols {
    /// Those of the ELF file for QEMU's `virt` in this checkout.
    pub fn read(project: &Project) -> Result<Self> {
        Self::of_board(project, "qemu-virt")
    }

    /// Those of the ELF file for this board.
    pub fn of_board(project: &Project, board: &str) -> Result<Self> {
        let file = project.target().join(format!("aarch64-unknown-none-softfloat/release/bulkhead-{board}"));
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let elf = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF", file.display()))?;
        let named = elf.symbols().filter(|symbol| symbol.kind() != SymbolKind::File && symbol.address() != 0);
        // Mapping symbols ($x, $d) tell code from data and name nothing.
        let mut all: Vec<(u64, String)> = named
            .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())))
            .filter(|(_, name)| !name.is_empty() && !name.starts_with('$'))
            .collect();
        all.sort();
        Ok(Self(all))
    }

    /// The address of the only one whose name, as the linker has it, contains `name`.
    ///
    /// Rust's names are mangled: `hypervisor::memory::allocate` contains `10hypervisor6memory8allocate`.
    pub fn address_of(&self, name: &str) -> Result<u64> {
        let found: Vec<u64> = self.0.iter().filter(|(_, known)| known.contains(name)).map(|(at, _)| *at).collect();
        ensure!(found.len() == 1, "EL2 has {} symbols with {name:?} in them", found.len());
        Ok(found[0])
    }

    /// The name of the function that `address` is in, with its path and without its hash.
    pub fn name_at(&self, address: u64) -> String {
        let behind = self.0.partition_point(|(at, _)| *at <= address);
        let mangled = behind.checked_sub(1).and_then(|n| self.0.get(n)).map_or("?", |(_, name)| name);
        readable(mangled)
    }
}

/// `_ZN10hypervisor6memory8allocate17h0123456789abcdefE` as `hypervisor::memory::allocate`; another name as it is.
fn readable(mangled: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = mangled.strip_prefix("_ZN").unwrap_or("");
    while let Some(end) = rest.find(|c: char| !c.is_ascii_digit()) {
        let Some(part) = rest[..end].parse().ok().and_then(|length: usize| rest[end..].get(..length)) else { break };
        parts.push(part);
        rest = &rest[end + part.len()..];
    }
    // The last part is the hash.
    parts.pop();
    if parts.is_empty() { mangled.to_owned() } else { parts.join("::") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mangled_name_is_made_readable() {
        assert_eq!(readable("_ZN10hypervisor6memory8allocate17h0123456789abcdefE"), "hypervisor::memory::allocate");
        assert_eq!(readable("exit_sync_v3"), "exit_sync_v3");
    }

    #[test]
    fn the_function_of_an_address_begins_at_or_before_it() {
        let symbols = Symbols(vec![(16, "one".into()), (32, "two".into())]);
        assert_eq!(["?", "one", "one", "two"], [8, 16, 31, 32].map(|at| symbols.name_at(at)).as_ref());
        assert_eq!(symbols.address_of("tw").unwrap(), 32);
        assert!(symbols.address_of("o").is_err());
    }
}
