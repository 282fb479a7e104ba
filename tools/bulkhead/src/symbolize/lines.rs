//! Functions and lines of an EL2 binary, from its DWARF and, for assembly, its symbol table.

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian as Little};
use anyhow::{Context, Result, ensure};
use object::LittleEndian;
use object::elf::{PF_X, PT_LOAD, ProgramHeader64};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A function and the place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name, demangled; behind a label of assembly, its distance.
    pub function: String,
    /// `file:line`, relative to the checkout where the file is in it.
    pub place: Option<String>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match &self.place {
            Some(place) => write!(f, " at {place}"),
            None => Ok(()),
        }
    }
}

/// What an EL2 binary says about its addresses.
pub struct Lines<'a> {
    dwarf: addr2line::Context<EndianSlice<'a, Little>>,
    /// Labels by address.
    labels: Vec<(u64, String)>,
    code: Vec<Range<u64>>,
    checkout: PathBuf,
}

impl<'a> Lines<'a> {
    /// Reads the ELF file `elf`; paths below `checkout` are shown relative to it.
    pub fn read(elf: &'a [u8], checkout: &Path) -> Result<Self> {
        let file = ElfFile64::<LittleEndian>::parse(elf).context("it is no 64-bit ELF file")?;
        let section = |name: &str| file.section_by_name(name).and_then(|section| section.data().ok()).unwrap_or(&[]);
        ensure!(
            !section(".debug_line").is_empty(),
            "it has no debug lines (section .debug_line): give the file that was linked, before anything is stripped"
        );
        let load = |id: addr2line::gimli::SectionId| {
            Ok::<_, addr2line::gimli::Error>(EndianSlice::new(section(id.name()), Little))
        };
        let dwarf =
            Dwarf::load(load).and_then(addr2line::Context::from_dwarf).context("its debug lines are damaged")?;
        Ok(Self { dwarf, labels: labels(&file), code: code(&file), checkout: checkout.to_owned() })
    }

    /// What is at `address`, innermost function first; nothing outside the code.
    pub fn frames(&self, address: u64) -> Result<Vec<Frame>> {
        if !self.code.iter().any(|code| code.contains(&address)) {
            return Ok(Vec::new());
        }
        let damaged = "the EL2 binary's debug lines are damaged";
        let mut found = self.dwarf.find_frames(address).skip_all_loads().context(damaged)?;
        let mut frames = Vec::new();
        while let Some(frame) = found.next().context(damaged)? {
            let name = frame.function.and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
            let function = name.unwrap_or_else(|| self.label(address));
            frames.push(Frame { function, place: frame.location.and_then(|place| self.place(&place)) });
        }
        if frames.is_empty() {
            frames.push(Frame { function: self.label(address), place: None });
        }
        Ok(frames)
    }

    fn place(&self, place: &addr2line::Location<'_>) -> Option<String> {
        let file = Path::new(place.file?);
        let file = file.strip_prefix(&self.checkout).unwrap_or(file).display();
        Some(match place.line {
            Some(line) => format!("{file}:{line}"),
            None => file.to_string(),
        })
    }

    /// The last label before `address`, and how far behind it that is.
    fn label(&self, address: u64) -> String {
        let behind = self.labels.partition_point(|(start, _)| *start <= address);
        match behind.checked_sub(1).and_then(|last| self.labels.get(last)) {
            Some((start, name)) if *start == address => name.clone(),
            Some((start, name)) => format!("{name}+{:#x}", address - start),
            None => "?".to_owned(),
        }
    }
}

/// Where the file has code.
fn code(file: &ElfFile64<'_, LittleEndian>) -> Vec<Range<u64>> {
    let endian = LittleEndian;
    let is_code = |program: &&ProgramHeader64<LittleEndian>| {
        program.p_type(endian) == PT_LOAD && program.p_flags(endian).0 & PF_X.0 != 0
    };
    let range = |program: &ProgramHeader64<LittleEndian>| {
        let start = program.p_vaddr(endian);
        start..start.saturating_add(program.p_memsz(endian))
    };
    file.elf_program_headers().iter().filter(is_code).map(range).collect()
}

/// Labels in ascending order; of several at one address a function comes last, and so counts.
fn labels(file: &ElfFile64<'_, LittleEndian>) -> Vec<(u64, String)> {
    let mut labels: Vec<_> = file
        .symbols()
        .filter(|symbol| !symbol.is_undefined() && !matches!(symbol.kind(), SymbolKind::File | SymbolKind::Section))
        .filter_map(|symbol| {
            let name = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with('$'))?;
            Some((symbol.address(), symbol.kind() == SymbolKind::Text, name.to_owned()))
        })
        .collect();
    labels.sort();
    labels.into_iter().map(|(address, _, name)| (address, name)).collect()
}
