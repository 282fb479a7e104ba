//! Layout of the boot bundle, the one file that boots.
//!
//! ```text
//! 0                     arm64 Linux Image header (64 bytes), image_size = the whole bundle
//! HEADER                bundle header: MAGIC, FORMAT (u32), 0 (u32), manifest offset (u64), 0 (u64)
//! ...                   EL2 text, rodata, data, and .bss as zeros
//! manifest offset       MANIFEST_MAGIC, blob length (u32), 0 (u32), SHA-256 of the blob (32 bytes), blob (postcard)
//! next 4 KiB boundary   payloads, each on a 4 KiB boundary: kernels, initrds, device trees
//! ```
//! All numbers are little-endian. The arm64 header follows Linux's Documentation/arch/arm64/booting.rst.

/// Offset of the bundle header.
pub const HEADER: usize = 64;
/// First eight bytes of the bundle header.
pub const MAGIC: [u8; 8] = *b"BULKHEAD";
/// Version of header, manifest and payload layout together: EL2 and tool come from one source.
pub const FORMAT: u32 = 5;
/// Offset of the manifest offset (u64).
pub const MANIFEST_OFFSET: usize = HEADER + 16;
/// First eight bytes of the manifest.
pub const MANIFEST_MAGIC: [u8; 8] = *b"BHMANIF\x01";
/// Bytes before the postcard blob: magic, length, padding, SHA-256.
pub const MANIFEST_HEADER: usize = 8 + 4 + 4 + 32;
/// Largest postcard blob in bytes.
pub const MANIFEST_MAX: usize = 16 * 1024;
/// Alignment of manifest and payloads in the bundle.
pub const ALIGN: u64 = 4096;
/// Largest bundle: EL2 maps it with two level-2 tables.
pub const BUNDLE_MAX: u64 = 1 << 30;

/// Offset of `image_size` (u64) in the arm64 Image header.
pub const IMAGE_SIZE: usize = 16;
/// Offset of `text_offset` (u64) in the arm64 Image header.
pub const IMAGE_TEXT_OFFSET: usize = 8;
/// Offset of the magic in the arm64 Image header.
pub const IMAGE_MAGIC_OFFSET: usize = 56;
/// Magic of the arm64 Image header.
pub const IMAGE_MAGIC: [u8; 4] = *b"ARM\x64";
