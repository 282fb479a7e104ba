//! Kernels: containers unpacked, the format told by the content, foreign ones named.
//!
//! Three formats, as QEMU tells them apart: the arm64 Linux `Image` (Documentation/arch/arm64/booting.rst), ELF64 for
//! AArch64, and anything else is a raw binary. Where a kernel goes in RAM is `fit`'s business.

mod elf;
mod foreign;
mod unpack;

use std::fmt;
use std::sync::Arc;

pub use unpack::UNPACKED_MAX;

/// Bytes that go into the bundle, shared where two partitions run the same file.
pub type Bytes = Arc<[u8]>;

/// A kernel that can be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// An arm64 Linux `Image`.
    Image {
        /// The file's bytes.
        bytes: Bytes,
        /// Where it wants to be behind a 2 MiB boundary.
        text_offset: u64,
        /// What it uses from its first byte on: .bss included.
        image_size: u64,
    },
    /// Segments at addresses of their own.
    Elf {
        /// Address of the first instruction.
        entry: u64,
        /// What is loaded.
        segments: Vec<Segment>,
        /// Whether the addresses are offsets: a position-independent executable.
        is_relocatable: bool,
    },
    /// A binary that is entered at its first byte.
    Raw {
        /// The file's bytes.
        bytes: Bytes,
    },
}

/// A PT_LOAD segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its physical address.
    pub address: u64,
    /// What the file holds of it.
    pub bytes: Bytes,
    /// Zeros behind.
    pub zeroed: u64,
}

/// A file that is no kernel for this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it is, as the end of the sentence "kernel 'x' ...".
    pub problem: String,
    /// What to do.
    pub mend: String,
}

impl Refusal {
    fn new(problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { problem: problem.into(), mend: mend.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.mend)
    }
}

impl Kernel {
    /// Tells what `file` is.
    pub fn read(file: Vec<u8>) -> Result<Self, Refusal> {
        let file = unpack::unpack(file)?;
        if file.is_empty() {
            return Err(Refusal::new("is an empty file", "build or copy it again"));
        }
        if elf::is_elf(&file) {
            return elf::read(&file);
        }
        if let Some(refusal) = foreign::name(&file) {
            return Err(refusal);
        }
        match Header::read(&file) {
            Some(header) => header.kernel(file),
            None => Ok(Self::Raw { bytes: file.into() }),
        }
    }

    /// A position-independent executable as it is loaded at `base`. It relocates itself.
    pub fn at(&self, base: u64) -> Option<Self> {
        let Self::Elf { entry, segments, is_relocatable: true } = self else { return None };
        let moved = |segment: &Segment| {
            let address = segment.address.checked_add(base)?;
            Some(Segment { address, ..segment.clone() })
        };
        let segments = segments.iter().map(moved).collect::<Option<_>>()?;
        Some(Self::Elf { entry: entry.checked_add(base)?, segments, is_relocatable: false })
    }

    /// Bytes of RAM that it uses, as far as the file says.
    pub fn memory_size(&self) -> u64 {
        match self {
            Self::Image { image_size, .. } => *image_size,
            Self::Elf { segments, .. } => segments.iter().map(|s| s.bytes.len() as u64 + s.zeroed).sum(),
            Self::Raw { bytes } => bytes.len() as u64,
        }
    }

    /// What it puts into the bundle.
    pub fn contents(&self) -> Vec<&Bytes> {
        match self {
            Self::Image { bytes, .. } | Self::Raw { bytes } => vec![bytes],
            Self::Elf { segments, .. } => segments.iter().map(|segment| &segment.bytes).collect(),
        }
    }

    /// The format, for people.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Image { .. } => "Linux Image",
            Self::Elf { .. } => "ELF",
            Self::Raw { .. } => "raw binary",
        }
    }
}

/// The arm64 Image header.
struct Header {
    text_offset: u64,
    image_size: u64,
    flags: u64,
}

/// text_offset of kernels before 3.17, which leave image_size 0.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// flags bit 0: the kernel is big-endian.
const FLAG_BIG_ENDIAN: u64 = 1;

impl Header {
    fn read(file: &[u8]) -> Option<Self> {
        use abi::bundle::{IMAGE_MAGIC, IMAGE_MAGIC_OFFSET, IMAGE_SIZE, IMAGE_TEXT_OFFSET};
        if file.get(IMAGE_MAGIC_OFFSET..IMAGE_MAGIC_OFFSET + 4)? != IMAGE_MAGIC {
            return None;
        }
        let word = |at| u64_at(file, at);
        Some(Self { text_offset: word(IMAGE_TEXT_OFFSET)?, image_size: word(IMAGE_SIZE)?, flags: word(24)? })
    }

    fn kernel(self, file: Vec<u8>) -> Result<Kernel, Refusal> {
        if self.flags & FLAG_BIG_ENDIAN != 0 {
            return Err(Refusal::new("is a big-endian arm64 kernel", "build it with CONFIG_CPU_LITTLE_ENDIAN=y"));
        }
        let size = file.len() as u64;
        let text_offset = if self.image_size == 0 { OLD_TEXT_OFFSET } else { self.text_offset };
        if text_offset >= 1 << 30 || self.image_size >= 1 << 40 {
            return Err(Refusal::new("has a damaged Image header", "build or copy it again"));
        }
        Ok(Kernel::Image { bytes: file.into(), text_offset, image_size: self.image_size.max(size) })
    }
}

/// The little-endian word at `at`.
fn u64_at(file: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(file.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// The little-endian half word at `at`.
fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(file.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
