//! Requests to a disk: what is carried out, and what is answered without touching the disk.

use crate::driver::*;
use addr::Ipa;
use virtio::blk::{CONFIG, Disk, Kind, Limits, MAX_RANGES, Mode, Range, Request, SEG_MAX, Status, is_write_through};
use virtio::{Broken, Chain, Data, Features, Inflight, Segment};

const HEADER: u64 = BUFFERS;
const DATA: u64 = BUFFERS + 0x1000;
const STATUS: u64 = BUFFERS + 0x8000;

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

const DISK: Disk = Disk {
    capacity: 1000,
    block_size: 512,
    size_max: None,
    mode: Mode::ReadWrite,
    discard: Some(Limits { sectors: 100, ranges: 4, alignment: 8, may_unmap: false }),
    write_zeroes: Some(Limits { sectors: 50, ranges: 99, alignment: 0, may_unmap: true }),
};
const READ_ONLY: Disk = Disk { mode: Mode::ReadOnly, ..DISK };

/// The descriptors of one request: what may be read, then what may be written.
fn chain(driver: &mut Driver, readable: &[(u64, u32)], writable: &[(u64, u32)]) -> Chain {
    let all: Vec<_> =
        readable.iter().map(|&entry| (entry, 0)).chain(writable.iter().map(|&entry| (entry, WRITE))).collect();
    for (index, &((at, bytes), flags)) in (0..).zip(&all) {
        let next = if usize::from(index) + 1 < all.len() { NEXT } else { 0 };
        driver.descriptor(index, (at, bytes, flags | next, index + 1));
    }
    driver.offer(0);
    let (record, mut chain) = (Inflight::new(), Chain::new());
    let _head = driver.take(&mut driver.queue(BOTH, &record), &mut chain);
    chain
}

fn header(driver: &Driver, number: u32, sector: u64) {
    driver.ram.put(HEADER, &(u128::from(number) | u128::from(sector) << 64).to_le_bytes());
}

/// What a request with `data` bytes of data in one piece comes to.
fn outcome(disk: &Disk, number: u32, sector: u64, data: u32) -> String {
    let mut driver = Driver::new(8);
    header(&driver, number, sector);
    let (mut readable, mut writable) = (vec![(HEADER, 16)], vec![(STATUS, 1)]);
    match number {
        _ if data == 0 => {}
        OUT | DISCARD | WRITE_ZEROES => readable.push((DATA, data)),
        _ => writable.insert(0, (DATA, data)),
    }
    let chain = chain(&mut driver, &readable, &writable);
    let request = Request::parse(&driver.ram, &chain, disk).expect("it has room for its status");
    match request.kind {
        Kind::In { sector, data } => format!("in {sector} {}", data.bytes()),
        Kind::Out { sector, data } => format!("out {sector} {}", data.bytes()),
        Kind::Flush => "flush".into(),
        Kind::GetId { data } => format!("id {}", data.bytes()),
        Kind::Discard(_) => "discard".into(),
        Kind::WriteZeroes(_) => "zeroes".into(),
        Kind::Refused(status) => format!("{status:?}"),
    }
}

fn pieces(data: Data<'_>) -> Vec<(u64, u32)> {
    data.pieces().map(|Segment { at, bytes }| (at.as_u64(), bytes)).collect()
}

#[test]
fn whole_sectors_on_the_disk_are_read_and_written() {
    assert_eq!(outcome(&DISK, IN, 0, 512), "in 0 512");
    assert_eq!(outcome(&DISK, IN, 992, 4096), "in 992 4096");
    assert_eq!(outcome(&DISK, OUT, 999, 512), "out 999 512");
}

#[test]
fn a_request_beyond_the_end_never_reaches_the_disk() {
    for number in [IN, OUT] {
        for (sector, bytes) in [(1000, 512), (993, 4096), (u64::MAX, 512), (u64::MAX - 7, 4096), (1 << 55, 512)] {
            assert_eq!(outcome(&DISK, number, sector, bytes), "IoError", "{number} {sector}");
        }
    }
    assert_eq!(outcome(&Disk { capacity: 0, ..DISK }, IN, 0, 512), "IoError");
}

