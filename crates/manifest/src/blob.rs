//! The manifest blob: postcard behind a magic, a length and a SHA-256 (layout in [`abi::bundle`]).

use crate::{ConsoleMode, Machine, OnPanic, System, WhenAllStopped};
use abi::MAX_PARTITIONS;
use abi::bundle::{MANIFEST_HEADER, MANIFEST_MAGIC, MANIFEST_MAX};
use addr::{Pa, Region};
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
    /// More partitions than EL2 has room for: the tool was built with another limit.
    TooManyPartitions(u32),
    /// The buffer given to [`encode`] is too small.
    Space,
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMagic => f.write_str("no manifest behind the EL2 binary: build the image with `bulkhead build`"),
            Self::Length(n) => write!(
                f,
                "manifest length {n} is not between 1 and {MANIFEST_MAX}: the image is damaged, write it again"
            ),
            Self::Hash => f.write_str("manifest is damaged (SHA-256 differs): write the image again"),
            Self::Format => {
                f.write_str("manifest is of another version than EL2: build the image again with one checkout")
            }
            Self::TooManyPartitions(n) => {
                write!(
                    f,
                    "manifest has {n} partitions, EL2 holds at most {MAX_PARTITIONS}: take some out of the system file"
                )
            }
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
    postcard::from_bytes(blob).map_err(|_| too_many(blob).unwrap_or(BlobError::Format))
}

/// Everything of a [`System`] before its partitions, in the same order.
type Head = (heapless::String<16>, Machine, ConsoleMode, WhenAllStopped, bool, OnPanic, Region<Pa>, u64);

/// Whether a blob that does not decode has too many partitions: the decoder itself only says "does not fit".
fn too_many(blob: &[u8]) -> Option<BlobError> {
    let (_, rest) = postcard::take_from_bytes::<Head>(blob).ok()?;
    let (count, _) = postcard::take_from_bytes::<u32>(rest).ok()?;
    (count as usize > MAX_PARTITIONS).then_some(BlobError::TooManyPartitions(count))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::validate::tests::sound;
    use std::{vec, vec::Vec};

    fn blob(system: &System) -> Vec<u8> {
        let mut bytes = vec![0; MANIFEST_HEADER + MANIFEST_MAX];
        let length = encode(system, &mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// A blob around `body` with the right hash.
    fn sealed(body: &[u8]) -> Vec<u8> {
        let mut bytes = MANIFEST_MAGIC.to_vec();
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(Sha256::digest(body));
        bytes.extend(body);
        bytes
    }

    #[test]
    fn what_is_encoded_decodes_with_other_bytes_behind() {
        let mut bytes = blob(&sound());
        bytes.extend([0xff; 100]);
        assert_eq!(decode(&bytes), Ok(sound()));
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let good = blob(&sound());
        // Bytes 12 to 15 are padding.
        for place in (0..12).chain(16..good.len()) {
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            assert!(decode(&bytes).is_err(), "byte {place}");
        }
    }

    #[test]
    fn a_length_beyond_the_bundle_is_refused() {
        let mut bytes = blob(&sound());
        bytes.truncate(MANIFEST_HEADER + 8);
        assert!(matches!(decode(&bytes), Err(BlobError::Length(_))));
        assert_eq!(decode(&bytes[..10]), Err(BlobError::NoMagic));
    }

    #[test]
    fn seventeen_partitions_are_named_as_such() {
        let system = sound();
        let one = &system.partitions[0];
        let head = (system.board.clone(), system.machine, system.console, system.when_all_stopped);
        let many = vec![one; 17];
        let tail = (system.scrub_at_boot, system.on_hypervisor_panic, system.pool, system.bundle_size, many.as_slice());
        let mut buffer = vec![0; MANIFEST_MAX];
        let body = postcard::to_slice(&(head, tail), &mut buffer).unwrap();
        assert_eq!(decode(&sealed(body)), Err(BlobError::TooManyPartitions(17)));
    }
}
