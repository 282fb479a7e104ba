//! A network of three ports, and frames as guests send them.

use abi::plan::{Network, Nic};
use switch::Switch;

pub const HZ: u64 = 62_500_000;
pub const GATEWAY: [u8; 6] = [2, 0x42, 0x48, 0, 1, 1];
pub const EVERYBODY: [u8; 6] = [0xff; 6];
pub const NOBODY: [u8; 6] = [2, 0x42, 0x48, 0, 0, 0x77];
pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const REQUEST: u16 = 1;
pub const REPLY: u16 = 2;

pub fn mac(port: u8) -> [u8; 6] {
    [2, 0x42, 0x48, 0, 0, port]
}
pub fn ip(port: u8) -> [u8; 4] {
    [10, 0, 0, 2 + port]
}

pub fn switch() -> Switch {
    let network =
        Network { gateway: [10, 0, 0, 1], prefix: 24, mac: GATEWAY, has_uplink: true, forwards: Default::default() };
    let nics: Vec<Nic> = (0..3).map(|port| Nic { mac: mac(port), ip: ip(port), bandwidth: 0 }).collect();
    Switch::new(&network, &nics, HZ)
}

pub fn ethernet(to: [u8; 6], from: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ether_type.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with options, if `options` is not empty.
pub fn ipv4(to: [u8; 4], from: [u8; 4], protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let total = ((header + payload.len()) as u16).to_be_bytes();
    let first = [0x40 | (header / 4) as u8, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    [&first[..], &from, &to, options, payload].concat()
}

pub fn udp(to: u16, from: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let words = [from, to, length, 0].map(u16::to_be_bytes);
    [words.as_flattened(), payload].concat()
}

pub fn arp(operation: u16, hardware: [u8; 6], protocol: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    [&[0, 1, 8, 0, 6, 4][..], &operation.to_be_bytes(), &hardware, &protocol, &[0; 6], &target].concat()
}

/// UDP from port 0's guest to `to`, with everything as it should be.
pub fn packet(to: [u8; 6]) -> Vec<u8> {
    ethernet(to, mac(0), IPV4, &ipv4(ip(1), ip(0), 17, &[], &udp(7, 1234, b"hello")))
}

/// What a DHCP client broadcasts, from these addresses and ports.
pub fn dhcp(to: [u8; 4], from: [u8; 4], to_port: u16, from_port: u16) -> Vec<u8> {
    ethernet(EVERYBODY, mac(0), IPV4, &ipv4(to, from, 17, &[], &udp(to_port, from_port, &[1; 240])))
}
