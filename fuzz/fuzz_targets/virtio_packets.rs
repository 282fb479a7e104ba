//! Packets of a hostile sender to a hostile receiver: the body of crates/virtio's property test, on a fuzzer's bytes.
#![no_main]

#[path = "../../crates/virtio/tests/hostile/feed.rs"]
mod feed;
#[path = "../../crates/virtio/tests/hostile/memory.rs"]
mod memory;
#[path = "../../crates/virtio/tests/hostile/net.rs"]
mod net;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| net::run(bytes));
