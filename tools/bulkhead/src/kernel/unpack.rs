//! Containers around kernels: gzip, xz, zstd, and the EFI zboot image around those.

use super::{Refusal, u32_at};
use std::io::Read;

/// Most bytes that a kernel may unpack to: no bundle holds more.
pub const UNPACKED_MAX: u64 = abi::bundle::BUNDLE_MAX;
/// Containers within containers: a zboot image holds a compressed kernel; more is no kernel.
const DEPTH: usize = 4;

/// What is in `file`, or `file` itself when it is no container.
pub fn unpack(mut file: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    for _ in 0..DEPTH {
        file = match inner(&file)? {
            Some(unpacked) => unpacked,
            None => return Ok(file),
        };
    }
    Err(Refusal::new("is packed into itself again and again", "unpack it first"))
}

fn inner(file: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    if file.starts_with(b"MZ") && file.get(4..8) == Some(b"zimg") {
        return zboot(file).map(Some);
    }
    if file.starts_with(&[0x1f, 0x8b]) {
        return read("gzip", flate2::read::GzDecoder::new(file)).map(Some);
    }
    if file.starts_with(b"\xfd7zXZ\0") {
        return read("xz", lzma_rust2::XzReader::new(file, false)).map(Some);
    }
    if file.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = ruzstd::decoding::StreamingDecoder::new(file).map_err(|error| broken("zstd", &error))?;
        return read("zstd", decoder).map(Some);
    }
    for (magic, name, command) in [
        (&b"BZh"[..], "bzip2", "bunzip2"),
        (&[0x04, 0x22, 0x4d, 0x18], "lz4", "lz4 -d"),
        (&[0x02, 0x21, 0x4c, 0x18], "lz4", "lz4 -d"),
        (&[0x89, b'L', b'Z', b'O'], "lzop", "lzop -d"),
        (&[0x5d, 0, 0, 0x80, 0], "lzma", "unlzma"),
    ] {
        if file.starts_with(magic) {
            let problem = format!("is compressed with {name}");
            return Err(Refusal::new(
                problem,
                format!("unpack it with `{command}`: gzip, xz and zstd are unpacked here"),
            ));
        }
    }
    Ok(None)
}

/// Reads all of `decoder`, up to the bound. Bytes behind the compressed stream do no harm if the stream was whole.
fn read(name: &str, decoder: impl Read) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    let outcome = decoder.take(UNPACKED_MAX + 1).read_to_end(&mut unpacked);
    if unpacked.len() as u64 > UNPACKED_MAX {
        return Err(Refusal::new(format!("unpacks from {name} to more than 1G"), "use a smaller kernel"));
    }
    outcome.map_err(|error| broken(name, &error))?;
    Ok(unpacked)
}

fn broken(name: &str, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(format!("is damaged: unpacking {name} failed ({error})"), "build or copy it again")
}

/// The payload of an EFI zboot image (Linux, drivers/firmware/efi/libstub/zboot-header.S): offset and size at 8 and
/// 12, then at 24 the name of the compression.
fn zboot(file: &[u8]) -> Result<Vec<u8>, Refusal> {
    let field = |at| u32_at(file, at).map(|word| word as usize);
    let payload = field(8).zip(field(12)).and_then(|(offset, size)| file.get(offset..offset.checked_add(size)?));
    let kind = file.get(24..56).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default();
    let kind = String::from_utf8_lossy(kind);
    let Some(payload) = payload else {
        return Err(Refusal::new("is a damaged EFI zboot image: its payload ends behind the file", "copy it again"));
    };
    match &*kind {
        "gzip" | "xzkern" | "xz" | "zstd22" | "zstd" => inner(payload)?.ok_or_else(|| {
            Refusal::new(format!("is a damaged EFI zboot image: its payload is not {kind}"), "copy it again")
        }),
        other => Err(Refusal::new(
            format!("is an EFI zboot image packed with '{}'", other.escape_default()),
            "build it with CONFIG_KERNEL_GZIP, _XZ or _ZSTD, or give the plain arch/arm64/boot/Image",
        )),
    }
}
