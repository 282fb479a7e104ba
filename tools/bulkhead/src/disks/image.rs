//! A disk image as a disk that can only be read.

use crate::diagnostic::Diagnostic;
use crate::file::{DiskImage, Source};
use gpt::{BlockIo, BlockSize, Lba, SECTOR};
use std::fs::File;
use std::io::{self, Error, ErrorKind, Read, Seek, SeekFrom};

/// An image that could be opened.
pub struct Image<'a> {
    /// The serial number that the board's software sees.
    pub serial: &'a str,
    /// Its size in sectors.
    pub sectors: u64,
    file: File,
}

impl<'a> Image<'a> {
    /// Opens an image of `source`.
    pub fn open(source: &Source, image: &'a DiskImage) -> Result<Self, Diagnostic> {
        let path = source.folder.join(&image.file);
        let name = &image.file;
        let at = |problem: String, help: &str| {
            let title = format!("disk image '{name}' {problem}");
            Diagnostic::new(image.span.clone(), title, help).label(format!("looked for {}", path.display()))
        };
        let unreadable = |error: Error| at(format!("cannot be read ({error})"), "name a file that you may read");
        let file = File::open(&path).map_err(|error| {
            let is_built_here = path.components().any(|part| part.as_os_str() == "build");
            match (error.kind(), is_built_here, path.file_name().and_then(|name| name.to_str())) {
                (ErrorKind::NotFound, true, Some(target)) => {
                    at("does not exist".to_owned(), &format!("build it with `make build/{target}`"))
                }
                (ErrorKind::NotFound, ..) => {
                    at("does not exist".to_owned(), "paths are relative to the folder of this file")
                }
                _ => unreadable(error),
            }
        })?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(at("is no file".to_owned(), "name a file of raw sectors"));
        }
        let bytes = metadata.len();
        if bytes == 0 || !bytes.is_multiple_of(SECTOR) {
            let title = format!("disk image '{name}' has {bytes} bytes, which is no whole number of sectors");
            let help = format!("give it a multiple of {SECTOR}: `truncate -s %{SECTOR} IMAGE`");
            return Err(Diagnostic::new(image.span.clone(), title, help));
        }
        let serial = image.serial.value().map_or("", String::as_str);
        Ok(Self { serial, sectors: bytes / SECTOR, file })
    }
}

/// Sectors of 512 bytes, which QEMU's disks have unless told otherwise.
impl BlockIo for &Image<'_> {
    type Error = Error;

    fn block_size(&self) -> BlockSize {
        BlockSize::BS_512
    }
    fn num_blocks(&mut self) -> io::Result<u64> {
        Ok(self.sectors)
    }
    fn read_blocks(&mut self, start: Lba, into: &mut [u8]) -> io::Result<()> {
        let start = start.to_u64().checked_mul(SECTOR).ok_or(ErrorKind::UnexpectedEof)?;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(into)
    }
    fn write_blocks(&mut self, _: Lba, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
