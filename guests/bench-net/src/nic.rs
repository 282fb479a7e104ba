//! The network device in the first transport of the guest machine (virtio 1.2, section 5.1): buffers for all that comes,
//! and as many frames of one kind as may be in flight.

use crate::frame::{self, Kind, Peer};
use crate::ring::{self, Ring};
use rt::arch::memory::put;
use rt::arch::mmio::Registers;
use rt::machine;

// Registers (section 4.2.2).
const DEVICE_ID: u64 = 0x08;
const DEVICE_FEATURES: u64 = 0x10;
const DEVICE_FEATURES_SEL: u64 = 0x14;
const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SEL: u64 = 0x24;
const QUEUE_SEL: u64 = 0x30;
const QUEUE_NUM: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const QUEUE_NOTIFY: u64 = 0x50;
const INTERRUPT_STATUS: u64 = 0x60;
const INTERRUPT_ACK: u64 = 0x64;
const STATUS: u64 = 0x70;
const QUEUE_PARTS: [u64; 3] = [0x80, 0x90, 0xa0];
const CONFIG: u64 = 0x100;

const NETWORK: u32 = 1;
const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
/// MAC, MRG_RXBUF, INDIRECT_DESC, EVENT_IDX and VERSION_1.
const FEATURES: u64 = 1 << 5 | 1 << 15 | 1 << 28 | 1 << 29 | 1 << 32;
/// Queues, and their elements.
const RECEIVE: u32 = 0;
const SEND: u32 = 1;
const RECEIVED: u64 = 256;
/// Frames in flight, at most.
pub const WINDOW: u64 = 128;
/// Bytes of the device's header before each frame.
const HEADER: u64 = 12;
/// Bytes of a buffer, and where the header begins in it: the frame's payload is eight-aligned.
const BUFFER: u64 = 2048;
const SHIFT: u64 = 2;
const PAGE: u64 = 4096;

/// The device in use.
pub struct Nic {
    received: Ring,
    sent: Ring,
    buffers: u64,
    frames: u64,
    mac: [u8; 6],
    kicks: u64,
}

fn registers() -> Registers {
    // SAFETY: the guest machine has a virtio transport there, and guests map the first GiB as Device. Its DMA goes where
    // the rings in free RAM say.
    unsafe { Registers::new(machine::VIRTIO.as_u64()) }
}

/// Takes the interrupt away.
pub fn acknowledge() {
    registers().write32(INTERRUPT_ACK, registers().read32(INTERRUPT_STATUS));
}

fn hand_over(queue: u32, ring: &Ring) {
    let transport = registers();
    transport.write32(QUEUE_SEL, queue);
    transport.write32(QUEUE_NUM, ring.size() as u32);
    for (register, part) in QUEUE_PARTS.into_iter().zip(ring.parts()) {
        transport.write32(register, part as u32);
        transport.write32(register + 4, (part >> 32) as u32);
    }
    transport.write32(QUEUE_READY, 1);
}

impl Nic {
    /// Sets the device up and gives it all buffers.
    pub fn open() -> Self {
        let transport = registers();
        assert!(transport.read32(DEVICE_ID) == NETWORK, "no network device is in the first transport");
        transport.write32(STATUS, 0);
        transport.write32(STATUS, ACKNOWLEDGE | DRIVER);
        for half in [0, 1] {
            transport.write32(DEVICE_FEATURES_SEL, half);
            let wanted = (FEATURES >> (32 * half)) as u32;
            assert!(transport.read32(DEVICE_FEATURES) & wanted == wanted, "the device lacks a feature");
            transport.write32(DRIVER_FEATURES_SEL, half);
            transport.write32(DRIVER_FEATURES, wanted);
        }
        transport.write32(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        let base = rt::arch::free_ram().next_multiple_of(PAGE);
        let (received, sent) = (Ring::new(base, RECEIVED), Ring::new(base + ring::BYTES, WINDOW));
        hand_over(RECEIVE, &received);
        hand_over(SEND, &sent);
        let mac = core::array::from_fn(|n| (transport.read32(CONFIG + (n as u64 & !3)) >> (8 * (n & 3))) as u8);
        let buffers = base + 2 * ring::BYTES;
        let frames = buffers + RECEIVED * BUFFER;
        let mut nic = Self { received, sent, buffers, frames, mac, kicks: 0 };
        for element in 0..RECEIVED {
            nic.received.describe_empty(element, nic.buffers + element * BUFFER + SHIFT, BUFFER - SHIFT);
            nic.received.offer(element);
        }
        for element in 0..WINDOW {
            let header = nic.frame(element) - HEADER;
            (header..header + HEADER).for_each(|at| put(at, 0_u8));
            let payload = (nic.frame(element) + frame::HEADERS, frame::BYTES - frame::HEADERS);
            nic.sent.describe_pieces(element, (header, HEADER + frame::HEADERS), payload);
        }
        transport.write32(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        nic.kick();
        nic
    }

    /// The device's address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Kicks so far.
    pub fn kicks(&self) -> u64 {
        self.kicks
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
        self.sent.offer(element);
    }

    /// The next element that the device has sent.
    pub fn take_sent(&mut self) -> Option<u64> {
        self.sent.take().map(|(element, _)| element)
    }

    /// The number of the next frame that has come, and of how many it is one. Its buffer goes back.
    pub fn receive(&mut self) -> Option<(u64, u64)> {
        let (element, bytes) = self.received.take()?;
        let frame = self.buffers + element * BUFFER + SHIFT + HEADER;
        let Some((number, count)) = frame::numbers(frame, bytes.saturating_sub(HEADER)) else {
            panic!("a frame of {bytes} bytes is none of ours, or damaged");
        };
        self.received.offer(element);
        Some((number.into(), count.into()))
    }

    /// Tells the device of frames and of buffers, if it wants to be told.
    pub fn kick(&mut self) {
        for (queue, ring) in [(SEND, &mut self.sent), (RECEIVE, &mut self.received)] {
            if ring.must_kick() {
                self.kicks += 1;
                registers().write32(QUEUE_NOTIFY, queue);
            }
        }
    }

    /// Sleeps until the device has sent most of `flying` frames, which is how long Linux lets a full queue rest.
    pub fn wait_sent(&self, flying: u64) {
        let most = (flying * 3 / 4) as u16;
        if !self.sent.want_interrupt(most) {
            crate::wait(|| self.sent.used() > most);
        }
    }

    /// Sleeps until something has come.
    pub fn wait_received(&self) {
        if !self.received.want_interrupt(0) {
            crate::wait(|| self.received.used() > 0);
        }
    }
}
