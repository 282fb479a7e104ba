//! [`Header`]: what stands before every packet (section 5.10.6).

use crate::HEADER;

/// VIRTIO_VSOCK_TYPE_STREAM.
pub(crate) const TYPE_STREAM: u16 = 1;
/// VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE: its sender takes no more.
pub(crate) const NO_RECEIVE: u32 = 1;
/// VIRTIO_VSOCK_SHUTDOWN_F_SEND: its sender sends no more.
pub(crate) const NO_SEND: u32 = 2;

/// VIRTIO_VSOCK_OP_*.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Operation {
    /// Begin a connection.
    Request = 1,
    /// It has begun.
    Response = 2,
    /// There is no such connection, or it is over.
    Reset = 3,
    /// No more in these directions.
    Shutdown = 4,
    /// Data.
    Data = 5,
    /// News of the sender's room.
    CreditUpdate = 6,
    /// A question for the receiver's.
    CreditRequest = 7,
}

impl Operation {
    const fn from_number(number: u16) -> Option<Self> {
        use Operation::*;
        const ALL: [Operation; 7] = [Request, Response, Reset, Shutdown, Data, CreditUpdate, CreditRequest];
        if number >= 1 && number as usize <= ALL.len() { Some(ALL[number as usize - 1]) } else { None }
    }
}

/// A packet's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Whose packet it is.
    pub source_cid: u64,
    /// For whom.
    pub target_cid: u64,
    /// The sender's port.
    pub source_port: u32,
    /// The receiver's.
    pub target_port: u32,
    /// Bytes behind the header.
    pub bytes: u32,
    /// Kind of socket.
    pub kind: u16,
    /// What it is; `None`: no operation that this version of the specification has.
    pub operation: Option<Operation>,
    /// What belongs to the operation.
    pub flags: u32,
    /// The sender's room for this connection's data, in all.
    pub room: u32,
    /// Bytes of this connection that the sender has taken out of its room, modulo 2^32.
    pub taken: u32,
}

impl Header {
    /// From its bytes.
    pub fn parse(bytes: &[u8; HEADER]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.iter_mut().zip(bytes.iter().skip(at)).for_each(|(place, byte)| *place = *byte);
            u64::from_le_bytes(word)
        };
        Self {
            source_cid: word(0),
            target_cid: word(8),
            source_port: word(16) as u32,
            target_port: word(20) as u32,
            bytes: word(24) as u32,
            kind: word(28) as u16,
            operation: Operation::from_number(word(30) as u16),
            flags: word(32) as u32,
            room: word(36) as u32,
            taken: word(40) as u32,
        }
    }

    /// As bytes.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let operation = self.operation.map_or(0, |operation| operation as u16);
        let parts: [&[u8]; 10] = [
            &self.source_cid.to_le_bytes(),
            &self.target_cid.to_le_bytes(),
            &self.source_port.to_le_bytes(),
            &self.target_port.to_le_bytes(),
            &self.bytes.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &operation.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.room.to_le_bytes(),
            &self.taken.to_le_bytes(),
        ];
        bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(place, byte)| *place = *byte);
        bytes
    }

    /// The answer that says that there is no such connection.
    pub(crate) fn reset(&self) -> Self {
        Self {
            source_cid: self.target_cid,
            target_cid: self.source_cid,
            source_port: self.target_port,
            target_port: self.source_port,
            bytes: 0,
            kind: self.kind,
            operation: Some(Operation::Reset),
            flags: 0,
            room: 0,
            taken: 0,
        }
    }
}
