//! What the tests stand on: a network of two ports, a list of the frames that left, and makers of frames.
#![allow(dead_code, reason = "each test program uses its part")]

use abi::plan::{Forward, Network, Nic, Protocol};
use gateway::{Out, Slots};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const UPLINK_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 9];
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const PORTS: [Nic; 2] = [
    Nic { mac: [2, 0, 0, 0, 1, 0], ip: [10, 0, 0, 5], bandwidth: 0 },
    Nic { mac: [2, 0, 0, 0, 2, 0], ip: [10, 0, 0, 6], bandwidth: 0 },
];

pub fn ip(port: usize) -> Ipv4Addr {
    PORTS[port].ip.into()
}

pub fn network() -> Network {
    let forwards = [
        Forward { protocol: Protocol::Tcp, outside: 2222, to: PORTS[0].ip, inside: 22 },
        Forward { protocol: Protocol::Udp, outside: 5353, to: PORTS[1].ip, inside: 53 },
    ];
    Network {
        gateway: GATEWAY.octets(),
        prefix: 24,
        mac: MAC,
        has_uplink: true,
        forwards: forwards.into_iter().collect(),
    }
}

/// Slots in plain memory.
pub struct Memory(pub RefCell<Vec<[u64; 4]>>);

impl Memory {
    pub fn new(count: usize) -> Self {
        Self(RefCell::new(vec![[0; 4]; count]))
    }
    pub fn used(&self) -> usize {
        self.0.borrow().iter().filter(|words| **words != [0; 4]).count()
    }
}

impl Slots for Memory {
    fn count(&self) -> usize {
        self.0.borrow().len()
    }
    fn load(&self, slot: usize) -> [u64; 4] {
        self.0.borrow()[slot]
    }
    fn store(&self, slot: usize, words: [u64; 4]) {
        self.0.borrow_mut()[slot] = words;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Port(usize),
    Uplink,
}

/// The frames that left, each found sound.
#[derive(Default)]
pub struct Sink(pub VecDeque<(To, Vec<u8>)>);

impl Out for Sink {
    fn to_port(&mut self, port: usize, frame: &[u8]) {
        assert!(port < PORTS.len());
        assert_sound(frame);
        self.0.push_back((To::Port(port), frame.to_vec()));
    }
    fn to_uplink(&mut self, frame: &[u8]) {
        assert_sound(frame);
        self.0.push_back((To::Uplink, frame.to_vec()));
    }
}

impl Sink {
    /// The only frame, to this place.
    pub fn one(&mut self, to: To) -> Vec<u8> {
        assert_eq!(self.0.len(), 1, "{:?}", self.0);
        self.next(to)
    }
    /// The first frame, to this place.
    pub fn next(&mut self, to: To) -> Vec<u8> {
        let (place, frame) = self.0.pop_front().expect("a frame");
        assert_eq!(place, to);
        frame
    }
}

/// All lengths and checksums of a frame that leaves are right.
pub fn assert_sound(frame: &[u8]) {
    let ethernet = EthernetFrame::new_checked(frame).unwrap();
    if ethernet.ethertype() == EthernetProtocol::Arp {
        ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).unwrap()).unwrap();
        return;
    }
    assert_eq!(ethernet.ethertype(), EthernetProtocol::Ipv4);
    let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
    assert!(packet.verify_checksum());
    assert!(packet.hop_limit() > 0 && packet.total_len() <= 1500);
    let (from, to) = (IpAddress::Ipv4(packet.src_addr()), IpAddress::Ipv4(packet.dst_addr()));
    match packet.next_header() {
        IpProtocol::Tcp => assert!(TcpPacket::new_checked(packet.payload()).unwrap().verify_checksum(&from, &to)),
        IpProtocol::Udp => assert!(UdpPacket::new_checked(packet.payload()).unwrap().verify_checksum(&from, &to)),
        IpProtocol::Icmp => assert!(Icmpv4Packet::new_checked(packet.payload()).unwrap().verify_checksum()),
        other => panic!("{other}"),
    }
}

/// An Ethernet frame.
pub fn ethernet(from: [u8; 6], to: [u8; 6], kind: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &u16::from(kind).to_be_bytes(), payload].concat()
}

/// An IPv4 packet.
pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header =
        Ipv4Repr { src_addr: from, dst_addr: to, next_header: protocol, payload_len: payload.len(), hop_limit: 64 };
    let mut bytes = vec![0; 20];
    header.emit(&mut Ipv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
    [bytes, payload.to_vec()].concat()
}

pub fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + payload.len()];
    UdpRepr { src_port: from.1, dst_port: to.1 }.emit(
        &mut UdpPacket::new_unchecked(&mut bytes[..]),
        &from.0.into(),
        &to.0.into(),
        payload.len(),
        |at| at.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    ipv4(from.0, to.0, IpProtocol::Udp, &bytes)
}

pub fn echo(from: Ipv4Addr, to: Ipv4Addr, is_request: bool, ident: u16) -> Vec<u8> {
    let data = b"abcdefg";
    let message = match is_request {
        true => Icmpv4Repr::EchoRequest { ident, seq_no: 1, data },
        false => Icmpv4Repr::EchoReply { ident, seq_no: 1, data },
    };
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    ipv4(from, to, IpProtocol::Icmp, &bytes)
}

/// A frame from a guest to the gateway with an IPv4 packet.
pub fn from_guest(port: usize, packet: &[u8]) -> Vec<u8> {
    ethernet(PORTS[port].mac, MAC, EthernetProtocol::Ipv4, packet)
}

/// An ARP request for an address.
pub fn who_has(from: ([u8; 6], Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    arp(ArpOperation::Request, from, ([0; 6], target))
}

pub fn arp(operation: ArpOperation, from: ([u8; 6], Ipv4Addr), to: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let message = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(from.0),
        source_protocol_addr: from.1,
        target_hardware_addr: EthernetAddress(to.0),
        target_protocol_addr: to.1,
    };
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut ArpPacket::new_unchecked(&mut bytes));
    let to = if operation == ArpOperation::Request { [0xff; 6] } else { to.0 };
    ethernet(from.0, to, EthernetProtocol::Arp, &bytes)
}

/// The IPv4 packet in a frame.
pub fn packet(frame: &[u8]) -> Ipv4Packet<&[u8]> {
    Ipv4Packet::new_checked(&frame[14..]).unwrap()
}