#[test]
fn part_of_a_sector_is_refused() {
    for bytes in [0, 1, 511, 513, 1000] {
        assert_eq!(outcome(&DISK, IN, 0, bytes), "IoError");
        assert_eq!(outcome(&DISK, OUT, 0, bytes), "IoError");
    }
}

#[test]
fn a_read_only_disk_refuses_to_change() {
    assert_eq!(outcome(&READ_ONLY, OUT, 0, 512), "IoError");
    assert_eq!(outcome(&READ_ONLY, DISCARD, 0, 16), "IoError");
    assert_eq!(outcome(&READ_ONLY, WRITE_ZEROES, 0, 16), "IoError");
    assert_eq!(outcome(&READ_ONLY, IN, 0, 512), "in 0 512");
    assert_eq!(outcome(&READ_ONLY, FLUSH, 0, 0), "flush");
}

#[test]
fn an_unknown_request_is_unsupported() {
    for number in [2, 3, 5, 10, 14, 15, 1 << 31, u32::MAX] {
        assert_eq!(outcome(&DISK, number, 0, 512), "Unsupported");
    }
    let plain = Disk { discard: None, write_zeroes: None, ..DISK };
    assert_eq!(outcome(&plain, DISCARD, 0, 16), "Unsupported");
    assert_eq!(outcome(&plain, WRITE_ZEROES, 0, 16), "Unsupported");
}

#[test]
fn a_request_without_room_for_its_status_is_broken() {
    let mut driver = Driver::new(8);
    let chain = chain(&mut driver, &[(HEADER, 16), (DATA, 512)], &[]);
    assert_eq!(Request::parse(&driver.ram, &chain, &DISK), Err(Broken::NoRoom));
}

#[test]
fn a_request_without_a_whole_header_is_refused() {
    for readable in [&[][..], &[(HEADER, 15)][..]] {
        let mut driver = Driver::new(8);
        let chain = chain(&mut driver, readable, &[(DATA, 512), (STATUS, 1)]);
        let request = Request::parse(&driver.ram, &chain, &DISK).unwrap();
        assert_eq!(request.kind, Kind::Refused(Status::IoError));
    }
}

#[test]
fn data_in_the_wrong_direction_is_refused() {
    for number in [IN, OUT] {
        let mut driver = Driver::new(8);
        header(&driver, number, 0);
        let chain = chain(&mut driver, &[(HEADER, 16), (DATA, 512)], &[(DATA + 0x1000, 512), (STATUS, 1)]);
        let request = Request::parse(&driver.ram, &chain, &DISK).unwrap();
        assert_eq!(request.kind, Kind::Refused(Status::IoError));
    }
}

#[test]
fn descriptors_may_cut_a_write_anywhere() {
    // Header and data overlap two descriptors; the header itself is cut in two.
    let mut driver = Driver::new(8);
    header(&driver, OUT, 7);
    let chain = chain(&mut driver, &[(HEADER, 5), (HEADER + 5, 11 + 500), (DATA, 12)], &[(STATUS, 1)]);
    let request = Request::parse(&driver.ram, &chain, &DISK).unwrap();
    let Kind::Out { sector: 7, data } = request.kind else { panic!("{request:?}") };
    assert_eq!(pieces(data), [(HEADER + 16, 500), (DATA, 12)]);
    assert_eq!(request.reply.finish(&driver.ram, Status::Ok, 0), Ok(1));
}

#[test]
fn descriptors_may_cut_a_read_anywhere() {
    // The status is the last byte of a descriptor of data.
    let mut driver = Driver::new(8);
    header(&driver, IN, 7);
    let chain = chain(&mut driver, &[(HEADER, 16)], &[(DATA, 1), (DATA + 100, 511 + 1)]);
    let request = Request::parse(&driver.ram, &chain, &DISK).unwrap();
    let Kind::In { sector: 7, data } = request.kind else { panic!("{request:?}") };
    assert_eq!(pieces(data), [(DATA, 1), (DATA + 100, 511)]);
    driver.ram.put(DATA + 100 + 511, &[0xff]);
    assert_eq!(request.reply.finish(&driver.ram, Status::Ok, 512), Ok(513));
    assert_eq!(driver.ram.get(DATA + 100 + 511), [0]);
}

