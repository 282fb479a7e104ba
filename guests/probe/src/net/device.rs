//! A virtio network device (virtio 1.2, section 5.1) in use: both queues, and a buffer for each of their elements.
//!
//! A buffer holds the device's header of 12 bytes and a frame. It begins two bytes behind a multiple of eight, so that
//! what follows the headers of a datagram lies at one.

use super::frame::{self, HEADERS, Kind, Peer};
use crate::arch::{get, put};
use crate::reply::{Refusal, Reply, check};
use crate::shared::{self, memory};
use crate::virtio;
use rt::arch::insn;
use rt::timer::{self, Timer};
use rt::virtio::queue::{self, MAX_SIZE, NEXT, Queue, WRITE};
use rt::virtio::{NETWORK, Transport, VERSION_1, register};

/// Feature: the configuration has the MAC address.
const MAC: u64 = 1 << 5;
/// Queues.
pub const RECEIVE: u32 = 0;
pub const SEND: u32 = 1;
/// Bytes of the header before each frame (section 5.1.6).
pub const HEADER: u64 = 12;
/// Bytes of a buffer, and where it begins.
const BUFFER: u64 = 2048;
const SHIFT: u64 = 2;
/// Most bytes of a frame of a test's making.
pub const LONGEST: u64 = 80_000;
/// Where everything lies in [`memory`].
const SEND_QUEUE: u64 = queue::BYTES;
const RECEIVED: u64 = 2 * queue::BYTES;
const SENT: u64 = RECEIVED + MAX_SIZE as u64 * BUFFER;
const MADE: u64 = SENT + MAX_SIZE as u64 * BUFFER;
/// Bytes of it all.
const BYTES: u64 = MADE + 0x1_8000;
/// Seconds that a frame may lie in the queue.
const PATIENCE_S: u64 = 60;

/// A device in use.
pub struct Nic {
    transport: Transport,
    received: Queue,
    sent: Queue,
    /// Elements of the sending queue that are free, and how many.
    free: [u16; MAX_SIZE as usize],
    free_count: usize,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// This guest's IPv4 address.
    pub ip: u32,
    /// What was agreed.
    pub features: u64,
}

/// A frame that came, in its buffer.
#[derive(Clone, Copy)]
pub struct Received {
    head: u16,
    /// Its bytes.
    pub bytes: u64,
}

impl Nic {
    /// The device in this slot, with buffers for what comes.
    pub fn open(slot: u64, ip: u32, features: u64) -> Result<Self, Refusal> {
        let transport = virtio::find(slot)?;
        check(transport.read(register::DEVICE_ID) == NETWORK, "no network device is there")?;
        let features = virtio::begin(transport, features | VERSION_1 | MAC)?;
        check(features & VERSION_1 != 0, "a legacy device")?;
        // The device tree lies near the end.
        check(memory() + 2 * BYTES <= shared::ram().1, "this guest's RAM is too small")?;
        let [a, b, c, d, e, f, ..] = transport.config64(0).to_le_bytes();
        let received = Queue::begin(transport, RECEIVE, memory(), MAX_SIZE, features)?;
        let sent = Queue::begin(transport, SEND, memory() + SEND_QUEUE, MAX_SIZE, features)?;
        let free = core::array::from_fn(|n| n as u16);
        let (free_count, mac) = (sent.size().into(), [a, b, c, d, e, f]);
        let mut nic = Self { transport, received, sent, free, free_count, mac, ip, features };
        for head in 0..nic.received.size() {
            nic.received.describe(head, nic.buffer(RECEIVED, head), (BUFFER - SHIFT) as u32, WRITE, 0);
            nic.received.offer(head);
        }
        nic.sent.want_silence();
        virtio::watch(transport);
        transport.ready();
        nic.received.kick();
        Ok(nic)
    }

    fn buffer(&self, area: u64, head: u16) -> u64 {
        memory() + area + u64::from(head) * BUFFER + SHIFT
    }

    /// Sends a chain that lies in the made frame's memory: pieces by place, length and flags. All else must have been taken,
    /// and is the descriptors' only user.
    pub fn send_chain(&mut self, pieces: &[(u64, u32, u16)]) -> Reply {
        self.finish_sending()?;
        let head = self.take_place().ok_or(Refusal::Error("no place"))?;
        // The last descriptors of the table but for the head, which is where its frame begins.
        let mut number = head;
        for (n, &(at, bytes, flags)) in pieces.iter().enumerate() {
            let following = if n as u16 >= head { n as u16 + 1 } else { n as u16 };
            let next = if n + 1 < pieces.len() { NEXT } else { 0 };
            self.sent.describe(number, self.made() + at, bytes, flags | next, following);
            number = following;
        }
        self.sent.offer(head);
        self.finish_sending()
    }

    /// Whether the device says that it cannot go on.
    pub fn is_broken(&self) -> bool {
        self.transport.is_broken()
    }

    /// The next frame that has come.
    pub fn receive(&mut self) -> Option<Received> {
        let (head, written) = self.received.take()?;
        Some(Received { head: head as u16, bytes: u64::from(written).saturating_sub(HEADER) })
    }

    /// Its buffer may be filled again.
    pub fn give_back(&mut self, Received { head, .. }: Received) {
        if head < self.received.size() {
            self.received.offer(head);
        }
    }

    /// Forgets what has come.
    pub fn drain(&mut self) {
        while let Some(received) = self.receive() {
            self.give_back(received);
        }
        self.received.kick();
    }

