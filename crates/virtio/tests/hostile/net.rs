//! Packets of a hostile sender, to a hostile receiver (N06: frames of 0 to 64 KiB, every truncated header).

use crate::feed::Feed;
use crate::memory::{AVAILABLE, BASE, BUFFERS, BYTES, DESCRIPTORS, Treacherous, USED};
use addr::Ipa;
use virtio::net::{
    Accepted, Delivery, ETHERNET, HEAD, HEADER, Header, MAX_FRAME, Outcome, Receiver, Segments, Sent, Tso,
};
use virtio::{Chain, Features, GuestMemory, Inflight, Owner, Queue, Rings};

const OWNER: Owner = Owner { device: 1, queue: 1, epoch: 3 };
const FEATURES: Features = Features { event_idx: true, indirect: true };
const RINGS: Rings =
    Rings { size: 32, descriptors: Ipa::new(DESCRIPTORS), driver: Ipa::new(AVAILABLE), device: Ipa::new(USED) };
/// Bytes of RAM for buffers. Longer frames have some of them several times.
const ROOM: u64 = BASE + BYTES - BUFFERS;

static ZEROES: [u8; MAX_FRAME] = [0; MAX_FRAME];

/// Does what the bytes say, one packet after the other.
pub fn run(bytes: &[u8]) {
    let feed = Feed::new(bytes);
    let mut room = Box::new([0; MAX_FRAME]);
    while !feed.is_empty() {
        let memory = Treacherous::new(&feed);
        let Some(chain) = send(&feed, &memory) else { continue };
        let (sender, mtu) = (accepted(&feed), feed.pick(&[1500, 1500, 9000, 68, 0, 65535]) as u16);
        memory.open_book();
        let sent = Sent::read(&memory, &chain, sender, mtu).expect("what the queue found in RAM can be read");
        memory.check_book(&[]);
        let Ok(sent) = sent else { continue };
        check(&chain, &sent, sender, mtu);
        let receiver = accepted(&feed);
        if sent.header().suits(receiver) {
            let (header, head, len) = (sent.header(), sent.head(), sent.frame_len());
            receive(&feed, &Transfer { receiver, header, head, len, frame: None });
        } else {
            let frame = sent.copy(&memory, &mut room).expect("what the queue found in RAM can be read");
            assert_eq!(&frame[..sent.head().len()], sent.head());
            work(&feed, receiver, &sent, frame, mtu);
        }
        memory.check_book(&[]);
    }
}

fn accepted(feed: &Feed<'_>) -> Accepted {
    let bits = feed.byte();
    let [sends_partial, takes_partial, merges] = [1, 2, 4].map(|bit| bits & bit == 0);
    let [sends_tso, takes_tso] = [8, 16].map(|bit| bits & bit == 0);
    Accepted {
        sends_partial,
        sends_tso: sends_partial && sends_tso,
        takes_partial,
        takes_tso: takes_partial && takes_tso,
        merges,
    }
}

/// A chain that is a packet, more or less: a header and a frame, in descriptors of any length.
fn send(feed: &Feed<'_>, memory: &Treacherous<'_>) -> Option<Chain> {
    let len = match feed.below(8) {
        0 => u64::from(feed.byte() % 80),
        1 => feed.number() % 0x1_1000,
        2 | 3 => 12 + 54 + u64::from(feed.byte()) * 256,
        _ => 12 + 54 + feed.number() % 1500,
    };
    let packet = packet(feed, len);
    memory.put(BUFFERS, &packet);
    let mut done = 0;
    for index in 0..32u16 {
        let rest = len - done;
        let bytes = match feed.below(8) {
            0 => u64::from(feed.byte() % 16),
            1 => 12,
            2 => 140,
            _ => rest,
        };
        let at = BUFFERS + done % ROOM;
        let bytes = bytes.min(rest).min(BASE + BYTES - at).max(u64::from(!feed.one_in(64)));
        done = (done + bytes).min(len);
        let is_last = done == len || index == 31;
        let flags = u16::from(!is_last) | if feed.one_in(64) { 2 } else { 0 };
        memory.put_words(DESCRIPTORS + 16 * u64::from(index), (at, bytes as u32, flags, index + 1));
        if is_last {
            break;
        }
    }
    memory.put_u16(AVAILABLE + 2, 1);
    let (record, mut chain) = (Inflight::new(), Chain::new());
    let mut queue = Queue::new(RINGS, FEATURES, memory, &record, OWNER).expect("sound rings");
    queue.pop(memory, &mut chain).ok()?.map(|_| chain)
}