#[test]
fn the_used_length_counts_only_bytes_written_without_a_gap() {
    let mut driver = Driver::new(8);
    header(&driver, IN, 0);
    let chain = chain(&mut driver, &[(HEADER, 16)], &[(DATA, 1024), (STATUS, 1)]);
    let reply = Request::parse(&driver.ram, &chain, &DISK).unwrap().reply;
    assert_eq!(reply.finish(&driver.ram, Status::Ok, 1024), Ok(1025));
    assert_eq!(driver.ram.get(STATUS), [0]);
    assert_eq!(reply.finish(&driver.ram, Status::IoError, 0), Ok(0));
    assert_eq!(driver.ram.get(STATUS), [1]);
    assert_eq!(reply.finish(&driver.ram, Status::Unsupported, 512), Ok(512));
    assert_eq!(driver.ram.get(STATUS), [2]);
}

#[test]
fn the_serial_number_is_cut_to_the_room_for_it() {
    let serial = b"root-disk\0\0\0\0\0\0\0\0\0\0\0";
    for (room, written) in [(20, 21), (8, 9), (64, 20)] {
        let mut driver = Driver::new(8);
        header(&driver, GET_ID, 0);
        let chain = chain(&mut driver, &[(HEADER, 16)], &[(DATA, 3), (DATA + 3, room - 3), (STATUS, 1)]);
        let request = Request::parse(&driver.ram, &chain, &DISK).unwrap();
        let Kind::GetId { data } = request.kind else { panic!("{request:?}") };
        let count = data.write(&driver.ram, serial).unwrap();
        assert_eq!(request.reply.finish(&driver.ram, Status::Ok, count), Ok(written));
        assert_eq!(driver.ram.get::<8>(DATA), *b"root-dis");
    }
}

/// What a request for these ranges comes to: sector, sectors, flags.
fn ranges(disk: &Disk, number: u32, ranges: &[(u64, u32, u32)]) -> Result<Vec<Range>, Status> {
    let mut driver = Driver::new(8);
    header(&driver, number, 0);
    for (index, &(sector, sectors, flags)) in (0..).zip(ranges) {
        let word = u128::from(sector) | u128::from(sectors) << 64 | u128::from(flags) << 96;
        driver.ram.put(DATA + 16 * index, &word.to_le_bytes());
    }
    let bytes = 16 * ranges.len() as u32;
    // Cut within the first range.
    let readable = [(HEADER, 16), (DATA, 7), (DATA + 7, bytes - 7)];
    let chain = chain(&mut driver, &readable, &[(STATUS, 1)]);
    let request = Request::parse(&driver.ram, &chain, disk).expect("it has room for its status");
    let ranges = match request.kind {
        Kind::Discard(ranges) | Kind::WriteZeroes(ranges) => ranges,
        Kind::Refused(status) => return Err(status),
        other => panic!("{other:?}"),
    };
    let mut into = [Range::default(); MAX_RANGES];
    ranges.read(&driver.ram, &mut into).map(|count| into[..count].to_vec())
}

#[test]
fn ranges_on_the_disk_are_discarded_and_filled() {
    let range = |sector, sectors, unmap| Range { sector, sectors, unmap };
    let result = ranges(&DISK, DISCARD, &[(0, 100, 0), (5, 0, 0), (999, 1, 0)]);
    assert_eq!(result, Ok(vec![range(0, 100, false), range(999, 1, false)]), "empty ranges are left out");
    let result = ranges(&DISK, WRITE_ZEROES, &[(3, 50, 1), (8, 2, 0)]);
    assert_eq!(result, Ok(vec![range(3, 50, true), range(8, 2, false)]));
}

