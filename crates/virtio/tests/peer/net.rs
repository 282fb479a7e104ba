//! The driver for network devices sends and receives, whatever the rings can do.

use crate::guest::Guest;
use crate::hal::GuestHal;
use crate::transport::Slot;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use virtio::net::{
    Accepted, Config, DEVICE_ID, Delivery, FEATURES, Header, MAX_FRAME, Outcome, RX, Receiver, Refused, Sent,
};
use virtio::{Chain, Features, GuestMemory, Queue};
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::DeviceType;

const CONFIG: Config = Config { mac: [2, 0x42, 0x48, 0, 0, 9], is_up: true, mtu: 1500 };
const ROOM: usize = 1526;

/// A network that sends each packet back to whoever sent it, when there is a buffer.
#[derive(Default)]
struct Mirror {
    frames: VecDeque<Vec<u8>>,
    refused: Vec<Refused>,
    buffers: Receiver,
}

impl Mirror {
    fn send(&mut self, queue: &mut Queue<'static>, chain: &mut Chain, accepted: Accepted) {
        while let Some(head) = queue.pop(&Guest, chain).expect("sound rings") {
            match Sent::read(&Guest, chain, accepted, CONFIG.mtu).expect("sound rings") {
                Ok(sent) => {
                    assert_eq!(sent.header(), Header::Plain, "this driver finishes its packets");
                    let mut room = [0; MAX_FRAME];
                    self.frames.push_back(sent.copy(&Guest, &mut room).expect("checked").to_vec());
                }
                Err(refused) => self.refused.push(refused),
            }
            queue.push(&Guest, head, 0).expect("it is in flight");
        }
    }

    fn receive(&mut self, queue: &mut Queue<'static>, chain: &mut Chain, accepted: Accepted) {
        while let Some(frame) = self.frames.pop_front() {
            let delivery = Delivery::new(Header::Plain, &frame, frame.len() as u32, accepted);
            let copy = |from: u32, at, bytes: u32| Guest.write(at, &frame[from as usize..(from + bytes) as usize]);
            let outcome = self.buffers.deliver(queue, &Guest, chain, delivery, copy).expect("sound rings");
            if outcome != Outcome::Delivered {
                return self.frames.push_front(frame);
            }
        }
    }
}

/// A device that offers only some of the rings' features.
fn net(rings: u64) -> (VirtIONetRaw<GuestHal, Slot, 16>, Rc<RefCell<Mirror>>) {
    let mirror = Rc::new(RefCell::new(Mirror::default()));
    let (shared, mut chain) = (mirror.clone(), Chain::new());
    // This driver accepts no feature that concerns packets.
    let accepted = Accepted::default();
    let work = move |number, queue: &mut Queue<'static>| {
        let mut mirror = shared.borrow_mut();
        if number == RX {
            mirror.receive(queue, &mut chain, accepted);
        } else {
            mirror.send(queue, &mut chain, accepted);
        }
    };
    let offered = FEATURES & !(Features::EVENT_IDX | Features::INDIRECT_DESC) | rings;
    let slot = Slot::new(DeviceType::Network, offered, CONFIG.bytes().to_vec(), Box::new(work));
    (VirtIONetRaw::new(slot).expect("the driver likes the device"), mirror)
}

fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index + len) as u8).collect()
}

#[test]
fn the_driver_finds_the_device() {
    assert_eq!(DeviceType::Network as u32, DEVICE_ID);
    let (net, _) = net(0);
    assert_eq!((net.mac_address(), net.can_send()), (CONFIG.mac, true));
}

#[test]
fn what_was_sent_is_received() {
    for rings in [0, Features::EVENT_IDX, Features::INDIRECT_DESC, Features::EVENT_IDX | Features::INDIRECT_DESC] {
        let (mut net, mirror) = net(rings);
        for len in [14, 60, 127, 128, 129, 1000, 1514] {
            net.send(&frame(len)).unwrap();
            let mut buffer = [0; ROOM];
            let (header, bytes) = net.receive_wait(&mut buffer).unwrap();
            assert_eq!((header, bytes), (12, len));
            assert_eq!(buffer[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
            assert_eq!(buffer[12..12 + len], frame(len));
        }
        assert!(mirror.borrow().refused.is_empty());
    }
}

#[test]
fn packets_are_received_in_the_order_of_the_buffers() {
    let (mut net, mirror) = net(Features::EVENT_IDX);
    let mut buffers = [[0; ROOM]; 4];
    // SAFETY: each buffer is left alone until `receive_complete` gets it back, with its token, below.
    let tokens = buffers.each_mut().map(|buffer| unsafe { net.receive_begin(buffer) }.unwrap());
    (0..5).for_each(|number| net.send(&frame(100 + number)).unwrap());
    assert_eq!((net.poll_receive(), mirror.borrow().frames.len()), (None, 5), "nobody looks at the buffers yet");
    let mut last = [0; ROOM];
    // SAFETY: as above.
    let token = unsafe { net.receive_begin(&mut last) }.unwrap();
    for (number, (token, buffer)) in tokens.into_iter().zip(&mut buffers).chain([(token, &mut last)]).enumerate() {
        assert_eq!(net.poll_receive(), Some(token));
        // SAFETY: this is the buffer of this token.
        let (header, bytes) = unsafe { net.receive_complete(token, buffer) }.unwrap();
        assert_eq!(buffer[header..header + bytes], frame(100 + number));
    }
}

#[test]
fn a_packet_that_cannot_be_is_dropped_and_the_driver_goes_on() {
    let (mut net, mirror) = net(Features::INDIRECT_DESC);
    for len in [0, 13, 1515, 65_551] {
        net.send(&frame(len)).unwrap();
    }
    assert_eq!(mirror.borrow().refused, [Refused::TooShort, Refused::TooShort, Refused::TooLong, Refused::TooLong]);
    net.send(&frame(100)).unwrap();
    assert_eq!(net.receive_wait(&mut [0; ROOM]), Ok((12, 100)));
}
