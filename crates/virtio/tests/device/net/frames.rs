//! Frames, the headers in front of them, and a checksum that is computed the slow way.

pub const MTU: u16 = 1500;
/// Where the TCP or UDP header begins without IPv4 options.
pub const TRANSPORT: u16 = 34;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const NEEDS_CSUM: u8 = 1;
pub const GSO_TCPV4: u8 = 1;

/// The header in front of a frame, all of it.
pub fn header(flags: u8, gso_type: u8, gso_size: u16, start: u16, offset: u16) -> Vec<u8> {
    let mut bytes = vec![flags, gso_type];
    [0xaaaa, gso_size, start, offset, 0x5555].iter().for_each(|word: &u16| bytes.extend(word.to_le_bytes()));
    bytes
}

/// A header with nothing to do.
pub fn plain() -> Vec<u8> {
    header(0, 0, 0, 0, 0)
}

/// An IPv4 packet with a header of 20 bytes for TCP, or 8 for UDP, and a checksum that is not finished.
pub fn frame(protocol: u8, payload: usize) -> Vec<u8> {
    let transport = if protocol == TCP { 20 } else { 8 };
    let mut frame = vec![0x52, 1, 1, 1, 1, 1, 0x52, 2, 2, 2, 2, 2, 8, 0];
    let bytes = (20 + transport + payload) as u16;
    frame.extend([0x45, 0, (bytes >> 8) as u8, bytes as u8, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend([10, 0, 0, 2, 10, 0, 0, 3]);
    let checksum = checksum(&frame[14..34]).to_be_bytes();
    frame[24..26].copy_from_slice(&checksum);
    let pseudo = !pseudo(&frame, transport + payload);
    if protocol == TCP {
        // Sequence number 0xffff_ff00; CWR, ACK, PSH and FIN.
        frame.extend([4, 0, 0, 22, 0xff, 0xff, 0xff, 0, 0, 0, 0, 9, 0x50, 0x99, 1, 0]);
        frame.extend(pseudo.to_be_bytes());
        frame.extend([0, 0]);
    } else {
        frame.extend([4, 0, 0, 53, 0, 0]);
        frame.extend(pseudo.to_be_bytes());
    }
    frame.extend((0..payload).map(|index| (index * 7 + index / 256) as u8));
    frame
}

/// The checksum of bytes.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The checksum of a frame's pseudo-header.
fn pseudo(frame: &[u8], bytes: usize) -> u16 {
    checksum(&[&frame[26..34], &[0, frame[23]], &(bytes as u16).to_be_bytes()].concat())
}

/// Whether lengths and checksums of a frame are right, as its receiver sees it.
pub fn is_sound(frame: &[u8]) -> bool {
    let transport = &frame[34..];
    let whole = [&frame[26..34], &[0, frame[23]], &(transport.len() as u16).to_be_bytes(), transport].concat();
    let bytes = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    bytes + 14 == frame.len() && checksum(&frame[14..34]) == 0 && checksum(&whole) == 0
}
