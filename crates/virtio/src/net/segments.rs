//! [`Segments`]: cuts a long TCP packet into packets for a wire (TCP segmentation offload).
//!
//! Each piece has the headers of the whole, but for: IPv4 length, identification (counted up) and checksum; TCP sequence
//! number, checksum, CWR in the first piece only (RFC 3168), FIN and PSH in the last one only.

use super::{ETHERNET, HEAD, Sum, Tso};

/// TCP flags that only the last piece has: FIN, PSH.
const LAST_ONLY: u8 = 0x09;
/// The TCP flag that only the first piece has: CWR.
const FIRST_ONLY: u8 = 0x80;

/// The pieces of a packet, in order.
#[derive(Clone, Debug)]
pub struct Segments<'f> {
    tso: Tso,
    /// The headers of the whole.
    head: [u8; HEAD],
    /// The payload that is in no piece yet.
    payload: &'f [u8],
    /// Bytes of payload before it.
    done: u32,
    index: u16,
    is_over: bool,
}

/// A packet: headers, and what is behind them.
#[derive(Clone, Debug)]
pub struct Packet<'f> {
    head: [u8; HEAD],
    head_len: u8,
    payload: &'f [u8],
}

impl<'f> Segments<'f> {
    /// Of a whole frame whose headers are those that `tso` was checked by. Of a shorter one there are none.
    pub fn new(frame: &'f [u8], tso: Tso) -> Self {
        let (headers, payload) = frame.split_at_checked(tso.payload.into()).unwrap_or_default();
        let mut head = [0; HEAD];
        put(&mut head, 0, headers);
        Self { tso, head, payload, done: 0, index: 0, is_over: headers.is_empty() }
    }

    /// The headers for the next piece.
    fn headers(&self, payload: &[u8], is_last: bool) -> [u8; HEAD] {
        let mut head = self.head;
        let (tcp, end) = (usize::from(self.tso.tcp), usize::from(self.tso.payload));
        let word = |at: usize| u16::from_be_bytes([0, 1].map(|byte| self.head.get(at + byte).copied().unwrap_or(0)));
        let ip_len = (end - ETHERNET) as u16 + payload.len() as u16;
        put(&mut head, ETHERNET + 2, &ip_len.to_be_bytes());
        put(&mut head, ETHERNET + 4, &word(ETHERNET + 4).wrapping_add(self.index).to_be_bytes());
        put(&mut head, ETHERNET + 10, &[0, 0]);
        let checksum = Sum::of(head.get(ETHERNET..tcp).unwrap_or_default()).checksum();
        put(&mut head, ETHERNET + 10, &checksum);

        let sequence = u32::from(word(tcp + 4)) << 16 | u32::from(word(tcp + 6));
        put(&mut head, tcp + 4, &sequence.wrapping_add(self.done).to_be_bytes());
        if let Some(flags) = head.get_mut(tcp + 13) {
            *flags &= !(if is_last { 0 } else { LAST_ONLY } | if self.index == 0 { 0 } else { FIRST_ONLY });
        }
        put(&mut head, tcp + 16, &[0, 0]);
        let addresses = Sum::of(head.get(ETHERNET + 12..ETHERNET + 20).unwrap_or_default());
        let pseudo = addresses.and(Sum::word(6)).and(Sum::word((end - tcp) as u16 + payload.len() as u16));
        let checksum = pseudo.and(Sum::of(head.get(tcp..end).unwrap_or_default())).and(Sum::of(payload)).checksum();
        put(&mut head, tcp + 16, &checksum);
        head
    }
}

impl<'f> Iterator for Segments<'f> {
    type Item = Packet<'f>;

    fn next(&mut self) -> Option<Packet<'f>> {
        if self.is_over {
            return None;
        }
        let count = usize::from(self.tso.mss).min(self.payload.len());
        let (payload, rest) = self.payload.split_at_checked(count)?;
        let packet = Packet { head: self.headers(payload, rest.is_empty()), head_len: self.tso.payload, payload };
        (self.payload, self.is_over) = (rest, rest.is_empty());
        self.done = self.done.wrapping_add(count as u32);
        self.index = self.index.wrapping_add(1);
        Some(packet)
    }
}

impl<'f> Packet<'f> {
    /// Its headers: up to [`HEAD`] bytes.
    pub fn head(&self) -> &[u8] {
        self.head.get(..self.head_len.into()).unwrap_or_default()
    }
    /// What is behind them.
    pub fn payload(&self) -> &'f [u8] {
        self.payload
    }
    /// Bytes of the frame.
    pub fn frame_len(&self) -> u32 {
        u32::from(self.head_len) + self.payload.len() as u32
    }
    /// Copies the frame into one piece, if there is room.
    pub fn copy<'b>(&self, into: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let frame = into.get_mut(..self.frame_len() as usize)?;
        let (head, payload) = frame.split_at_mut_checked(self.head_len.into())?;
        head.copy_from_slice(self.head());
        payload.copy_from_slice(self.payload);
        Some(frame)
    }
}

fn put(head: &mut [u8; HEAD], at: usize, bytes: &[u8]) {
    if let Some(place) = head.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
