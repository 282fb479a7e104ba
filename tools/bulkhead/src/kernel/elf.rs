//! ELF kernels: PT_LOAD segments at their physical addresses, entry from the header.

use super::{Kernel, Refusal, Segment};
use manifest::MAX_PAYLOADS;
use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

/// Payloads that a partition needs beside its kernel: an initrd and two device trees.
const OTHER_PAYLOADS: usize = 3;

/// Whether this is ELF of any kind.
pub fn is_elf(file: &[u8]) -> bool {
    file.starts_with(&elf::ELFMAG)
}

/// Reads an ELF that is a kernel for this machine.
pub fn read(file: &[u8]) -> Result<Kernel, Refusal> {
    foreign(file)?;
    let damaged = |error: object::Error| Refusal::new(format!("is a damaged ELF file ({error})"), "build it again");
    let endian = LittleEndian;
    let header = FileHeader64::<LittleEndian>::parse(file).map_err(damaged)?;
    let mut entry = header.e_entry.get(endian);
    let mut is_relocatable = header.e_type.get(endian) == elf::ET_DYN;
    let mut segments = Vec::new();
    for program in header.program_headers(endian, file).map_err(damaged)? {
        let (virtual_address, address) = (program.p_vaddr.get(endian), program.p_paddr.get(endian));
        let (size, held) = (program.p_memsz.get(endian), program.p_filesz.get(endian));
        if program.p_type.get(endian) != elf::PT_LOAD || size == 0 {
            continue;
        }
        let bytes = program
            .data(endian, file)
            .map_err(|()| Refusal::new("is a damaged ELF file (a segment ends behind the file)", "build it again"))?;
        let zeroed = size.checked_sub(held).filter(|_| address.checked_add(size).is_some());
        let zeroed =
            zeroed.ok_or_else(|| Refusal::new("is a damaged ELF file (a segment's sizes)", "build it again"))?;
        // The entry is a virtual address; the MMU is off when it is used (as QEMU's loader reads it).
        let is_code = program.p_flags.get(endian).0 & elf::PF_X.0 != 0;
        if is_code && virtual_address != address && entry >= virtual_address && entry - virtual_address < held {
            entry = entry - virtual_address + address;
        }
        is_relocatable &= virtual_address == address;
        segments.push(Segment { address, bytes: bytes.into(), zeroed });
    }
    match segments.len() {
        0 => Err(Refusal::new("is an ELF file with nothing to load", "link it as an executable")),
        n if n > MAX_PAYLOADS - OTHER_PAYLOADS => Err(Refusal::new(
            format!("is an ELF file with {n} segments to load"),
            format!("link it with at most {}", MAX_PAYLOADS - OTHER_PAYLOADS),
        )),
        _ => Ok(Kernel::Elf { entry, segments, is_relocatable }),
    }
}

/// ELF for another machine, named.
fn foreign(file: &[u8]) -> Result<(), Refusal> {
    let is_64_bit = file.get(4) == Some(&elf::ELFCLASS64.0);
    let is_big_endian = file.get(5) == Some(&elf::ELFDATA2MSB.0);
    let raw: [u8; 2] = file.get(18..20).and_then(|raw| raw.try_into().ok()).unwrap_or_default();
    let machine = elf::Machine(if is_big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) });
    let name = match machine {
        elf::EM_AARCH64 if is_big_endian => {
            return Err(Refusal::new("is an ELF file for big-endian AArch64", "build it little-endian"));
        }
        elf::EM_AARCH64 if !is_64_bit => {
            return Err(Refusal::new("is a 32-bit ELF file (ILP32)", "build it for 64-bit AArch64"));
        }
        elf::EM_AARCH64 => return Ok(()),
        elf::EM_X86_64 => "x86-64".to_owned(),
        elf::EM_386 => "32-bit x86".to_owned(),
        elf::EM_ARM => "32-bit Arm".to_owned(),
        elf::EM_RISCV if is_64_bit => "64-bit RISC-V".to_owned(),
        elf::EM_RISCV => "32-bit RISC-V".to_owned(),
        elf::EM_PPC64 => "64-bit PowerPC".to_owned(),
        elf::EM_LOONGARCH => "LoongArch".to_owned(),
        other => format!("ELF machine {}", other.0),
    };
    Err(Refusal::new(format!("is an ELF file for {name}"), "partitions run 64-bit Arm code: build it for AArch64"))
}
