//! [`Request`]: what a chain asks a disk for (section 5.2.6).
//!
//! A chain is one run of bytes to read and one to write, wherever its descriptors cut them (section 2.7.4.1): a header of
//! 16 bytes, data, and the last byte to write is the status. The header is read once.

use super::{Disk, Mode, Ranges, SECTOR};
use crate::rings::offset;
use crate::{Broken, Chain, Data, GuestMemory, Outside};
use addr::Ipa;

/// Bytes of the header: type, reserved, sector.
const HEADER: u32 = 16;

/// VIRTIO_BLK_T_IN.
const IN: u32 = 0;
/// VIRTIO_BLK_T_OUT.
const OUT: u32 = 1;
/// VIRTIO_BLK_T_FLUSH.
const FLUSH: u32 = 4;
/// VIRTIO_BLK_T_GET_ID.
const GET_ID: u32 = 8;
/// VIRTIO_BLK_T_DISCARD.
const DISCARD: u32 = 11;
/// VIRTIO_BLK_T_WRITE_ZEROES.
const WRITE_ZEROES: u32 = 13;

/// The last byte of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    /// VIRTIO_BLK_S_OK.
    Ok,
    /// VIRTIO_BLK_S_IOERR.
    IoError,
    /// VIRTIO_BLK_S_UNSUPP.
    Unsupported,
}

/// A request that was checked against its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'c> {
    /// What to do.
    pub kind: Kind<'c>,
    /// What to answer with.
    pub reply: Reply,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind<'c> {
    /// Read sectors, all of them on the disk.
    In {
        /// The first one.
        sector: u64,
        /// Where they go: a multiple of [`SECTOR`] bytes, and not 0.
        data: Data<'c>,
    },
    /// Write sectors, all of them on the disk.
    Out {
        /// The first one.
        sector: u64,
        /// Where they come from: a multiple of [`SECTOR`] bytes, and not 0.
        data: Data<'c>,
    },
    /// Bring all completed writes onto the medium.
    Flush,
    /// Write the serial number: 20 bytes, padded with zeroes.
    GetId {
        /// Where it goes, as far as it fits.
        data: Data<'c>,
    },
    /// Forget what is in these ranges.
    Discard(Ranges<'c>),
    /// Fill these ranges with zeroes.
    WriteZeroes(Ranges<'c>),
    /// Nothing: it is answered with this status.
    Refused(Status),
}

/// Where a request's status goes. It outlives the [`Chain`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    status: Ipa,
    /// Bytes that the device may write before the status.
    before: u32,
}

impl Reply {
    /// Writes the status; the bytes written, for [`Queue::push`](crate::Queue::push). `data` is how many bytes of
    /// device-writable data were written for certain: all for a read that went well, else 0.
    pub fn finish(&self, memory: &impl GuestMemory, status: Status, data: u32) -> Result<u32, Outside> {
        memory.write(self.status, &[status as u8])?;
        // The driver may rely on all bytes up to that count, so the status is part of it only without a gap before it.
        Ok(if data >= self.before { self.before.saturating_add(1) } else { data })
    }
    /// Bytes of device-writable data.
    pub fn data_bytes(&self) -> u32 {
        self.before
    }
}

impl<'c> Request<'c> {
    /// Reads and checks the request in `chain`. Without room for a status it is [`Broken`]; with it, any other mistake is
    /// [`Kind::Refused`].
    pub fn parse(memory: &impl GuestMemory, chain: &'c Chain, disk: &'c Disk) -> Result<Self, Broken> {
        let last = chain.writable().last().ok_or(Broken::NoRoom)?;
        let before = chain.writable_bytes().checked_sub(1).ok_or(Broken::NoRoom)?;
        let status = offset(last.at, u64::from(last.bytes).saturating_sub(1));
        let mut header = [0; HEADER as usize];
        Data::new(chain.readable(), 0, HEADER).read(memory, &mut header)?;
        let kind = Kind::of(u128::from_le_bytes(header), chain, before, disk).unwrap_or_else(Kind::Refused);
        Ok(Self { kind, reply: Reply { status, before } })
    }
}

impl<'c> Kind<'c> {
    fn of(header: u128, chain: &'c Chain, writable: u32, disk: &'c Disk) -> Result<Self, Status> {
        let (number, sector) = (header as u32, (header >> 64) as u64);
        let readable = chain.readable_bytes().checked_sub(HEADER).ok_or(Status::IoError)?;
        let from = Data::new(chain.readable(), HEADER, readable);
        let to = Data::new(chain.writable(), 0, writable);
        match number {
            IN => sectors(disk, sector, to, readable).map(|()| Self::In { sector, data: to }),
            FLUSH => Ok(Self::Flush),
            GET_ID => Ok(Self::GetId { data: to }),
            OUT | DISCARD | WRITE_ZEROES if disk.mode == Mode::ReadOnly => Err(Status::IoError),
            OUT => sectors(disk, sector, from, writable).map(|()| Self::Out { sector, data: from }),
            DISCARD => Ranges::to_discard(from, disk).map(Self::Discard),
            WRITE_ZEROES => Ranges::to_fill(from, disk).map(Self::WriteZeroes),
            _ => Err(Status::Unsupported),
        }
    }
}

/// Whether `data` is for whole sectors on the disk, at least one, and the other direction has no data.
fn sectors(disk: &Disk, sector: u64, data: Data<'_>, other: u32) -> Result<(), Status> {
    let (count, rest) = (data.bytes() / SECTOR, data.bytes() % SECTOR);
    let is_sound = count != 0 && rest == 0 && other == 0 && disk.has(sector, u64::from(count));
    if is_sound { Ok(()) } else { Err(Status::IoError) }
}
