//! What the tests stand on: a network of two ports, a list of the frames that left, and makers of frames.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod dhcp;

use abi::plan::{Forward, Network, Nic, Protocol};
use gateway::{Gateway, Out, Reason, Slots};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const UPLINK_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 9];
/// The uplink's address, router and DNS server.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
pub const NAMESERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
pub const ROUTER_MAC: [u8; 6] = [0x52, 0x55, 0, 0, 0, 2];
/// A host far away.
pub const FAR: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);
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
        self.0.borrow().get(slot).copied().unwrap_or_default()
    }
    fn store(&self, slot: usize, words: [u64; 4]) {
        if let Some(at) = self.0.borrow_mut().get_mut(slot) {
            *at = words;
        }
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

/// A gateway, its surroundings and its time.
pub struct World<'r> {
    pub gateway: Gateway<'r, Memory>,
    pub memory: &'r Memory,
    pub sink: Sink,
    pub now_ms: u64,
}

impl<'r> World<'r> {
    /// One that has just begun to live.
    pub fn new(memory: &'r Memory, now_ms: u64) -> Self {
        let gateway = Gateway::new(&network(), &PORTS, Some(UPLINK_MAC), memory, now_ms);
        Self { gateway, memory, sink: Sink::default(), now_ms }
    }

    /// One with a lease, that knows its router.
    pub fn ready(memory: &'r Memory) -> Self {
        let mut world = Self::new(memory, 1000);
        world.bind();
        world.hear(&arp(ArpOperation::Reply, (ROUTER_MAC, ROUTER), (UPLINK_MAC, OUTSIDE)));
        world.guest(0, &echo(ip(0), FAR, true, 1));
        world.sink.0.clear();
        world.hear(&arp(ArpOperation::Reply, (ROUTER_MAC, ROUTER), (UPLINK_MAC, OUTSIDE)));
        world.sink.one(To::Uplink);
        world.wait(31_000);
        assert_eq!(world.memory.used(), 1, "the lease");
        world
    }

    pub fn bind(&mut self) {
        self.poll();
        let discover = dhcp::from_client(&self.sink.one(To::Uplink));
        self.hear(&dhcp::from_server(&dhcp::lease(DhcpMessageType::Offer, discover.transaction)));
        let request = dhcp::from_client(&self.sink.one(To::Uplink));
        self.hear(&dhcp::from_server(&dhcp::lease(DhcpMessageType::Ack, request.transaction)));
        assert_eq!(self.gateway.uplink_address(), Some(OUTSIDE));
    }

    /// What the DHCP client asked, if it did; the router answers all questions for its address.
    pub fn asked(&mut self) -> Option<dhcp::Question> {
        let is_ipv4 = |frame: &Vec<u8>| frame[12..14] == [8, 0];
        let question =
            self.sink.0.drain(..).find(|(_, frame)| is_ipv4(frame)).map(|(_, frame)| dhcp::from_client(&frame));
        self.hear(&arp(ArpOperation::Reply, (ROUTER_MAC, ROUTER), (UPLINK_MAC, OUTSIDE)));
        question
    }

    /// Time passes; the network outside answers what it is asked.
    pub fn live(&mut self, ms: u64) {
        self.wait(ms);
        if let Some(question) = self.asked() {
            self.hear(&dhcp::from_server(&dhcp::lease(DhcpMessageType::Ack, question.transaction)));
        }
        self.sink.0.clear();
    }

    /// The service died, and lives again.
    pub fn restart(&mut self) {
        let memory = self.memory;
        *self = Self::new(memory, self.now_ms);
    }

    pub fn poll(&mut self) {
        self.gateway.poll(self.now_ms, &mut self.sink);
    }
    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.poll();
    }
    /// A frame from the uplink.
    pub fn hear(&mut self, frame: &[u8]) {
        self.gateway.from_uplink(&mut frame.to_vec(), self.now_ms, &mut self.sink);
    }
    /// A packet from a guest.
    pub fn guest(&mut self, port: usize, packet: &[u8]) {
        self.gateway.from_port(port, &mut from_guest(port, packet), self.now_ms, &mut self.sink);
    }
    /// A packet from a guest must leave as this one.
    pub fn goes_out(&mut self, port: usize, packet: &[u8], as_packet: &[u8]) {
        self.guest(port, packet);
        let frame = self.sink.one(To::Uplink);
        assert_eq!(frame, ethernet(UPLINK_MAC, ROUTER_MAC, EthernetProtocol::Ipv4, &one_hop_less(as_packet)));
    }
    /// A packet from outside must reach a guest as this one.
    pub fn comes_in(&mut self, packet: &[u8], port: usize, as_packet: &[u8]) {
        self.hear(&from_outside(packet));
        let frame = self.sink.one(To::Port(port));
        assert_eq!(frame, ethernet(MAC, PORTS[port].mac, EthernetProtocol::Ipv4, &one_hop_less(as_packet)));
    }
    /// A packet from outside must not come through.
    pub fn stays_out(&mut self, packet: &[u8], reason: Reason) {
        let before = self.gateway.counters().uplink.dropped(reason);
        self.hear(&from_outside(packet));
        assert!(self.sink.0.is_empty(), "{:?}", self.sink.0);
        assert_eq!(self.gateway.counters().uplink.dropped(reason), before + 1);
    }
}

/// The packet after a router.
pub fn one_hop_less(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    packet.set_hop_limit(packet.hop_limit() - 1);
    packet.fill_checksum();
    bytes
}

/// A frame from a guest to the gateway with an IPv4 packet.
pub fn from_guest(port: usize, packet: &[u8]) -> Vec<u8> {
    ethernet(PORTS[port].mac, MAC, EthernetProtocol::Ipv4, packet)
}

/// A frame from the uplink's router to the gateway with an IPv4 packet.
pub fn from_outside(packet: &[u8]) -> Vec<u8> {
    ethernet(ROUTER_MAC, UPLINK_MAC, EthernetProtocol::Ipv4, packet)
}

pub fn tcp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), flags: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [vec![0; 20], payload.to_vec()].concat();
    let mut segment = TcpPacket::new_unchecked(&mut bytes[..]);
    segment.set_src_port(from.1);
    segment.set_dst_port(to.1);
    segment.set_header_len(20);
    segment.set_seq_number(TcpSeqNumber(1000));
    segment.set_ack_number(TcpSeqNumber(if flags.contains('A') { 2000 } else { 0 }));
    segment.set_syn(flags.contains('S'));
    segment.set_ack(flags.contains('A'));
    segment.set_fin(flags.contains('F'));
    segment.set_rst(flags.contains('R'));
    segment.fill_checksum(&from.0.into(), &to.0.into());
    ipv4(from.0, to.0, IpProtocol::Tcp, &bytes)
}

/// An ICMP error that quotes a packet, or its first bytes.
pub fn icmp_error(from: Ipv4Addr, to: Ipv4Addr, kind: (u8, u8), quoted: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind.0, kind.1, 0, 0, 0, 0, 0, 0], quoted].concat();
    Icmpv4Packet::new_unchecked(&mut bytes[..]).fill_checksum();
    ipv4(from, to, IpProtocol::Icmp, &bytes)
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
