//! Kernels and initrds read from disk, each file once.

use crate::diagnostic::{Diagnostic, Span};
use crate::file::{Given, PartitionFile, Source};
use crate::kernel::{Bytes, Kernel};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a partition is filled with; what is missing was reported or not asked for.
#[derive(Clone, Debug, Default)]
pub struct Ingredients {
    /// The kernel.
    pub kernel: Option<Arc<Kernel>>,
    /// The initial RAM disk.
    pub initrd: Option<Bytes>,
}

/// Files that were read.
#[derive(Default)]
pub struct Shelf {
    kernels: HashMap<PathBuf, Arc<Kernel>>,
    initrds: HashMap<PathBuf, Bytes>,
}

impl Shelf {
    /// Reads the files of `partition`; mistakes go to `found`.
    pub fn fetch(&mut self, source: &Source, partition: &PartitionFile, found: &mut Vec<Diagnostic>) -> Ingredients {
        let kernel = located(source, &partition.kernel)
            .and_then(|(name, path, span)| self.kernel(name, &path, &span).map_err(|mistake| found.push(mistake)).ok());
        let initrd = located(source, &partition.initrd)
            .and_then(|(name, path, span)| self.initrd(name, &path, &span).map_err(|mistake| found.push(mistake)).ok());
        Ingredients { kernel, initrd }
    }

    fn kernel(&mut self, name: &str, path: &Path, span: &Span) -> Result<Arc<Kernel>, Diagnostic> {
        if let Some(kernel) = self.kernels.get(path) {
            return Ok(kernel.clone());
        }
        let bytes = read("kernel", name, path, span)?;
        let kernel = Kernel::read(bytes).map_err(|refusal| {
            Diagnostic::new(span.clone(), format!("kernel '{name}' {}", refusal.problem), refusal.mend)
        })?;
        let kernel = Arc::new(kernel);
        self.kernels.insert(path.to_owned(), kernel.clone());
        Ok(kernel)
    }

    fn initrd(&mut self, name: &str, path: &Path, span: &Span) -> Result<Bytes, Diagnostic> {
        if let Some(initrd) = self.initrds.get(path) {
            return Ok(initrd.clone());
        }
        let bytes = read("initrd", name, path, span)?;
        if bytes.is_empty() {
            return Err(Diagnostic::new(
                span.clone(),
                format!("initrd '{name}' is an empty file"),
                "build or copy it again",
            ));
        }
        let initrd: Bytes = bytes.into();
        self.initrds.insert(path.to_owned(), initrd.clone());
        Ok(initrd)
    }
}

/// The name, path and place of a file that is asked for.
fn located<'a>(source: &Source, given: &'a Given<String>) -> Option<(&'a str, PathBuf, Span)> {
    match given {
        Given::Is(name, span) => Some((name, source.folder.join(name), span.clone())),
        _ => None,
    }
}

fn read(what: &str, name: &str, path: &Path, span: &Span) -> Result<Vec<u8>, Diagnostic> {
    std::fs::read(path).map_err(|error| {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let is_built_here = path.components().any(|part| part.as_os_str() == "build");
        let is_bare_metal = path.extension().is_some_and(|extension| extension == "elf");
        let (title, help) = match (is_missing, is_built_here) {
            (true, true) if is_bare_metal => {
                (format!("{what} '{name}' does not exist"), "build it with `make bare-metal`")
            }
            (true, true) => (format!("{what} '{name}' does not exist"), "build it with `make guests`"),
            (true, false) => {
                (format!("{what} '{name}' does not exist"), "paths are relative to the folder of this file")
            }
            (false, _) => (format!("{what} '{name}' cannot be read ({error})"), "name a file that you may read"),
        };
        Diagnostic::new(span.clone(), title, help).label(format!("looked for {}", path.display()))
    })
}
