//! CRC-32C (Castagnoli, reflected) of a payload that several cores copy piece by piece.
//!
//! The CRC's register is linear over GF(2): the register after A and B, B of n bytes, is the register after A moved over
//! n zero bytes, xor the register after B that started from 0. So each piece's register, [`shift`]ed over what follows
//! it, may be xored to the others in any order. EL2 computes the pieces with the CPU's instructions; this file has no
//! table and no loop over bytes.

/// The polynomial, reflected: bit 31 is x^0.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// x^8, what one byte moves the register by.
const ONE_BYTE: u32 = 1 << (31 - 8);

/// The register `crc` after `bytes` more bytes of zero.
pub const fn shift(crc: u32, mut bytes: u64) -> u32 {
    let (mut result, mut power) = (crc, ONE_BYTE);
    while bytes != 0 {
        if bytes & 1 != 0 {
            result = multiply(result, power);
        }
        power = multiply(power, power);
        bytes >>= 1;
    }
    result
}

/// The product of two polynomials modulo [`POLYNOMIAL`].
const fn multiply(a: u32, mut b: u32) -> u32 {
    let (mut product, mut bit) = (0, 1 << 31);
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = b >> 1 ^ if b & 1 != 0 { POLYNOMIAL } else { 0 };
        bit >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// The register after `bytes`, one bit at a time.
    fn register(crc: u32, bytes: &[u8]) -> u32 {
        let step = |crc: u32| crc >> 1 ^ if crc & 1 != 0 { POLYNOMIAL } else { 0 };
        bytes.iter().fold(crc, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
    }

    #[test]
    fn the_register_is_crc_32c() {
        // RFC 3720, B.4: 32 bytes of zero; and the usual check value.
        assert_eq!(!register(!0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(!register(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn shifting_is_as_good_as_zero_bytes() {
        for n in [0, 1, 2, 3, 63, 64, 4096, 100_003] {
            assert_eq!(shift(0xdead_beef, n as u64), register(0xdead_beef, &std::vec![0; n]), "{n} bytes");
        }
    }

    #[test]
    fn pieces_in_any_order_give_the_whole() {
        let all: Vec<u8> = (0..10_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
        let cuts = [0, 1, 700, 701, 4096, 9999, 10_000];
        let mut whole = 0;
        for ends in cuts.windows(2).rev() {
            let before = if ends[0] == 0 { !0 } else { 0 };
            whole ^= shift(register(before, &all[ends[0]..ends[1]]), (all.len() - ends[1]) as u64);
        }
        assert_eq!(whole, register(!0, &all));
    }
}
