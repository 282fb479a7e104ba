//! Frames on their way: from a guest to others, to the gateway, and from there to guests and out.

use super::Device;
use crate::network::{MTU, Network, Port};
use crate::timer;
use crate::uplink::{Received, Uplink};
use addr::Ipa;
use gateway::Out;
use switch::Verdict;
use virtio::net::{Accepted, Delivery, HEAD, Header, Segments, Sent, finish};
use virtio::{Broken, Chain, Outside, Segment};

use super::Devices;

/// Most packets of a device per turn, those counted that the service makes of a long one; the turn ends behind the frame
/// that reaches it.
const CAP: u32 = 64;
/// Packets that a frame counts for, beside its own.
const PRICE: u32 = 3;
/// Most frames of the uplink per turn.
const UPLINK_CAP: usize = 32;
/// Part of a millisecond that a guest waits for the uplink.
const BUSY_PARTS: u64 = 8;
/// Bytes of a frame that was cut, at most: the MTU and an Ethernet header.
const PIECE: usize = MTU as usize + virtio::net::ETHERNET;

impl Devices {
    /// Takes frames that the guest at `port` sends. Whether there were any.
    pub(super) fn send(&mut self, number: usize, port: usize, network: &mut Network) -> Result<bool, Broken> {
        let mut packets: u32 = 0;
        while packets < CAP
            && let Some(count) = self.send_one(number, port, network)?
        {
            packets = packets.saturating_add(count + PRICE);
        }
        Ok(packets > 0)
    }

    /// Sends one frame, if there is one; how many packets it became.
    fn send_one(&mut self, number: usize, port: usize, network: &mut Network) -> Result<Option<u32>, Broken> {
        let Some(device) = self.all.get_mut(number) else { return Ok(None) };
        let Some(head) = device.link.next(&device.ram, &mut self.chain)? else { return Ok(None) };
        let accepted = Accepted::of(device.link.accepted);
        let read = Sent::read(&device.ram, &self.chain, accepted, MTU)?;
        let Some(own) = network.ports.get_mut(port) else { return Ok(None) };
        let packets = read.as_ref().map_or(1, Sent::packets);
        match read {
            Ok(sent) => {
                let busy = network.uplink.as_mut().is_some_and(|uplink| uplink.is_busy(packets));
                let waits = busy && network.switch.is_for_gateway(sent.head());
                let waits =
                    if waits { Err(timer::now() + timer::ticks(1) / BUSY_PARTS) } else { own.send(sent.wire_bytes()) };
                if let Err(until) = waits {
                    device.link.park(head);
                    device.resumes_at = Some(until);
                    return Ok(None);
                }
                forward(&mut self.all, number, port, &sent, network);
            }
            Err(_) => {
                own.refused = own.refused.wrapping_add(1);
                network.has_dropped = true;
            }
        }
        let Some(device) = self.all.get_mut(number) else { return Ok(None) };
        device.link.give_back(&device.ram, head, 0)?;
        Ok(Some(packets))
    }

    /// Takes frames that came in from outside, and what the gateway does by itself. Whether there was anything.
    pub fn receive(&mut self, network: &mut Network) -> bool {
        let mut has_worked = false;
        for _ in 0..UPLINK_CAP {
            let Some(Received { buffer, frame }) = network.uplink.as_mut().and_then(Uplink::receive) else { break };
            has_worked = true;
            let now = timer::board_ms();
            network.with_gateway(&mut self.all, |gateway, wires| gateway.from_uplink(frame, now, wires));
            if let Some(uplink) = &mut network.uplink {
                uplink.recycle(buffer);
            }
        }
        if network.is_due() {
            let now = timer::board_ms();
            network.with_gateway(&mut self.all, |gateway, wires| gateway.poll(now, wires));
        }
        has_worked
    }
}

/// Sends a frame of the guest at `port` to where it goes.
fn forward(devices: &mut [Device], number: usize, port: usize, sent: &Sent<'_>, network: &mut Network) {
    match network.switch.judge(port, sent.head(), sent.frame_len() as usize, timer::now()) {
        Verdict::To(to) => pass(devices, number, to, sent, network),
        Verdict::Gateway => route(devices, number, port, sent, network),
        Verdict::Flood => {
            for to in (0..network.ports.len()).filter(|to| *to != port) {
                pass(devices, number, to, sent, network);
            }
            route(devices, number, port, sent, network);
        }
        Verdict::Drop(_) => network.has_dropped = true,
    }
}

