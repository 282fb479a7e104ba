//! Requests of a hostile driver to a disk and to an entropy device.

use crate::feed::Feed;
use crate::memory::{AVAILABLE, BUFFERS, DESCRIPTORS, Treacherous, USED};
use addr::Ipa;
use virtio::blk::{Disk, Kind, Limits, MAX_RANGES, Mode, Range, Ranges, Request, SECTOR, Status};
use virtio::{Chain, Data, Features, Inflight, MAX_SEGMENTS, Owner, Queue, Rings, Segment, entropy};

const OWNER: Owner = Owner { device: 1, queue: 2, epoch: 3 };
const FEATURES: Features = Features { event_idx: true, indirect: true };

/// Does what the bytes say, one request after the other.
pub fn run(bytes: &[u8]) {
    let feed = Feed::new(bytes);
    while !feed.is_empty() {
        let memory = Treacherous::new(&feed);
        if let Some(chain) = offer(&feed, &memory) {
            memory.open_book();
            if feed.one_in(4) { ask_entropy(&memory, &chain) } else { ask_disk(&feed, &memory, &chain) }
        }
    }
}

/// A chain that is a request, more or less.
fn offer(feed: &Feed<'_>, memory: &Treacherous<'_>) -> Option<Chain> {
    let number = feed.pick(&[0, 0, 1, 1, 4, 8, 11, 13, 5, 255]);
    let sector = if feed.one_in(8) { feed.number() } else { u64::from(feed.byte() % 64) };
    memory.put(BUFFERS, &(u128::from(number as u32) | u128::from(sector) << 64).to_le_bytes());
    let is_read = matches!(number, 0 | 8);
    let mut index = 0;
    let mut put = |bytes: u32, is_writable: bool, is_last: bool| {
        let at = DESCRIPTORS + 16 * index;
        let buffer = if index == 0 { BUFFERS } else { BUFFERS + 0x400 + 1100 * index };
        let bytes = if feed.one_in(32) { u32::from(feed.byte()) * 8 } else { bytes };
        let is_writable = is_writable != feed.one_in(64);
        index += 1;
        let flags = u16::from(!is_last) + 2 * u16::from(is_writable);
        memory.put_words(at, (buffer, bytes, flags, index as u16));
        // What may be ranges, with all but one flag known.
        for word in 0..u64::from(bytes.min(64) / 16) * u64::from(buffer != BUFFERS) {
            let (sector, sectors, flags) = (feed.byte(), feed.below(16), feed.pick(&[0, 0, 0, 1, 2]));
            let range = u128::from(sector) | (sectors as u128) << 64 | (flags as u128) << 96;
            memory.put(buffer + 16 * word, &range.to_le_bytes());
        }
    };
    put(16, false, false);
    for _ in 0..feed.below(4) {
        let bytes =
            if matches!(number, 11 | 13) { feed.pick(&[16, 32, 8]) } else { feed.pick(&[512, 512, 1024, 500, 12]) };
        put(bytes as u32, is_read, false);
    }
    put(1, true, true);
    if feed.one_in(16) {
        memory.put_descriptor(DESCRIPTORS + 16 * feed.below(5) as u64);
    }
    memory.put_u16(AVAILABLE + 2, 1);
    let rings =
        Rings { size: 8, descriptors: Ipa::new(DESCRIPTORS), driver: Ipa::new(AVAILABLE), device: Ipa::new(USED) };
    let (record, mut chain) = (Inflight::new(), Chain::new());
    let mut queue = Queue::new(rings, FEATURES, memory, &record, OWNER).expect("sound rings");
    let head = queue.pop(memory, &mut chain).ok()?;
    head.map(|_| chain)
}

fn ask_entropy(memory: &Treacherous<'_>, chain: &Chain) {
    let mut asked = 0;
    let written = entropy::fill(memory, chain, |bytes| asked += bytes.len());
    let room = chain.writable_bytes().min(entropy::MAX_BYTES);
    assert_eq!(written.ok(), Some(room).filter(|room| *room > 0));
    assert_eq!(asked, room as usize);
    memory.check_book(&places(chain.writable()));
}

