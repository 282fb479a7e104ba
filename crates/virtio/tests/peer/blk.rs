//! The driver for block devices reads what it wrote, and hears of what cannot be.

use crate::guest::Guest;
use crate::hal::GuestHal;
use crate::transport::Slot;
use std::cell::RefCell;
use std::rc::Rc;
use virtio::blk::{Disk, Kind, Mode, Request, SECTOR, Status};
use virtio::{Chain, Features, GuestMemory, Queue};
use virtio_drivers::Error;
use virtio_drivers::device::blk::VirtIOBlk;
use virtio_drivers::transport::DeviceType;

const DISK: Disk =
    Disk { capacity: 64, block_size: 512, size_max: None, mode: Mode::ReadWrite, discard: None, write_zeroes: None };

/// The medium, and how often it was flushed.
#[derive(Default)]
struct Medium {
    bytes: Vec<u8>,
    flushes: usize,
}

impl Medium {
    fn range(&mut self, sector: u64, bytes: u32) -> &mut [u8] {
        let from = sector as usize * SECTOR as usize;
        &mut self.bytes[from..from + bytes as usize]
    }

    /// Carries out one request: its status, and how many bytes of its data were written for certain.
    fn carry_out(&mut self, kind: &Kind<'_>) -> (Status, u32) {
        match kind {
            Kind::In { sector, data } => {
                let mut from = &*self.range(*sector, data.bytes());
                for piece in data.pieces() {
                    let (part, rest) = from.split_at(piece.bytes as usize);
                    Guest.write(piece.at, part).expect("checked");
                    from = rest;
                }
                (Status::Ok, data.bytes())
            }
            Kind::Out { sector, data } => {
                let mut to = self.range(*sector, data.bytes());
                for piece in data.pieces() {
                    let (part, rest) = to.split_at_mut(piece.bytes as usize);
                    Guest.read(piece.at, part).expect("checked");
                    to = rest;
                }
                (Status::Ok, 0)
            }
            Kind::Flush => {
                self.flushes += 1;
                (Status::Ok, 0)
            }
            Kind::GetId { data } => {
                (Status::Ok, data.write(&Guest, b"disk-7\0\0\0\0\0\0\0\0\0\0\0\0\0\0").expect("checked"))
            }
            Kind::Refused(status) => (*status, 0),
            Kind::Discard(_) | Kind::WriteZeroes(_) => unreachable!("not offered"),
        }
    }
}

/// A disk whose device offers only some of the rings' features.
fn disk(mode: Mode, rings: u64) -> (VirtIOBlk<GuestHal, Slot>, Rc<RefCell<Medium>>) {
    let disk = Disk { mode, ..DISK };
    let medium = Rc::new(RefCell::new(Medium { bytes: vec![0; (disk.capacity * 512) as usize], flushes: 0 }));
    let (shared, mut chain) = (medium.clone(), Chain::new());
    let work = move |_, queue: &mut Queue<'static>| {
        while let Some(head) = queue.pop(&Guest, &mut chain).expect("sound rings") {
            let request = Request::parse(&Guest, &chain, &disk).expect("the driver gives room");
            let (status, data) = shared.borrow_mut().carry_out(&request.kind);
            let written = request.reply.finish(&Guest, status, data).expect("checked");
            queue.push(&Guest, head, written).expect("it is in flight");
        }
    };
    let optional = Features::EVENT_IDX | Features::INDIRECT_DESC;
    let offered = disk.features() & !optional | rings;
    let slot = Slot::new(DeviceType::Block, offered, disk.config().to_vec(), Box::new(work));
    (VirtIOBlk::new(slot).expect("the driver likes the device"), medium)
}

#[test]
fn what_was_written_is_read() {
    for rings in [0, Features::EVENT_IDX, Features::INDIRECT_DESC, Features::EVENT_IDX | Features::INDIRECT_DESC] {
        let (mut blk, medium) = disk(Mode::ReadWrite, rings);
        assert_eq!((blk.capacity(), blk.readonly()), (64, false));
        for sector in 0..64u8 {
            blk.write_blocks(sector.into(), &[sector + 1; 512]).unwrap();
        }
        let mut all = [0; 64 * 512];
        blk.read_blocks(0, &mut all).unwrap();
        assert!(all.chunks(512).zip(1..).all(|(sector, number)| sector.iter().all(|byte| *byte == number)));
        blk.flush().unwrap();
        assert_eq!(medium.borrow().flushes, 1);
    }
}

#[test]
fn the_serial_number_is_seen() {
    let (mut blk, _) = disk(Mode::ReadWrite, 0);
    let mut id = [0xff; 20];
    assert_eq!(blk.device_id(&mut id), Ok(6));
    assert_eq!(id[..7], *b"disk-7\0");
}

#[test]
fn a_sector_beyond_the_end_is_an_error() {
    let (mut blk, medium) = disk(Mode::ReadWrite, Features::INDIRECT_DESC);
    assert_eq!(blk.write_blocks(64, &[1; 512]), Err(Error::IoError));
    assert_eq!(blk.write_blocks(63, &[1; 1024]), Err(Error::IoError));
    assert_eq!(blk.read_blocks(usize::MAX, &mut [0; 512]), Err(Error::IoError));
    assert!(medium.borrow().bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn a_read_only_disk_stays_as_it_is() {
    let (mut blk, medium) = disk(Mode::ReadOnly, Features::EVENT_IDX);
    assert!(blk.readonly());
    assert_eq!(blk.write_blocks(0, &[1; 512]), Err(Error::IoError));
    assert!(medium.borrow().bytes.iter().all(|byte| *byte == 0));
    blk.read_blocks(0, &mut [0xff; 512]).unwrap();
}
