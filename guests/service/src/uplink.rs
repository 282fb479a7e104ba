//! The board's network device as its driver sees it (virtio section 5.1): the way out of the partitions' network.
//!
//! Frames lie in buffers of the DMA arena, out of every guest's reach. No offloads: what goes out is complete, and what
//! comes in was checked by nobody. As for disks, no indirect descriptors and no event indexes (disk.rs says why).

use crate::arch::insn;
use crate::dma::{self, Arena};
use crate::transports::{self, Place};
use crate::{say, timer};
use abi::plan::Transports;
use addr::PAGE_SIZE;
use alloc::boxed::Box;
use core::ptr::NonNull;
use virtio::net::HEADER;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport as _};

/// Elements of each queue.
const QUEUE: usize = 128;
/// Bytes of a buffer, the header included: a frame of the usual MTU and a VLAN tag fit.
const BUFFER: usize = 2048;
/// Buffers that guests leave for the gateway's own frames.
const RESERVE: usize = 8;
/// How long those who send wait for a device that sends nothing.
const PATIENCE_MS: u64 = 100;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// VIRTIO_NET_F_MAC.
const F_MAC: u64 = 1 << 5;
/// Bytes of a MAC address, which the configuration space begins with.
const MAC: usize = 6;

const _: () = assert!((PAGE_SIZE as usize).is_multiple_of(BUFFER));

/// A buffer for each element of a queue, and which of them the device has.
struct Buffers {
    start: NonNull<u8>,
    /// The buffer behind each of the queue's tokens.
    of_token: [u8; QUEUE],
}

impl Buffers {
    fn new() -> Option<Self> {
        let start = dma::allocate(QUEUE * BUFFER / PAGE_SIZE as usize)?;
        Some(Self { start, of_token: [0; QUEUE] })
    }

    /// The first bytes of a buffer.
    ///
    /// # Safety
    /// The device does not have it, and nobody holds it already.
    unsafe fn bytes(&self, buffer: u8, len: usize) -> &'static mut [u8] {
        let place = usize::from(buffer).min(QUEUE - 1) * BUFFER;
        // SAFETY: inside the allocation, which is never freed.
        let at = unsafe { self.start.add(place) };
        // SAFETY: as above; and the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(at.as_ptr(), len.min(BUFFER)) }
    }

    fn took(&mut self, token: u16, buffer: u8) {
        if let Some(place) = self.of_token.get_mut(usize::from(token)) {
            *place = buffer;
        }
    }

    fn behind(&self, token: u16) -> u8 {
        self.of_token.get(usize::from(token)).copied().unwrap_or(0)
    }
}

/// A buffer that the device has given back.
#[must_use = "a buffer that stays here receives nothing"]
pub struct Taken(u8);

/// The device.
pub struct Uplink {
    place: Place,
    transport: MmioTransport<'static>,
    receive: Box<VirtQueue<Arena, QUEUE>>,
    received: Buffers,
    transmit: Box<VirtQueue<Arena, QUEUE>>,
    sent: Buffers,
    /// Buffers for sending that the device does not have.
    free: heapless::Vec<u8, QUEUE>,
    mac: [u8; MAC],
    has_recycled: bool,
    has_sent: bool,
    /// When the device last gave a sent buffer back, or got the first after none.
    sent_at: u64,
    /// Frames for which there was no buffer.
    pub lost: u64,
}

/// A frame that came in, in a buffer that goes back by [`Uplink::recycle`].
pub struct Received {
    pub buffer: Taken,
    /// The frame.
    pub frame: &'static mut [u8],
}

