//! The manifest blob: postcard behind a magic, a length and a SHA-256 (layout in [`abi::bundle`]).

use crate::System;
use abi::bundle::{MANIFEST_HEADER, MANIFEST_MAGIC, MANIFEST_MAX};
use core::fmt;
use sha2::{Digest, Sha256};

/// Why a manifest cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobError {
    /// The magic is missing: no manifest follows this EL2 binary, or one of another version.
    NoMagic,
    /// The length is 0, above [`MANIFEST_MAX`] or beyond the bundle.
    Length(u32),
    /// A byte was changed after the image was built.
    Hash,
    /// The hash is right but the types do not fit: tool and EL2 come from different sources.
    Format,
    /// The buffer given to [`encode`] is too small.
    Space,
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMagic => f.write_str("no manifest behind the EL2 binary: build the image with `bulkhead build`"),
            Self::Length(n) => write!(f, "manifest length {n} is not between 1 and {MANIFEST_MAX}: the image is damaged, write it again"),
            Self::Hash => f.write_str("manifest is damaged (SHA-256 differs): write the image again"),
            Self::Format => f.write_str("manifest is of another version than EL2: build the image again with one checkout"),
            Self::Space => write!(f, "manifest is larger than {MANIFEST_MAX} bytes: fewer partitions"),
        }
    }
}

impl core::error::Error for BlobError {}

/// Writes header and blob of `system` into `out`; returns the bytes written.
pub fn encode(system: &System, out: &mut [u8]) -> Result<usize, BlobError> {
    let (header, body) = out.split_at_mut_checked(MANIFEST_HEADER).ok_or(BlobError::Space)?;
    let length = postcard::to_slice(system, body).map_err(|_| BlobError::Space)?.len();
    if length > MANIFEST_MAX {
        return Err(BlobError::Space);
    }
    header[..8].copy_from_slice(&MANIFEST_MAGIC);
    header[8..12].copy_from_slice(&(length as u32).to_le_bytes());
    header[12..16].fill(0);
    header[16..].copy_from_slice(&Sha256::digest(&body[..length]));
    Ok(MANIFEST_HEADER + length)
}

/// Reads the manifest at the start of `bytes`, which may run on behind it.
pub fn decode(bytes: &[u8]) -> Result<System, BlobError> {
    let (header, body) = bytes.split_at_checked(MANIFEST_HEADER).ok_or(BlobError::NoMagic)?;
    if header[..8] != MANIFEST_MAGIC {
        return Err(BlobError::NoMagic);
    }
    let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    if length == 0 || length as usize > MANIFEST_MAX {
        return Err(BlobError::Length(length));
    }
    let blob = body.get(..length as usize).ok_or(BlobError::Length(length))?;
    if Sha256::digest(blob)[..] != header[16..] {
        return Err(BlobError::Hash);
    }
    postcard::from_bytes(blob).map_err(|_| BlobError::Format)
}
