//! An EL2 binary for tests of the tool, which needs its headers and its size only.

use abi::bundle;

const IMAGE_BASE: u64 = 0x40_0000_0000;
/// Where its manifest goes.
pub const EL2_SIZE: u64 = 0x5000;

/// An EL2 binary as the link script makes it: headers, one segment of code, one of data with .bss behind.
pub fn el2() -> Vec<u8> {
    let mut code = vec![0xaa; 0x1000];
    code[..bundle::HEADER].fill(0);
    code[bundle::IMAGE_MAGIC_OFFSET..][..4].copy_from_slice(&bundle::IMAGE_MAGIC);
    code[bundle::HEADER..][..8].copy_from_slice(&bundle::MAGIC);
    code[bundle::HEADER + 8..][..8].copy_from_slice(&u64::from(bundle::FORMAT).to_le_bytes());
    code[bundle::MANIFEST_OFFSET..][..8].copy_from_slice(&EL2_SIZE.to_le_bytes());
    let mut file = vec![0; 0x1000];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16] = 2;
    file[18] = 183;
    file[32] = 64;
    file[54] = 56;
    file[56] = 2;
    let segments = [
        [0x1000, IMAGE_BASE, IMAGE_BASE, 0x1000, 0x1000, 4096],
        [0x2000, IMAGE_BASE + 0x2000, IMAGE_BASE + 0x2000, 0x800, 0x2f00, 4096],
    ];
    for (n, words) in segments.iter().enumerate() {
        let header = &mut file[64 + 56 * n..];
        header[0] = 1;
        for (w, word) in words.iter().enumerate() {
            header[8 + 8 * w..][..8].copy_from_slice(&u64::to_le_bytes(*word));
        }
    }
    file.extend(code);
    file.extend(vec![0xbb; 0x800]);
    file
}
