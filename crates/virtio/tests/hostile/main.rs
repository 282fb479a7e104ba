//! A driver that does anything: no panic, no endless work, nothing outside RAM, nothing written that is not the device's to
//! write. `fuzz/` runs the same bodies on bytes that a fuzzer chooses.

mod disk;
mod feed;
mod memory;
mod net;
mod ring;

use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..3000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_rings_are_survived(bytes in bytes()) {
        ring::run(&bytes);
    }

    #[test]
    fn any_requests_are_survived(bytes in bytes()) {
        disk::run(&bytes);
    }

    #[test]
    fn n06_any_packets_are_survived(bytes in bytes()) {
        net::run(&bytes);
    }
}