/// From guest to guest.
fn pass(devices: &mut [Device], number: usize, to: usize, sent: &Sent<'_>, network: &mut Network) {
    let Network { ports, frame, chain, .. } = network;
    let Some(port) = ports.get_mut(to) else { return };
    let Ok([source, target]) = devices.get_disjoint_mut([number, port.device]) else { return };
    let accepted = Accepted::of(target.receives());
    if sent.header().suits(accepted) {
        let delivery = Delivery::new(sent.header(), sent.head(), sent.frame_len(), accepted);
        let (from, into) = (&source.ram, target.ram.clone());
        let mut rest = sent.rest(HEAD as u32, u32::MAX).pieces();
        let mut piece = Segment::default();
        // Bytes come in order, from the first behind the head on.
        let copy = |_, at: Ipa, bytes: u32| {
            let mut done = 0;
            while done < bytes {
                if piece.bytes == 0 {
                    let Some(next) = rest.next() else { break };
                    piece = next;
                }
                let count = piece.bytes.min(bytes - done);
                from.copy(piece.at, &into, Ipa::new(at.as_u64().wrapping_add(done.into())), count)?;
                let behind = piece.at.as_u64().wrapping_add(count.into());
                piece = Segment { at: Ipa::new(behind), bytes: piece.bytes - count };
                done += count;
            }
            Ok(())
        };
        target.deliver(port, chain, sent.wire_bytes(), delivery, copy);
        return;
    }
    // What is in the chain was found in RAM, which does not go away.
    let Some(Ok(frame)) = frame.as_mut().map(|room| sent.copy(&source.ram, room)) else { return };
    complete(sent.header(), frame, |frame| target.deliver_bytes(port, chain, frame));
}

/// From a guest to the gateway.
fn route(devices: &mut [Device], number: usize, port: usize, sent: &Sent<'_>, network: &mut Network) {
    let Some(source) = devices.get(number) else { return };
    let mut room = core::mem::take(&mut network.frame);
    // As in `pass`.
    if let Some(Ok(frame)) = room.as_mut().map(|room| sent.copy(&source.ram, room)) {
        let now = timer::board_ms();
        network.with_gateway(devices, |gateway, wires| {
            complete(sent.header(), frame, |frame| {
                gateway.from_port(port, frame, now, wires);
                true
            });
        });
    }
    network.frame = room;
}

/// Makes a private copy of a frame into one or several that anyone takes, for as long as `each` wants more: who has no
/// room for a piece has none for the next.
fn complete(header: Header, frame: &mut [u8], mut each: impl FnMut(&mut [u8]) -> bool) {
    match header {
        Header::Plain => {
            each(frame);
        }
        Header::Partial(partial) => {
            finish(frame, partial);
            each(frame);
        }
        Header::Tso(tso) => {
            let mut room = [0; PIECE];
            for packet in Segments::new(frame, tso) {
                // None is longer than that: the header was checked against the MTU.
                let Some(piece) = packet.copy(&mut room) else { break };
                if !each(piece) {
                    break;
                }
            }
        }
    }
}

impl Device {
    /// What its driver accepted, as a receiver of frames.
    fn receives(&self) -> u64 {
        self.link.accepted
    }

    /// Gives the guest a frame that takes `wire_bytes` of its bandwidth, or counts it as missed. Whether it has it.
    fn deliver(
        &mut self,
        port: &mut Port,
        chain: &mut Chain,
        wire_bytes: u32,
        delivery: Delivery,
        copy: impl FnMut(u32, Ipa, u32) -> Result<(), Outside>,
    ) -> bool {
        let Some(receiver) = self.receiver.as_mut().filter(|receiver| receiver.link.is_running()) else { return false };
        if !port.receive(wire_bytes) {
            port.missed = port.missed.wrapping_add(1);
            return false;
        }
        let is_there = match receiver.deliver(&self.ram, chain, delivery, copy) {
            Ok(is_there) => is_there,
            Err(broken) => {
                self.break_down(&broken);
                false
            }
        };
        if !is_there {
            port.was_not_received(wire_bytes);
        }
        is_there
    }

    /// The same for a complete frame in the service's memory.
    fn deliver_bytes(&mut self, port: &mut Port, chain: &mut Chain, frame: &[u8]) -> bool {
        let accepted = Accepted::of(self.receives());
        let len = frame.len() as u32;
        let delivery = Delivery::new(Header::Plain, frame, len, accepted);
        let ram = self.ram.clone();
        let copy = |offset: u32, at: Ipa, bytes: u32| {
            let part = frame.get(offset as usize..).and_then(|rest| rest.get(..bytes as usize));
            virtio::GuestMemory::write(&ram, at, part.unwrap_or_default())
        };
        self.deliver(port, chain, len, delivery, copy)
    }
}

/// Where the gateway's frames go.
pub(super) struct Wires<'n> {
    devices: &'n mut [Device],
    ports: &'n mut [Port],
    uplink: Option<&'n mut Uplink>,
    chain: &'n mut Chain,
}

impl Out for Wires<'_> {
    fn to_port(&mut self, port: usize, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(port) else { return };
        let Some(device) = self.devices.get_mut(port.device) else { return };
        device.deliver_bytes(port, self.chain, frame);
    }

    fn to_uplink(&mut self, frame: &[u8]) {
        if let Some(uplink) = &mut self.uplink {
            uplink.send(frame);
        }
    }
}

impl Network {
    /// Gives the gateway something to do.
    fn with_gateway(&mut self, devices: &mut [Device], work: impl FnOnce(&mut crate::network::Router, &mut Wires<'_>)) {
        let Self { gateway, ports, uplink, chain, .. } = self;
        work(gateway, &mut Wires { devices, ports, uplink: uplink.as_mut(), chain });
        self.is_touched = true;
    }
}

const _: () = assert!(HEAD <= PIECE);
