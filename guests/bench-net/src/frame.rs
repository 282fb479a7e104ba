//! The frames: 1514 bytes of Ethernet, IPv4 (RFC 791), and UDP (RFC 768) or an ICMP echo (RFC 792), with right checksums.
//!
//! The payload's first two words change from frame to frame, its sum does not: each is a number and its complement. So a
//! guest without checksum offload needs not add up each payload, which would be most of what it does.

use rt::arch::memory::{get, put};

/// Bytes of a frame, and of its headers.
pub const BYTES: u64 = 1514;
pub const HEADERS: u64 = 42;
/// Where IPv4's header and what follows it begin.
const IP: u64 = 14;
const BODY: u64 = 34;
/// UDP and ICMP, as IPv4 names them.
const ICMP: u8 = 1;
const UDP: u8 = 17;
/// The source port of datagrams, and the identifier of echo requests.
const OWN_PORT: u16 = 7000;
/// ICMP's type of a request.
const ECHO_REQUEST: u16 = 8 << 8;

/// One end.
#[derive(Clone, Copy)]
pub struct Peer {
    /// The MAC address at this end of the wire.
    pub mac: [u8; 6],
    /// Its IPv4 address.
    pub ip: [u8; 4],
}

/// What the frame carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A datagram to this port.
    Datagram(u16),
    /// An echo request.
    Echo,
}

/// Writes a frame whose payload is a multiple of eight bytes, and eight-aligned, behind its headers.
pub fn write(at: u64, from: Peer, to: Peer, kind: Kind) {
    let mut next = at;
    let mut field = |bytes: &[u8]| {
        (next..).zip(bytes).for_each(|(at, byte)| put(at, *byte));
        next += bytes.len() as u64;
    };
    field(&to.mac);
    field(&from.mac);
    field(&[0x08, 0x00, 0x45, 0x00]);
    field(&((BYTES - IP) as u16).to_be_bytes());
    // Not to be cut; 64 hops; the checksum comes last.
    field(&[0, 0, 0x40, 0, 64, if kind == Kind::Echo { ICMP } else { UDP }, 0, 0]);
    field(&from.ip);
    field(&to.ip);
    match kind {
        Kind::Datagram(port) => {
            [OWN_PORT, port, (BYTES - BODY) as u16, 0].iter().for_each(|word| field(&word.to_be_bytes()));
        }
        Kind::Echo => [ECHO_REQUEST, 0, OWN_PORT, 1].iter().for_each(|word| field(&word.to_be_bytes())),
    }
    (HEADERS..BYTES).step_by(8).for_each(|word| put(at + word, pattern(word)));
    number(at, 0, 0);
    put_word(at + IP + 10, !folded(sum(at + IP, BODY - IP)));
    let body = sum(at + BODY, BYTES - BODY);
    match kind {
        Kind::Datagram(_) => {
            // The pseudo-header: both addresses, the protocol, the length.
            let all = body + sum(at + IP + 12, 8) + u32::from(UDP) + (BYTES - BODY) as u32;
            put_word(at + BODY + 6, !folded(all));
        }
        Kind::Echo => put_word(at + BODY + 2, !folded(body)),
    }
}

/// Gives a frame its number and the number of frames that it belongs to.
#[inline(always)]
pub fn number(at: u64, number: u32, count: u32) {
    let both = |number: u32| u64::from(number) | u64::from(!number) << 32;
    put(at + HEADERS, both(number));
    put(at + HEADERS + 8, both(count));
}

/// Reads both, of a frame that is one of these and whole as far as its two ends tell.
#[inline(always)]
pub fn numbers(at: u64, bytes: u64) -> Option<(u32, u32)> {
    let read = |at| {
        let word: u64 = get(at);
        let (number, complement) = (word as u32, (word >> 32) as u32);
        (number == !complement).then_some(number)
    };
    let is_whole = bytes == BYTES && get::<u64>(at + BYTES - 8) == pattern(BYTES - 8);
    if is_whole { Some((read(at + HEADERS)?, read(at + HEADERS + 8)?)) } else { None }
}

fn pattern(word: u64) -> u64 {
    word.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn put_word(at: u64, word: u16) {
    (at..).zip(word.to_be_bytes()).for_each(|(at, byte)| put(at, byte));
}

/// Big-endian words of an even number of bytes, added up: at most 757 of them here.
fn sum(at: u64, bytes: u64) -> u32 {
    let word = |at| u32::from(get::<u8>(at)) << 8 | u32::from(get::<u8>(at + 1));
    (at..at + bytes).step_by(2).map(word).sum()
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const _: () = assert!((BYTES - HEADERS).is_multiple_of(8));
