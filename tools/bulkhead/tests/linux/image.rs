//! For tests: a Linux `Image` (Documentation/arch/arm64/booting.rst), all header and no kernel.

/// One of so many bytes, which takes `image_size` bytes of memory.
pub fn image(bytes: usize, image_size: u64) -> Vec<u8> {
    let mut file = vec![0; bytes];
    file[16..24].copy_from_slice(&image_size.to_le_bytes());
    file[56..60].copy_from_slice(b"ARM\x64");
    file
}