/// The first bytes of a packet of `len`: often TCP or UDP over IPv4, with a byte or two that are wrong.
fn packet(feed: &Feed<'_>, len: u64) -> Vec<u8> {
    let frame_len = len.saturating_sub(HEADER as u64);
    let is_tcp = !feed.one_in(3);
    let flags = if feed.one_in(4) { feed.byte() } else { 1 };
    let gso_type = feed.pick(&[0, 0, 1, 1, 1, 3, 4, 0x81]) as u8;
    let mss = if feed.one_in(4) { feed.number() as u16 } else { feed.pick(&[1460, 1448, 1000, 536, 48]) as u16 };
    let mut bytes = vec![flags, gso_type];
    [0, mss, 34, if is_tcp { 16 } else { 6 }, 0].iter().for_each(|word: &u16| bytes.extend(word.to_le_bytes()));
    bytes.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0]);
    bytes.extend((frame_len.saturating_sub(ETHERNET as u64) as u16).to_be_bytes());
    bytes.extend([0, 1, 0x40, 0, 64, if is_tcp { 6 } else { 17 }, 0, 0, 10, 0, 0, 2, 10, 0, 0, 3]);
    bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x50, 0x99, 1, 0, 0xab, 0xcd, 0, 0]);
    for _ in 0..feed.pick(&[0, 0, 0, 1, 2, 8]) {
        let at = feed.below(66);
        bytes[at] = feed.byte();
    }
    bytes
}

/// What a packet promises that was taken.
fn check(chain: &Chain, sent: &Sent<'_>, sender: Accepted, mtu: u16) {
    let (len, limit) = (sent.frame_len() as usize, usize::from(mtu) + ETHERNET);
    assert!((ETHERNET..=MAX_FRAME).contains(&len));
    assert_eq!(len + HEADER, chain.readable_bytes() as usize);
    assert_eq!(sent.head().len(), len.min(HEAD));
    let rest = sent.rest(HEAD as u32, u32::MAX);
    assert_eq!(rest.bytes() as usize, len.saturating_sub(HEAD));
    assert_eq!(rest.pieces().map(|piece| piece.bytes).sum::<u32>(), rest.bytes());
    match sent.header() {
        Header::Plain => assert!(len <= limit),
        Header::Partial(_) => assert!(sender.sends_partial && len <= limit),
        Header::Tso(tso) => {
            assert!(sender.sends_tso && (tso.headers() + tso.mss()) as usize <= limit);
            assert!((54..=HEAD).contains(&(tso.headers() as usize)) && tso.headers() as usize <= len);
        }
    }
}

/// Makes packets for a receiver that does not take this one.
fn work<'f>(feed: &'f Feed<'f>, receiver: Accepted, sent: &Sent<'_>, frame: &mut [u8], mtu: u16) {
    match sent.header() {
        Header::Plain => unreachable!("everyone takes it"),
        Header::Partial(partial) => {
            let before = frame.to_vec();
            virtio::net::finish(frame, partial);
            assert_eq!(frame[..34], before[..34], "what was decided upon is as it was");
            let changed = frame.iter().zip(&before).filter(|(now, before)| now != before).count();
            assert!(changed <= 2);
            let len = frame.len() as u32;
            receive(feed, &Transfer { receiver, header: Header::Plain, head: frame, len, frame: Some(frame) });
        }
        Header::Tso(tso) => cut(feed, receiver, sent, frame, (tso, mtu)),
    }
}

fn cut<'f>(feed: &'f Feed<'f>, receiver: Accepted, sent: &Sent<'_>, frame: &[u8], (tso, mtu): (Tso, u16)) {
    let headers = tso.headers() as usize;
    let (mut count, mut bytes, mut payload) = (0, 0, headers);
    for packet in Segments::new(frame, tso) {
        assert!(packet.frame_len() as usize <= usize::from(mtu) + ETHERNET);
        assert_eq!(packet.head()[..16], frame[..16]);
        assert_eq!(packet.head()[26..34], frame[26..34], "the addresses are those that were decided upon");
        assert_eq!(packet.payload(), &frame[payload..payload + packet.payload().len()]);
        payload += packet.payload().len();
        (count, bytes) = (count + 1, bytes + packet.frame_len());
        if count == 1 {
            let mut room = [0; MAX_FRAME];
            let whole = packet.copy(&mut room).expect("there is room");
            let (head, len) = (packet.head(), packet.frame_len());
            receive(feed, &Transfer { receiver, header: Header::Plain, head, len, frame: Some(whole) });
        }
    }
    assert_eq!((count, bytes, payload), (sent.packets(), sent.wire_bytes(), frame.len()));
}