impl Uplink {
    /// The first network device that can be used; each other is named.
    pub fn open(row: Option<Transports>) -> Option<Self> {
        let mut found = None;
        for (place, transport) in transports::devices(row, DeviceType::Network) {
            let number = place.number;
            if found.is_some() {
                say!("warn: the network device at transport {number} is not used: one is enough");
                continue;
            }
            found = Self::start(place, transport);
            if let Some(Self { mac: [a, b, c, d, e, f], .. }) = &found {
                say!("network device at transport {number}: {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            } else {
                say!("error: the network device at transport {number} is not used: it cannot be set up");
            }
        }
        found
    }

    fn start(place: Place, mut transport: MmioTransport<'static>) -> Option<Self> {
        let features = transports::negotiate(&mut transport, F_MAC)?;
        if features & F_MAC == 0 {
            return None;
        }
        let mut mac = [0; MAC];
        for (at, byte) in mac.iter_mut().enumerate() {
            *byte = transport.read_config_space(at).ok()?;
        }
        let receive = Box::new(VirtQueue::new(&mut transport, RECEIVE, false, false).ok()?);
        let transmit = Box::new(VirtQueue::new(&mut transport, TRANSMIT, false, false).ok()?);
        let (received, sent) = (Buffers::new()?, Buffers::new()?);
        transport.finish_init();
        let free = (0..QUEUE as u8).collect();
        let mut uplink = Self {
            place,
            transport,
            receive,
            received,
            transmit,
            sent,
            free,
            mac,
            has_recycled: false,
            has_sent: false,
            sent_at: 0,
            lost: 0,
        };
        uplink.transmit.set_dev_notify(false);
        uplink.receive.set_dev_notify(false);
        for buffer in 0..QUEUE as u8 {
            uplink.offer(buffer);
        }
        uplink.tell();
        Some(uplink)
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its MAC address.
    pub fn mac(&self) -> [u8; MAC] {
        self.mac
    }

    /// Gives the device a buffer to receive into.
    fn offer(&mut self, buffer: u8) {
        // SAFETY: the device does not have it: it is new, or has been taken from the used ring, and `recycle` has ended
        // its use.
        let bytes = unsafe { self.received.bytes(buffer, BUFFER) };
        // SAFETY: the buffer stays, and is not looked into until the device has given it back.
        match unsafe { self.receive.add(&[], &mut [bytes]) } {
            Ok(token) => {
                self.received.took(token, buffer);
                self.has_recycled = true;
            }
            // As many elements as buffers.
            Err(error) => panic!("a receive buffer finds no place: {error}"),
        }
    }

    /// The next frame that came in.
    pub fn receive(&mut self) -> Option<Received> {
        loop {
            let token = self.receive.peek_used()?;
            let buffer = self.received.behind(token);
            // SAFETY: the device has given it back, and nobody holds it.
            let bytes = unsafe { self.received.bytes(buffer, BUFFER) };
            // SAFETY: the buffer that was added with this token.
            let count = unsafe { self.receive.pop_used(token, &[], &mut [bytes]) }.unwrap_or(0) as usize;
            // SAFETY: as above; the slice for `pop_used` is gone.
            let bytes = unsafe { self.received.bytes(buffer, count) };
            match bytes.get_mut(HEADER..) {
                Some(frame) => return Some(Received { buffer: Taken(buffer), frame }),
                None => self.offer(buffer),
            }
        }
    }

    /// The frame was looked at: its buffer is for the next.
    pub fn recycle(&mut self, buffer: Taken) {
        self.offer(buffer.0);
    }

    /// Whether a frame has come in.
    #[inline]
    pub fn has_received(&self) -> bool {
        self.receive.can_pop()
    }

    /// Takes back what has been sent; how many frames find a buffer now.
    fn take_back(&mut self) -> usize {
        while let Some(token) = self.transmit.peek_used() {
            let buffer = self.sent.behind(token);
            // SAFETY: the device is done with it, and nobody holds it; the queue does not look into it.
            let bytes = unsafe { self.sent.bytes(buffer, BUFFER) };
            // SAFETY: the buffer that was added with this token. Its length there may have been another: without indirect
            // descriptors the queue makes nothing of it.
            let _ = unsafe { self.transmit.pop_used(token, &[&*bytes], &mut []) };
            // There is room for all.
            let _ = self.free.push(buffer);
            self.sent_at = timer::now();
        }
        self.free.len()
    }

    /// Whether who sends so many frames should wait: they find no room, and the device is at work. One that has sent
    /// nothing for [`PATIENCE_MS`] loses frames instead, so that nobody waits for it.
    pub fn is_busy(&mut self, frames: u32) -> bool {
        let frames = (frames as usize).saturating_add(RESERVE).min(QUEUE);
        self.free.len() < frames
            && self.take_back() < frames
            && timer::now() < self.sent_at.saturating_add(timer::ticks(PATIENCE_MS))
    }

    /// Sends a frame; one that is too long or finds no buffer is lost, as on a wire.
    pub fn send(&mut self, frame: &[u8]) {
        let fits = frame.len() <= BUFFER - HEADER && self.take_back() > 0;
        let Some(buffer) = fits.then(|| self.free.pop()).flatten() else {
            self.lost = self.lost.wrapping_add(1);
            return;
        };
        if self.free.len() == QUEUE - 1 {
            // It had nothing to do before.
            self.sent_at = timer::now();
        }
        // SAFETY: it was free: the device does not have it.
        let bytes = unsafe { self.sent.bytes(buffer, HEADER + frame.len()) };
        let (header, body) = bytes.split_at_mut(HEADER);
        header.fill(0);
        body.copy_from_slice(frame);
        // SAFETY: the buffer stays, and is not touched until the device has given it back.
        match unsafe { self.transmit.add(&[&*bytes], &mut []) } {
            Ok(token) => {
                self.sent.took(token, buffer);
                self.has_sent = true;
            }
            // As many elements as buffers.
            Err(error) => panic!("a buffer to be sent finds no place: {error}"),
        }
    }

    /// Tells the device what it was given, if anything.
    #[inline]
    pub fn tell(&mut self) {
        if !self.has_recycled && !self.has_sent {
            return;
        }
        // The available indexes are seen before the device's wish is read.
        insn::dmb_ish();
        if core::mem::take(&mut self.has_recycled) && self.receive.should_notify() {
            self.transport.notify(RECEIVE);
        }
        if core::mem::take(&mut self.has_sent) && self.transmit.should_notify() {
            self.transport.notify(TRANSMIT);
        }
    }

    /// Whether the device interrupts for a frame that comes in. None is missed: look at [`Uplink::has_received`] after it.
    pub fn enable_interrupt(&mut self, is_enabled: bool) {
        self.receive.set_dev_notify(is_enabled);
    }

    /// Takes away what asserts its interrupt.
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