#[test]
fn a_range_beyond_the_end_or_the_limit_is_refused() {
    for bad in [(1000, 1, 0), (999, 2, 0), (u64::MAX, 1, 0), (0, 101, 0), (0, u32::MAX, 0)] {
        assert_eq!(ranges(&DISK, DISCARD, &[(0, 1, 0), bad]), Err(Status::IoError), "{bad:?}");
        assert_eq!(ranges(&DISK, WRITE_ZEROES, &[bad]), Err(Status::IoError), "{bad:?}");
    }
}

#[test]
fn unknown_flags_of_ranges_are_unsupported() {
    assert_eq!(ranges(&DISK, DISCARD, &[(0, 1, 1)]), Err(Status::Unsupported), "unmap is for filling");
    assert_eq!(ranges(&DISK, DISCARD, &[(0, 1, 2)]), Err(Status::Unsupported));
    assert_eq!(ranges(&DISK, WRITE_ZEROES, &[(0, 1, 3)]), Err(Status::Unsupported));
}

#[test]
fn too_many_ranges_or_part_of_one_are_refused() {
    assert_eq!(ranges(&DISK, DISCARD, &[(0, 1, 0); 4]).map(|all| all.len()), Ok(4));
    assert_eq!(ranges(&DISK, DISCARD, &[(0, 1, 0); 5]), Err(Status::IoError));
    assert_eq!(ranges(&DISK, WRITE_ZEROES, &[(0, 1, 0); MAX_RANGES]).map(|all| all.len()), Ok(MAX_RANGES));
    assert_eq!(ranges(&DISK, WRITE_ZEROES, &[(0, 1, 0); MAX_RANGES + 1]), Err(Status::IoError));
    assert_eq!(outcome(&DISK, DISCARD, 0, 17), "IoError");
    assert_eq!(outcome(&DISK, DISCARD, 0, 0), "IoError");
}

#[test]
fn the_configuration_space_has_the_fields_where_the_specification_has_them() {
    let disk = Disk { capacity: 0x1_0000_0002, block_size: 4096, size_max: Some(0x2_0000), ..DISK };
    let config = disk.config();
    let word = |at: usize| u32::from_le_bytes(config[at..at + 4].try_into().unwrap());
    assert_eq!([word(0), word(4), word(8), word(12), word(16), word(20)], [2, 1, 0x2_0000, SEG_MAX, 0, 4096]);
    assert_eq!([word(24), word(28), word(32)], [0; 3], "topology, cache mode, number of queues");
    assert_eq!([word(36), word(40), word(44)], [100, 4, 8], "discard");
    assert_eq!([word(48), word(52), word(56)], [50, MAX_RANGES as u32, 1], "write zeroes");
    assert_eq!(config.len(), CONFIG);
}

#[test]
fn the_features_follow_the_disk() {
    let always = Features::OFFERED | 1 << 2 | 1 << 6 | 1 << 9;
    assert_eq!(DISK.features(), always | 1 << 13 | 1 << 14);
    assert_eq!(READ_ONLY.features(), always | 1 << 5);
    let plain = Disk { discard: None, write_zeroes: None, size_max: Some(4096), ..DISK };
    assert_eq!(plain.features(), always | 1 << 1);
    assert_eq!(READ_ONLY.config()[36..], [0; CONFIG - 36]);
}

#[test]
fn without_flush_every_write_must_be_on_the_medium() {
    assert!(is_write_through(Features::OFFERED) && !is_write_through(DISK.features()));
}

#[test]
fn the_status_byte_lies_where_the_last_descriptor_ends() {
    let mut driver = Driver::new(8);
    header(&driver, FLUSH, 0);
    let chain = chain(&mut driver, &[(HEADER, 16)], &[(STATUS, 3)]);
    let request = Request::parse(&driver.ram, &chain, &DISK).unwrap();
    driver.ram.put(STATUS, &[9; 4]);
    assert_eq!(request.reply.finish(&driver.ram, Status::Ok, 0), Ok(0));
    assert_eq!(driver.ram.get(STATUS), [9, 9, 0, 9]);
    assert_eq!(chain.writable(), [Segment { at: Ipa::new(STATUS), bytes: 3 }]);
}
