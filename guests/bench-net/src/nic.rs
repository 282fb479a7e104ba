//! The network device in the first transport of the guest machine (virtio 1.2, section 5.1): buffers for all that comes,
//! and as many frames of one kind as may be in flight.
//!
//! Each element of a queue has its place for good: a descriptor, and a table of two where it is sent.

use crate::frame::{self, Kind, Peer};
use rt::arch::memory::put;
use rt::virtio::queue::{self, DESCRIPTOR, INDIRECT, NEXT, Queue, WRITE};
use rt::virtio::{EVENT_IDX, INDIRECT_DESC, NETWORK, Transport, VERSION_1, register};

/// MAC and MRG_RXBUF, and the transport's.
const FEATURES: u64 = 1 << 5 | 1 << 15 | INDIRECT_DESC | EVENT_IDX | VERSION_1;
/// Queues, and their elements.
const RECEIVE: u32 = 0;
const SEND: u32 = 1;
const RECEIVED: u16 = 256;
/// Frames in flight, at most.
pub const WINDOW: u64 = 128;
/// Bytes of the device's header before each frame.
const HEADER: u64 = 12;
/// Bytes of a buffer, and where the header begins in it: the frame's payload is eight-aligned.
const BUFFER: u64 = 2048;
const SHIFT: u64 = 2;
const PAGE: u64 = 4096;
/// Bytes of a table: headers and payload, as Linux sends a segment.
const TABLE: u64 = 2 * DESCRIPTOR;

/// The device in use.
pub struct Nic {
    received: Queue,
    sent: Queue,
    buffers: u64,
    frames: u64,
    mac: [u8; 6],
}

/// The device's transport.
pub fn transport() -> Transport {
    Transport::of_machine(0)
}

impl Nic {
    /// Sets the device up and gives it all buffers.
    pub fn open() -> Self {
        let transport = transport();
        assert!(transport.read(register::DEVICE_ID) == NETWORK, "no network device is in the first transport");
        assert!(transport.begin(FEATURES) == Ok(FEATURES), "the device lacks a feature");
        let base = rt::arch::free_ram().next_multiple_of(PAGE);
        let begin = |number, most| {
            let at = base + u64::from(number) * queue::BYTES;
            Queue::begin(transport, number, at, most, FEATURES).expect("a network device has two queues")
        };
        let (received, sent) = (begin(RECEIVE, RECEIVED), begin(SEND, WINDOW as u16));
        assert!(received.size() == RECEIVED && u64::from(sent.size()) == WINDOW, "a queue is too short");
        let [a, b, c, d, e, f, ..] = transport.config64(0).to_le_bytes();
        let tables = base + 2 * queue::BYTES;
        let buffers = (tables + WINDOW * TABLE).next_multiple_of(PAGE);
        let frames = buffers + u64::from(RECEIVED) * BUFFER;
        let mut nic = Self { received, sent, buffers, frames, mac: [a, b, c, d, e, f] };
        for element in 0..RECEIVED {
            nic.received.describe(element, nic.buffer(element), (BUFFER - SHIFT) as u32, WRITE, 0);
            nic.received.offer(element);
        }
        for element in 0..WINDOW {
            let header = nic.frame(element) - HEADER;
            (header..header + HEADER).for_each(|at| put(at, 0_u8));
            let payload = header + HEADER + frame::HEADERS;
            let table = tables + element * TABLE;
            queue::describe(table, 0, header, (HEADER + frame::HEADERS) as u32, NEXT, 1);
            queue::describe(table, 1, payload, (frame::BYTES - frame::HEADERS) as u32, 0, 0);
            nic.sent.describe(element as u16, table, TABLE as u32, INDIRECT, 0);
        }
        transport.ready();
        nic.kick();
        nic
    }

    /// The device's address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Kicks so far.
    pub fn kicks(&self) -> u64 {
        self.sent.kicks() + self.received.kicks()
    }

    fn buffer(&self, element: u16) -> u64 {
        self.buffers + u64::from(element) * BUFFER + SHIFT
    }

    fn frame(&self, element: u64) -> u64 {
        self.frames + element * BUFFER + SHIFT + HEADER
    }

    /// All frames are of this kind from now on; none is in flight.
    pub fn prepare(&self, from: Peer, to: Peer, kind: Kind) {
        (0..WINDOW).for_each(|element| frame::write(self.frame(element), from, to, kind));
    }

    /// Sends an element that is not in flight as the frame `number` of `count`. The device is told by [`Self::kick`].
    pub fn send(&mut self, element: u64, number: u64, count: u64) {
        frame::number(self.frame(element), number as u32, count as u32);
        self.sent.offer(element as u16);
    }

    /// The next element that the device has sent.
    pub fn take_sent(&mut self) -> Option<u64> {
        self.sent.take().map(|(element, _)| u64::from(element) % WINDOW)
    }

    /// The number of the next frame that has come, and of how many it is one. Its buffer goes back.
    pub fn receive(&mut self) -> Option<(u64, u64)> {
        let (element, bytes) = self.received.take()?;
        let element = element as u16 % RECEIVED;
        let frame = self.buffer(element) + HEADER;
        let Some((number, count)) = frame::numbers(frame, u64::from(bytes).saturating_sub(HEADER)) else {
            panic!("a frame of {bytes} bytes is none of ours, or damaged");
        };
        self.received.offer(element);
        Some((number.into(), count.into()))
    }

    /// Tells the device of frames and of buffers, if it wants to be told.
    pub fn kick(&mut self) {
        self.sent.kick();
        self.received.kick();
    }

    /// Sleeps until the device has sent most of `flying` frames, which is how long Linux lets a full queue rest.
    pub fn wait_sent(&self, flying: u64) {
        let most = (flying * 3 / 4) as u16;
        self.sent.want_interrupt(most);
        crate::wait(|| self.sent.used() > most);
    }

    /// Sleeps until something has come.
    pub fn wait_received(&self) {
        self.received.want_interrupt(0);
        crate::wait(|| self.received.used() > 0);
    }
}