/// A frame on its way to a receiver: what is private of it, and perhaps the rest.
struct Transfer<'a> {
    receiver: Accepted,
    header: Header,
    head: &'a [u8],
    len: u32,
    frame: Option<&'a [u8]>,
}

/// Delivers a frame to a guest of its own, once or more.
fn receive<'f>(feed: &'f Feed<'f>, transfer: &Transfer<'_>) {
    let quiet = Feed::new(&[]);
    if feed.one_in(2) {
        // It changes its buffers all the time, and they may be the rings themselves: nothing but survival is promised.
        let memory = Treacherous::new(feed);
        offer(feed, &memory, 8);
        deliver(feed, &memory, transfer, |_| ());
        assert_eq!(memory.refused.get(), 0, "an access outside RAM");
    } else {
        let memory = Treacherous::new(&quiet);
        offer(feed, &memory, 4);
        deliver(feed, &memory, transfer, |done| done.check(&memory, transfer));
    }
}

/// Buffers of a receiver, of any length, most of them to be written; `flags` is above all flags that there may be.
fn offer(feed: &Feed<'_>, memory: &Treacherous<'_>, flags: u8) {
    let size = feed.pick(&[0, 32, 256, 1500, 2048, 2048]) as u64;
    for index in 0..32u16 {
        let at = BUFFERS + u64::from(index) * 256;
        let bytes = if feed.one_in(16) { u64::from(feed.byte()) } else { size.min(BASE + BYTES - at) };
        let flags = if feed.one_in(64) { feed.byte() % flags } else { 2 };
        let next = feed.below(8) as u16;
        memory.put_words(DESCRIPTORS + 16 * u64::from(index), (at, bytes as u32, flags.into(), next));
        memory.put_u16(AVAILABLE + 4 + 2 * u64::from(index), index);
    }
    memory.put_u16(AVAILABLE + 2, feed.pick(&[0, 1, 2, 31, 32, 32]) as u16);
}

/// What came of one delivery.
struct Done {
    outcome: Outcome,
    /// Bytes that were copied, without those of the head.
    copied: u32,
    /// The used ring's index before.
    used: u16,
}

fn deliver(feed: &Feed<'_>, memory: &Treacherous<'_>, transfer: &Transfer<'_>, check: impl Fn(&Done)) {
    let &Transfer { receiver, header, head, len, frame } = transfer;
    let record = Inflight::new();
    let mut queue = Queue::new(RINGS, FEATURES, memory, &record, OWNER).expect("sound rings");
    let (mut buffers, mut chain) = (Receiver::new(), Chain::new());
    for _ in 0..1 + feed.below(3) {
        memory.open_book();
        let (used, mut next, mut copied) = (memory.used_index(), transfer.private(), 0);
        let delivery = Delivery::new(header, head, len, receiver);
        let outcome = buffers.deliver(&mut queue, memory, &mut chain, delivery, |from, at, bytes| {
            assert!(from == next && bytes > 0 && from + bytes <= len, "in order, and of the frame");
            (next, copied) = (from + bytes, copied + bytes);
            memory.write(at, &frame.unwrap_or(&ZEROES)[from as usize..next as usize])
        });
        let Ok(outcome) = outcome else { return };
        check(&Done { outcome, copied, used });
    }
}

impl Transfer<'_> {
    fn private(&self) -> u32 {
        self.head.len().min(HEAD) as u32
    }
}

impl Done {
    fn check(&self, memory: &Treacherous<'_>, transfer: &Transfer<'_>) {
        memory.check_book(&[(BUFFERS, ROOM), (USED, 0x1000)]);
        let count = memory.used_index().wrapping_sub(self.used);
        if self.outcome != Outcome::Delivered {
            return assert_eq!(count, 0, "nothing is seen of it");
        }
        let bytes: u32 = (0..count).map(|index| memory.used_bytes(u64::from(self.used + index))).sum();
        assert!(count > 0 && (count == 1 || transfer.receiver.merges));
        assert_eq!((bytes, self.copied), (transfer.len + HEADER as u32, transfer.len - transfer.private()));
    }
}