fn ask_disk(feed: &Feed<'_>, memory: &Treacherous<'_>, chain: &Chain) {
    let limits =
        Limits { sectors: 1 + u32::from(feed.byte()), ranges: feed.byte().into(), alignment: 0, may_unmap: true };
    let disk = Disk {
        capacity: if feed.one_in(8) { feed.number() } else { u64::from(feed.byte()) },
        block_size: 512,
        size_max: None,
        mode: if feed.one_in(4) { Mode::ReadOnly } else { Mode::ReadWrite },
        discard: (!feed.one_in(4)).then_some(limits),
        write_zeroes: (!feed.one_in(4)).then_some(limits),
    };
    let Ok(request) = Request::parse(memory, chain, &disk) else {
        return assert_eq!(chain.writable_bytes(), 0, "with room for a status there is an answer");
    };
    memory.check_book(&[]);
    let mut data = 0;
    match request.kind {
        Kind::In { sector, data: to } => {
            check_sectors(&disk, sector, &to);
            assert_eq!(flat(to.pieces()), flat(chain.writable().iter().copied())[..to.bytes() as usize]);
            data = to.bytes();
        }
        Kind::Out { sector, data: from } => {
            assert_eq!(disk.mode, Mode::ReadWrite);
            check_sectors(&disk, sector, &from);
            assert_eq!(flat(from.pieces()), flat(chain.readable().iter().copied())[16..]);
        }
        Kind::GetId { data: to } => {
            data = to.write(memory, &[b'x'; 20]).expect("the pieces are in RAM");
            assert_eq!(data, to.bytes().min(20));
            memory.check_book(&places(&to.pieces().collect::<Vec<_>>()));
        }
        Kind::Discard(ranges) => check_ranges(memory, &disk, disk.discard, &ranges),
        Kind::WriteZeroes(ranges) => check_ranges(memory, &disk, disk.write_zeroes, &ranges),
        Kind::Flush | Kind::Refused(_) => {}
    }
    memory.open_book();
    let written = request.reply.finish(memory, Status::Ok, data).expect("the status is in RAM");
    assert!(written <= chain.writable_bytes());
    let status = flat(chain.writable().iter().copied()).last().copied().expect("it has room");
    assert_eq!(*memory.writes.borrow(), [(status, 1)]);
    memory.check_book(&[(status, 1)]);
}

fn check_sectors(disk: &Disk, sector: u64, data: &Data<'_>) {
    assert!(data.bytes() > 0 && data.bytes().is_multiple_of(SECTOR));
    assert!(u128::from(sector) + u128::from(data.bytes() / SECTOR) <= u128::from(disk.capacity));
    assert!(data.pieces().count() <= MAX_SEGMENTS && data.pieces().all(|piece| piece.bytes > 0));
}

fn check_ranges(memory: &Treacherous<'_>, disk: &Disk, limits: Option<Limits>, ranges: &Ranges<'_>) {
    let limits = limits.expect("it was offered");
    assert_eq!(disk.mode, Mode::ReadWrite);
    let mut into = [Range::default(); MAX_RANGES];
    let Ok(count) = ranges.read(memory, &mut into) else { return };
    assert!(count <= limits.ranges as usize);
    for range in &into[..count] {
        assert!(u128::from(range.sector) + u128::from(range.sectors) <= u128::from(disk.capacity));
        assert!((1..=limits.sectors).contains(&range.sectors));
    }
}

fn places(segments: &[Segment]) -> Vec<(u64, u64)> {
    segments.iter().map(|segment| (segment.at.as_u64(), segment.bytes.into())).collect()
}

/// The address of each byte.
fn flat(segments: impl Iterator<Item = Segment>) -> Vec<u64> {
    segments.flat_map(|Segment { at, bytes }| (0..u64::from(bytes)).map(move |byte| at.as_u64() + byte)).collect()
}
