//! Frames that both ends can check: UDP over IPv4 (RFC 768, RFC 791), each with a number, and words that follow from it.

use crate::arch::{get, put};

/// Bytes of the Ethernet, IPv4 and UDP headers.
pub const HEADERS: u64 = 42;
/// Bytes of the shortest checked frame, and of the longest.
pub const LEAST: u64 = HEADERS + 16;
pub const MOST: u64 = 1514;
/// "probe" and the kind, in the first word.
const MAGIC: u64 = 0x7072_6f62_6500_0000;
/// Port at both ends.
const PORT: u16 = 7000;

/// What a checked frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be answered with the same.
    Ask = 1,
    /// The answer.
    Answer = 2,
    /// Nothing more will be asked.
    End = 3,
    /// Known.
    Ended = 4,
}

/// Where a frame goes, or comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its IPv4 address.
    pub ip: u32,
}

/// A MAC address from the lower 48 bits of a number, and back.
pub fn mac(number: u64) -> [u8; 6] {
    let [.., a, b, c, d, e, f] = number.to_be_bytes();
    [a, b, c, d, e, f]
}

/// The number of a MAC address.
pub fn number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The headers of a datagram in a frame of `bytes`.
pub fn headers(from: Peer, to: Peer, bytes: u64, identification: u16) -> [u8; HEADERS as usize] {
    let mut frame = [0; HEADERS as usize];
    let mut at = 0;
    let mut field = |bytes: &[u8]| {
        frame.iter_mut().skip(at).zip(bytes).for_each(|(byte, new)| *byte = *new);
        at += bytes.len();
    };
    let word = |value: u64| (value as u16).to_be_bytes();
    field(&to.mac);
    field(&from.mac);
    field(&[0x08, 0x00, 0x45, 0x00]);
    field(&word(bytes - 14));
    field(&identification.to_be_bytes());
    // Not to be cut; 64 hops; UDP; the sum below.
    field(&[0x40, 0x00, 64, 17, 0, 0]);
    field(&from.ip.to_be_bytes());
    field(&to.ip.to_be_bytes());
    field(&PORT.to_be_bytes());
    field(&PORT.to_be_bytes());
    // No checksum (RFC 768): the words say by themselves what they are.
    field(&word(bytes - 34));
    let sum = sum(&frame[14..34]).to_be_bytes();
    frame[24..26].copy_from_slice(&sum);
    frame
}

/// The internet checksum (RFC 1071) of an even number of bytes.
pub fn sum(bytes: &[u8]) -> u16 {
    let (words, _) = bytes.as_chunks::<2>();
    let mut sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn word(sequence: u64, n: u64) -> u64 {
    sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd134_2543_de82_ef95)
}

fn words(bytes: u64) -> u64 {
    bytes.saturating_sub(HEADERS) / 8
}

/// Writes what is behind the headers of a frame of `bytes`, at `payload`, a multiple of eight.
pub fn fill(payload: u64, bytes: u64, kind: Kind, sequence: u64) {
    put(payload, MAGIC | kind as u64);
    put(payload + 8, sequence);
    (2..words(bytes)).for_each(|n| put(payload + 8 * n, word(sequence, n)));
}

/// What kind of frame that is, and its number; `None` if it is none of these, `Some(Err)` with the word that is wrong.
pub fn identify(payload: u64, bytes: u64) -> Option<Result<(Kind, u64), u64>> {
    if bytes < LEAST {
        return None;
    }
    let first = get::<u64>(payload);
    let kind =
        [Kind::Ask, Kind::Answer, Kind::End, Kind::Ended].into_iter().find(|kind| MAGIC | *kind as u64 == first)?;
    let sequence = get(payload + 8);
    let wrong = (2..words(bytes)).find(|&n| get::<u64>(payload + 8 * n) != word(sequence, n));
    Some(wrong.map_or(Ok((kind, sequence)), Err))
}