    /// A byte of a frame that came.
    pub fn byte(&self, Received { head, bytes }: Received, at: u64) -> u8 {
        if at < bytes { get(self.buffer(RECEIVED, head % MAX_SIZE) + HEADER + at) } else { 0 }
    }

    /// Who sent it.
    pub fn sender(&self, received: Received) -> Peer {
        let fold =
            |range: core::ops::Range<u64>| range.fold(0, |number, at| number << 8 | u64::from(self.byte(received, at)));
        Peer { mac: frame::mac(fold(6..12)), ip: fold(26..30) as u32 }
    }

    /// What a checked frame says; a damaged one is an error.
    pub fn checked(&self, received: Received) -> Result<Option<(Kind, u64)>, Refusal> {
        let payload = self.buffer(RECEIVED, received.head % MAX_SIZE) + HEADER + HEADERS;
        match frame::identify(payload, received.bytes) {
            None => Ok(None),
            Some(Ok(found)) => Ok(Some(found)),
            Some(Err(word)) => Err(Refusal::Wrong("a frame is damaged: word, value", word, get(payload + 8 * word))),
        }
    }

    /// Sends a checked frame, as soon as there is a place; the device is told by [`Self::kick`].
    pub fn send_checked(&mut self, kind: Kind, to: Peer, sequence: u64, bytes: u64) -> Reply {
        let head = self.wait_for_place()?;
        let at = self.buffer(SENT, head);
        self.put_header(at);
        let headers = frame::headers(Peer { mac: self.mac, ip: self.ip }, to, bytes, sequence as u16);
        (at + HEADER..).zip(headers).for_each(|(at, byte)| put(at, byte));
        frame::fill(at + HEADER + HEADERS, bytes, kind, sequence);
        self.describe_and_offer(head, at, bytes);
        Ok(())
    }

    /// A header that asks for nothing.
    fn put_header(&self, at: u64) {
        (at..at + HEADER).for_each(|at| put(at, 0_u8));
    }

    fn describe_and_offer(&mut self, head: u16, at: u64, bytes: u64) {
        self.sent.describe(head, at, (HEADER + bytes) as u32, 0, 0);
        self.sent.offer(head);
    }

    /// Where the frame of a test's making lies.
    pub fn made(&self) -> u64 {
        memory() + MADE
    }

    /// Writes a byte of that frame; none of it may be in flight.
    pub fn put_made(&self, at: u64, byte: u8) {
        if at < LONGEST {
            put(self.made() + HEADER + at, byte);
        }
    }

    /// Sends that frame, which stays as it is.
    pub fn send_made(&mut self, bytes: u64) -> Reply {
        let head = self.wait_for_place()?;
        self.put_header(self.made());
        self.describe_and_offer(head, self.made(), bytes);
        Ok(())
    }

    /// For how many more frames there is a place.
    pub fn places(&self) -> usize {
        self.free_count
    }

    /// How many frames the device has not taken.
    pub fn flying(&self) -> u64 {
        u64::from(self.sent.size()) - self.free_count as u64
    }

    /// Sees which frames the device has taken.
    pub fn collect_sent(&mut self) {
        while let Some((head, _)) = self.sent.take() {
            if let Some(slot) = self.free.get_mut(self.free_count) {
                *slot = head as u16 % MAX_SIZE;
                self.free_count += 1;
            }
        }
    }

    fn take_place(&mut self) -> Option<u16> {
        self.free_count = self.free_count.checked_sub(1)?;
        self.free.get(self.free_count).copied()
    }

    fn wait_for_place(&mut self) -> Result<u16, Refusal> {
        self.collect_sent();
        if self.places() == 0 {
            self.kick();
            self.wait_until(|nic| nic.places() != 0)?;
        }
        self.take_place().ok_or(Refusal::Error("the device gave back what it never had"))
    }

    /// Waits until the device has taken all frames.
    pub fn finish_sending(&mut self) -> Reply {
        self.kick();
        self.wait_until(|nic| nic.flying() == 0)
    }

    fn wait_until(&mut self, is_so: impl Fn(&Self) -> bool) -> Reply {
        let end = timer::now() + PATIENCE_S * timer::frequency();
        loop {
            self.collect_sent();
            if is_so(self) {
                return Ok(());
            }
            check(!self.is_broken(), "the device says that it needs a reset")?;
            check(timer::now() < end, "a frame was not taken in 60 s")?;
            self.doze(timer::frequency() / 2000);
        }
    }

    /// Tells the device of frames and of buffers.
    pub fn kick(&mut self) {
        self.sent.kick();
        self.received.kick();
    }

    /// Sleeps until a frame comes, at most so many ticks.
    pub fn sleep(&mut self, most: u64) {
        self.received.want_interrupt(0);
        insn::mask_irq();
        // Until now a frame may have come without an interrupt.
        if self.received.used() == 0 {
            self.doze(most);
        }
        insn::unmask_irq();
        self.received.want_silence();
    }

    /// Sleeps until an interrupt, at most so many ticks.
    fn doze(&self, most: u64) {
        Timer::Physical.set_deadline(Timer::Physical.count() + most);
        // Masked, or an interrupt before the WFI would leave nothing to end it.
        let was_masked = insn::irq_is_masked();
        insn::mask_irq();
        Timer::Physical.enable();
        insn::wfi();
        if !was_masked {
            insn::unmask_irq();
        }
        Timer::Physical.stop();
    }

    /// Resets the device and opens it again, with other features.
    pub fn again(&mut self, slot: u64, features: u64) -> Reply {
        *self = Self::open(slot, self.ip, features)?;
        Ok(())
    }
}
