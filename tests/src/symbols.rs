//! Where EL2's functions are: the symbols of the ELF file that images are built from.

use crate::project::Project;
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSymbol};

/// The address of EL2's only function whose name, as the linker has it, contains `name`.
///
/// Rust's names are mangled: `hypervisor::memory::allocate` contains `10hypervisor6memory8allocate`.
pub fn address_of(project: &Project, name: &str) -> Result<u64> {
    let file = project.target().join("aarch64-unknown-none-softfloat/release/bulkhead-qemu-virt");
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let elf = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF", file.display()))?;
    let found: Vec<u64> = elf
        .symbols()
        .filter(|symbol| symbol.name().is_ok_and(|known| known.contains(name)))
        .map(|symbol| symbol.address())
        .collect();
    ensure!(found.len() == 1, "EL2 has {} symbols with {name:?} in them", found.len());
    Ok(found[0])
}
