//! Packets of a network device: which ones it takes, what becomes of them, and how they are received.

mod cut;
mod frames;
mod receive;
mod send;

use virtio::net::{CONFIG, Config, DEVICE_ID, FEATURES, RX, TX};

#[test]
fn the_configuration_space_is_as_specified() {
    let mac = [2, 0x42, 0x48, 0, 0, 7];
    let config: [u8; CONFIG] = Config { mac, is_up: true, mtu: 1500 }.bytes();
    assert_eq!(config, [2, 0x42, 0x48, 0, 0, 7, 1, 0, 0, 0, 0xdc, 5]);
    assert_eq!(Config { mac, is_up: false, mtu: 1500 }.bytes()[6..8], [0, 0]);
}

#[test]
fn numbers_and_features_are_as_specified() {
    assert_eq!((DEVICE_ID, RX, TX), (1, 0, 1));
    // CSUM, GUEST_CSUM, MTU, MAC, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, STATUS; INDIRECT_DESC, EVENT_IDX, VERSION_1.
    let bits = [0, 1, 3, 5, 7, 11, 15, 16, 28, 29, 32];
    assert_eq!(FEATURES, bits.iter().map(|bit| 1u64 << bit).sum());
}
