//! `io` and `window` of a partition as written: how much of its RAM the service partition sees.
//!
//! Form only. What a window needs besides is judged by [`crate::window`].

use super::Given;
use super::table::Table;
use crate::diagnostic::{Diagnostic, Span};
use abi::Io;
use addr::BLOCK_2M;

/// Bytes of a window unless the file says otherwise: a bounce buffer of half of it is what Linux takes on large
/// machines.
const DEFAULT: u64 = 64 << 20;

/// What `io` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The service partition sees all of it.
    Open,
    /// It sees the window, which is RAM as any other to the guest.
    Window,
    /// It sees the window, which is for devices alone: a kernel with CONFIG_DMA_RESTRICTED_POOL keeps all else out.
    Pool,
}

/// What a partition shows, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowFile {
    /// `io`.
    pub mode: Given<Mode>,
    /// `window`: its bytes.
    pub size: Given<u64>,
}

impl WindowFile {
    /// What the file says of the mode.
    pub fn mode(&self) -> Mode {
        self.mode.value().copied().unwrap_or(Mode::Open)
    }

    /// The same as EL2 knows it.
    pub fn io(&self) -> Io {
        match self.mode() {
            Mode::Open => Io::Open,
            Mode::Window | Mode::Pool => Io::Window,
        }
    }

    /// Where `io` says that there is a window.
    pub fn span(&self) -> Option<Span> {
        self.mode.span().filter(|_| self.io() == Io::Window)
    }

    /// Bytes of the window in RAM of `memory` bytes, if both can be: whole blocks, so that the two parts of a physical
    /// range are congruent with what the guest sees, and something besides.
    pub fn bytes(&self, memory: u64) -> Option<u64> {
        let size = match self.size {
            Given::Absent => DEFAULT,
            Given::Wrong(_) => return None,
            Given::Is(size, _) => size,
        };
        let is_whole = size != 0 && addr::is_aligned(size | memory, BLOCK_2M);
        (self.io() == Io::Window && is_whole && size < memory).then_some(size)
    }
}

/// Reads `io` and `window`; mistakes go to `found`.
pub fn parse(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> WindowFile {
    let modes = [("open", Mode::Open), ("window", Mode::Window), ("pool", Mode::Pool)];
    let file = WindowFile { mode: table.choice("io", found, &modes), size: table.size("window", found, "\"64M\"") };
    if let (Given::Is(_, span), false, Mode::Open) = (&file.size, file.mode.is_wrong(), file.mode()) {
        let title = "`window` is the size of a window, and this partition has none";
        found.push(Diagnostic::new(span.clone(), title, "add io = \"window\", or take it out"));
    }
    file
}
